"""Every way in which a retraining can end, as a real server has it afterwards."""

import logging
import re
from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from bertline.comparison import answers
from bertline.metrics.predictions import Predictions, read_predictions
from bertline.models import classifier
from bertline.promotion.run_log import read_runs
from flows import retrain
from flows.retraining.end_states import exit_status
from tests.support.toy_answers import Toy, add_test_rows
from tests.support.toy_project import run_in, set_epochs


def good_champion(model: Path, rows: Path, params: object) -> Predictions:
    """A toy model is no network: the champion answers as the candidate of 4 epochs would."""
    candidate = read_predictions(Path("data/predictions/candidate.parquet"))
    wrong = np.arange(len(candidate.ids)) % 10 < 1
    answers = np.where(wrong, 1 - candidate.expected, candidate.expected)
    return replace(candidate, probabilities=np.eye(2, dtype=np.float32)[answers])


def deliver(root: Path, text: str) -> None:
    (root / "raw.txt").unlink()  # it may be a link into DVC's cache
    (root / "raw.txt").write_text(text)


def fewer_epochs(root: Path) -> None:
    add_test_rows(root)  # as the page that compares candidate and champion needs them
    set_epochs(root, 2)


def other_split(root: Path) -> None:
    (root / "data/splits/test.parquet").unlink()
    set_epochs(root, 4)
    path = root / "params.yaml"
    path.write_text(re.sub(r"(?m)^  test: \S+", "  test: 0.21", path.read_text()))


def broken_code(root: Path) -> None:
    deliver(root, "other rows\n")
    (root / "stages.py").write_text("raise KeyError('nothing here')\n")
    run_in(root, "git", "commit", "--all", "--quiet", "--message", "Broken")


# In this order, each as the one before it has left the project.
STEPS: dict[str, Callable[[Path], None]] = {
    "Promoted": lambda root: None,
    "Cached": lambda root: None,
    "Kept": fewer_epochs,
    "NeedsPerson": other_split,
    "BatchStopped": lambda root: deliver(root, "bad\n"),
    "Failed": broken_code,
}


@pytest.fixture(scope="module")
def root(reproduced_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copytree(reproduced_template, tmp_path_factory.mktemp("ends") / "project")


@pytest.fixture(scope="module")
def ends(root: Path, client: SyncPrefectClient) -> dict[str, FlowRun]:
    """Retrain once for each end; return the runs as the server has them."""
    found = {}
    with chdir(root), pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "predict_test_rows", good_champion)
        patch.setattr(classifier, "Classifier", Toy)
        for end, prepare in STEPS.items():
            prepare(root)
            state = retrain.retrain(note=f"for {end}", return_state=True)
            found[end] = client.read_flow_run(state.state_details.flow_run_id)
    for handler in logging.getLogger("bertline.runs").handlers:
        handler.flush()
    return found


@pytest.mark.parametrize(
    ("end", "kind", "status", "detailed", "message"),
    [
        ("Promoted", "COMPLETED", 0, 0, "promoted: v1.0.0 is the champion now"),
        ("Cached", "COMPLETED", 0, 12, "the candidate is the champion v1.0.0, bit for bit: nothing to do"),
        ("Kept", "COMPLETED", 0, 10, "macro-F1 minus the champion's .*; not promoted; the champion stays v1"),
        (
            "NeedsPerson",
            "COMPLETED",
            0,
            11,
            "the champion was trained on another split.*to promote it: bertline promote --accept split$",
        ),
        ("BatchStopped", "FAILED", 3, 3, "validate: the batch is stopped; labels: one, at least two"),
        ("Failed", "FAILED", 1, 1, "ingest crashed; its last lines:.* KeyError: 'nothing here'"),
    ],
)
def test_an_end_has_a_name_a_line_that_begins_with_the_reason_and_an_exit_status(
    ends: dict[str, FlowRun], end: str, kind: str, status: int, detailed: int, message: str
) -> None:
    state = ends[end].state
    assert state
    assert (state.name, state.type.value) == (end, kind)
    assert re.match(message, state.message or "")
    assert "\n" not in (state.message or "")
    assert [exit_status(state, detailed=each) for each in (False, True)] == [status, detailed]


def test_the_log_of_a_run_has_the_lines_of_its_stages_and_neither_tracebacks_nor_routine_of_prefect(
    ends: dict[str, FlowRun], client: SyncPrefectClient
) -> None:
    runs = LogFilterFlowRunId(any_=[run.id for run in ends.values() if run.name.endswith("for BatchStopped")])
    logs = client.read_logs(LogFilter(flow_run_id=runs))
    ours = [each.message for each in logs if each.name.startswith("bertline.")]
    theirs = [each.message for each in logs if not each.name.startswith("bertline.")]
    assert "error: validate: the batch is stopped" in ours
    assert [line.partition("(")[0] for line in theirs] == ["Finished in state Failed"]


def test_no_mistake_of_the_user_leaves_a_traceback_of_prefect(
    ends: dict[str, FlowRun], client: SyncPrefectClient
) -> None:
    runs = LogFilterFlowRunId(any_=[run.id for run in ends.values()])
    logs = client.read_logs(LogFilter(flow_run_id=runs))
    assert not [each.message for each in logs if "prefect/" in each.message]


def test_the_name_of_a_run_says_when_why_and_what_about(ends: dict[str, FlowRun]) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d by hand: for Kept", ends["Kept"].name)


def test_tags_carry_the_versions_of_data_code_and_champion(ends: dict[str, FlowRun], root: Path) -> None:
    head = run_in(root, "git", "rev-parse", "HEAD~1").strip()
    data, code = (
        [each for each in ends["Promoted"].tags if each.startswith(kind)] for kind in ("data:", "code:")
    )
    assert len(data) == 1
    assert head.startswith(code[0].removeprefix("code:"))
    assert "champion:v1.0.0" in ends["Kept"].tags


def test_a_run_that_failed_carries_the_versions_of_its_data_and_code(ends: dict[str, FlowRun]) -> None:
    kinds = {each.partition(":")[0] for each in ends["BatchStopped"].tags}
    assert kinds == {"data", "code"}


def test_each_run_with_a_new_verdict_or_without_one_leaves_one_line_in_the_local_log(
    ends: dict[str, FlowRun], root: Path
) -> None:
    runs = [(run.verdict, run.version, run.note) for run in read_runs(root)]
    assert runs == [
        ("promote", "v1.0.0", "for Promoted"),
        ("keep", None, "for Kept"),
        ("ask", None, "for NeedsPerson"),
        ("BatchStopped", None, "for BatchStopped"),
        ("Failed", None, "for Failed"),
    ]


def test_the_note_is_in_the_message_of_the_version(ends: dict[str, FlowRun], root: Path) -> None:
    message = run_in(root, "git", "tag", "--list", "--format=%(contents)", "text-classifier@v1.0.0")
    assert "note  for Promoted" in message.splitlines()


def test_the_champions_scores_stand_beside_the_candidates(
    ends: dict[str, FlowRun], client: SyncPrefectClient
) -> None:
    run = ends["Kept"].id
    [metrics] = [
        each for each in client.read_artifacts() if each.flow_run_id == run and each.key == "metrics"
    ]
    assert "champion v1.0.0" in str(metrics.data)


def test_the_verdict_links_and_shows_the_comparison_with_the_champion(
    ends: dict[str, FlowRun], root: Path, client: SyncPrefectClient
) -> None:
    run = ends["Kept"].id
    [verdict] = [
        each for each in client.read_artifacts() if each.flow_run_id == run and each.key == "verdict"
    ]
    assert "### Compared with the champion v1.0.0\n\nThe candidate breaks 60 rows" in str(verdict.data)
    assert "| the recall of ham | 150 | 90.0 | 70.0 | -20.0" in str(verdict.data)
    assert "Page: `reports/comparison/v1.0.0-candidate.html`" in str(verdict.data)
    assert "Newly broken: 60 rows" in (root / "reports/comparison/v1.0.0-candidate.html").read_text()


def test_a_run_whose_comparison_fails_comes_to_its_verdict_and_warns(
    ends: dict[str, FlowRun], client: SyncPrefectClient
) -> None:
    runs = LogFilterFlowRunId(any_=[ends["NeedsPerson"].id])
    warned = [each.message for each in client.read_logs(LogFilter(flow_run_id=runs)) if each.level == 30]
    assert len(warned) == 1
    assert warned[0].startswith("no page compares it with the champion: ValueError: ")
    assert "data/splits/test.parquet is not here" in warned[0]
