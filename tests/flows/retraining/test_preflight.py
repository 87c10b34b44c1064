import hashlib
import shutil
from pathlib import Path

import pytest

from bertline.registry.registry import Registry
from flows.retraining import preflight


def test_a_clean_project_passes(project: Path) -> None:
    preflight.check(project)


def test_a_champion_that_cannot_be_fetched_is_missed_before_any_work(project: Path) -> None:
    registry = Registry(project)
    registry.assign(registry.register(registry.save_experiment(registry.freeze_run("run")), "why"), "why")
    shutil.rmtree(project / ".bertline")
    preflight.check(project)
    for folder in (".bertline", ".dvc/cache"):
        shutil.rmtree(project / folder)
    with pytest.raises(ValueError, match=r"the model of v1\.0\.0 is neither in DVC's cache nor in its"):
        preflight.check(project)


def test_a_typo_in_the_parameters_is_refused(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("restarts:", "restart:"))
    with pytest.raises(ValueError, match=r"unknown key finetune\.restart"):
        preflight.check(project)


WRONG = {
    "slices.yaml": ("- {name: a, where: count(*) > 1}", "'a': count depends on other rows"),
    "behaviour.yaml": ("tests: [{name: a, kind: invariance}]", "test 1, 'a': no change"),
    "data/pinned_rows.csv": ("content_id,label,note\nx,HUM,\n", "data/pinned_rows.csv line 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_the_evaluation_cannot_read_is_refused_before_the_training(
    project: Path, name: str
) -> None:
    text, says = WRONG[name]
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(text)
    preflight.check(project, until="validate")
    with pytest.raises(ValueError, match=rf"^{name}.*") as error:
        preflight.check(project)
    assert says in str(error.value)


def test_a_label_that_rows_may_have_by_then_is_not_refused(project: Path) -> None:
    test = "{name: a, kind: minimum_functionality, texts: [x], labels: [new, other]}"
    (project / "behaviour.yaml").write_text(f"tests: [{test}]")
    preflight.check(project)


def test_a_file_that_the_last_evaluation_has_read_is_not_read_again(project: Path) -> None:
    text, _ = WRONG["slices.yaml"]
    (project / "slices.yaml").write_text(text)
    lock = project / "dvc.lock"
    md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    entry = f"    - path: slices.yaml\n      hash: md5\n      md5: {md5}\n      size: {len(text)}\n"
    before, stage, after = lock.read_text().partition("  evaluate:\n")
    lock.write_text(before + stage + after.replace("    deps:\n", f"    deps:\n{entry}", 1))
    preflight.check(project)
