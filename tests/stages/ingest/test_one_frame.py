"""One frame has one answer: written as CSV, as JSON lines and as Parquet it gives equal rows."""

import json
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertline.rows.text_key import add_ids
from tests.support.ingesting import read

WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, date_format="iso"),
    "json": lambda frame, path: _in_milliseconds(frame).to_json(path, orient="records", indent=2),
    "parquet": lambda frame, path: frame.to_parquet(path),
}


def _in_milliseconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with moments as numbers, as many services deliver them."""
    moments = frame.select_dtypes(["datetime", "datetimetz"])
    since = {
        name: moments[name].map(lambda at: at.timestamp() * 1000, na_action="ignore") for name in moments
    }
    return frame.assign(**since)


COLUMNS = ["id", "text", "label", "batch", "timestamp", "fault"]


def answers(frame: pd.DataFrame, **knobs: object) -> dict[str, list[dict[str, object]]]:
    """Write `frame` in every format, and return the rows that each gives."""
    Path("data/incoming").mkdir(parents=True, exist_ok=True)
    found = {}
    for kind, write in WRITERS.items():
        write(frame, f"data/incoming/a.{kind}")
        found[kind] = add_ids(read(f"data/incoming/a.{kind}", **knobs)).select(COLUMNS).to_pylist()
    return found


def one_answer(frame: pd.DataFrame, **knobs: object) -> list[dict[str, object]]:
    found = answers(frame, **knobs)
    for kind, rows in found.items():
        assert rows == found["parquet"], kind
    return found["parquet"]


WORDS = st.text("ab '\",;é", min_size=1, max_size=8).map(lambda text: f"x{text}")
SCALARS = {
    "strings": st.sampled_from(["ham", "spam", "1.0", "01", "True", " x ", ""]) | st.none(),
    "integers": st.integers(-(2**53), 2**53),
    "integers, some missing": st.sampled_from([0.0, 1.0, -2.0, None]),
    "halves": st.integers(-99, 99).map(lambda number: number / 2),
    "booleans": st.booleans(),
    "booleans, some missing": st.sampled_from([True, False, None]),
}
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    size = draw(st.integers(1, 5))

    def column(values: st.SearchStrategy) -> list:
        return draw(st.lists(values, min_size=size, max_size=size))

    return pd.DataFrame(
        {
            "text": column(WORDS),
            "label": column(draw(st.sampled_from(list(SCALARS.values())))),
            "week": column(draw(st.sampled_from([SCALARS["integers"], SCALARS["integers, some missing"]]))),
            "when": pd.to_datetime(pd.Series(column(MOMENTS | st.none())), utc=draw(st.booleans())),
        }
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames())
def test_one_frame_gives_equal_rows_in_every_format(incoming, frame: pd.DataFrame) -> None:
    rows = one_answer(frame, batch_column="week", timestamp_column="when")
    assert len(rows) == len(frame)
    assert all(row["fault"] is None for row in rows)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.sampled_from(["late", "too late", "it's", "a;b", "[c]"]), max_size=3),
        min_size=1,
        max_size=4,
    )
)
@example([[], ["late"]])
def test_one_frame_of_lists_gives_equal_rows_in_every_format(incoming, labels: list[list[str]]) -> None:
    frame = pd.DataFrame({"text": [f"text {at}" for at in range(len(labels))], "label": labels})
    rows = one_answer(frame, label_separator=";")
    assert [row["label"] for row in rows] == ["\x1f".join(sorted(set(each))) for each in labels]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["late", "late;price", "", " ", ";", None, "1.0;True"]), min_size=1, max_size=4)
)
def test_several_labels_in_a_text_give_equal_rows_in_every_format(incoming, labels: list[str | None]) -> None:
    frame = pd.DataFrame({"text": [f"text {at}" for at in range(len(labels))], "label": labels}, dtype=object)
    names = {"late;price": "late\x1fprice", "late": "late", "1.0;True": "1\x1ftrue"}
    rows = one_answer(frame, label_separator=";")
    assert [row["label"] for row in rows] == [names.get(each) for each in labels]  # a blank label is missing


def test_texts_of_numbers_and_booleans_are_equal_in_every_format(incoming) -> None:
    frame = pd.DataFrame(
        {"title": ["a", "b"], "price": [1.0, None], "new": [True, False], "label": ["x", "y"]}
    )
    rows = one_answer(frame, text_column=["title", "price", "new"])
    assert [row["text"] for row in rows] == ["a\n1.0\nTrue", "b\nFalse"]


@pytest.mark.parametrize("kind", WRITERS)
def test_one_missing_label_changes_no_other_label(incoming, kind: str) -> None:
    incoming("week-1.csv", "text,label\na,0\nb,1\n")
    frame = pd.DataFrame({"text": ["c", "d", "e"], "label": [0, 1, None]})
    WRITERS[kind](frame, f"data/incoming/week-2.{kind}")
    assert read("data/incoming/week-*")["label"].to_pylist() == ["0", "1", "0", "1", ""]


@pytest.mark.parametrize("kind", WRITERS)
def test_booleans_are_two_classes_whatever_wrote_them(incoming, kind: str) -> None:
    incoming("week-1.csv", "text,label\na,TRUE\nb,False\n")
    WRITERS[kind](pd.DataFrame({"text": ["c", "d"], "label": [True, False]}), f"data/incoming/week-2.{kind}")
    assert read("data/incoming/week-*")["label"].to_pylist() == ["true", "false", "true", "false"]


@pytest.mark.parametrize("printed", [str, json.dumps])
def test_lists_printed_as_text_are_their_labels_not_twelve_classes(incoming, printed) -> None:
    labels = [["late", "price"], ["damaged"], ["price", "late", "damaged"]]
    pd.DataFrame({"text": list("abc"), "label": map(printed, labels)}).to_csv(
        "data/incoming/a.csv", index=False
    )
    rows = read("data/incoming/a.csv", label_separator=",")
    assert {name for each in rows["label"].to_pylist() for name in each.split("\x1f")} == {
        "late",
        "price",
        "damaged",
    }


def test_a_list_cut_at_a_separator_is_a_fault_and_no_class(incoming) -> None:
    content = 'text,label\na,"[\'late\', \'pri"\nb,"{\'late\': 1}"\nc,"late, price"\n'
    rows = read(incoming("a.csv", content), label_separator=",")
    assert rows["label"].to_pylist() == [None, None, "late\x1fprice"]
    assert all("is written like a list but is none" in fault for fault in rows["fault"].to_pylist()[:2])


def test_with_one_label_a_row_a_printed_list_is_the_fault_that_a_list_is(incoming) -> None:
    faults = [
        read(incoming("a.csv", "text,label\na,\"['x']\"\n"))["fault"][0].as_py(),
        read(incoming("a.jsonl", '{"text": "a", "label": ["x"]}\n'))["fault"][0].as_py(),
    ]
    assert all(
        fault.endswith("is a list; set ingest.label_separator to have several labels a row")
        for fault in faults
    )
