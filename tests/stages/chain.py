"""The stages on the way to a model, run one after the other in the current folder as dvc.yaml runs them."""

import subprocess
import sys

FLAGS = {
    "ingest": "--rows data/ingested/rows.parquet --report reports/ingest.json",
    "split": "--rows data/ingested/rows.parquet --out data/splits --report reports/split.json",
    "tokenize": "--splits data/splits --out data/tokens --report reports/tokenize.json",
    "adapt": "--tokens data/tokens --model models/adapted --report reports/adapt",
    "finetune": "--tokens data/tokens --adapted models/adapted --teacher models/teacher"
    " --model models/candidate --report reports/finetune",
}


def command(stage: str) -> list[str]:
    return [sys.executable, "-m", f"bertline.stages.{stage}", *FLAGS[stage].split()]


def run(stage: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(stage), capture_output=True, text=True, check=False)


def run_all(*stages: str) -> None:
    for stage in stages:
        done = run(stage)
        assert done.returncode == 0, done.stderr
