import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ingesting import read, read_and_report


def test_numbers_and_booleans_may_be_texts_and_labels(incoming):
    rows = read(incoming("a.jsonl", '{"text": 12, "label": true}\n{"text": "b", "label": 1}\n'))
    assert rows.select(["text", "label"]).to_pylist() == [
        {"text": "12", "label": "true"},
        {"text": "b", "label": "1"},
    ]


def test_null_and_missing_values_are_blank_and_kept_for_validate(incoming):
    lines = '{"text": null, "label": "x"}\n{"label": "x"}\n{"text": " ", "label": ""}\n'
    rows = read(incoming("a.jsonl", lines))
    assert rows["text"].to_pylist() == ["", "", " "]
    assert rows["label"].to_pylist() == ["x", "x", ""]


def test_a_column_nobody_asked_for_may_hold_anything(incoming):
    lines = '{"text": "a", "label": "x", "meta": 1}\n{"text": "b", "label": "y", "meta": {}}\n'
    assert read(incoming("a.jsonl", lines))["text"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": ', "line 3 is not JSON: Expecting value at column 10"),
        ("[1]", "line 3 is not a JSON object but a list"),
        ('{"text": "a", "label": {"x": 1}}', "line 3: 'label' is an object; allowed: a string, a number or"),
        (
            '{"text": {"de": "a"}, "label": "x"}',
            "line 3: 'text' is an object; allowed: a string, a number or",
        ),
        ('{"text": "a", "label": ["x"]}', "line 3: 'label' is a list; set ingest.label_separator"),
        ("[" * 100_000, "line 3 is not JSON that can be read"),
        ("9" * 5000, "line 3 is not JSON that can be read"),
        ("a\0b", "line 3 is not JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_row_with_a_fault(incoming, line, fault):
    content = f'{{"text": "a", "label": "x"}}\n\n{line}\n{{"text": "b", "label": "y"}}\n'
    rows, (file,) = read_and_report(incoming("a.jsonl", content))
    assert rows["text"].to_pylist() == ["a", line, "b"]
    assert rows["label"].to_pylist() == ["x", None, "y"]
    assert rows["fault"][1].as_py().startswith(fault)
    assert file.faults == 1


def test_a_lone_surrogate_becomes_a_replacement_character_and_a_pair_a_character(incoming):
    content = (
        r'{"text": "a \ud83d\ude00 \ud800", "label": "\udfff"}' + "\n" + r'{"text": 1.5, "label": "\ud800"}'
    )
    rows = read(incoming("a.jsonl", content + "\n"))
    assert rows["text"].to_pylist() == ["a 😀 \ufffd", "1.5"]
    assert rows["label"].to_pylist() == ["\ufffd", "\ufffd"]


def test_a_column_that_all_lines_lack_is_an_error(incoming):
    with pytest.raises(
        ValueError, match=r"no column 'label' \(ingest\.label_column\); the file has: text, b$"
    ):
        read(incoming("a.jsonl", '{"text": "a"}\n{"text": "b", "b": 1}\n'))


def test_labels_may_be_lists(incoming):
    lines = ['["y", " x ", "y", ""]', '"b;a"', "[]", '""', "null", "[1, true, null]", '["a;b"]']
    content = "".join(f'{{"text": "a", "label": {label}}}\n' for label in lines)
    rows = read(incoming("a.jsonl", content), label_separator=";")
    assert rows["label"].to_pylist() == ["x\x1fy", "a\x1fb", "", None, None, "1\x1ftrue", "a;b"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=10))
def test_every_text_survives_a_file_of_json_lines(incoming, texts):
    lines = "".join(json.dumps({"text": text, "label": "x"}, ensure_ascii=False) + "\n" for text in texts)
    assert read(incoming("a.jsonl", lines))["text"].to_pylist() == texts
