"""The whole of params.yaml: the user's, and the copy of the shipped one that tests read."""

from pathlib import Path

import pytest

from bertline.core.params_loading import read_document
from bertline.evaluation.slice_rules import COLUMNS
from bertline.params.checking import check_params
from bertline.params.ingest import ROW_COLUMNS
from bertline.rows.schema import ROW_SCHEMA
from tests.support.params import SHIPPED_PARAMS, write_params
from tests.support.tiny import PROJECT


def test_the_projects_own_parameters_are_valid() -> None:
    check_params(PROJECT / "params.yaml")


def test_tests_know_every_parameter() -> None:
    # If not: a parameter that is new in params.yaml needs its line in tests/support/shipped/params.yaml too.
    users, shipped = read_document(PROJECT / "params.yaml"), read_document(SHIPPED_PARAMS)
    assert {name: set(keys) for name, keys in shipped.items()} == {
        name: set(keys) for name, keys in users.items()
    }


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        (
            {"split": {"validation_from": "2026-01-01", "test_from": "2026-02-01"}},
            "split.test_from is '2026-02-01', but ingest.timestamp_column is null",
        ),
        (
            {"tokenize": {"long_texts": "windows"}, "ingest": {"pair_column": "answer"}},
            "tokenize.long_texts is 'windows', which is for single texts, but ingest.pair_column is 'answer'",
        ),
        (
            {"ingest": {"keep_columns": ["tier"]}, "split": {"group_column": "customer"}},
            "split.group_column is 'customer', which rows do not have; name the column in "
            "ingest.keep_columns too, or take one of source, batch, tier or null",
        ),
        (
            {"tokenize": {"vocabulary": 8000}},
            "tokenize.vocabulary is 8000, but adapt.objective is none",
        ),
    ],
)
def test_sections_that_cannot_be_combined_are_refused(
    tmp_path: Path, sections: dict[str, dict[str, object]], says: str
) -> None:
    write_params(tmp_path, **sections)
    with pytest.raises(ValueError, match=r"params\.yaml: ") as error:
        check_params(tmp_path / "params.yaml")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keep_columns": ["text"]}, "has 'text', which rows have already because of text_column; remove it"),
        (
            {"text_column": ["title", "body"], "keep_columns": ["tier", "body"]},
            "has 'body', which rows have already because of text_column",
        ),
        ({"label_column": "topic", "keep_columns": ["topic"]}, "has 'topic', .* because of label_column"),
        ({"pair_column": "answer", "keep_columns": ["answer"]}, "has 'answer', .* because of pair_column"),
        ({"timestamp_column": "day", "keep_columns": ["day"]}, "has 'day', .* because of timestamp_column"),
        ({"batch_column": "week", "keep_columns": ["week"]}, "has 'week', .* because of batch_column"),
        ({"keep_columns": ["id"]}, "has 'id', which is what rows call a column of their own; give the"),
        (
            {"text_column": "body", "keep_columns": ["Text"]},
            "has 'Text', which is what rows call .*; give the column another name in the files",
        ),
        ({"keep_columns": ["tier", "Tier"]}, r"is \['tier', 'Tier'\]; allowed: .* differ by more than case"),
    ],
)
def test_a_kept_column_that_rows_have_already_is_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    write_params(tmp_path, ingest=changes)
    with pytest.raises(ValueError, match=rf"params\.yaml: ingest.*keep_columns {says}"):
        check_params(tmp_path / "params.yaml")


def test_the_columns_that_rows_have_are_known_before_any_row_is_read() -> None:
    assert set(ROW_COLUMNS) == set(ROW_SCHEMA.names) - {"extra", "fault"}
    assert set(COLUMNS) <= set(ROW_COLUMNS)


def test_a_limit_for_what_is_no_stage_is_refused_with_the_stages(tmp_path: Path) -> None:
    write_params(tmp_path, flow={"timeouts": {"finetun": 60}})
    (tmp_path / "dvc.yaml").write_text("stages: {finetune: {cmd: 'true'}, report: {cmd: 'true'}}")
    says = r"params\.yaml: flow\.timeouts has 'finetun', no stage of dvc\.yaml; allowed: finetune, report$"
    with pytest.raises(ValueError, match=says):
        check_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("seconds", [0, "soon", 1.5])
def test_a_limit_that_is_no_number_of_seconds_is_refused(tmp_path: Path, seconds: object) -> None:
    write_params(tmp_path, flow={"timeouts": {"finetune": seconds}})
    with pytest.raises(ValueError, match=r"params\.yaml: flow\.timeouts\.finetune is "):
        check_params(tmp_path / "params.yaml")
