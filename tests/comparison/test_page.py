import json
from pathlib import Path
from typing import Any

import numpy as np

from bertline.comparison.page import page_name, render, write_page
from bertline.evaluation.comparison import compare_models
from bertline.metrics.predictions import Predictions

EXPECTED = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], np.uint8)
COUNTS = {"added": 2000, "removed": 3, "relabelled_from": 1, "relabelled_to": 4, "relabelled": 5}
CHANGES = {
    "unknown": None,
    "data": {"same": False, "reason": None, "rows_a": 10, "rows_b": 12}
    | COUNTS
    | {name: {"lines": [{"name": "<i>", **COUNTS}], "more": 7} for name in ("classes", "deliveries")},
    "params": [{"key": "finetune.epochs", "a": "3", "b": "4"}],
    "code": {
        "paths": ["src/bertline/core"],
        "only_a": {"lines": [], "more": 0},
        "only_b": {"lines": ["abc1234 <Faster>"], "more": 9},
    },
}


def document(**more: Any) -> dict[str, Any]:
    """A comparison of two models with several labels a row; the second one takes row y for rude."""
    says = EXPECTED.astype(np.float32) * 0.8 + 0.1
    wrong = says.copy()
    wrong[2, 0] = 0.6
    a, b = (
        Predictions(ids=list("wxyz"), classes=("rude", "spam"), expected=EXPECTED, probabilities=each)
        for each in (says, wrong)
    )
    found = compare_models(
        a,
        b,
        texts=["one", "two", "<script>three", "x" * 1000],
        slices=[],
        behaviour=[],
        resamples=100,
        confidence=0.95,
        seed=1,
    )
    names = {name: {"name": name, "title": f"the {name}", "subject": f"The {name}"} for name in ("a", "b")}
    said = {"conclusion": ["One.", "Two."], "cautions": ["<Not> fair."], "multi_label": True, "skipped": []}
    return {**said, **names, **found, "changes": CHANGES, **more}


def test_the_page_of_several_labels_shows_each_of_them_and_none() -> None:
    page = render(document())
    [row] = [line for line in page.splitlines() if "script&gt;three" in line]
    assert row.count('<span class="quiet">none</span>') == 2
    assert '<span class="tag wrong">rude</span>' in row
    assert "60.0%" in row
    assert "least sure decision" in page
    assert "Exact match" in page


def test_the_page_shows_what_changed_and_counts_what_it_does_not_list() -> None:
    page = render(document())
    assert "2,000 added, 3 removed, 5 with another label" in page
    assert page.count("7 more are not listed") == 2
    assert "Commits that only b has: 10" in page
    assert "abc1234 &lt;Faster&gt;" in page
    assert "Commits that only a has" not in page
    assert '<th scope="row">&lt;i&gt;</th>' in page
    assert "&lt;Not&gt; fair." in page


def test_a_page_without_a_history_or_behavioural_tests_says_so() -> None:
    unknown = {"unknown": "Nobody knows.", "data": None, "params": [], "code": None}
    page = render(document(changes=unknown, skipped=[{"name": "numbers", "reason": "no text has any"}]))
    assert "Nobody knows." in page
    assert "numbers is left out: no text has any" in page


def test_the_same_document_is_the_same_page(tmp_path: Path) -> None:
    found = document()
    for name in ("one", "two"):
        write_page(found, tmp_path / f"{name}.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert json.loads((tmp_path / "one.json").read_text())["rows"] == 4


def test_the_name_of_a_page_is_one_file_name() -> None:
    assert page_name("v1.0.0", "candidate") == "v1.0.0-candidate.html"
    assert page_name("../models/a b", "/x") == "models_a_b-x.html"


def test_a_probability_that_is_nearly_zero_is_not_shown_as_zero() -> None:
    found = document(p_value=0.0)
    found["differences"] = [{**each, "q_value": 1e-6} for each in found["differences"]]
    page = render(found)
    assert "p &lt; 0.001." in page
    assert page.count('<td class="n">&lt; 0.001</td>') == len(found["differences"]) > 0
    assert "p = 0.250." in render(document(p_value=0.25))
