"""Train a tiny BERT for 30 steps in several settings, with fixed seeds, and return every loss.

`python -m tests.support.golden_losses > tests/golden/losses.json` writes the golden file. Everything runs
through the functions of the stages and params.yaml, so the same trainings also run on the code of another
commit (`benchmarks.compare_losses`). Bits differ between processors and builds of torch.
"""

import contextlib
import csv
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.params import SHIPPED_PARAMS
from tests.support.tiny import make_texts, save_tiny_encoder

COMMON: dict[str, Any] = {
    "seed": 1,
    "epochs": 3,
    "patience": None,
    "batch_size": 8,
    "micro_batch": None,
    "gradient_checkpointing": False,
    "learning_rate": 1e-2,
    "schedule": "linear",
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "ema_decay": None,
    "unpadded": True,
    "compile": False,
    "device": "cpu",
    "threads": 1,
    "processes": 1,
    "checkpoint_every": 7,
}
"""Keys of params.yaml that all trainings set; the other keys keep the values of the given params.yaml."""

FINETUNE: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"unpadded": False, "schedule": "cosine"},
    "frozen_lora": {"frozen_layers": 1, "lora_rank": 2},
    "micro_batches": {"micro_batch": 3, "gradient_checkpointing": True},
    "cached": {"frozen_layers": 1, "cache_activations": True},
    "many_tricks": {
        "restarts": 2,
        "ema_decay": 0.9,
        "layer_decay": 0.8,
        "unfreeze_epochs": 1,
        "r_drop": 0.5,
        "loss": "focal",
        "class_weights": "balanced",
        "distillation": 0.5,  # the teacher is the model of `plain`
        "reinit_layers": 1,
    },
}
ADAPT: dict[str, dict[str, Any]] = {
    "mlm": {"objective": "mlm"},
    "mlm_micro_batches": {"objective": "mlm", "unpadded": False, "micro_batch": 3},
    "mlm_nsp": {"objective": "mlm_nsp", "ema_decay": 0.9, "whole_words": True},
}
TWO_PROCESSES: dict[str, dict[str, Any]] = {
    "ddp": {"processes": 2, "parallelism": "ddp", "micro_batch": 2, "unfreeze_epochs": 1},
    "fsdp": {"processes": 2, "parallelism": "fsdp", "ema_decay": 0.9},
}
"""`finetune` in two processes; about 20 seconds each, so only `benchmarks.compare_losses` runs them."""

OLD_NAMES = {"mlm_probability": "masked", "ema_decay": "averaging", "parallelism": "sharding"}
OLD_VALUES = {"ddp": "replicate", "fsdp": "shard"}
"""What older commits call keys and values, for comparisons with them."""

PATHS = {
    "tokenize": {"splits": "splits", "out": "tokens", "report": "tokenize.json"},
    "adapt": {"tokens": "tokens", "model": "adapted", "report": "report"},
    "finetune": {
        "tokens": "tokens",
        "adapted": "adapted",
        "teacher": "teacher",
        "model": "model",
        "report": "report",
    },
}

Outcome = dict[str, Any]
"""`losses`: of every step; `scores`: of every epoch, in the order of epochs.csv; `weights_sha256`."""


def train_all(defaults: Path, *, two_processes: bool = False) -> dict[str, Outcome]:
    """Return the outcome of every training, by `STAGE/NAME`, for the bertline that is imported here.

    Args:
        defaults: a params.yaml of that bertline.
        two_processes: also train in two processes, with DDP and with FSDP2.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="bertline-golden-") as folder:
        os.chdir(folder)
        try:
            return _train_all(defaults.read_text(encoding="utf-8"), two_processes=two_processes)
        finally:
            os.chdir(before)


def _train_all(defaults: str, *, two_processes: bool) -> dict[str, Outcome]:
    save_tiny_encoder(Path("encoder"))
    _write_splits(Path("splits"))
    _run("tokenize", defaults, {"weights": "encoder", "max_length": 32})
    outcomes: dict[str, Outcome] = {}
    for name, changes in ADAPT.items():
        _run("adapt", defaults, COMMON | changes)
        outcomes[f"adapt/{name}"] = _outcome(Path("adapted"))
    shutil.rmtree("adapted")
    _run("adapt", defaults, COMMON | {"objective": "none"})
    for name, changes in FINETUNE.items():
        _run("finetune", defaults, COMMON | changes)
        outcomes[f"finetune/{name}"] = _outcome(Path("model"))
        if name == "plain":
            shutil.copytree("model", "teacher")
    if two_processes:
        for name, changes in TWO_PROCESSES.items():
            _run("finetune", defaults, COMMON | changes)
            outcomes[f"finetune/{name}"] = _outcome(Path("model"))
    return outcomes


def _write_splits(folder: Path) -> None:
    """Write 80 rows to train on, which makes 10 batches, and 24 to validate on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows_module = importlib.import_module("bertline.rows.schema")
    schema = getattr(rows_module, "ROW_SCHEMA", None) or rows_module.ROWS  # the older name
    folder.mkdir()
    rows = make_texts(104)
    for name, part in (("train", rows[:80]), ("validation", rows[80:])):
        ids = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text, _ in part]
        texts, labels = zip(*part, strict=True)
        known = {"id": ids, "text": [*texts], "label": [*labels]}
        columns = [
            pa.array(known.get(field.name, [None] * len(part)), field.type, size=len(part))
            for field in schema
        ]
        pq.write_table(pa.table(columns, schema=schema), folder / f"{name}.parquet")


def _run(stage: str, defaults: str, changes: dict[str, Any]) -> None:
    """Run `stage` here with `changes` of its section; in processes of its own if it wants several."""
    from ruamel.yaml import YAML

    document = YAML(typ="safe").load(defaults)
    section = document[stage]
    for key, value in changes.items():
        if key in section:
            section[key] = value
        else:
            section[OLD_NAMES[key]] = OLD_VALUES.get(value, value) if isinstance(value, str) else value
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(document, file)
    paths = PATHS[stage]
    if changes.get("processes", 1) > 1:
        flags = [part for name, path in paths.items() for part in (f"--{name}", path)]
        command = [sys.executable, "-m", f"bertline.stages.{stage}", *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return
    function = getattr(importlib.import_module(f"bertline.stages.{stage}.stage"), stage)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        function(**{name: Path(path) for name, path in paths.items()})


def _outcome(model: Path) -> Outcome:
    from safetensors.numpy import load_file

    with Path("report/steps.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    with Path("report/epochs.csv").open(encoding="utf-8") as file:
        scores = [float(value) for row in csv.DictReader(file) for value in row.values()]
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(model / "model.safetensors").items()):
        digest.update(name.encode() + tensor.tobytes())
    return {"losses": losses, "scores": scores, "weights_sha256": digest.hexdigest()}


def main() -> None:
    """Print the losses of every training as JSON; with `--compare PARAMS_YAML`, the whole outcomes."""
    if sys.argv[1:2] == ["--compare"]:
        import bertline

        defaults = Path(sys.argv[2]).absolute()
        assert Path(bertline.__file__).is_relative_to(defaults.parent), "the code of that checkout"
        outcomes = train_all(defaults, two_processes=True)
        json.dump(outcomes, sys.stdout)
        return
    outcomes = train_all(SHIPPED_PARAMS)
    lines = (f"{json.dumps(name)}: {json.dumps(outcome['losses'])}" for name, outcome in outcomes.items())
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
