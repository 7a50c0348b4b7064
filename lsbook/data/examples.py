"""A few sentences of our own, written as image captions are, with translations that we would accept."""

SENTENCES: tuple[tuple[str, str], ...] = (
    ("A young woman in a red coat is feeding two ducks.", "Eine junge Frau in einem roten Mantel füttert zwei Enten."),
    ("Three men are repairing the roof of a small house.", "Drei Männer reparieren das Dach eines kleinen Hauses."),
    ("A brown dog jumps over a fence in the snow.", "Ein brauner Hund springt im Schnee über einen Zaun."),
    ("Children are playing football on the beach.", "Kinder spielen am Strand Fußball."),
    ("An old man sits on a bench and reads a book.", "Ein alter Mann sitzt auf einer Bank und liest ein Buch."),
    ("A girl holds a big red ball.", "Ein Mädchen hält einen großen roten Ball."),
)
