"""dvc.yaml is the one map: what it says of stages, code and parameters must be what the code says."""

import re
import shutil
import subprocess
import tomllib
from contextlib import closing
from pathlib import Path

import grimp
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML
from tiny import PROJECT

from bertline.params.checking import SECTIONS, check_params

STAGES: dict[str, dict[str, list[str]]] = YAML(typ="safe").load(PROJECT / "dvc.yaml")["stages"]
NOT_A_STAGE = {"command", "progress"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("bertline", cache_dir=None)


def module_file(module: str) -> Path:
    path = Path("src", *module.split("."))
    return path / "__init__.py" if (PROJECT / path).is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_deps_of_a_stage_are_its_import_closure(stage: str, imports: grimp.ImportGraph) -> None:
    main = f"bertline.stages.{stage}"
    modules = imports.find_upstream_modules(main) | {main}
    files = {str(module_file(module)) for module in modules}
    templates = {str(path.relative_to(PROJECT)) for path in PROJECT.glob("src/**/*.j2")}
    beside = {name for name in templates if name.removesuffix(".html.j2") + ".py" in files}
    inits = {name for name in files if name.endswith("__init__.py") and not _has_code(PROJECT / name)}
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    assert declared == (files - inits) | beside


def _has_code(path: Path) -> bool:
    import ast

    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def test_stages_modules_and_params_sections_have_the_same_names() -> None:
    modules = {path.stem for path in PROJECT.glob("src/bertline/stages/*.py")} - NOT_A_STAGE - {"__init__"}
    sections = {path.stem for path in PROJECT.glob("src/bertline/params/*.py")} - {
        "__init__",
        "bounds",
        "checking",
        "loading",
        "training",
    }
    assert set(STAGES) == modules
    assert ["fetch", *STAGES, "promote"] == list(SECTIONS)
    assert set(SECTIONS) == sections
    check_params(PROJECT / "params.yaml")


def test_the_map_in_the_readme_names_every_stage() -> None:
    readme = (PROJECT / "README.md").read_text()
    assert [stage for stage in STAGES if f"| `{stage}` |" not in readme] == []


@pytest.mark.parametrize("file", ["README.md", "docs/data.md", "docs/training.md"])
def test_the_settings_in_the_documents_are_valid(file: str, tmp_path: Path) -> None:
    yaml = YAML(typ="safe")
    snippets = re.findall(r"```yaml\n(.*?)```", (PROJECT / file).read_text(), re.DOTALL)
    assert snippets
    for snippet in map(yaml.load, snippets):
        document = yaml.load(PROJECT / "params.yaml")
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
    assert sorted(STAGES[stage]["params"]) == sorted([stage, *also.get(stage, [])])
    outs = STAGES[stage]["outs"] + STAGES[stage].get("metrics", [])
    assert all(out.split("/")[0] in {"data", "models", "reports"} for out in outs)


def test_only_evaluate_reads_the_test_split() -> None:
    readers = {
        stage
        for stage, fields in STAGES.items()
        if {"data/splits", "data/splits/test.parquet"} & set(fields["deps"])
    }
    assert readers == {"evaluate"}


def test_the_import_contracts_name_every_stage() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [independent] = [contract for contract in contracts if contract["type"] == "independence"]
    assert independent["modules"] == [f"bertline.stages.{stage}" for stage in STAGES]


def test_the_flow_reads_the_map_and_holds_no_list_of_stages() -> None:
    code = "".join(path.read_text() for path in PROJECT.glob("flows/*.py"))
    assert [stage for stage in ("ingest", "split", "tokenize", "finetune") if f'"{stage}"' in code] == []
