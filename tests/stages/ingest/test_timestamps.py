from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertline.stages.ingest.timestamps import parse_times

MOMENT = datetime(2026, 1, 10, 0, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-10 00:15:00 UTC",
        "2026-01-10 00:15 UTC",
        "2026-01-10 00:15:00.000 GMT",
        "2026-01-10T00:15:00utc",
        "2026-01-10 00:15:00 +0000 UTC",
        "2026-01-10 02:15:00 +02:00",
        "2026-01-10 00:15:00+00",
        "1768004100",
        "1768004100.0",
        "1.7680041e9",
        "1768004100000",
        "1768004100000000",
        "1768004100000000000",
        "1.7680041e+18",
    ],
)
def test_a_moment_may_be_written_as_databases_and_pandas_write_it(text: str) -> None:
    stamps, bad = parse_times([text, "2026-01-10T00:15:00Z"])
    assert (stamps.to_pylist(), bad) == ([MOMENT, MOMENT], [])


@pytest.mark.parametrize("text", [None, "", " ", "NaT", "nan", "None", "NULL", "<NA>"])
def test_a_missing_moment_may_be_written_as_any_tool_writes_it(text: str | None) -> None:
    assert parse_times([text])[0].to_pylist() == [None]


@pytest.mark.parametrize(
    "text",
    [
        "2026",
        "20260131",
        "202601311200",
        "20260131120000",
        "45000.5",
        "0",
        "-5",
        "1e400",
        "9" * 20,
        "1E",
        "noon",
    ],
)
def test_a_number_that_may_mean_something_else_is_no_time(text: str) -> None:
    stamps, bad = parse_times(["2026-01-10", text, None])
    assert (stamps.null_count, bad) == (2, [1])


@given(
    st.datetimes(datetime(1980, 1, 2), datetime(2255, 1, 1)),
    st.sampled_from([10**6, 10**3, 1]),
    st.integers(0, 999),
)
def test_the_unit_of_a_number_is_never_in_doubt(moment: datetime, micros: int, nanos: int) -> None:
    since = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    texts = [str(since // micros), str(since * 1000 + nanos)]
    expected = [
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=each)
        for each in (since // micros * micros, since)
    ]
    assert parse_times(texts)[0].to_pylist() == expected


def test_numbers_have_fractions_to_a_microsecond() -> None:
    stamps, _ = parse_times(["1768004100.1234567", "1768004100123.4567", "1768004100123456.7"])
    assert {stamp.microsecond for stamp in stamps.to_pylist()} == {123456}
