from typing import Any

import numpy as np

from bertline.stages.evaluate.embedding_checks import (
    Embedded,
    find_order,
    find_outliers_and_near_duplicates,
    find_underperforming_groups,
)


def embedded(states: np.ndarray, side: str, words: str = "text") -> Embedded:
    ids = [f"{side}-{row}" for row in range(len(states))]
    texts = [f"{words} {row}" for row in range(len(states))]
    return Embedded(ids=ids, texts=texts, states=states.astype(np.float32))


def blob(rows: int, seed: int, centre: int = 0) -> np.ndarray:
    """Rows around one axis of eight."""
    return np.random.default_rng(seed).normal(10 * np.eye(8)[centre], 1, (rows, 8))


def outliers_and_twins(test: np.ndarray, train: np.ndarray) -> list[dict[str, Any]]:
    right = np.ones(len(test), bool)
    return list(find_outliers_and_near_duplicates(embedded(test, "test"), embedded(train, "train"), right))


def test_a_row_far_from_all_others_is_the_first_outlier() -> None:
    test = blob(80, 1)
    test[7] = -10 * np.eye(8)[3]
    outliers, _ = outliers_and_twins(test, blob(80, 2))
    assert (outliers["name"], outliers["examples"][0]["id"]) == ("outliers", "test-7")
    assert outliers["found"] >= 1


def test_a_test_row_next_to_a_training_row_is_a_near_duplicate_that_names_it() -> None:
    test, train = blob(80, 1), blob(80, 2)
    test[7] = train[9] + 1e-6
    _, twins = outliers_and_twins(test, train)
    assert (twins["name"], twins["found"]) == ("near_duplicates", 1)
    [example] = twins["examples"]
    assert (example["id"], example["note"]) == ("test-7", "near train row train-9: text 9")


def test_twins_within_test_are_both_counted_and_those_within_train_are_not() -> None:
    test, train = blob(80, 1), blob(80, 2)
    test[7], train[3] = test[8] + 1e-6, train[4] + 1e-6
    _, twins = outliers_and_twins(test, train)
    assert sorted(each["id"] for each in twins["examples"]) == ["test-7", "test-8"]
    assert twins["found"] == 2


def test_rows_in_blocks_are_out_of_order_and_shuffled_ones_are_not() -> None:
    blocks = np.concatenate([blob(60, 1), blob(60, 2, centre=1), blob(60, 3, centre=2)])
    shuffled = blocks[np.random.default_rng(0).permutation(len(blocks))]
    assert [find_order(states.astype(np.float32), "time")["found"] for states in (blocks, shuffled)] == [1, 0]


def groups(wrong: np.ndarray) -> dict[str, Any]:
    states = np.concatenate([blob(100, 1), blob(100, 2, centre=1)])
    rows = embedded(states, "test")
    texts = [*(f"good text {row}" for row in range(100)), *(f"refund asked {row}" for row in range(100))]
    named = Embedded(ids=rows.ids, texts=texts, states=rows.states)
    return find_underperforming_groups(named, ~wrong, 0.05, seed=1)


def test_a_cluster_that_is_answered_worse_is_shown_by_its_typical_text_and_words() -> None:
    wrong = np.arange(200) >= 150
    found = groups(wrong)
    assert found["found"] >= 1
    worst = found["examples"][0]
    assert worst["text"].startswith("refund asked")
    assert worst["note"].split("words: ")[1].split(", ")[:2] == ["asked", "refund"]


def test_errors_that_fall_anywhere_make_no_cluster_underperform() -> None:
    counts = [
        groups(np.random.default_rng(seed).permutation(np.arange(200) < 30))["found"] for seed in range(10)
    ]
    assert sum(count > 0 for count in counts) <= 2


def test_the_same_states_give_the_same_findings() -> None:
    wrong = np.arange(200) >= 150
    assert groups(wrong) == groups(wrong)
    assert outliers_and_twins(blob(80, 1), blob(80, 2)) == outliers_and_twins(blob(80, 1), blob(80, 2))
