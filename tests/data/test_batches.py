"""Encoded texts and their batches: every pair once, few shapes, little padding, little memory."""

import itertools
import tracemalloc

import numpy as np
import pytest

from lsbook.core.errors import UserError
from lsbook.data import embedded, encoded, texts, vocabulary
from lsbook.data.batches import Batches, choose_widths, smallest_fitting
from lsbook.data.encoded import EncodedPairs, Sentences

VOCABULARY = vocabulary.learn([sentence for pair in embedded.pairs("heldout") for sentence in pair], 500)
PAD, BOS, EOS = VOCABULARY.pad, VOCABULARY.bos, VOCABULARY.eos


def random_text(n=700, longest=40, seed=0) -> EncodedPairs:
    """Sentences of 1 to `longest` tokens, the target about as long as the source."""
    rng = np.random.default_rng(seed)
    source = rng.integers(1, longest + 1, n)
    target = np.clip(source + rng.integers(-3, 4, n), 1, longest)
    sides = [
        Sentences(rng.integers(4, 500, lengths.sum(), np.uint16), np.cumsum([0, *lengths]))
        for lengths in (source, target)
    ]
    return EncodedPairs(*sides, "", "")


def epoch(batches, number=0) -> list:
    return [batches(number * len(batches) + i) for i in range(len(batches))]


@pytest.mark.parametrize("n", [1, 5, 700, 701])
def test_an_epoch_has_every_pair_once_and_whole(n):
    corpus = random_text(n)
    seen = []
    for batch in epoch(Batches(corpus, 400)):
        for row, source, target_in, target_out in zip(
            batch.rows, batch.source, batch.target_in, batch.target_out, strict=True
        ):
            if row < 0:
                assert source[source != PAD].tolist() == [EOS]
                assert target_in[target_in != PAD].tolist() == [BOS]
                assert (target_out == PAD).all()
                continue
            seen.append(row)
            assert source[source != PAD].tolist() == [*corpus.source[row], EOS]
            assert target_in[target_in != PAD].tolist() == [BOS, *corpus.target[row]]
            assert target_out[target_out != PAD].tolist() == [*corpus.target[row], EOS]
            assert source[0] != PAD
            np.testing.assert_array_equal(
                target_in[1:][target_out[:-1] != EOS], target_out[:-1][target_out[:-1] != EOS]
            )
    assert sorted(seen) == list(range(n))


@pytest.mark.parametrize(("n", "tokens"), [(701, 400), (5, 60)], ids=["many", "fewer pairs than parts"])
def test_parts_of_batches_are_the_whole_with_its_mean(n, tokens):
    """Of three parts each pair is in one; the weighted mean of anything over tokens is that over the whole batch."""
    corpus = random_text(n)
    whole, parts = Batches(corpus, tokens, 7), [Batches(corpus, tokens, 7, shard=(k, 3)) for k in range(3)]
    values = np.random.default_rng(0).random(500)
    for step in range(2 * len(whole)):
        batch, shares = whole(step), [part(step) for part in parts]
        assert len({(share.source.shape, share.target_in.shape) for share in shares}) == 1
        weighted = [share for share in shares if share.weight]
        rows = np.concatenate([share.rows for share in weighted])
        assert sorted(rows[rows >= 0]) == sorted(batch.rows[batch.rows >= 0])
        means = [share.weight * values[share.target_out[share.target_out != PAD]].mean() for share in shares]
        assert np.mean(means) == pytest.approx(values[batch.target_out[batch.target_out != PAD]].mean())
    assert whole(0).weight == 1


def test_shapes_are_few_and_hold_the_tokens_asked_for():
    batches = Batches(random_text(), 400, max_shapes=5, multiple=8)
    found = {(*batch.source.shape, batch.target_in.shape[1]) for batch in epoch(batches)}
    assert found <= set(batches.shapes)
    assert len(batches.shapes) == 5
    for pairs, source, target in batches.shapes:
        assert source % 8 == target % 8 == 0
        assert pairs == 400 // (source + target)
    for batch in epoch(batches):
        assert {array.dtype for array in (batch.source, batch.target_in, batch.target_out)} == {np.dtype(np.int64)}
        assert batch.target_in.shape == batch.target_out.shape


def test_only_one_batch_has_fillers():
    """One of the widest, for these 701 pairs."""
    batches = Batches(random_text(701), 400)
    assert [batch.source.shape[1] for batch in epoch(batches) if (batch.rows < 0).any()] == [batches.shapes[-1].source]


def rows(batches) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


def test_the_order_is_a_function_of_seed_and_epoch():
    corpus = random_text()
    batches = Batches(corpus, 400, seed=3)
    first, second = rows(epoch(batches, 0)), rows(epoch(batches, 1))
    assert first != second
    assert len(first) == len(second)
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second))
    assert rows(epoch(batches, 0)) == first
    assert rows([Batches(corpus, 400, seed=3)(len(first) + 2)]) == [second[2]]
    assert rows(epoch(Batches(corpus, 400, seed=4))) != first


def test_longer_sentences_lose_their_end():
    corpus = random_text(longest=40)
    batches = Batches(corpus, 400, max_length=16)
    lengths = np.concatenate([corpus.source.lengths(), corpus.target.lengths()]) + 1
    assert batches.n_truncated == (lengths > 16).sum() > 0
    assert max(max(shape[1:]) for shape in batches.shapes) == 16
    for batch in epoch(batches):
        for row, source, target_out in zip(batch.rows, batch.source, batch.target_out, strict=True):
            if row >= 0:
                assert source[source != PAD].tolist() == [*corpus.source[row][:15], EOS]
                assert target_out[target_out != PAD].tolist() == [*corpus.target[row][:15], EOS]
    assert Batches(corpus, 400).n_truncated == 0


def padded(lengths, widths) -> int:
    """Tokens when every pair is padded to the smallest widths that it fits into."""
    return sum(min(sum(w) for w in widths if (pair <= w).all()) for pair in lengths)


def test_the_chosen_widths_waste_least():
    """With two of them the choice is the best there is: all others are tried."""
    lengths = np.random.default_rng(0).integers(1, 9, (60, 2))
    widest = lengths.max(axis=0)
    every = itertools.product(range(1, 9), repeat=2)
    best = min(padded(lengths, [widest, np.array(other)]) for other in every)
    widths = choose_widths(lengths, 2)
    np.testing.assert_array_equal(widths[-1], widest)
    assert padded(lengths, widths) == best
    totals = [padded(lengths, choose_widths(lengths, most)) for most in (1, 2, 4, 8, 64)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == 60 * widest.sum()
    assert totals[-1] == lengths.sum()
    assert choose_widths(np.full((5, 2), 3), 10).tolist() == [[3, 3]]


@pytest.fixture
def mine(data_folder):
    folder = data_folder / "mine"
    folder.mkdir()
    for language, side in (("en", 0), ("de", 1)):
        (folder / f"train.{language}").write_text("\n".join(pair[side] for pair in embedded.pairs("heldout")) + "\n")
    return folder


def decoded(side) -> list[str]:
    return VOCABULARY.decode([side[i] for i in range(len(side))])


@pytest.mark.parametrize("chunk", [7, 10_000])
def test_what_is_encoded_decodes_to_the_text(mine, monkeypatch, chunk):
    monkeypatch.setattr(encoded, "CHUNK", chunk)
    corpus, pairs = encoded.load("mine", "train", VOCABULARY), texts.load("mine", "train")
    assert (decoded(corpus.source), decoded(corpus.target)) == (list(pairs.source), list(pairs.target))
    assert (corpus.fingerprint, corpus.variant, len(corpus)) == (pairs.fingerprint, pairs.variant, 500)
    assert isinstance(corpus.source.ids, np.memmap)
    few = corpus.first(3)
    assert (len(few), decoded(few.target)) == (3, list(pairs.target[:3]))
    with pytest.raises(UserError, match="501 sentence pairs asked for"):
        corpus.first(501)


def test_the_grammar_is_encoded_in_memory():
    corpus, pairs = encoded.load("grammar", "heldout", VOCABULARY), texts.load("grammar", "heldout")
    assert decoded(corpus.target) == list(pairs.target)
    assert corpus.fingerprint == pairs.fingerprint


def test_encoding_happens_once_and_a_damaged_copy_is_made_anew(mine, monkeypatch):
    first = encoded.load("mine", "train", VOCABULARY)
    ids = first.target.ids.tolist()
    with monkeypatch.context() as patch:
        patch.setattr(encoded, "encode_pairs", lambda *_: pytest.fail("encoded again"))
        assert encoded.load("mine", "train", VOCABULARY).fingerprint == first.fingerprint
    [folder] = (mine / ".encoded").iterdir()
    for name in ("target.ids", "source.npy", "summary"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).unlink()  # the mapped file stays as it is
        (folder / name).write_bytes(content)
        again = encoded.load("mine", "train", VOCABULARY)
        assert again.target.ids.tolist() == ids
        assert again.fingerprint == first.fingerprint
    assert [path.name for path in (mine / ".encoded").iterdir()] == [folder.name]


def test_a_bad_line_leaves_nothing_behind(mine):
    with (mine / "train.en").open("a") as file:
        file.write("one line too many\n")
    with pytest.raises(UserError, match="line 501 has no partner"):
        encoded.load("mine", "train", VOCABULARY)
    assert list((mine / ".encoded").iterdir()) == []


def test_no_place_to_keep_it_is_one_line(mine):
    (mine / ".encoded").write_text("a file in its place")
    with pytest.raises(UserError, match="cannot keep the encoded text.*set XDG_CACHE_HOME"):
        encoded.load("mine", "train", VOCABULARY)


def test_memory_does_not_grow_with_the_sentences(mine, monkeypatch):
    """Encoding and batching never hold twice the bytes of the files; all sentences at once were 13 times as much."""
    monkeypatch.setattr(encoded, "CHUNK", 100)
    for language in ("en", "de"):
        (mine / f"train.{language}").write_text(("A dog and a man. " * 6 + "\n") * 5_000)
    tracemalloc.start()
    try:
        corpus = encoded.load("mine", "train", VOCABULARY)
        pairs = sum((batch.rows >= 0).sum() for batch in map(Batches(corpus, 4_096), range(200)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pairs >= 5_000
    assert peak < 2 * sum((mine / f"train.{language}").stat().st_size for language in ("en", "de"))


@pytest.mark.real_data("multi30k")
def test_an_eighth_of_multi30ks_batches_is_padding(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    corpus = encoded.load("multi30k", "train", vocabulary.load("multi30k", 8_000))
    batches = Batches(corpus, 4_096)
    filled = sum(batch.source.size + batch.target_in.size for batch in epoch(batches))
    tokens = corpus.source.lengths().sum() + corpus.target.lengths().sum() + 2 * len(corpus)
    assert len(batches.shapes) == 12
    assert filled == pytest.approx(len(batches) * 4_096, rel=0.02)
    assert 1 - tokens / filled == pytest.approx(0.125, abs=0.01)


def test_each_pair_gets_the_narrowest_shape_that_holds_it():
    """Both sides must fit; the first of two that do is taken."""
    widths = np.array([[2, 1], [1, 4], [4, 4]])
    lengths = np.array([[2, 1], [1, 1], [1, 2], [2, 2], [0, 4], [4, 0]])
    assert smallest_fitting(lengths, widths).tolist() == [0, 0, 1, 2, 1, 2]
