"""A small English–German grammar of image captions, for runs that need no download.

German articles and adjectives agree with gender, number and case; the finite verb comes second in main clauses and last
in subordinate ones. Some English words have several correct translations, each with its odds and chosen independently
of the others, so how much a perfect translator has to guess is known exactly.
"""

import functools
import math
import random
import re
from itertools import product
from typing import NamedTuple

SIZES = {"train": 3_000, "heldout": 500, "test": 500}

Options = dict[str, float]  # correct translations with their odds
CASES = ("nominative", "accusative", "dative")


class Phrase(NamedTuple):
    """English words and their correct translations.

    gender: what a German verb or pronoun agrees with: m, f, n, or p for the plural; empty where nothing does.
    """

    english: str
    german: Options
    gender: str = ""


class Nouns(NamedTuple):
    """Nouns that can do the same things.

    words: for each "singular/plural" the gender, singular and plural of its translations.
    adjectives: those that suit them, with the German stems.
    """

    words: dict[str, Options]
    adjectives: dict[str, Options]


_AGE = {"old": {"alt": 1.0}, "young": {"jung": 1.0}}
_SIZE = {"big": {"groß": 0.7, "riesig": 0.3}, "small": {"klein": 0.7, "winzig": 0.3}}
_COLOUR = {"red": {"rot": 1.0}, "blue": {"blau": 1.0}, "green": {"grün": 1.0}, "white": {"weiß": 1.0}}

PEOPLE = Nouns(
    {
        "man/men": {"m Mann Männer": 1.0},
        "woman/women": {"f Frau Frauen": 0.8, "f Dame Damen": 0.2},
        "child/children": {"n Kind Kinder": 1.0},
        "boy/boys": {"m Junge Jungen": 1.0},
        "girl/girls": {"n Mädchen Mädchen": 1.0},
    },
    _AGE | {"happy": {"glücklich": 0.5, "fröhlich": 0.5}},
)
ANIMALS = Nouns(
    {
        "dog/dogs": {"m Hund Hunde": 1.0},
        "cat/cats": {"f Katze Katzen": 1.0},
        "horse/horses": {"n Pferd Pferde": 1.0},
    },
    _AGE | _SIZE,
)
CLOTHES = Nouns(
    {
        "hat/hats": {"m Hut Hüte": 1.0},
        "cap/caps": {"f Mütze Mützen": 0.6, "f Kappe Kappen": 0.4},
        "shirt/shirts": {"n Hemd Hemden": 1.0},
    },
    _COLOUR,
)
THINGS = Nouns(
    {
        "ball/balls": {"m Ball Bälle": 1.0},
        "book/books": {"n Buch Bücher": 1.0},
        "picture/pictures": {"n Bild Bilder": 0.6, "n Foto Fotos": 0.4},
        "cup/cups": {"f Tasse Tassen": 0.7, "m Becher Becher": 0.3},
        "flower/flowers": {"f Blume Blumen": 1.0},
    },
    _COLOUR | _SIZE,
)
LANDMARKS = Nouns(
    {
        "house/houses": {"n Haus Häuser": 1.0},
        "car/cars": {"n Auto Autos": 0.7, "m Wagen Wagen": 0.3},
        "tree/trees": {"m Baum Bäume": 1.0},
        "bike/bikes": {"n Fahrrad Fahrräder": 0.7, "n Rad Räder": 0.3},
    },
    _SIZE,
)
ENCLOSURES = Nouns(
    {
        "park/parks": {"m Park Parks": 1.0},
        "garden/gardens": {"m Garten Gärten": 1.0},
        "house/houses": {"n Haus Häuser": 1.0},
    },
    _SIZE,
)
SURFACES = Nouns(
    {
        "bench/benches": {"f Bank Bänke": 1.0},
        "sofa/sofas": {"n Sofa Sofas": 0.6, "f Couch Couchs": 0.4},
        "street/streets": {"f Straße Straßen": 1.0},
        "table/tables": {"m Tisch Tische": 1.0},
    },
    _SIZE,
)

# English preposition: German one, and what it stands before. In the dative it says where, in the accusative where to.
PLACES = {
    "in": ("in", ENCLOSURES),
    "on": ("auf", SURFACES),
    "in front of": ("vor", LANDMARKS),
    "behind": ("hinter", LANDMARKS),
    "next to": ("neben", LANDMARKS),
}
DIRECTIONS = {"into": ("in", ENCLOSURES), "onto": ("auf", SURFACES)}

# Third person singular and plural, and the particle of a separable verb.
RESTING = {
    "sitting": {"sitzt sitzen": 1.0},
    "standing": {"steht stehen": 1.0},
    "sleeping": {"schläft schlafen": 1.0},
    "waiting": {"wartet warten": 1.0},
}
MOVING = {
    "running": {"rennt rennen": 0.6, "läuft laufen": 0.4},
    "jumping": {"springt springen": 0.6, "hüpft hüpfen": 0.4},
}
HANDLING = {
    "holding": {"hält halten": 1.0},
    "carrying": {"trägt tragen": 1.0},
    "looking at": {"betrachtet betrachten": 0.6, "sieht sehen an": 0.4},
}
GIVING = {"giving": {"gibt geben": 1.0}, "showing": {"zeigt zeigen": 1.0}}

# Nominative, accusative and dative.
ARTICLES = {
    "the": {"m": "der den dem", "f": "die die der", "n": "das das dem", "p": "die die den"},
    "a": {"m": "ein einen einem", "f": "eine eine einer", "n": "ein ein einem"},
}
QUANTIFIERS = {
    "two": {"zwei zwei zwei": 1.0},
    "several": {"mehrere mehrere mehreren": 0.6, "einige einige einigen": 0.4},
}
ENDINGS = {
    "the": {"m": "e en en", "f": "e e en", "n": "e e en", "p": "en en en"},
    "a": {"m": "er en en", "f": "e e en", "n": "es es en"},
    "two": {"p": "e e en"},
    "several": {"p": "e e en"},
}
PRONOUNS = {"m": "der", "f": "die", "n": "das", "p": "die"}
SEEING = {"sieht man": 0.5, "sehen Sie": 0.3, "siehst du": 0.2}  # "you": anyone, politely or familiarly addressed
FRONTED = 0.25  # odds that a place is put in front, where English has it at the end


def noun_phrase(
    nouns: Nouns, noun: str, determiner: str, case: str, adjective: str = "", plural: bool = False
) -> Phrase:
    """Make a noun phrase with its translations.

    Args:
        nouns: the noun and the adjectives that suit it.
        noun: a key of `nouns.words`.
        determiner: "a", "the", "two" or "several".
        case: one of CASES.
        adjective: a key of `nouns.adjectives`, or "".
        plural: whether the noun is in the plural.
    """
    english = " ".join(filter(None, (determiner, adjective, noun.split("/")[plural])))
    english = re.sub(r"^a (?=[aeiou])", "an ", english)
    form = CASES.index(case)
    stems = nouns.adjectives[adjective] if adjective else {"": 1.0}
    german: Options = {}
    for word, odds in nouns.words[noun].items():
        agreement = "p" if plural else word[0]
        ending = ENDINGS[determiner][agreement].split()[form] if adjective else ""
        articles = QUANTIFIERS.get(determiner) or {ARTICLES[determiner][agreement]: 1.0}
        inflected = {f"{stem}{ending}": share for stem, share in stems.items()}
        first = {forms.split()[form]: share for forms, share in articles.items()}
        german |= _join(first, inflected, {_inflect(word, case, plural): odds})
    return Phrase(english, german, agreement)


def _inflect(word: str, case: str, plural: bool) -> str:
    gender, singular, several = word.split()
    if plural:
        return several + "n" * (case == "dative" and several[-1] not in "ns")
    weak = gender == "m" and singular.endswith("e")  # der Junge, den Jungen, dem Jungen
    return singular + "n" * (weak and case != "nominative")


def clause(order: str, subject: Phrase, verb: Options, *rest: Options) -> Options:
    """Make a German clause, its finite verb "second", "first" (after what is put in front) or "last"."""
    german: Options = {}
    for forms, odds in verb.items():
        singular, plural, *particles = forms.split()
        finite = plural if subject.gender == "p" else singular
        particle = "".join(particles)
        german |= {
            "second": _join(subject.german, {finite: odds}, *rest, {particle: 1.0}),
            "first": _join({finite: odds}, subject.german, *rest, {particle: 1.0}),
            "last": _join(subject.german, *rest, {particle + finite: odds}),
        }[order]
    return german


def _join(*parts: Options) -> Options:
    """Return every sequence of one option of each part, with its odds."""
    sequences = (zip(*sequence, strict=True) for sequence in product(*(part.items() for part in parts)))
    return {" ".join(filter(None, words)): math.prod(odds) for words, odds in sequences}


@functools.cache
def captions() -> dict[str, Options]:
    """Return every English sentence of the three splits, in order, with all its translations and their odds."""
    rng = random.Random(0)
    found: dict[str, Options] = {}
    while len(found) < sum(SIZES.values()):
        english, german, _ = _one(rng, _FRAMES)(rng)
        found[_sentence(english)] = {_sentence(words): odds for words, odds in german.items()}
    return found


def pairs(split: str) -> list[tuple[str, str]]:
    """Return a split's sentences, each with one translation drawn by the odds; no English sentence comes twice."""
    rng = random.Random(1)
    drawn = [(english, rng.choices(list(german), list(german.values()))[0]) for english, german in captions().items()]
    start = sum(SIZES[earlier] for earlier in list(SIZES)[: list(SIZES).index(split)])
    return drawn[start : start + SIZES[split]]


def _some(rng: random.Random, nouns: Nouns, case: str, plural_odds: float = 0.3) -> Phrase:
    plural = rng.random() < plural_odds
    determiner = _one(rng, ("the", "two", "several") if plural else ("a", "a", "the"))
    adjective = _one(rng, nouns.adjectives) if rng.random() < 0.5 else ""
    return noun_phrase(nouns, _one(rng, nouns.words), determiner, case, adjective, plural)


def _where(rng: random.Random, prepositions: dict, case: str) -> Phrase:
    english = _one(rng, prepositions)
    german, nouns = prepositions[english]
    phrase = _some(rng, nouns, case, plural_odds=0)
    return Phrase(f"{english} {phrase.english}", _join({german: 1.0}, phrase.german))


def _someone(rng: random.Random, case: str = "nominative") -> Phrase:
    return _some(rng, _one(rng, (PEOPLE, ANIMALS)), case)


def _is(subject: Phrase, participle: str) -> str:
    return f"{subject.english} {'are' if subject.gender == 'p' else 'is'} {participle}"


def _scene(rng: random.Random) -> Phrase:
    """A man is sleeping on a bench."""
    subject, verb, place = _someone(rng), _one(rng, RESTING), _where(rng, PLACES, "dative")
    plain = clause("second", subject, RESTING[verb], place.german)
    fronted = _join(place.german, clause("first", subject, RESTING[verb]))
    german = _join({"": 1 - FRONTED}, plain) | _join({"": FRONTED}, fronted)
    return Phrase(f"{_is(subject, verb)} {place.english}", german)


def _motion(rng: random.Random) -> Phrase:
    """A dog is running into the house."""
    subject, verb, place = _someone(rng), _one(rng, MOVING), _where(rng, DIRECTIONS, "accusative")
    return Phrase(f"{_is(subject, verb)} {place.english}", clause("second", subject, MOVING[verb], place.german))


def _action(rng: random.Random) -> Phrase:
    """In the park, two children are looking at a picture. The place may be left out."""
    subject, verb, thing = _some(rng, PEOPLE, "nominative"), _one(rng, HANDLING), _some(rng, THINGS, "accusative")
    english = f"{_is(subject, verb)} {thing.english}"
    if rng.random() < 0.5:
        return Phrase(english, clause("second", subject, HANDLING[verb], thing.german))
    place = _where(rng, PLACES, "dative")
    german = _join(place.german, clause("first", subject, HANDLING[verb], thing.german))
    return Phrase(f"{place.english} , {english}", german)


def _giving(rng: random.Random) -> Phrase:
    """A woman is giving the dog a ball."""
    subject, verb = _some(rng, PEOPLE, "nominative"), _one(rng, GIVING)
    to, thing = _someone(rng, "dative"), _some(rng, THINGS, "accusative")
    english = f"{_is(subject, verb)} {to.english} {thing.english}"
    return Phrase(english, clause("second", subject, GIVING[verb], to.german, thing.german))


def _dressed(rng: random.Random, case: str) -> Phrase:
    """A girl who is wearing a blue hat."""
    person, garment = _some(rng, PEOPLE, case), _some(rng, CLOTHES, "accusative", plural_odds=0)
    who = Phrase("who", {PRONOUNS[person.gender]: 1.0}, person.gender)
    relative = clause("last", who, {"trägt tragen": 1.0}, garment.german)
    english = f"{person.english} {_is(who, 'wearing')} {garment.english}"
    return Phrase(english, _join(person.german, {",": 1.0}, relative, {",": 1.0}), person.gender)


def _waiting(rng: random.Random) -> Phrase:
    """A girl who is wearing a blue hat is waiting."""
    subject, verb = _dressed(rng, "nominative"), _one(rng, RESTING)
    return Phrase(_is(subject, verb), clause("second", subject, RESTING[verb]))


def _seeing(rng: random.Random) -> Phrase:
    """Here you see a boy who is wearing a red cap."""
    seen = _dressed(rng, "accusative")
    return Phrase(f"here you see {seen.english}", _join({"hier": 1.0}, SEEING, seen.german))


def _showing(rng: random.Random) -> Phrase:
    """The picture shows a horse behind a tree."""
    picture = noun_phrase(THINGS, "picture/pictures", "the", "nominative")
    shown, place = _someone(rng, "accusative"), _where(rng, PLACES, "dative")
    german = clause("second", picture, {"zeigt zeigen": 1.0}, shown.german, place.german)
    return Phrase(f"{picture.english} shows {shown.english} {place.english}", german)


def _meanwhile(rng: random.Random) -> Phrase:
    """A man is sitting while a dog is running."""
    verbs = RESTING | MOVING
    (subject, verb), (other, second) = ((_someone(rng), _one(rng, verbs)) for _ in range(2))
    subordinate = clause("last", other, verbs[second])
    german = _join(clause("second", subject, verbs[verb]), {", während": 1.0}, subordinate)
    return Phrase(f"{_is(subject, verb)} while {_is(other, second)}", german)


_FRAMES = (_scene, _motion, _action, _giving, _waiting, _seeing, _showing, _meanwhile)


def _one(rng: random.Random, choices):
    return rng.choices(list(choices))[0]


def _sentence(words: str) -> str:
    words = re.sub(r"\bin (?:(dem)|das)\b", lambda found: "im" if found[1] else "ins", words)
    words = words.replace(" ,", ",").rstrip(",")
    return f"{words[0].upper()}{words[1:]}."
