import pyarrow as pa

from bertline.corpus.rows import make_rows, with_ids
from bertline.quality.sampling import SAMPLE, RandomSample


def rows(count: int) -> pa.Table:
    return with_ids(
        make_rows([f"text {i}" for i in range(count)], ["a" if i % 4 else "b" for i in range(count)])
    )


def test_few_rows_are_all_in_the_sample() -> None:
    few = rows(10)
    assert RandomSample.of([few]).rows.equals(few.sort_by("id"))


def test_the_sample_depends_on_neither_order_nor_chunks() -> None:
    many = rows(2 * SAMPLE)
    backwards = many.take(list(range(len(many)))[::-1])
    chunks = [backwards.slice(start, 777) for start in range(0, len(many), 777)]
    assert RandomSample.of(chunks).rows.equals(RandomSample.of([many]).rows)


def test_the_sample_has_the_shares_of_all_rows() -> None:
    sampled = RandomSample.of([rows(5 * SAMPLE)]).rows
    assert len(sampled) == SAMPLE
    assert abs(sampled["label"].to_pylist().count("b") / SAMPLE - 0.25) < 0.015


def test_without_rows_the_sample_is_empty() -> None:
    assert len(RandomSample.of([]).rows) == 0
