import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertline.comparison import answers as scoring
from bertline.metrics.predictions import Predictions
from bertline.project.dvc import require_reproduced
from bertline.promotion import promote as promotion
from bertline.promotion.promote import JUDGED, compare_with_champion, promote
from bertline.promotion.rollback import roll_back
from bertline.registry.registry import Registry
from bertline.registry.tags import NAME
from tests.support.toy_answers import add_test_rows
from tests.support.toy_project import reproduce, run_in, set_epochs

Retrained = Callable[[int], Path]


@pytest.fixture(autouse=True)
def champions_answers(toy_answers: None) -> None:
    """A toy model answers as the stage `evaluate` did."""


def retrain(root: Path) -> str | None:
    """What the flow does after the pipeline."""
    decision = compare_with_champion(root)
    return promote(root, decision).name if decision.promote else None


def champion(root: Path) -> str | None:
    version = Registry(root).champion()
    return version.name if version else None


def test_the_first_good_model_becomes_champion(retrained: Retrained) -> None:
    assert retrain(root := retrained(3)) == champion(root) == "v1.0.0"


def test_a_better_model_replaces_the_champion(retrained: Retrained) -> None:
    assert [retrain(retrained(epochs)) for epochs in (3, 4)] == ["v1.0.0", "v1.1.0"]


def test_a_worse_model_does_not(retrained: Retrained) -> None:
    assert [retrain(retrained(epochs)) for epochs in (4, 3)] == ["v1.0.0", None]
    assert champion(Path.cwd()) == "v1.0.0"
    assert "the champion stays v1.0.0" in compare_with_champion(Path.cwd()).headline


def test_the_champion_is_not_promoted_again(retrained: Retrained) -> None:
    root = retrained(3)
    assert [retrain(root), retrain(root)] == ["v1.0.0", None]
    assert "bit for bit" in compare_with_champion(root).headline


@pytest.fixture
def with_card(fresh: Path) -> Path:
    """A toy project whose model gets a card from `package`; the card changes with evaluate.seed."""
    map_file, code = fresh / "dvc.yaml", fresh / "stages.py"
    stages, artifacts = map_file.read_text().split("artifacts:")
    stages = stages.replace("models/candidate", "models/finetuned")
    package = "cmd: python stages.py package, deps: [models/finetuned], params: [evaluate.seed]"
    map_file.write_text(f"{stages}  package: {{{package}, outs: [models/candidate]}}\nartifacts:{artifacts}")
    code.write_text(code.read_text().replace("models/candidate", "models/finetuned") + PACKAGE)
    run_in(fresh, "git", "commit", "--quiet", "--all", "--message", "A card")
    reproduce(fresh)
    return fresh


PACKAGE = """
elif stage == "package":
    write("models/candidate/model.txt", Path("models/finetuned/model.txt").read_text())
    write("models/candidate/README.md", Path("params.yaml").read_text().partition("evaluate:")[2])
"""


def test_the_same_weights_with_another_card_are_no_new_model(with_card: Path) -> None:
    assert retrain(with_card) == "v1.0.0"
    card, lock = with_card / "models/candidate/README.md", (with_card / "dvc.lock").read_text()
    before, params = card.read_text(), with_card / "params.yaml"
    params.write_text(re.sub(r"(?s)(evaluate:.*?seed: )1", r"\g<1>2", params.read_text(), count=1))
    reproduce(with_card)
    assert card.read_text() != before
    assert (with_card / "dvc.lock").read_text() != lock
    assert (
        compare_with_champion(with_card).headline
        == "the candidate is the champion v1.0.0, bit for bit: nothing to do"
    )


def test_other_weights_with_a_card_are_a_new_model(with_card: Path) -> None:
    retrain(with_card)
    set_epochs(with_card, 4)
    reproduce(with_card)
    assert retrain(with_card) == "v1.1.0"


def test_a_model_that_was_rolled_back_is_not_promoted_again_by_itself(retrained: Retrained) -> None:
    for epochs in (3, 4):
        retrain(root := retrained(epochs))
    assert roll_back(root, None).name == champion(root) == "v1.0.0"
    assert retrain(root) is None
    assert "bertline rollback v1.1.0" in compare_with_champion(root).headline


@pytest.mark.parametrize(
    ("act", "way_back"),
    [
        (("v1.1.0",), "deprecated; to take that back: git tag --delete 'text-classifier@v1.1.0!'"),
        (("v1.1.0", "champion"), "champion before; to make it champion again: bertline rollback v1.1.0"),
    ],
)
def test_a_model_that_people_took_back_is_not_promoted_again_by_itself(
    retrained: Retrained, act: tuple[str, ...], way_back: str
) -> None:
    for epochs in (3, 4):
        retrain(root := retrained(epochs))
    run_in(root, "gto", "deprecate", NAME, *act)
    assert retrain(root) is None
    assert champion(root) == "v1.0.0"
    assert compare_with_champion(root).headline.endswith(f"is v1.1.0, bit for bit, which was {way_back}")
    run_in(root, *shlex.split(way_back.partition(": ")[2]))
    assert champion(root) == "v1.1.0"


def test_where_people_took_back_the_only_champion_it_returns_by_name(retrained: Retrained) -> None:
    retrain(root := retrained(3))
    run_in(root, "gto", "deprecate", NAME, "v1.0.0", "champion")
    assert retrain(root) is None
    assert roll_back(root, "v1.0.0").name == champion(root) == "v1.0.0"


def test_what_is_not_promoted_anew_repeats_no_reasons_of_another_time(retrained: Retrained) -> None:
    retrain(root := retrained(3))
    assert compare_with_champion(root).reasons == ""


def test_every_rollback_goes_one_version_further_back(retrained: Retrained) -> None:
    for epochs in (2, 3, 4):
        retrain(root := retrained(epochs))
    assert [roll_back(root, None).name, roll_back(root, None).name] == ["v1.1.0", "v1.0.0"]
    with pytest.raises(ValueError, match=r"v1\.0\.0 is the first champion; there is no version before it"):
        roll_back(root, None)


def test_a_checkout_edited_since_the_decision_is_not_promoted(retrained: Retrained) -> None:
    decision = compare_with_champion(root := retrained(3))
    (root / "stages.py").write_text("changed")
    with pytest.raises(ValueError, match=r"stages\.py has uncommitted changes"):
        promote(root, decision)
    run_in(root, "git", "checkout", "--quiet", "stages.py")
    set_epochs(root, 4)
    with pytest.raises(ValueError, match="stale: finetune"):
        promote(root, decision)
    assert Registry(root).versions() == []


def test_what_is_edited_while_the_push_goes_on_is_not_registered(
    retrained: Retrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile people edit params and code, commit, and run the pipeline anew."""
    root = retrained(3)
    head = run_in(root, "git", "rev-parse", "HEAD").strip()
    made = {name: (root / name).read_text() for name in ("params.yaml", "dvc.lock", "stages.py")}
    run_in(root, "dvc", "remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    push = Registry.push

    def slow(registry: Registry) -> None:
        push(registry)
        (root / "stages.py").write_text(made["stages.py"] + "# edited\n")
        run_in(root, "git", "commit", "--all", "--quiet", "--message", "Edited")
        retrained(4)

    monkeypatch.setattr(Registry, "push", slow)
    assert retrain(root) == "v1.0.0"
    commit = Registry(root).versions()[0].commit
    assert {name: run_in(root, "git", "show", f"{commit}:{name}") for name in made} == made
    assert run_in(root, "git", "rev-parse", f"{commit}^").strip() == head
    assert "epochs: 4" in (root / "params.yaml").read_text()
    assert (Registry(root).fetch(Registry(root).versions()[0]) / "model.txt").read_text() == "3"


def test_a_candidate_that_changed_after_the_comparison_is_not_promoted(retrained: Retrained) -> None:
    decision = compare_with_champion(root := retrained(4))
    retrained(3)
    with pytest.raises(ValueError, match="has changed since they were compared"):
        promote(root, decision)
    assert Registry(root).versions() == []


@pytest.mark.parametrize(
    ("knob", "value"), [("test", "0.21"), ("test_source", "new.csv"), ("validation_source", "new.csv")]
)
def test_a_champion_trained_on_another_split_is_named_as_flattered(
    retrained: Retrained, knob: str, value: str
) -> None:
    retrain(retrained(3))
    root = retrained(4)
    assert "another split" not in compare_with_champion(root).reasons
    path = root / "params.yaml"
    path.write_text(re.sub(rf"(?m)^  {knob}: \S+", f"  {knob}: {value}", path.read_text()))
    (root / ".bertline/judgement.json").unlink()  # a toy's dvc.lock does not name the split
    decision = compare_with_champion(root)
    assert "the champion was trained on another split" in decision.reasons.splitlines()[-1]
    assert decision.verdict == "ask"


def test_a_champion_that_cannot_read_the_test_rows_is_named_with_a_way_out(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: Path, rows: Path, params: object) -> Predictions:
        raise ValueError("tokenize.long_texts is 'windows', which is for single texts")

    retrain(retrained(3))
    root = retrained(4)
    monkeypatch.setattr(scoring, "predict_test_rows", refuse)
    with pytest.raises(ValueError, match=r"the champion v1\.0\.0 .*'windows'.* do without: gto") as refusal:
        compare_with_champion(root)
    run_in(root, *shlex.split(str(refusal.value).rpartition("do without: ")[2]))
    assert retrain(root) == "v1.1.0"


@pytest.mark.parametrize("step", ["freeze_run", "push", "save_experiment", "register", "fetch", "assign"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_interrupted_anywhere_is_completed_by_the_next(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    root = retrained(3)
    real = getattr(Registry, step)

    def interrupted(*arguments: Any) -> None:
        if when == "after":
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Registry, step, interrupted)
        retrain(root)
    complete = (step, when) == ("assign", "after")
    assert champion(root) == ("v1.0.0" if complete else None)
    retrain(root)
    assert champion(root) == "v1.0.0"
    assert [version.name for version in Registry(root).versions()] == ["v1.0.0"]
    assert len(Registry(root).champion_history()) == 1


def test_a_decision_is_kept_until_the_gates_change(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrain(retrained(4))
    root = retrained(3)
    first = compare_with_champion(root)
    with monkeypatch.context() as patch:
        patch.delattr(scoring, "champion_predictions")  # nothing may be scored again
        assert compare_with_champion(root) == first
    path = root / "params.yaml"
    path.write_text(re.sub(r"max_loss_to_champion: \S+", "max_loss_to_champion: 1", path.read_text()))
    assert compare_with_champion(root).promote


@pytest.mark.parametrize(
    "name",
    [
        "promotion/decision.py",
        "comparison/answers.py",
        "metrics/intervals.py",
        "metrics/predictions.py",
    ],
)
def test_a_decision_is_made_anew_when_its_code_changed(
    retrained: Retrained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for folder in ("comparison", "evaluation", "metrics", "promotion"):
        shutil.copytree(promotion._PACKAGE / folder, tmp_path / "bertline" / folder)
    monkeypatch.setattr(promotion, "_PACKAGE", tmp_path / "bertline")
    compare_with_champion(root := retrained(3))
    kept = (root / ".bertline/judgement.json").read_text()
    with (tmp_path / "bertline" / name).open("a") as code:
        code.write("# changed\n")
    compare_with_champion(root)
    assert (root / ".bertline/judgement.json").read_text() != kept


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"key": 1}'])
def test_a_damaged_decision_is_made_anew(retrained: Retrained, damage: str) -> None:
    root = retrained(3)
    first = compare_with_champion(root)
    path = root / ".bertline/judgement.json"
    path.write_text(damage)
    assert compare_with_champion(root) == first
    assert json.loads(path.read_text())["key"]


def test_a_stale_candidate_is_refused(project: Path) -> None:
    require_reproduced(project, *JUDGED)
    set_epochs(project, 5)
    with pytest.raises(ValueError, match=r"stale: .*finetune.*run: dvc repro"):
        require_reproduced(project, *JUDGED)


def test_what_the_verdict_does_not_depend_on_may_be_stale(project: Path) -> None:
    (project / "old.csv").write_text("text,label\n")
    run_in(project, "dvc", "add", "--quiet", "old.csv")
    (project / "old.csv").unlink()
    stage = (
        "{cmd: mail, deps: [data/predictions], metrics: [sent.json: {cache: false}], always_changed: true}"
    )
    path = project / "dvc.yaml"
    path.write_text(path.read_text().replace("\nartifacts:", f"\n  notify: {stage}\nartifacts:"))
    run_in(project, "git", "commit", "--all", "--quiet", "--message", "Notify")
    assert retrain(project) == "v1.0.0"


def test_a_dvc_that_was_killed_while_it_wrote_its_locks_is_a_clear_error(project: Path) -> None:
    (project / ".dvc/tmp/rwlock").write_text("")
    with pytest.raises(ValueError, match=r"RWLock-file .*; run: rm \.dvc/tmp/rwlock$"):
        require_reproduced(project, *JUDGED)


def test_without_a_candidate_the_error_names_the_command(fresh: Path) -> None:
    with pytest.raises(ValueError, match="there is no candidate yet; run: make run"):
        compare_with_champion(fresh)


def test_nothing_to_roll_back_to_is_a_clear_error(retrained: Retrained) -> None:
    root = retrained(3)
    with pytest.raises(ValueError, match="there is no champion, so nothing to roll back; name a version"):
        roll_back(root, None)
    retrain(root)
    with pytest.raises(ValueError, match=r"v1\.0\.0 is the first champion"):
        roll_back(root, None)
    with pytest.raises(ValueError, match=r"no version 'v9\.9\.9'; there are: v1\.0\.0"):
        roll_back(root, "v9.9.9")


def test_promotions_are_tags_only(retrained: Retrained) -> None:
    root = retrained(3)
    before = subprocess.check_output(["git", "rev-parse", "HEAD"])
    retrain(root)
    assert subprocess.check_output(["git", "rev-parse", "HEAD"]) == before


def test_a_verdict_with_a_champion_has_a_page_that_compares_the_two(retrained: Retrained) -> None:
    assert retrain(retrained(3))
    root = retrained(4)
    add_test_rows(root)
    decision = compare_with_champion(root)
    assert (decision.comparison, decision.no_comparison) == ("reports/comparison/v1.0.0-candidate.html", None)
    page = root / str(decision.comparison)
    assert "Newly broken: 0 rows" in page.read_text()
    page.unlink()
    assert retrain(root) == "v1.1.0"
    assert compare_with_champion(root).comparison is None  # nothing to do
    assert not page.exists()


def test_a_page_that_fails_stops_no_promotion_and_says_why(retrained: Retrained) -> None:
    assert retrain(retrained(3))
    root = retrained(4)  # the toy project has no test rows
    decision = compare_with_champion(root)
    assert decision.comparison is None
    assert "data/splits/test.parquet is not here" in str(decision.no_comparison)
    assert decision.promote
