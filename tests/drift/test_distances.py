import random
from collections.abc import Sequence

import pytest

from bertline.rows.labels import LABEL_SEPARATOR
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from bertline.stages.validate.batch_drift import Profile, measure_drift
from bertline.stages.validate.result import BatchMetric
from bertline.stages.validate.sampling import SAMPLE

Row = tuple[str, str]
THRESHOLD = 0.1  # validate.max_drift
NAMES = ["drift_length", "drift_labels", "drift_vocabulary"]


def corpus(name: str) -> list[Row]:
    sample = read_sample(f"sample:{name}")
    rows = list(dict.fromkeys(zip(sample.texts, sample.labels, strict=True)))
    random.Random(1).shuffle(rows)
    return rows


@pytest.fixture(scope="module")
def trec() -> list[Row]:
    return corpus("trec")


@pytest.fixture(scope="module")
def sms() -> list[Row]:
    return corpus("sms-spam")


def profile(rows: Sequence[Row], chunk: int = 100_000) -> Profile:
    made = Profile()
    table = add_ids(make_rows([text for text, _ in rows], [label for _, label in rows]))
    for start in range(0, len(table), chunk):
        made.update(table.slice(start, chunk))
    return made


def drift(before: Sequence[Row], newest: Sequence[Row]) -> dict[str, BatchMetric]:
    return measure_drift(profile(before), profile(newest))


def values(metrics: dict[str, BatchMetric]) -> list[float]:
    return [metrics[name].value for name in NAMES]


@pytest.mark.parametrize("rows", [10, 50, 100, 500])
@pytest.mark.parametrize("name", ["trec", "sms"])
def test_batches_drawn_at_random_do_not_cry_wolf(
    rows: int, name: str, request: pytest.FixtureRequest
) -> None:
    corpus = request.getfixturevalue(name)
    draw = random.Random(rows)
    found = []
    for _ in range(8):
        drawn = draw.sample(corpus, 1500 + rows)
        found += values(drift(drawn[rows:], drawn[:rows]))
    assert sum(value > 0 for value in found) <= 3  # 24 values, each with chance 1 in 100
    assert sum(value > THRESHOLD for value in found) == 0


@pytest.mark.parametrize("rows", [50, 500])
def test_texts_of_another_kind_are_drift_in_labels_and_words(
    trec: list[Row], sms: list[Row], rows: int
) -> None:
    _, labels, words = values(drift(trec[:2000], sms[:rows]))
    assert labels == 1
    assert words > 2 * THRESHOLD


@pytest.mark.parametrize("rows", [100, 500])
def test_a_spam_prior_that_falls_from_41_to_1_percent_is_drift(sms: list[Row], rows: int) -> None:
    spam, ham = ([row for row in sms if row[1] == label] for label in ("spam", "ham"))
    before = spam[:410] + ham[:590]
    newest = spam[410 : 410 + rows // 100] + ham[590 : 590 + rows * 99 // 100]
    metric = drift(before, newest)["drift_labels"]
    assert metric.value > THRESHOLD
    assert metric.detail == "ham is 99 % of the newest batch and 59 % before"


@pytest.mark.parametrize("rows", [50, 500])
@pytest.mark.parametrize("name", ["trec", "sms"])
def test_doubled_lengths_are_drift_in_lengths_only(
    rows: int, name: str, request: pytest.FixtureRequest
) -> None:
    corpus = request.getfixturevalue(name)
    pairs = zip(corpus[:rows], corpus[rows : 2 * rows], strict=True)
    length, _, words = values(drift(corpus[2000:4000], [(f"{a} {b}", label) for (a, label), (b, _) in pairs]))
    assert length > THRESHOLD
    assert words < THRESHOLD


def test_other_topics_of_the_same_kind_of_text_are_drift_in_words(trec: list[Row]) -> None:
    known, new = (
        [(text, "question") for text, label in trec if (label in ("NUM", "LOC")) == side]
        for side in (True, False)
    )
    length, labels, words = values(drift(known, new[:500]))
    assert labels == 0
    assert length < THRESHOLD < words


def test_chinese_words_are_compared_by_character() -> None:
    rows = [(text, "a") for text in ("今天天气很好", "我们去公园散步", "他在图书馆看书", "她喜欢吃苹果")] * 50
    other = [(text, "a") for text in ("股票价格下跌", "央行提高利率", "债券市场动荡")] * 50
    assert drift(rows, rows[:100])["drift_vocabulary"].value == 0
    assert drift(rows, other)["drift_vocabulary"].value > 0.8


def test_of_several_labels_a_row_each_counts() -> None:
    both = f"billing{LABEL_SEPARATOR}refund"
    before = [(f"text {i}", both if i % 2 else "") for i in range(400)]
    newest = [(f"other {i}", "refund") for i in range(200)]
    metric = drift(before, newest)["drift_labels"]
    assert metric.value > THRESHOLD
    assert metric.detail == "refund is 100 % of the newest batch and 50 % before"


def test_the_numbers_depend_on_neither_order_nor_chunks(trec: list[Row], sms: list[Row]) -> None:
    ordered = measure_drift(profile(trec[:1000]), profile(sms[:300]))
    shuffled = measure_drift(profile(trec[:1000][::-1], chunk=37), profile(sms[:300][::-1], chunk=1))
    assert shuffled == ordered


def test_beyond_the_sample_the_rows_are_drawn_at_random(trec: list[Row]) -> None:
    many = [(f"{text} {i}", label) for i in range(3) for text, label in trec]
    assert len(many) > SAMPLE
    sampled = profile(many, chunk=1000)
    assert sampled.rows == len(many)
    assert len(sampled.sample) == SAMPLE
    assert values(measure_drift(sampled, profile([(f"{text} 3", label) for text, label in trec])))[:2] == [
        0,
        0,
    ]


def test_without_earlier_rows_there_is_no_drift(trec: list[Row]) -> None:
    metrics = drift([], trec[:10])
    assert values(metrics) == [0, 0, 0]
    assert metrics["drift_labels"].detail == "there are no earlier rows to compare with"


def test_texts_without_words_and_labels_are_no_error() -> None:
    assert values(drift([("", "a")] * 30, [("!", "a")] * 30))[1:] == [0, 0]
