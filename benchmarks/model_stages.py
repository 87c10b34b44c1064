"""What the stages after `tokenize` cost on a large corpus: time and memory, up to the judgement.

Runs on a tenth of the rows and on all of them, in a folder of its own: `tokenize`, `adapt` (off), `finetune`
of a tiny random BERT, which is stopped through the API after 200 steps, `baseline`, the predictions of
`evaluate`, and the judgement with a champion. The splits are written directly (texts of some 40 words; 75 %
of the rows to train on, 10 % validation, 15 % test), since `benchmarks.data` measures what comes before.
A promotion writes tags and a commit, so it does not grow with the rows.

Prints wall time, CPU time, peak memory, and how much ten times the rows cost. On a busy machine the CPU time
says more. `--rows 500000` for a quick look; `--folder` keeps the files and uses splits that are there.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
from ruamel.yaml import YAML

from benchmarks.data import LABELS, PROJECT, copy_settings, sample, stage_command, timed
from bertline.core.params_loading import load_params
from bertline.rows.io import write_rows
from bertline.rows.schema import CHUNK, make_rows
from bertline.rows.text_key import IdAssigner
from bertline.tokens.pretrained import find_pretrained

STEPS = 200
SHARES = {"train": 0.75, "validation": 0.1, "test": 0.15}
STAGES = ("tokenize", "adapt", "finetune", "baseline", "predict", "judge")
OWN = ("finetune", "predict", "judge")  # run by this module, the others by the commands of dvc.yaml
SPLITS, TOKENS, MODEL = Path("data/splits"), Path("data/tokens"), Path("models/finetuned")
PREDICTIONS = Path("data/predictions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="?", choices=("write", *OWN), help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    arguments = parser.parse_args()
    if arguments.step == "write":
        write_inputs(arguments.rows)
    elif arguments.step:
        {"finetune": finetune, "predict": predict, "judge": judge}[arguments.step]()
    else:
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Measure on a tenth of the rows and on all, and print a table."""
    (PROJECT / ".bertline").mkdir(exist_ok=True)  # a fresh clone has none
    with tempfile.TemporaryDirectory(dir=PROJECT / ".bertline") as scratch:
        folder = arguments.folder or Path(scratch)
        small = measure(folder, arguments.rows // 10, arguments.stages)
        large = measure(folder, arguments.rows, arguments.stages)
    print(f"{arguments.rows:,} rows{'':12}{'seconds':>9}{'CPU s':>9}{'peak MB':>9}{'of 10 x the rows':>30}")
    for stage, (seconds, cpu, memory) in large.items():
        before = small[stage]
        growth = (
            f"{seconds / before[0]:.1f} x time, {cpu / before[1]:.1f} x CPU, {memory / before[2]:.1f} x MB"
        )
        print(f"{stage:24}{seconds:9.1f}{cpu:9.1f}{memory:9,.0f}   {growth}")


def measure(folder: Path, rows: int, stages: list[str]) -> dict[str, tuple[float, float, float]]:
    """Return seconds, CPU seconds and peak MB of each of `stages` on `rows` rows."""
    root = folder / str(rows)
    if not root.exists():
        copy_settings(root)
        # In a process of its own: the memory of this one would count as that of the stages it starts.
        timed(root, [*own_command("write"), "--rows", str(rows)])
    return {
        stage: timed(root, own_command(stage) if stage in OWN else stage_command(stage)) for stage in stages
    }


def own_command(step: str) -> list[str]:
    """Return the command that runs a step of this module in the folder it is started in."""
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from benchmarks.model_stages import main; main()"
    )
    return [sys.executable, "-c", code, step]


def write_inputs(rows: int) -> None:
    """Write the encoder and the splits of `rows` rows to the current folder."""
    write_encoder(Path())
    for seed, (side, share) in enumerate(SHARES.items()):
        write_rows(random_rows(round(rows * share), seed), SPLITS / f"{side}.parquet")


def random_rows(rows: int, seed: int, phrases_each: int = 5) -> Iterator[pa.Table]:
    """Yield `rows` random rows of so many phrases, each of eight words on average.

    The length of the first word decides the class of nine rows of ten.
    """
    words = [word for chunk in sample() for text in chunk for word in text.split()]
    draw = random.Random(1)
    phrases = [" ".join(draw.choices(words, k=draw.randint(3, 13))) for _ in range(200_000)]
    draw, ids = random.Random(seed), IdAssigner()
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        texts = [" ".join(draw.choices(phrases, k=phrases_each)) for _ in range(count)]
        lengths = [len(text.split(" ", 1)[0]) if draw.random() < 0.9 else draw.randrange(6) for text in texts]
        yield ids.identify(make_rows(texts, [LABELS[length % len(LABELS)] for length in lengths]))


def write_encoder(root: Path) -> None:
    """Write a random BERT of two layers with the packaged tokenizer, and name it in params.yaml."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(find_pretrained("sample:all-MiniLM-L6-v2"))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(root / "encoder")
    tokenizer.save_pretrained(root / "encoder")
    yaml = YAML()
    params = yaml.load(root / "params.yaml")
    params["tokenize"]["weights"] = "encoder"
    yaml.dump(params, root / "params.yaml")


def finetune() -> None:
    """Fine-tune `STEPS` steps and write the model, as the stage would after its last."""
    from bertline.core.files import write_json
    from bertline.params.finetune import Params
    from bertline.stages.finetune.prepare import fine_tune, prepare, resolve_settings
    from bertline.tokens.arrays import read_split
    from bertline.tokens.manifest import Manifest
    from bertline.training.session import Session, run_session
    from bertline.training.starting_encoder import find_encoder

    section = load_params(Params)

    def train(session: Session) -> None:
        manifest = Manifest.read(TOKENS)
        splits = {name: read_split(TOKENS / f"{name}.arrow") for name in ("train", "validation")}
        encoder = find_encoder(manifest, Path("models/adapted"))
        params, _ = resolve_settings(section, encoder, manifest, rows=len(splits["train"]))
        model = prepare(encoder, manifest, params, session.device)
        steps = list(islice(fine_tune(model, splits, params, session.open_checkpoints()), STEPS))
        origin = session.save(model, manifest, TOKENS, MODEL)
        reading = {name: getattr(manifest, name) for name in ("max_length", "long_texts", "stride", "pairs")}
        write_json(MODEL / "bertline.json", origin | reading | session.facts)
        print(f"stopped after {len(steps)} steps")

    run_session("finetune", section, [TOKENS], Path("reports/finetune"), train)


def predict() -> None:
    """Predict the test rows as `evaluate` does: by the candidate and by the baseline."""
    from bertline.params.evaluate import Params
    from bertline.rows.io import read_label_space, read_rows
    from bertline.stages.evaluate.stage import predict_test_rows

    test = SPLITS / "test.parquet"
    rows, space = read_rows(test), read_label_space(test)
    predict_test_rows(load_params(Params), rows, space, MODEL, Path("models/baseline"), PREDICTIONS)


def judge() -> None:
    """Judge the candidate, with itself as the champion."""
    from bertline.comparison.answers import predict_test_rows
    from bertline.metrics.predictions import read_predictions
    from bertline.params.evaluate import Params as EvaluateParams
    from bertline.params.promote import Params
    from bertline.promotion.decision import decide

    candidate, baseline = (
        read_predictions(PREDICTIONS / f"{name}.parquet") for name in ("candidate", "baseline")
    )
    champion = predict_test_rows(MODEL, SPLITS / "test.parquet", load_params(EvaluateParams))
    print(decide(load_params(Params), candidate=candidate, baseline=baseline, champion=champion).reasons)


if __name__ == "__main__":
    main()
