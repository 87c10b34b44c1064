"""dvc.yaml is the one map: its stages, code and parameters must equal those of the code."""

import re
import shutil
import subprocess
import tomllib
from collections import Counter
from contextlib import closing
from pathlib import Path

import grimp
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from bertline.params.checking import check_params, sections
from bertline.project.layout import PINNED_ROWS
from bertline.training.checkpoints import training_code
from tests.support.params import SHIPPED_PARAMS
from tests.support.tiny import PROJECT

STAGES: dict[str, dict[str, list[str]]] = YAML(typ="safe").load(PROJECT / "dvc.yaml")["stages"]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("bertline", cache_dir=None)


def module_file(module: str) -> Path:
    path = Path("src", *module.split("."))
    return path / "__init__.py" if (PROJECT / path).is_dir() else path.with_suffix(".py")


def imported(stage: str, imports: grimp.ImportGraph) -> set[str]:
    """Return the files with code that the command of `stage` imports."""
    main = f"bertline.stages.{stage}.__main__"
    files = {str(module_file(module)) for module in imports.find_upstream_modules(main) | {main}}
    return {name for name in files if _has_code(PROJECT / name)}


def declared(stage: str, name: str) -> bool:
    """Return whether the file `name` is, or lies in, a dep of `stage`."""
    return any(Path(name).is_relative_to(dep) for dep in STAGES[stage]["deps"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_lies_in_its_deps(stage: str, imports: grimp.ImportGraph) -> None:
    assert [name for name in imported(stage, imports) if not declared(stage, name)] == []


@pytest.mark.parametrize("stage", ["adapt", "finetune"])
def test_an_expensive_stage_depends_on_no_module_that_it_does_not_import(
    stage: str, imports: grimp.ImportGraph
) -> None:
    files = {str(path.relative_to(PROJECT)) for path in PROJECT.glob("src/**/*.py")}
    code = {name for name in files if declared(stage, name) and _has_code(PROJECT / name)}
    assert code - imported(stage, imports) == set()


@pytest.mark.parametrize("stage", ["adapt", "finetune"])
def test_a_crash_checkpoint_depends_on_the_code_that_the_map_names(stage: str) -> None:
    code = {str(path.relative_to(PROJECT)) for path in training_code(stage)}
    assert code == {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}


def _has_code(path: Path) -> bool:
    import ast

    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def test_stages_modules_and_params_sections_have_the_same_names() -> None:
    folders = {path.parent.name for path in PROJECT.glob("src/bertline/stages/*/stage.py")}
    assert set(STAGES) == folders
    assert set(sections()) == {"fetch", *STAGES, "promote", "flow"}  # three of no stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_command_checks_all_of_params_while_it_imports_the_stage(stage: str) -> None:
    command = (PROJECT / f"src/bertline/stages/{stage}/__main__.py").read_text()
    assert (
        f"""
    with checking() as params_check:
        from bertline.stages.{stage}.stage import {stage}

        run({stage}, params_check)
"""
        in command
    )


def test_the_map_in_the_readme_names_every_stage() -> None:
    readme = (PROJECT / "README.md").read_text()
    assert [stage for stage in STAGES if f"| `{stage}` |" not in readme] == []


def test_the_architecture_names_the_folders_that_there_are() -> None:
    text = (PROJECT / "docs/architecture.md").read_text()
    named = set(re.findall(r"^ +(\w+)/ ", text, re.MULTILINE))
    code = [*PROJECT.glob("src/**/__init__.py"), *PROJECT.glob("flows/*/__init__.py")]
    packages = {path.parent.name for path in code} - {"bertline"}
    assert named == packages


def test_no_folder_of_code_has_more_than_twenty_modules() -> None:
    code = [*PROJECT.glob("src/**/*.py"), *PROJECT.glob("flows/**/*.py")]
    modules = [path for path in code if path.name != "__init__.py"]
    counts = Counter(path.parent.relative_to(PROJECT).as_posix() for path in modules)
    assert [folder for folder, count in counts.items() if count > 20] == []


@pytest.mark.parametrize("file", ["README.md", "docs/data.md", "docs/training.md"])
def test_the_settings_in_the_documents_are_valid(file: str, tmp_path: Path) -> None:
    yaml = YAML(typ="safe")
    snippets = re.findall(r"```yaml\n(.*?)```", (PROJECT / file).read_text(), re.DOTALL)
    assert snippets
    for snippet in map(yaml.load, snippets):
        document = yaml.load(SHIPPED_PARAMS)
        for section, changes in snippet.items():
            document[section] |= changes
        with (tmp_path / "params.yaml").open("w") as written:
            YAML().dump(document, written)
        check_params(tmp_path / "params.yaml")


def test_dvc_sees_what_it_has_of_raw_data(tmp_path: Path) -> None:
    shutil.copy(PROJECT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with closing(Repo.init(str(tmp_path))) as repo:
        files = [tmp_path / "data/incoming" / name for name in ("1.csv", "fetched/2.parquet", "old/3.csv")]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.name)
            repo.add(str(file))
    with closing(Repo(str(tmp_path))) as repo:  # as a command would find them
        assert {stage.path for stage in repo.index.stages} == {f"{file}.dvc" for file in files}
    status = ["git", "status", "--short", "--untracked-files=all", "data"]
    untracked = subprocess.run(status, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert {line.removeprefix("?? ") for line in untracked.splitlines()} == {
        f"{file.relative_to(tmp_path)}.dvc" for file in files
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_its_own_section_and_writes_only_below_data_models_and_reports(stage: str) -> None:
    also = {"validate": ["tokenize"]}  # it judges the texts by the tokenizer that will cut them
    assert sorted(STAGES[stage].get("params", [])) == sorted([stage, *also.get(stage, [])])
    outs = STAGES[stage]["outs"] + STAGES[stage].get("metrics", [])
    assert all(out.split("/")[0] in {"data", "models", "reports"} for out in outs)


def test_only_evaluate_reads_the_test_split() -> None:
    readers = {
        stage
        for stage, fields in STAGES.items()
        if {"data/splits", "data/splits/test.parquet"} & set(fields["deps"])
    }
    assert readers == {"evaluate"}


def test_a_pinned_row_reruns_the_evaluation_and_no_training() -> None:
    readers = [stage for stage, fields in STAGES.items() if PINNED_ROWS.as_posix() in fields["deps"]]
    assert readers == ["evaluate"]


def test_the_import_contracts_name_every_stage() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [independent] = [contract for contract in contracts if contract["type"] == "independence"]
    assert independent["modules"] == [f"bertline.stages.{stage}" for stage in STAGES]


def test_the_flow_reads_the_map_and_holds_no_list_of_stages() -> None:
    code = "".join(path.read_text() for path in PROJECT.glob("flows/**/*.py"))
    assert [stage for stage in ("ingest", "split", "tokenize", "finetune") if f'"{stage}"' in code] == []
