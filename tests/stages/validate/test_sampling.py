import pyarrow as pa

from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.validate.sampling import SAMPLE, RandomSample


def rows(count: int) -> pa.Table:
    return add_ids(
        make_rows([f"text {i}" for i in range(count)], ["a" if i % 4 else "b" for i in range(count)])
    )


def sample(*chunks: pa.Table) -> pa.Table:
    drawn = RandomSample()
    for chunk in chunks:
        drawn.update(chunk)
    return drawn.rows


def test_few_rows_are_all_in_the_sample() -> None:
    few = rows(10)
    assert sample(few).equals(few.sort_by("id"))


def test_the_sample_depends_on_neither_order_nor_chunks() -> None:
    many = rows(2 * SAMPLE)
    backwards = many.take(list(range(len(many)))[::-1])
    chunks = [backwards.slice(start, 777) for start in range(0, len(many), 777)]
    assert sample(*chunks).equals(sample(many))


def test_the_sample_has_the_shares_of_all_rows() -> None:
    sampled = sample(rows(5 * SAMPLE))
    assert len(sampled) == SAMPLE
    assert abs(sampled["label"].to_pylist().count("b") / SAMPLE - 0.25) < 0.015


def test_without_rows_the_sample_is_empty() -> None:
    assert len(sample()) == 0
