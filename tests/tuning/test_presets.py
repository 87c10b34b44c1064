"""The presets that ship, and what writing one into params.yaml does."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from bertline.cli.app import app
from bertline.core.params_loading import read_document
from bertline.params.checking import check_params
from bertline.tuning import presets
from tests.support.params import SHIPPED_PARAMS
from tests.support.tiny import PROJECT

NAMES = sorted(path.stem for path in (PROJECT / "presets").glob("*.yaml"))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(SHIPPED_PARAMS, tmp_path)
    shutil.copytree(PROJECT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_leaves_valid_params_that_hold_its_settings_and_every_comment(
    name: str, project: Path
) -> None:
    before = (project / "params.yaml").read_text()
    presets.apply(name)
    after = (project / "params.yaml").read_text()
    check_params(project / "params.yaml")
    settings = YAML(typ="safe").load(project / f"presets/{name}.yaml")
    for section, keys in settings.items():
        assert (
            read_document(project / "params.yaml")[section] | keys
            == read_document(project / "params.yaml")[section]
        )
    assert [line.partition("#")[2] for line in before.splitlines()] == [
        line.partition("#")[2] for line in after.splitlines()
    ]


def test_a_preset_leaves_line_ends_and_links_as_they_are(project: Path) -> None:
    file = project / "elsewhere.yaml"
    file.write_bytes((project / "params.yaml").read_bytes().replace(b"\n", b"\r\n"))
    (project / "params.yaml").unlink()
    (project / "params.yaml").symlink_to(file)
    lines = file.read_bytes().count(b"\r\n")
    assert presets.apply(NAMES[0])
    assert file.read_bytes().count(b"\r\n") == file.read_bytes().count(b"\n") == lines
    assert (project / "params.yaml").is_symlink()


def test_a_preset_leaves_nothing_of_the_one_before(project: Path) -> None:
    assert len(NAMES) >= 3
    for name in NAMES:
        presets.apply(name)
        alone = (project / "params.yaml").read_text()
        for other in NAMES:
            presets.apply(other)
            presets.apply(name)
            assert (project / "params.yaml").read_text() == alone


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("finetune: {epoch: 3}", "there is no finetune.epoch to set"),
        ("finetune: {averaging: 0.9}", "finetune.averaging is called finetune.ema_decay now"),
        ("finetune: {epochs: many}", "finetune.epochs is 'many'; allowed: a valid integer"),
        ("finetune: {cache_activations: true}", "cache_activations is True; allowed: false where"),
        ("finetune: 3", "finetune is not a single value"),
        ("finetune: [", "is not valid YAML"),
    ],
)
def test_a_wrong_preset_changes_nothing(preset: str, message: str, project: Path) -> None:
    (project / "presets/mine.yaml").write_text(preset)
    before = (project / "params.yaml").read_bytes()
    done = CliRunner().invoke(app, ["preset", "mine"])
    assert done.exit_code == 1
    assert message in done.stderr
    assert "presets/mine.yaml" in done.stderr
    assert (project / "params.yaml").read_bytes() == before
    assert [path.name for path in project.iterdir() if path.name.startswith("params")] == ["params.yaml"]


def test_the_command_lists_presets_and_says_what_it_changed() -> None:
    listed = CliRunner().invoke(app, ["preset"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == NAMES
    done = CliRunner().invoke(app, ["preset", "textbook"])
    assert "finetune.learning_rate: auto -> 1.0e-05" in done.stdout
    wrong = CliRunner().invoke(app, ["preset", "fst"])
    assert "there is no preset 'fst'; choose from fast, " in wrong.stderr
