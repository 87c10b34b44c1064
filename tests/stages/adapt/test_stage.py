import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertline.tokens.manifest import Manifest
from bertline.tokens.pretrained import fingerprint
from bertline.training.starting_encoder import find_encoder
from tests.support.chain import run, run_all, start
from tests.support.params import write_params
from tests.support.tiny import make_texts, write_csv


def set_params(encoder: Path, vocabulary: int | None = None, **adapt: object) -> None:
    knobs = {"epochs": 2, "batch_size": 16, "checkpoint_every": 3, "device": "cpu", "threads": 1}
    tokenize = {"weights": str(encoder), "vocabulary": vocabulary, "max_length": 32, "stride": 4}
    write_params(
        Path(),
        ingest={"source": "data/incoming/*.csv"},
        tokenize=tokenize,
        adapt={"objective": "mlm"} | knobs | adapt,
    )


@pytest.fixture(scope="module")
def tokenized(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the stages before `adapt` have run."""
    folder = tmp_path_factory.mktemp("tokenized")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_csv(Path("data/incoming/rows.csv"), make_texts(200))
        set_params(tiny_encoder)
        run_all("ingest", "split", "tokenize")
    return folder


@pytest.fixture(scope="module")
def finished(tokenized: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder after `adapt`."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(tokenized, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_all("adapt")
    return folder


@pytest.fixture
def before(tokenized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder where all but `adapt` has run."""
    shutil.copytree(tokenized, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def bits(root: Path) -> dict[str, bytes]:
    folders = (root / "models/adapted", root / "reports/adapt")
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def test_the_encoder_is_a_standard_folder_that_is_fine_tuned_from_then_on(
    finished: Path, tiny_encoder: Path
) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = finished / "models/adapted"
    assert find_encoder(Manifest.read(finished / "data/tokens"), folder) == folder
    _, found = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(found.values())
    assert AutoTokenizer.from_pretrained(folder)("my cat")["input_ids"][0] == 2
    facts = json.loads((folder / "adapted.json").read_text())
    assert (facts["adapted"], facts["objective"]) == (True, "mlm")
    assert facts["weights_sha256"] == fingerprint(tiny_encoder)


def test_the_curves_have_the_scores_on_validation(finished: Path) -> None:
    report = finished / "reports/adapt"
    rows = list(csv.DictReader((report / "epochs.csv").open()))
    assert len(rows) == 2
    assert {"train_loss", "validation_loss", "validation_perplexity", "validation_masked_accuracy"} <= set(
        rows[0]
    )
    summary = json.loads((report / "summary.json").read_text())
    losses = [float(row["validation_loss"]) for row in rows]
    assert summary["validation_loss"] == min(losses)


def test_a_killed_run_continues_and_ends_in_the_same_bits(before: Path, finished: Path) -> None:
    process = start("adapt")
    process.wait_for("epoch 1:")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("models/adapted/adapted.json").exists()
    assert "continuing from the checkpoint" in run("adapt").stdout
    assert bits(before) == bits(finished)


def test_without_an_objective_it_says_so_and_the_weights_are_fine_tuned(
    before: Path, tiny_encoder: Path
) -> None:
    set_params(tiny_encoder, objective="none")
    code = (
        "import sys; from pathlib import Path; from bertline.stages.adapt.stage import adapt;"
        "adapt(tokens=Path('data/tokens'), model=Path('models/adapted'), report=Path('reports/adapt'));"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert [path.name for path in Path("models/adapted").iterdir()] == ["adapted.json"]
    assert find_encoder(Manifest.read(Path("data/tokens")), Path("models/adapted")) == tiny_encoder


def test_a_tokenizer_of_ones_own_asks_for_an_objective(before: Path, tiny_encoder: Path) -> None:
    set_params(tiny_encoder, vocabulary=100)
    assert run("tokenize").returncode == 0
    set_params(tiny_encoder, objective="none")  # the tokens are not those of these parameters
    done = run("adapt")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "set adapt.objective: mlm" in done.stderr


def test_a_tokenizer_of_ones_own_is_learnt_and_written(before: Path, tiny_encoder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    set_params(tiny_encoder, vocabulary=100, objective="mlm_nsp", fresh=True, epochs=1)
    assert run("tokenize").returncode == 0
    done = run("adapt")
    assert done.returncode == 0, done.stderr
    tokenizer = AutoTokenizer.from_pretrained("models/adapted")
    model = AutoModel.from_pretrained("models/adapted")
    assert model.config.vocab_size == len(tokenizer) == Manifest.read(Path("data/tokens")).vocabulary
    assert model.config.pad_token_id == tokenizer.pad_token_id


def test_weights_that_changed_since_tokenising_are_refused(before: Path, tiny_encoder: Path) -> None:
    manifest = Path("data/tokens/tokens.json")
    manifest.write_text(manifest.read_text().replace(fingerprint(tiny_encoder), "0" * 64))
    done = run("adapt")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "has changed since it was tokenised; run `dvc repro -f tokenize`" in done.stderr


def test_before_adapt_has_run_fine_tuning_is_told_to_run_it(before: Path) -> None:
    with pytest.raises(ValueError, match="run `dvc repro adapt`"):
        find_encoder(Manifest.read(Path("data/tokens")), Path("models/adapted"))
