import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertline.head.out_of_scope import Statistics
from bertline.tokens.arrays import read_split
from bertline.tokens.pretrained import fingerprint
from tests.support.chain import run, run_all, start
from tests.support.params import write_params
from tests.support.tiny import CLASSES, SIZES, make_texts, write_csv


def set_finetune(encoder: Path, **knobs: object) -> None:
    finetune = {
        "epochs": 4,
        "learning_rate": 3e-3,
        "batch_size": 8,
        "checkpoint_every": 10,
        "device": "cpu",
        "threads": 1,
    }
    sections = {
        "ingest": {"source": "data/incoming/*.csv"},
        "split": {"validation": 0.3},  # enough rows for a temperature
        "tokenize": {"weights": str(encoder)},
    }
    write_params(Path(), **sections, finetune=finetune | knobs)


@pytest.fixture(scope="module")
def finished(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where `finetune` and the stages before it have run."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_csv(Path("data/incoming/rows.csv"), make_texts(300))
        set_finetune(tiny_encoder)
        run_all("ingest", "split", "tokenize", "adapt", "finetune")
    return folder


@pytest.fixture
def before(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder where all but `finetune` has run, with the same parameters."""
    for folder in ("data", "models/adapted"):
        shutil.copytree(finished / folder, tmp_path / folder)
    shutil.copy(finished / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def killed(before: Path, request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    """The same folder after a run that a signal ended in its second epoch."""
    process = start("finetune")
    process.wait_for("epoch 1:")
    process.send_signal(getattr(request, "param", signal.SIGKILL))
    return process.wait()


def model_bits(root: Path) -> dict[str, bytes]:
    folders = (root / "models/finetuned", root / "reports/finetune")
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def test_the_model_is_a_standard_folder_with_readable_labels(finished: Path) -> None:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(finished / "models/finetuned"), device="cpu")
    assert classify("where is my cat")[0]["label"] in CLASSES


def test_the_curves_have_a_row_per_step_and_per_epoch(finished: Path) -> None:
    report = finished / "reports/finetune"
    steps, epochs = ((report / f"{name}.csv").read_text().splitlines() for name in ("steps", "epochs"))
    assert steps[0] == "step,loss,learning_rate,examples,micro_batch"
    assert epochs[0].startswith("epoch,train_loss,validation_loss")
    assert json.loads((report / "summary.json").read_text())["steps"] == len(steps) - 1
    assert len(epochs) == 1 + 4


def test_the_folder_has_the_statistics_of_all_training_rows(finished: Path) -> None:
    statistics = Statistics.load(finished / "models/finetuned")
    assert statistics is not None
    shapes = [part.means_KH.shape for part in statistics.parts]
    assert shapes == [(len(CLASSES), SIZES["hidden_size"])] * 2
    report = json.loads((finished / "reports/finetune/out_of_scope.json").read_text())
    assert report["rows"] == len(read_split(finished / "data/tokens/train.arrow"))


def test_the_summary_has_the_numbers_that_were_trained_with(finished: Path) -> None:
    summary = json.loads((finished / "reports/finetune/summary.json").read_text())
    assert (summary["epochs"], summary["learning_rate"]) == (4, 3e-3)


def test_what_is_auto_is_chosen_told_and_recorded(before: Path, tiny_encoder: Path) -> None:
    set_finetune(tiny_encoder, epochs="auto", learning_rate="auto", batch_size=64)
    said = run("finetune").stdout.splitlines()
    summary = json.loads(Path("reports/finetune/summary.json").read_text())
    [about_epochs] = [line for line in said if line.startswith("epochs: auto -> ")]
    [about_rate] = [line for line in said if line.startswith("learning_rate: auto -> ")]
    assert about_epochs.split()[3] == str(summary["epochs"])
    assert about_rate.split()[3] == f"{summary['learning_rate']:g}"
    assert len(Path("reports/finetune/epochs.csv").read_text().splitlines()) == 1 + summary["epochs"]


def test_what_is_wrong_with_a_training_is_told_and_recorded(before: Path, tiny_encoder: Path) -> None:
    set_finetune(tiny_encoder, epochs=1, learning_rate=1e-8)
    said = run("finetune").stdout
    warnings = json.loads(Path("reports/finetune/summary.json").read_text())["warnings"]
    assert warnings[0].startswith("the training loss did not fall")
    assert all(f"warning: {each}\n" in said for each in warnings)


def test_the_temperature_is_in_the_folder_and_in_the_report(finished: Path) -> None:
    report = json.loads((finished / "reports/finetune/calibration.json").read_text())
    model = json.loads((finished / "models/finetuned/bertline.json").read_text())
    assert report["temperature"] == model["temperature"] != 1.0
    assert report["not_calibrated_because"] is None
    assert report["validation_after"]["log_loss"] < report["validation_before"]["log_loss"]


@pytest.mark.parametrize("killed", [signal.SIGINT, signal.SIGKILL], indirect=True)
def test_a_killed_run_continues_and_ends_in_the_same_bits(
    killed: subprocess.CompletedProcess[str], before: Path, finished: Path
) -> None:
    assert killed.returncode != 0
    curves = (before / "reports/finetune/epochs.csv").read_text().splitlines()
    assert len(curves) - 1 in (1, 2)  # drawn as far as it came
    assert "continuing from the checkpoint" in run("finetune").stdout
    assert model_bits(before) == model_bits(finished)


@pytest.mark.parametrize("killed", [signal.SIGINT], indirect=True)
def test_ctrl_c_ends_with_one_line_that_says_what_to_do(
    killed: subprocess.CompletedProcess[str],
) -> None:
    assert killed.returncode == 130
    assert killed.stderr == "error: finetune: interrupted; run the same command again to continue\n"


def test_a_second_training_in_the_same_folder_is_refused(before: Path) -> None:
    first = start("finetune")
    try:
        first.wait_for("epoch 1:")
        first.send_signal(signal.SIGSTOP)
        second = run("finetune")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert second.returncode == 1
    says = f"error: finetune: another training (process {first.pid}) is running in {before}; wait for it"
    assert second.stderr.startswith(says)


def test_the_best_of_several_seeds_is_kept_and_a_killed_one_continues(
    before: Path, tiny_encoder: Path
) -> None:
    scores = {}
    for seed in (1, 2):
        set_finetune(tiny_encoder, seed=seed, epochs=2)
        assert run("finetune").returncode == 0
        summary = json.loads(Path("reports/finetune/summary.json").read_text())
        scores[seed] = summary["validation_macro_f1"]
    set_finetune(tiny_encoder, restarts=2, epochs=2)
    process = start("finetune")
    process.wait_for("epoch ", times=3)  # then it is in the second epoch of the second seed
    process.send_signal(signal.SIGKILL)
    process.wait()
    said = run("finetune").stdout
    assert "seed 1 has been trained to its end before" in said
    assert said.count("continuing from the checkpoint") == 1
    summary = json.loads(Path("reports/finetune/summary.json").read_text())
    assert summary["validation_macro_f1"] == max(scores.values())
    assert summary["seed"] == max(scores, key=lambda seed: scores[seed])


def test_a_checkpoint_of_other_parameters_is_not_resumed(
    killed: subprocess.CompletedProcess[str], tiny_encoder: Path
) -> None:
    set_finetune(tiny_encoder, seed=2, epochs=1)
    assert "continuing" not in run("finetune").stdout


def test_weights_that_changed_since_tokenising_are_refused(before: Path, tiny_encoder: Path) -> None:
    manifest = Path("data/tokens/tokens.json")
    manifest.write_text(manifest.read_text().replace(fingerprint(tiny_encoder), "0" * 64))
    done = run("finetune")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "has changed since it was tokenised; run `dvc repro -f tokenize`" in done.stderr


def test_a_length_the_encoder_cannot_read_is_refused(before: Path, tiny_encoder: Path) -> None:
    write_params(Path(), tokenize={"weights": str(tiny_encoder), "max_length": 129})
    done = run("tokenize")
    assert done.returncode == 1
    assert "tokenize.max_length is 129" in done.stderr
    assert done.stderr.endswith("reads 128 tokens\n")


def test_a_model_folder_that_is_not_there_is_named(before: Path) -> None:
    write_params(Path(), tokenize={"weights": "./missing"})
    done = run("tokenize")
    says = "error: tokenize: tokenize.weights: there is no folder './missing'\n"
    assert (done.returncode, done.stderr) == (1, says)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 300 KB, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("full", "says"),
    [
        (".bertline", " is too full: a training of a model of 0."),
        ("models/finetuned", "No space left on device"),
    ],
)
def test_a_full_disk_ends_with_one_line_and_the_next_run_finishes(
    before: Path, small_disk: Path, full: str, says: str
) -> None:
    (small_disk / "filler").write_bytes(bytes(250_000))
    Path(full).symlink_to(small_disk)
    done = run("finetune")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: finetune: ")
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    (small_disk / "filler").unlink()
    Path(full).unlink()
    assert run("finetune").returncode == 0
