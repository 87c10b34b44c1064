import random

import numpy as np
import pytest

from bertline.rows.io import write_rows
from bertline.rows.labels import OUT_OF_SCOPE
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids, content_key
from bertline.stages.ingest.samples import read_sample
from bertline.stages.split.near_duplicates import (
    PERMUTATIONS,
    find_twins,
    hash_bands,
    rows_per_band,
    shingles,
    similarity,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz "


@pytest.fixture
def twins(tmp_path, monkeypatch):
    """Find the twins among texts (or columns) on these sides; a list of (row, twin, similarity)."""
    monkeypatch.chdir(tmp_path)

    def twins(texts, sides, threshold=0.8, labels="x", **columns):
        path = tmp_path / "rows.parquet"
        write_rows(add_ids(make_rows(texts, labels, **columns)), path)
        found = find_twins(path, np.array(sides, np.uint8), threshold).to_pylist()
        return [(each["row"], each["twin"], pytest.approx(each["similarity"])) for each in found]

    return twins


def edit(text, edits, random):
    for _ in range(edits):
        place = random.randrange(len(text))
        text = text[:place] + random.choice(LETTERS) + text[place + random.randrange(2) :]
    return text


def edited(sample, variants):
    """Real texts, and this many edited variants of some of them; no two with the same key."""
    chance = random.Random(1)
    texts = sorted(set(read_sample(sample).texts))[:1500]
    for text in chance.choices(texts, k=variants):
        edits = chance.choice([0, 1, len(text) // 15])
        texts.append(edit(text, edits, chance) + chance.choice(LETTERS))
    return list({content_key(text): text for text in texts if content_key(text)}.values())


def resembling(texts, sides, threshold):
    """By brute force: the pairs (row, row on a later side) that are at least so similar."""
    grams = [shingles(text) for text in texts]
    holders = {}
    for row, own in enumerate(grams):
        for gram in own:
            holders.setdefault(gram, []).append(row)
    pairs = set()
    for row, own in enumerate(grams):
        shared = {}
        for gram in own:
            for other in holders[gram]:
                shared[other] = shared.get(other, 0) + 1
        for other, count in shared.items():
            if sides[row] < sides[other] and count / (len(own) + len(grams[other]) - count) >= threshold:
                pairs.add((row, other))
    return pairs


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
@pytest.mark.parametrize("sample", ["sample:trec", "sample:sms-spam"])
def test_of_edited_real_texts_99_percent_are_found_and_nothing_else(sample, threshold, twins):
    texts = edited(sample, 1000)
    sides = [random.Random(text).choices([0, 1, 2], [75, 10, 15])[0] for text in texts]
    expected = resembling(texts, sides, threshold)
    found = twins(texts, sides, threshold)
    assert {(row, twin) for row, twin, _ in found} <= expected
    rows = {row for row, _ in expected}
    assert len(rows) > 20
    assert len(found) >= 0.99 * len(rows)


def test_the_row_on_the_earlier_side_leaves_with_its_most_similar_twin(twins):
    text = "the quick brown fox jumps over the lazy dog and runs away into the woods"
    texts = [text, f"{text} x", f"{text} now and", "something else altogether"]
    score = similarity(shingles(text), shingles(texts[1]))
    assert twins(texts, [0, 1, 2, 2], 0.5)[0] == (0, 1, score)
    assert [row for row, _, _ in twins(texts, [0, 1, 2, 2], 0.5)] == [0, 1]
    assert [row for row, _, _ in twins(texts, [2, 1, 0, 0], 0.5)] == [1, 2]


def test_rows_alike_on_one_side_stay(twins):
    assert twins(["the very same text", "The very same text!", "quite another one"], [2, 2, 0], 0.5) == []


@pytest.mark.parametrize("text", ["a", "ok", "fine", "hello", "Ärger", "好的"])
def test_the_same_short_text_is_a_twin_of_similarity_one(text, twins):
    # `ingest` drops exact duplicates, but a person may release the same text with another label.
    assert twins([text, text.upper(), "no"], [0, 2, 1], 1.0) == [(0, 1, 1.0)]


def test_a_pair_resembles_by_both_texts(twins):
    texts = ["a premise that both rows share word by word"] * 2
    other = ["short", "an altogether different hypothesis which goes on and on"]
    assert twins(texts, [0, 2], text_pair=other) == []
    assert twins(texts, [0, 2], text_pair=["short", "shor"]) != []


def test_no_rows_have_no_twins(twins):
    assert twins([], []) == []


def test_many_alike_rows_cost_no_quadratic_number_of_comparisons(twins):
    # 6,000 * 2,000 pairs would take minutes.
    texts = [f"Dear customer, your parcel is on its way to you {number}" for number in range(8000)]
    found = twins(texts, [0] * 6000 + [2] * 2000, 0.7)
    assert len(found) > 5900


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0])
def test_bands_find_98_percent_at_the_threshold(threshold):
    rows = rows_per_band(threshold)
    assert PERMUTATIONS % rows == 0
    assert 1 - (1 - threshold**rows) ** (PERMUTATIONS / rows) >= 0.98


def test_equal_permutations_are_as_frequent_as_the_jaccard_similarity():
    chance = random.Random(2)
    errors = []
    for _ in range(200):
        text = "".join(chance.choices(LETTERS, k=150))
        other = edit(text, 6, chance)
        (one, two) = hash_bands([text, other], 1)
        errors.append((one == two).mean() - similarity(shingles(text), shingles(other)))
    assert abs(np.mean(errors)) < 0.015
    assert np.std(errors) < 0.08  # of 60 draws at .7: .06


def test_the_bands_of_a_text_do_not_depend_on_its_neighbours():
    texts = ["one text", "b", "another text", "日本語のテキスト", "x" * 5000]
    together = hash_bands(texts, 5)
    assert all((hash_bands([text], 5) == own).all() for text, own in zip(texts, together, strict=True))


def test_a_row_in_scope_and_one_out_of_scope_are_no_pair(twins):
    text = "where can I find the nearest open pharmacy"
    texts = [f"{text} {letter}" for letter in "abcd"]
    sides = [0, 0, 1, 2]
    assert twins(texts[1:3], sides[1:3], labels=["x", OUT_OF_SCOPE]) == []
    assert twins(texts[1:3], sides[1:3], labels=[OUT_OF_SCOPE, "x"]) == []
    found = twins(texts, sides, labels=["x", OUT_OF_SCOPE, "x", OUT_OF_SCOPE])
    assert [(row, twin) for row, twin, _ in found] == [(0, 2), (1, 3)]


def test_many_rows_out_of_scope_hide_no_pair_in_scope(twins):
    text = "where can I find the nearest open pharmacy"
    texts = [f"{text} {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    labels = ["x", *[OUT_OF_SCOPE] * 24, "x"]
    assert [(row, twin) for row, twin, _ in twins(texts, [0, *[2] * 25], labels=labels)] == [(0, 25)]
