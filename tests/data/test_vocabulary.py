"""Vocabularies: any sentence goes in and comes out, and bad sizes are one line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsbook.core.errors import UserError
from lsbook.data import embedded, sources, texts, vocabulary

SENTENCES = [sentence for pair in embedded.pairs("heldout") for sentence in pair]
LEARNED = vocabulary.learn(SENTENCES, 500)


@given(st.lists(st.text().filter(lambda s: "\u2581" not in s), max_size=3))
@example(["  A  dog ", ""])
def test_any_string_comes_back(sentences):
    assert LEARNED.decode(LEARNED.encode(sentences)) == sentences


@given(st.lists(st.text(st.sampled_from("Adog . \u2581\tß\n狗")) | st.sampled_from(SENTENCES), max_size=4))
@example([" ", "  A  dog ", "", "\u2581", "A dog", "A  dog"])
def test_words_are_encoded_as_sentencepiece_encodes_whole_sentences(sentences):
    found = [ids.tolist() for ids in LEARNED.encode(sentences)]
    assert found == LEARNED._processor.encode(sentences)


def test_words_are_forgotten_when_there_are_many(monkeypatch):
    monkeypatch.setattr(vocabulary, "CACHED_WORDS", 10)
    learned = vocabulary.learn(SENTENCES, 500)
    for sentence in SENTENCES[:30]:
        assert [ids.tolist() for ids in learned.encode([sentence])] == learned._processor.encode([sentence])
    assert len(learned._words) < 30


def test_ids_are_small_and_never_those_of_pad_bos_and_eos():
    assert (LEARNED.size, LEARNED.dtype.__name__) == (500, "uint16")
    special = {LEARNED.pad, LEARNED.bos, LEARNED.eos}
    assert len(special) == 3
    for ids in LEARNED.encode([*SENTENCES, "<s> </s> <pad> <unk> 狗"]):
        assert ids.dtype == LEARNED.dtype
        assert ids.min() > 3
        assert ids.max() < 500


def test_special_tokens_leave_no_trace():
    [ids] = LEARNED.encode([SENTENCES[1]])
    wrapped = [LEARNED.bos, *ids.tolist(), LEARNED.eos, LEARNED.pad, LEARNED.pad]
    assert LEARNED.decode([wrapped]) == [SENTENCES[1]]
    assert "".join(LEARNED.pieces(ids)).replace("▁", " ").strip() == SENTENCES[1]


def test_what_was_learned_is_shorter_than_bytes():
    ids = LEARNED.encode(SENTENCES)
    assert sum(map(len, ids)) < sum(len(sentence.encode()) for sentence in SENTENCES) / 2


def test_a_vocabulary_beyond_the_text_is_refused_with_the_largest_one():
    with pytest.raises(
        UserError, match="a vocabulary of 100000 tokens is larger than the text supports: choose"
    ) as error:
        vocabulary.learn(SENTENCES, 100_000)
    assert "\n" not in str(error.value)
    most = int(str(error.value).split()[-1])
    assert vocabulary.learn(SENTENCES, most).size == most
    with pytest.raises(UserError, match=f"choose at most {most}$"):
        vocabulary.learn(SENTENCES, most + 1)


def test_a_vocabulary_without_room_for_the_characters_is_refused():
    with pytest.raises(UserError, match="too small for the characters of the text: choose at least") as error:
        vocabulary.learn(SENTENCES, 100)
    least = int(str(error.value).split()[-1])
    assert vocabulary.learn(SENTENCES, least).size == least


@pytest.mark.parametrize("peculiar", ["ᚠ" * 20_000, "ᚠ " * 2_500 + "\u2585", "\u2581ᚠ\u2585ᚠ " * 9, "ᚠ\0\n\tᚠ" * 50])
def test_no_line_is_left_out(peculiar):
    """Not one of 60 000 bytes, nor one with a character that SentencePiece keeps for itself."""
    learned = vocabulary.learn([*SENTENCES, peculiar], 500)
    assert "ᚠ" in [learned.pieces([i])[0] for i in range(500)]


def test_a_line_of_the_longest_kind_is_learned_from(mine):
    longest = "ᚠ" * 21_845
    assert len(longest.encode()) == texts.MAX_BYTES
    for language, line in (("en", longest), ("de", "A line.")):
        with (mine / f"train.{language}").open("a") as file:
            file.write(line + "\r\n")
    learned = vocabulary.load("mine", 400)
    assert [learned.pieces([i])[0] for i in range(400)].count("ᚠ") == 1
    with (mine / "train.en").open("a") as file:
        file.write(longest + ".\n")
    with pytest.raises(UserError, match="mine/train.en line 102 is longer than 65,535 bytes; split or remove it"):
        vocabulary.load("mine", 400)


def test_nothing_is_printed(capfd):
    vocabulary.learn(SENTENCES, 500)
    with pytest.raises(UserError):
        vocabulary.learn(SENTENCES, 100_000)
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def mine(data_folder):
    folder = data_folder / "mine"
    folder.mkdir()
    for split, start in (("train", 0), ("test", 100)):
        for language, side in (("en", 0), ("de", 1)):
            lines = [pair[side] for pair in embedded.pairs("heldout")[start : start + 100]]
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n")
    return folder


def test_it_is_learned_once_from_the_training_side_and_a_damaged_copy_is_made_anew(mine, monkeypatch):
    (mine / "test.de").write_text("Ξ\n" * 100)
    first = vocabulary.load("mine", 400)
    pairs = texts.load("mine", "train")
    both = [sentence for pair in zip(pairs.source, pairs.target, strict=True) for sentence in pair]
    assert first == vocabulary.learn(both, 400)
    with monkeypatch.context() as patch:
        patch.setattr(vocabulary, "learn", lambda *_: pytest.fail("learned again"))
        assert vocabulary.load("mine", 400) == first
    [kept] = (mine / ".encoded").glob("mine-400-*.vocabulary")
    for content in (kept.read_bytes()[:-1], b""):
        kept.write_bytes(content)
        assert vocabulary.load("mine", 400) == first
    (mine / "train.de").write_text((mine / "train.en").read_text())
    assert vocabulary.load("mine", 400) != first


def test_a_read_only_folder_is_left_alone(mine, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mine.chmod(0o555)
    try:
        vocabulary.load("mine", 400)
        assert not (mine / ".encoded").exists()
        assert len(list((tmp_path / "cache" / "lsbook").glob("*.vocabulary"))) == 1
    finally:
        mine.chmod(0o755)


def test_a_long_text_is_thinned_evenly(monkeypatch):
    monkeypatch.setattr(vocabulary, "MAX_SENTENCES", 20)
    for n in (10, 11, 100, 1_000):
        kept = vocabulary._thinned((str(i), "") for i in range(n))[::2]
        steps = {int(b) - int(a) for a, b in zip(kept, kept[1:], strict=False)}
        assert len(steps) == 1
        assert 5 <= len(kept) <= 10
        assert int(kept[-1]) + steps.pop() >= n


def test_the_name_of_what_is_kept_depends_on_content_and_settings(mine):
    files = [mine / "train.en", mine / "train.de"]
    assert len({sources.content_key(files), sources.content_key(files, "a"), sources.content_key(files[:1])}) == 3
