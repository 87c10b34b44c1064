from pathlib import Path

import pyarrow as pa
import pytest

from bertline.evaluation.slice_rules import Rule, matching_rows, read_rules
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from tests.support.params import SHIPPED

ROWS = add_ids(
    make_rows(
        ["a refund", "it's 'so'", "Ärger", "ab 123456"],
        ["x", "y", "x", "y"],
        source="shop.csv",
        timestamp=[0, 1_800_000_000_000_000, None, 0],
    )
)


def _match(where: str, rows: pa.Table = ROWS) -> list[int]:
    (found,) = matching_rows([Rule("mine", where)], rows)
    return found.tolist()


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ("text ILIKE '%REFUND%'", [0]),
        ("regexp_matches(text, '\\d{6}')", [3]),
        ("length(text) < 6 or label = 'y'", [1, 2, 3]),
        ("timestamp >= '2026-06-01'", [1]),
        ("text_pair = ''", []),
        ("text = 'it''s ''so'''", [1]),
        ("contains(text, 'random()')", []),
        ("source LIKE 'shop%' -- all of them", [0, 1, 2, 3]),
    ],
)
def test_a_rule_holds_the_rows_for_which_its_condition_is_true(where: str, places: list[int]):
    assert _match(where) == places


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("text ILIKE '%refund", "unterminated"),
        ("price > 3", '"price" not found'),
        ("label", "is of type VARCHAR"),
        ("true, false", "single expression"),
        ("true; DROP TABLE rows", "one statement"),
        ("count(*) > 1", "not about one row"),
        ("random() < 0.5", "random does not give the same value"),
        ("timestamp < NOW()", "now does not give the same value"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 1", "disabled by configuration"),
        ("error('x')", "error does not give"),
    ],
)
def test_a_wrong_condition_is_an_error_that_names_its_rule(where: str, message: str):
    with pytest.raises(ValueError, match=r"slices\.yaml, 'mine'") as error:
        _match(where)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_kept_column_is_a_column():
    values = pa.array([[("tier", "gold")], None, [("tier", "tin")], None], pa.map_(pa.string(), pa.string()))
    rows = ROWS.drop_columns([name for name in ["extra"] if name in ROWS.column_names])
    assert _match("tier = 'gold'", rows.append_column("extra", values)) == [0]


def test_a_condition_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bertline.evaluation.slice_rules.SECONDS", 0.1)
    endless = "(SELECT count(*) FROM range(10000000) a, range(1000000) b WHERE a.range * b.range % 7 = 1) > 1"
    with pytest.raises(ValueError, match="'mine': the condition took more than"):
        _match(endless)


def _read(folder: Path, text: str) -> list[Rule]:
    (folder / "slices.yaml").write_text(text, encoding="utf-8")
    return read_rules(folder / "slices.yaml")


def test_rules_are_read_in_their_order(tmp_path: Path):
    text = "- {name: b, where: label = 'x'}\n- {name: a, where: 'true'}\n"
    assert _read(tmp_path, text) == [Rule("b", "label = 'x'"), Rule("a", "true")]


def test_the_shipped_file_has_no_rule():
    assert read_rules(SHIPPED / "slices.yaml") == []


def test_the_examples_of_the_shipped_file_are_right(tmp_path: Path):
    lines = (SHIPPED / "slices.yaml").read_text(encoding="utf-8").splitlines()
    entries = [line.removeprefix("# ") for line in lines if line.startswith(("# - name", "#   where"))]
    rules = _read(tmp_path, "\n".join(entries))
    assert len(rules) == 4
    values = pa.array([[("tier", "gold")]] * 4, pa.map_(pa.string(), pa.string()))
    rows = ROWS.drop_columns([name for name in ["extra"] if name in ROWS.column_names])
    found = [places.tolist() for places in matching_rows(rules, rows.append_column("extra", values))]
    assert found == [[0], [], [], [1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: a}", "holds no list"),
        ("- [", "is not valid YAML"),
        ("- {name: a}", "entry 1 is"),
        ("- {name: a, where: 'true', extra: 1}", "allowed: a mapping with name and where"),
        ("- {name: a, where: true}", "where is True; allowed: a text"),
        ("- {name: ' ', where: 'true'}", "name is ' '"),
        ("- {name: a, where: 'true'}\n- {name: a, where: 'false'}", "two rules named 'a'"),
    ],
)
def test_a_wrong_file_is_an_error(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=r"slices\.yaml") as error:
        _read(tmp_path, text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("where", "called"),
    [
        ("row_number() over () > 5", "row_number over"),
        ("label = 'x' AND COUNT(*) OVER (PARTITION BY label) > 1", "count over"),
        ("lag(text) over (order by timestamp) is null", "lag over"),
        ("length(text) > AVG(length(text))", "avg"),
        ("count(*) > 1", "count"),
        ("case when max(label) = 'x' then true else false end", "max"),
    ],
)
def test_a_condition_that_depends_on_other_rows_is_refused_when_the_file_is_read(
    tmp_path: Path, where: str, called: str
):
    says = rf"slices\.yaml, 'a': {called} depends on other rows; write a condition on the columns of one row$"
    with pytest.raises(ValueError, match=says):
        _read(tmp_path, f'- {{name: a, where: "{where}"}}')


@pytest.mark.parametrize(
    "where", ["text ILIKE '%a", "true, false", "true; DROP TABLE rows", "true FROM rows"]
)
def test_a_condition_that_is_no_expression_is_refused_when_the_file_is_read(tmp_path: Path, where: str):
    with pytest.raises(ValueError, match=r"slices\.yaml, 'a': ") as error:
        _read(tmp_path, f'- {{name: a, where: "{where}"}}')
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("where", "places"),
    [
        ("text <> 'row_number() over ()' -- count(*) over ()", [0, 1, 2, 3]),
        ("(SELECT count(*) FROM unnest(string_split(text, ' '))) > 1", [0, 1, 3]),
        ("list_max([length(text), 8]) > 8", [1, 3]),
    ],
)
def test_words_and_lists_of_one_row_may_be_counted(tmp_path: Path, where: str, places: list[int]):
    (rule,) = _read(tmp_path, f'- {{name: a, where: "{where}"}}')
    assert _match(rule.where) == places


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match=r"an empty list, \[\], is enough"):
        read_rules(tmp_path / "slices.yaml")
