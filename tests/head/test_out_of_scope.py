from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_limits

from bertline.head.class_gaussians import fit
from bertline.head.out_of_scope import FILE, Statistics, score

ROWS, WIDTH, CLASSES = 400, 12, 3
RANDOM = np.random.default_rng(0)
MIXING = RANDOM.normal(size=(WIDTH, WIDTH))
TARGETS = RANDOM.integers(CLASSES, size=ROWS)
STATES = (3 * RANDOM.normal(size=(CLASSES, WIDTH))[TARGETS] + RANDOM.normal(size=(ROWS, WIDTH))) @ MIXING
FRESH = 10 * RANDOM.normal(size=(50, WIDTH))
LOGITS = RANDOM.normal(scale=4, size=(50, CLASSES)).astype(np.float32)


def distances(statistics: Statistics, states: np.ndarray) -> np.ndarray:
    logits = np.zeros((len(states), 1), np.float32)
    states = states.astype(np.float32)
    return score("mahalanobis", logits, states, multi_label=False, statistics=statistics)


def by_logits(kind: str, logits: np.ndarray, *, multi_label: bool) -> np.ndarray:
    return score(kind, logits, None, multi_label=multi_label, statistics=None)  # type: ignore[arg-type]


def test_the_score_is_the_mahalanobis_distance_to_the_nearest_mean() -> None:
    means = np.stack([STATES[k == TARGETS].mean(axis=0) for k in range(CLASSES)])
    covariance = ledoit_wolf(STATES - means[TARGETS], assume_centered=True)[0]
    expected = cdist(FRESH, means, "mahalanobis", VI=np.linalg.inv(covariance)).min(axis=1)
    np.testing.assert_allclose(distances(fit(STATES, TARGETS), FRESH), expected, rtol=1e-5)


def test_without_shrinkage_the_score_does_not_depend_on_the_axes_of_the_states() -> None:
    axes = RANDOM.normal(size=(WIDTH, WIDTH))
    plain, turned = fit(STATES, TARGETS, shrinkage=0.0), fit(STATES @ axes + 5, TARGETS, shrinkage=0.0)
    np.testing.assert_allclose(distances(turned, FRESH @ axes + 5), distances(plain, FRESH), rtol=1e-3)


def test_the_distances_of_the_parts_of_a_state_are_added() -> None:
    parts = (slice(0, 5), slice(5, WIDTH))
    alone = [distances(fit(STATES[:, each], TARGETS), FRESH[:, each]) for each in parts]
    together = distances(fit(STATES, TARGETS, widths=(5, WIDTH - 5)), FRESH)
    np.testing.assert_allclose(together, sum(alone), rtol=1e-6)


def test_rows_that_were_held_out_make_the_parts_count_alike() -> None:
    held_out = RANDOM.normal(size=(100, WIDTH)).astype(np.float32) * ([100] * 5 + [1] * 7)
    parts = fit(STATES, TARGETS, widths=(5, WIDTH - 5), held_out_MW=held_out).parts
    spread = [parts[0].distances(held_out[:, :5]).std(), parts[1].distances(held_out[:, 5:]).std()]
    np.testing.assert_allclose(spread, 1, rtol=1e-5)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_that_were_held_out_change_nothing(rows: int) -> None:
    held_out = FRESH[:rows].astype(np.float32)
    scaled, plain = fit(STATES, TARGETS, held_out_MW=held_out), fit(STATES, TARGETS)
    assert np.array_equal(distances(scaled, FRESH), distances(plain, FRESH))


def test_many_rows_have_the_scores_that_each_has_alone() -> None:
    statistics, states = fit(STATES, TARGETS), RANDOM.normal(size=(20_000, WIDTH))
    alone = [distances(statistics, states[i : i + 1])[0] for i in (0, 9_000, 19_999)]
    np.testing.assert_allclose(distances(statistics, states)[[0, 9_000, 19_999]], alone, rtol=1e-5)


def test_the_file_has_the_same_bytes_every_time_with_any_number_of_threads(tmp_path: Path) -> None:
    states, targets = RANDOM.normal(size=(2000, 300)).astype(np.float32), RANDOM.integers(9, size=2000)
    written = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fit(states, targets, widths=(100, 200), held_out_MW=states[:50]).save(tmp_path)
        written.append((tmp_path / FILE).read_bytes())
    assert written[0] == written[1]


def test_what_was_saved_scores_the_same(tmp_path: Path) -> None:
    statistics = fit(STATES, TARGETS, widths=(5, WIDTH - 5))
    statistics.save(tmp_path)
    loaded = Statistics.load(tmp_path)
    assert loaded is not None
    assert np.array_equal(distances(loaded, FRESH), distances(statistics, FRESH))


def test_the_reader_of_the_states_is_saved_and_older_files_are_of_the_last_layer(tmp_path: Path) -> None:
    statistics = fit(STATES, TARGETS)
    statistics.save(tmp_path)
    assert Statistics.load(tmp_path).reader == "first"
    save_file(load_file(tmp_path / FILE), tmp_path / FILE)
    assert Statistics.load(tmp_path).reader == "last"
    save_file(load_file(tmp_path / FILE), tmp_path / FILE, {"reader": "second"})
    with pytest.raises(ValueError, match=r"is damaged .*'second'"):
        Statistics.load(tmp_path)


def test_a_folder_without_the_file_has_no_statistics(tmp_path: Path) -> None:
    assert Statistics.load(tmp_path) is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    fit(STATES, TARGETS).save(tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=rf"^{path} is damaged .*; fetch or train the model again$"):
        Statistics.load(tmp_path)


@pytest.mark.parametrize(
    ("states", "targets"),
    [
        (STATES, np.zeros(ROWS, int)),
        (STATES[: WIDTH // 2], TARGETS[: WIDTH // 2]),
        (np.repeat(STATES[:2], 20, axis=0), np.repeat(TARGETS[:2], 20)),
        (np.ones((5, WIDTH)), np.zeros(5, int)),
        (STATES[:1], TARGETS[:1]),
    ],
    ids=["one class", "fewer rows than widths", "duplicates", "all equal", "one row"],
)
def test_few_or_equal_rows_have_statistics_too(states: np.ndarray, targets: np.ndarray) -> None:
    statistics = fit(states, targets)
    far = distances(statistics, FRESH)
    assert np.isfinite(far).all()
    assert distances(statistics, states).max() < far.min()


def test_too_few_rows_without_shrinkage_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the covariance of 5 rows of width 12 cannot be inverted"):
        fit(STATES[:5], TARGETS[:5], shrinkage=0.0)


def test_a_class_without_rows_is_no_mean() -> None:
    assert len(fit(STATES, TARGETS * 2).parts[0].means_KH) == CLASSES


def test_states_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        fit(np.where(np.arange(ROWS)[:, None] == 7, np.nan, STATES), TARGETS)


@pytest.mark.parametrize("kind", ["mahalanobis", "energy", "max_probability"])
def test_scores_that_are_not_numbers_are_refused(kind: str) -> None:
    nothing = np.full((3, WIDTH), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN or infinity"):
        score(kind, nothing, nothing, multi_label=False, statistics=fit(STATES, TARGETS))  # type: ignore[arg-type]


def test_a_set_of_labels_is_a_class_of_its_own_and_rare_sets_share_one() -> None:
    sets = np.array([[0, 0], [1, 0], [1, 1]], np.uint8)
    rare = np.array([[0, 1]], np.uint8)
    states = np.concatenate([STATES, [[0.0] * WIDTH]])
    several = fit(states, np.concatenate([sets[TARGETS], rare]))
    single = fit(states, np.append(TARGETS, CLASSES))
    assert np.array_equal(distances(several, FRESH), distances(single, FRESH))


def test_the_energy_is_minus_the_log_of_the_sum() -> None:
    expected = -np.log(np.exp(LOGITS.astype(float)).sum(axis=1))
    np.testing.assert_allclose(by_logits("energy", LOGITS, multi_label=False), expected, rtol=1e-5)


def test_the_energy_of_several_labels_is_a_sum_over_them() -> None:
    expected = -np.log1p(np.exp(LOGITS.astype(float))).sum(axis=1)
    np.testing.assert_allclose(by_logits("energy", LOGITS, multi_label=True), expected, rtol=1e-5)


def test_the_maximum_probability_is_that_of_the_answer() -> None:
    odds = np.exp(LOGITS.astype(float))
    expected = 1 - odds.max(axis=1) / odds.sum(axis=1)
    scores = by_logits("max_probability", LOGITS, multi_label=False)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_with_several_labels_the_answer_is_a_set_of_them() -> None:
    p = 1 / (1 + np.exp(-LOGITS.astype(float)))
    expected = 1 - np.maximum(p, 1 - p).prod(axis=1)
    scores = by_logits("max_probability", LOGITS, multi_label=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["energy", "max_probability"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_large_logits_do_not_overflow(kind: str, *, multi_label: bool) -> None:
    assert np.isfinite(by_logits(kind, LOGITS * 1e4, multi_label=multi_label)).all()
