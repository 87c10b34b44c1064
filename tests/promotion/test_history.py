import json
from collections.abc import Callable
from pathlib import Path

from bertline.promotion.history import read_history
from bertline.promotion.promote import PromotionDecision
from bertline.promotion.run_log import LOG, append_run, read_runs
from bertline.registry.registry import Registry

Retrained = Callable[[int], Path]
GATES = "passed  accuracy 0.9\npassed  macro-F1 minus the champion's +0.1"


def register(root: Path, message: str) -> None:
    registry = Registry(root)
    registry.assign(registry.register(registry.save_experiment(registry.freeze_run("run")), message), message)


def judge(root: Path, verdict: str, reasons: str, note: str = "") -> None:
    decision = PromotionDecision(verdict=verdict, headline="?", reasons=reasons, champion=None)  # type: ignore[arg-type]
    append_run(root, decision, version=None, started_by="by hand", note=note, seconds=3)


def test_a_version_is_one_line_with_its_score_and_the_difference_to_the_one_before(
    retrained: Retrained,
) -> None:
    register(retrained(3), GATES)
    register(root := retrained(4), f"{GATES}\nnote  new tickets")
    first, second = read_history(Registry(root), everything=True)
    assert (first.version, first.state, first.rows, first.score, first.change) == (
        "v1.0.0",
        "",
        297,
        0.9,
        None,
    )
    assert (second.version, second.state, second.change) == ("v1.1.0", "champion", 0)
    assert first.why == "macro-F1 minus the champion's +0.1"
    assert second.why == "new tickets; macro-F1 minus the champion's +0.1"


def test_what_an_old_version_does_not_tell_is_blank(fresh: Path) -> None:
    (fresh / "dvc.lock").write_text("schema: '2.0'\n")
    registry = Registry(fresh)
    registry.register(registry.save_experiment(registry.freeze_run("run")), "why")
    [line] = read_history(registry, everything=False)
    assert (line.version, line.rows, line.score, line.why) == ("v1.0.0", None, None, "why")


def test_runs_that_were_not_promoted_are_shown_if_asked_for(retrained: Retrained) -> None:
    register(root := retrained(3), GATES)
    judge(root, "keep", f"{GATES}\nFAILED  macro-F1 is lower")
    judge(root, "ask", f"{GATES}\nasks    new labels: eggs", note="with eggs")
    registry = Registry(root)
    assert [line.version for line in read_history(registry, everything=False)] == ["v1.0.0"]
    shown = [(line.state, line.change, line.why) for line in read_history(registry, everything=True)[1:]]
    assert shown == [("kept", 0, "macro-F1 is lower"), ("asked", 0, "with eggs; new labels: eggs")]


def test_a_damaged_line_of_the_log_is_left_out_and_an_unknown_field_is_ignored(project: Path) -> None:
    judge(project, "keep", GATES)
    with (project / LOG).open("a") as log:
        log.write(json.dumps({"at": 1, "verdict": "keep", "of_a_newer_version": 1}) + '\n[]\n{"at": 2\n')
    assert [run.verdict for run in read_runs(project)] == ["keep", "keep"]
