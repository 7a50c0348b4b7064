"""Parallel texts: found, checked and read as a stream of sentence pairs.

A text is looked for under `LSBOOK_DATA` or `data/`, in this order: Parquet files in the Hub's translation layout
(`sources.parquet_files`, with a column `translation` of {language: sentence}), one file a language with a sentence a
line (`<name>/<part>.<language>`, plain or .gz), a download. Or a function gives
them, as those of `grammar`. A folder that the registry does not have is read as an English–German text with the parts
train, heldout and test.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from lsbook.core import registry
from lsbook.core.errors import UserError, brief, one_of, shortened
from lsbook.core.paths import data_path
from lsbook.core.registry import SPLITS, Corpus
from lsbook.data import sources

MAX_BYTES = 65_535  # bytes of a line or sentence: SentencePiece learns from none that is longer

Pair = tuple[str, str]


@dataclass(frozen=True)
class Pairs:
    """One split of a text, held in memory.

    Attributes:
        source: N sentences in `languages[0]`.
        target: N sentences in `languages[1]`; `target[i]` says the same as `source[i]`.
        languages: the two, as in the names of files.
        fingerprint: SHA-256 of the sentences of the split this was taken from.
        variant: what distinguishes this copy.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    languages: tuple[str, str]
    fingerprint: str
    variant: str

    def __len__(self) -> int:
        return len(self.source)

    def first(self, n: int) -> "Pairs":
        """Return the first n pairs; UserError when there are fewer."""
        if n > len(self):
            raise UserError(f"{n} sentence pairs asked for, but there are {len(self)}")
        return replace(self, source=self.source[:n], target=self.target[:n])


@dataclass(frozen=True)
class TextSource:
    """One split where it lies, not yet read.

    files: none when a function gives it, which `origin` names. stream: opens it from its start.
    expected: how many pairs it has, where that is known.
    """

    languages: tuple[str, str]
    files: tuple[Path, ...]
    variant: str
    stream: Callable[[], Iterator[Pair]]
    expected: int | None = None
    origin: str = ""

    @property
    def where(self) -> Path | str:
        """How a message names it."""
        return self.files[0] if self.files else self.origin

    def pairs(self) -> Iterator[Pair]:
        """Yield each pair of sentences, without the white space around them.

        UserError names file and line of what is empty, too long, without a partner, not UTF-8 or damaged, and after the
        last pair, or the first that is too many, says that the text has another number of them.
        """
        count, most = 0, self.expected
        for count, pair in enumerate(self.stream(), 1):
            if most is not None and count > most:
                raise UserError(f"{self.where} has more than its {most:,} sentence pairs; get it anew")
            yield pair
        if count == 0:
            raise UserError(f"{self.where} has no sentences")
        if most is not None:
            sources.check_count(self.where, "sentence pairs", count, most)


def load(name: str, split: str) -> Pairs:
    """Read the sentence pairs of a split: `train`, `heldout` (the validation text) or `test`.

    UserError when files are missing or damaged, or the two sides do not fit each other.
    """
    text = locate(name, split)
    pairs = list(text.pairs())
    source, target = zip(*pairs, strict=True)
    return Pairs(source, target, text.languages, update_digest(new_digest(), pairs).hexdigest(), text.variant)


def new_digest() -> "hashlib._Hash":
    """The SHA-256 of no pairs; `update_digest` extends it."""
    return hashlib.sha256()


def update_digest(sha256: "hashlib._Hash", pairs: Iterable[Pair]) -> "hashlib._Hash":
    """Extend a SHA-256 by further pairs and return it."""
    sha256.update("".join(f"{source}\0{target}\0" for source, target in pairs).encode())
    return sha256


def locate(name: str, split: str) -> TextSource:
    """Find a split's sentences; download them when the registry knows from where. UserError when they are nowhere."""
    one_of("split", split, SPLITS)
    in_a_folder = re.fullmatch(r"\w[\w.-]{,99}", name) and (data_path() / name).is_dir()
    if in_a_folder and name not in registry.CORPORA:
        corpus = Corpus(title=name)
    else:
        registry.check_name("data set", name, [*registry.DATASETS, *registry.CORPORA])
        corpus = registry.corpus(name)
    part = corpus.parts[SPLITS.index(split)]
    expected = corpus.pairs[SPLITS.index(split)]
    lenient = corpus.has_gaps and split == "train"
    if corpus.load:
        stream = partial(_from_function, name, corpus.load, split, lenient)
        return TextSource(corpus.languages, (), corpus.variant, stream, expected, origin=corpus.load)
    folder = registry.data_folder(name)
    files = tuple(sources.parquet_files(data_path(), folder, part))
    if not files:
        return _find_lines(name, corpus, part, lenient, expected)
    if expected is not None:
        sources.check_count(data_path() / folder, f"sentence pairs of {part}", sources.count_rows(files), expected)
    stream = partial(_from_parquet, files, corpus.languages, lenient)
    return TextSource(corpus.languages, files, "Parquet copy", stream, expected)


def _find_lines(name: str, corpus: Corpus, part: str, lenient: bool, expected: int | None) -> TextSource:
    """One file a language."""
    root, folder = data_path(), data_path() / registry.data_folder(name)
    with sources.one_at_a_time():
        files = _language_files(folder, part, corpus.languages)
        if not files and corpus.archives:
            sources.download(root, name, corpus)
            files = _language_files(folder, part, corpus.languages)
    if not files:
        wanted = " and ".join(f"{part}.{language}[.gz]" for language in corpus.languages)
        raise UserError(
            f"{name} not found under {root}: put {part}.parquet or {wanted} into {folder}, set LSBOOK_DATA, "
            "or use the profile smoke"
        )
    checksums = {address.rpartition("/")[2]: checksum for _, address, checksum in corpus.archives}
    original = all(sources.sha256(path) == checksums.get(path.name) for path in files)
    variant = "original files" if original else "own files"
    return TextSource(corpus.languages, files, variant, partial(_from_lines, files, checksums, lenient), expected)


def _from_function(name: str, load: str, split: str, lenient: bool) -> Iterator[Pair]:
    """What a text's own function gives. UserError, naming it, when that is no pairs of sentences, or it fails.

    lenient: leave out pairs with an empty side.
    """
    with sources.failing(name, load):  # which a generator does later
        for number, found in enumerate(sources.call(name, load, split)):
            is_pair = isinstance(found, tuple | list) and len(found) == 2
            if not is_pair or not all(isinstance(sentence, str) for sentence in found):
                raise UserError(f"{load}: pair {number} has to be two sentences, not {brief(found)}")
            source, target = (sentence.strip() for sentence in found)
            if max(len(sentence.encode(errors="replace")) for sentence in (source, target)) > MAX_BYTES:
                raise UserError(f"{load}: pair {number} is longer than {MAX_BYTES:,} bytes; split or remove it")
            if source and target:
                yield source, target
            elif not lenient:
                raise UserError(f"{load}: pair {number} has an empty sentence; remove it")


def _language_files(folder: Path, part: str, languages: tuple[str, str]) -> tuple[Path, ...]:
    """Return both sides' files, or none; UserError when only one is there, or one twice."""
    endings = ("", ".gz")
    sides = [[folder / f"{part}.{language}{ending}" for ending in endings] for language in languages]
    try:
        existing = [list(filter(Path.is_file, paths)) for paths in sides]
    except OSError as error:
        raise sources.unreadable_error(folder, error) from None
    for twice in existing:
        if len(twice) > 1:
            raise UserError(f"{twice[0]} and {twice[1].name} are both there; keep one")
    found = [next(iter(paths), None) for paths in existing]
    present = tuple(path for path in found if path is not None)
    if len(present) == 1:
        there, missing = present[0], sides[found.index(None)][0]
        raise UserError(f"{there} has no partner: {missing} or {missing.name}.gz is missing; add it, or remove both")
    return present


def _from_lines(files: tuple[Path, ...], checksums: dict[str, str], lenient: bool) -> Iterator[Pair]:
    """lenient: leave out pairs with an empty side."""
    sides = [_lines(path, checksums.get(path.name)) for path in files]
    for number, (source, target) in enumerate(zip_longest(*sides), 1):
        if source is None or target is None:
            longer, shorter = files if target is None else files[::-1]
            raise UserError(f"{longer} line {number} has no partner: {shorter} has only {number - 1} lines")
        if source and target:
            yield source, target
        elif not lenient:
            raise UserError(f"{files[1 if source else 0]} line {number} is empty; remove it and its partner")


def _lines(path: Path, checksum: str | None) -> Iterator[str]:
    """Yield the sentences of one file. checksum: the expected one, for the message when it is damaged."""
    offset = 0
    try:
        packed = path.stat().st_size
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            lines = iter(partial(file.readline, MAX_BYTES + 3), b"")  # CR, LF and one too many
            for number, line in enumerate(lines, 1):
                if len(line.rstrip(b"\r\n")) > MAX_BYTES:
                    raise UserError(f"{path} line {number} is longer than {MAX_BYTES:,} bytes; split or remove it")
                yield _sentence(path, number, offset, line)
                offset += len(line)
                sources.check_expansion(path, offset, packed)
    except (OSError, EOFError, zlib.error) as error:
        raise sources.damaged_error(path, error, checksum) from None


def _sentence(path: Path, number: int, offset: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()  # the first may begin with a mark
    except UnicodeDecodeError as error:
        raise UserError(f"{path} line {number} is not UTF-8, at byte {offset + error.start} of the text") from None


def _from_parquet(files: tuple[Path, ...], languages: tuple[str, str], lenient: bool) -> Iterator[Pair]:
    """lenient: leave out pairs with an empty side."""
    for path in files:
        for row, translation in enumerate(_translations(path)):
            found = [translation.get(language) or "" for language in languages]
            if not all(isinstance(sentence, str) for sentence in found):
                raise UserError(f"{path} row {row}: a translation must be texts by language, not {brief(translation)}")
            if max(len(sentence.encode(errors="replace")) for sentence in found) > MAX_BYTES:
                raise UserError(f"{path} row {row} is longer than {MAX_BYTES:,} bytes; split or remove it")
            source, target = (sentence.strip() for sentence in found)
            if source and target:
                yield source, target
            elif not lenient:
                language = languages[1 if source else 0]
                raise UserError(f'{path} row {row} has no sentence in "{language}"; remove the row')


def _translations(path: Path) -> Iterator[dict[str, str]]:
    """Yield the column `translation`, of structs or of maps, read a few rows at a time."""
    import pyarrow

    with sources.open_parquet(path) as file:
        schema = file.schema_arrow
    if schema.names.count("translation") != 1:
        lack = "more than one" if "translation" in schema.names else "no"
        raise UserError(f"{path} has columns {shortened(', '.join(schema.names), 200)}, but {lack} translation")
    kind = schema.field("translation").type
    if not pyarrow.types.is_struct(kind) and not pyarrow.types.is_map(kind):
        raise UserError(f"{path}: a translation must be texts by language, not {shortened(str(kind), 80)}")
    for batch in sources.read_columns(path, "translation", most=1_000):
        yield from (dict(row or {}) for row in batch.column(0).to_pylist())
