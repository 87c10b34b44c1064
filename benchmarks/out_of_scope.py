"""The out-of-scope scores: which of them finds texts of classes that were left out of a training.

The classes of a data set are dealt into parts. A model is fine-tuned without the classes of one part. Each
score must tell test texts of the other classes from texts of this part ("left out"), and from texts of
another data set ("far"). Prints for each score AUROC, and the share of those texts that it finds where 2 % of
the texts in scope are refused: for each data set the mean over its parts, then the mean over the data sets.

Models and states are kept in .bertline/out_of_scope/, so it resumes, and scores are compared without training
again. All training sets are small and their texts short, so that it runs on one core.
benchmarks/recipe_data.py says how to get the data sets.
"""

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sklearn.metrics import roc_auc_score

from benchmarks.recipe_data import make_manifest, orange, trec_fine
from bertline.core.params_loading import load_params
from bertline.encoder.classifier import load_classifier, save_classifier
from bertline.encoder.collate import collate_padded
from bertline.encoder.ordering import sorted_order
from bertline.head.class_gaussians import fit
from bertline.head.out_of_scope import Kind, score
from bertline.head.states import find_reader, run_with_states
from bertline.metrics.temperature import fit_temperature
from bertline.params.finetune import Params, Resolved
from bertline.stages.finetune.prepare import fine_tune, prepare
from bertline.tokens.arrays import TokenizedSplit
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import Truncator
from bertline.training.checkpoints import Checkpoints
from bertline.training.history import Epoch

TABLES = {"newsgroups": "20newsgroups", "r52": "reuters-r52"}
SETS = {"trec-fine": "newsgroups", "trec": "newsgroups", "newsgroups": "trec", "r52": "trec"}
"""The data sets, and which one the far texts come from."""

MIN_ROWS = 20  # of a class that is kept
SCRATCH = Path(".bertline/out_of_scope")
WEIGHTS = "sample:all-MiniLM-L6-v2"
PARTS = 3
MAX_LENGTH = 24
SIZES = {"validation": 300, "test": 1000, "train": 2000}  # rows of a case, at most
LONG = 1200  # training rows of a case whose texts are longer than questions
REFUSED = 0.02
TRAINING = {
    "epochs": 5,
    "learning_rate": 2e-4,
    "restarts": 1,
    "threads": 1,
    "device": "cpu",
    "checkpoint_every": 10**9,
}

Rows = list[tuple[str, str]]
Case = dict[str, np.ndarray]
"""Arrays named SPLIT.WHAT, of the splits of `deal`: targets, logits, and states by name."""

Score = Callable[[str], np.ndarray]
"""Returns the scores of the rows of a split."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--parts", type=int, default=2, help=f"parts to leave out, 1 to {PARTS} (default: 2)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for name in arguments.sets:
        cases = [measure(prepare_case(name, part)) for part in range(arguments.parts)]
        for kind in cases[0]:
            found[kind].append(np.mean([case[kind] for case in cases], axis=0))
    print(f"{'':44}{'left out':>16}{'far':>16}   AUROC left out of {', '.join(arguments.sets)}")
    for kind, rows in sorted(found.items(), key=lambda pair: -np.mean(pair[1], axis=0)[0]):
        left, left_found, far, far_found = np.mean(rows, axis=0)
        each = " ".join(f"{row[0]:.3f}" for row in rows)
        print(f"{kind:44}{left:8.3f}{left_found:8.0%}{far:8.3f}{far_found:8.0%}   {each}")


def prepare_case(name: str, part: int) -> Case:
    """Return logits and states of the rows of a case; train where that has not been done."""
    folder = SCRATCH / f"{name}-{part}"
    if not (folder / "states.safetensors").is_file():
        dealt = deal(name, part)
        classes = tuple(sorted({label for _, label in dealt["train"]}))
        splits = {split: tokenize(rows, classes) for split, rows in dealt.items()}
        if not (folder / "model.safetensors").is_file():
            train(folder, classes, splits)
        model = load_classifier(folder)
        case = {f"{split}.{k}": v for split, rows in splits.items() for k, v in run(model, rows).items()}
        save_file(case, folder / "states.safetensors")
    return load_file(folder / "states.safetensors")


def deal(name: str, part: int) -> dict[str, Rows]:
    """Return rows of the other classes, of the classes of `part` (`left_out`) and of another set (`far`)."""
    draw = random.Random(1)
    rows = read(name)
    rows_of = Counter(label for _, label in rows)
    rows = [row for row in rows if rows_of[row[1]] >= MIN_ROWS]
    classes = sorted({label for _, label in rows})
    draw.shuffle(classes)
    draw.shuffle(rows)
    absent = set(classes[part::PARTS])
    dealt = {"left_out": [row for row in rows if row[1] in absent][: SIZES["test"]]}
    far = read(SETS[name])
    draw.shuffle(far)
    dealt["far"] = far[: SIZES["test"]]
    rows = [row for row in rows if row[1] not in absent]
    for split, size in SIZES.items():
        dealt[split], rows = rows[:size], rows[size:]
    if name in TABLES:
        dealt["train"] = dealt["train"][:LONG]
    known = {label for _, label in dealt["train"]}
    return dealt | {split: [row for row in dealt[split] if row[1] in known] for split in SIZES}


def read(name: str) -> Rows:
    """Return the distinct rows of a data set, of the training and the test part of its package."""
    if name in TABLES:
        parts = [orange(f"{TABLES[name]}-{part}", "Text", "Category")() for part in ("train", "test")]
    else:
        parts = [
            [(text, label if name == "trec-fine" else label.split(":")[0]) for text, label in trec_fine()]
        ]
    return [*reversed({text: (text, label) for text, label in reversed([*chain(*parts)])}.values())]


def tokenize(rows: Rows, classes: tuple[str, ...]) -> TokenizedSplit:
    """Return the tokens of `rows`; a label that is no class is -1."""
    truncator = Truncator(find_pretrained(WEIGHTS), max_length=MAX_LENGTH, long_texts="head", stride=0)
    tokens = truncator.encode([text for text, _ in rows])
    labels = np.array([classes.index(label) if label in classes else -1 for _, label in rows])
    return TokenizedSplit(input_ids=tokens.input_ids, offsets=tokens.offsets, labels=labels)


def train(folder: Path, classes: tuple[str, ...], splits: dict[str, TokenizedSplit]) -> None:
    """Fine-tune on a case, and write the model to `folder`."""
    encoder = find_pretrained(WEIGHTS)
    params = Resolved(**vars(load_params(Params)) | TRAINING)
    model = prepare(
        encoder, make_manifest(WEIGHTS, encoder, classes, MAX_LENGTH), params, torch.device("cpu")
    )
    for event in fine_tune(model, splits, params, Checkpoints("run", folder / "scratch")):
        if isinstance(event, Epoch):
            print(f"{folder.name}: {event.scores}", flush=True)
    save_classifier(model, encoder, MAX_LENGTH, folder)


@torch.inference_mode()
def run(model: torch.nn.Module, split: TokenizedSplit) -> dict[str, np.ndarray]:
    """Return targets, logits and states of the rows of `split`."""
    reader, collate, parts = find_reader(model, "last"), collate_padded(model.config), defaultdict(list)
    order = sorted_order(split.lengths, 64)
    for rows in order:
        inputs = collate(split, rows)
        logits, states = run_with_states(model, reader, inputs)
        last = model.base_model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][:, :, None]
        parts["logits"].append(logits)
        parts["head"].append(states[:, : reader.in_features])
        parts["middle"].append(states[:, reader.in_features :])
        parts["first"].append(last[:, 0])
        parts["mean"].append((last * mask).sum(dim=1) / mask.sum(dim=1))
    back = np.argsort(np.concatenate(order))
    return {"targets": split.labels} | {k: torch.cat(v).numpy()[back] for k, v in parts.items()}


def measure(case: Case) -> dict[str, np.ndarray]:
    """Return of each score AUROC and share found, for the left-out and then for the far texts."""
    return {
        name: np.array([each for split in ("left_out", "far") for each in judge(f("test"), f(split))])
        for name, f in scores(case).items()
    }


def judge(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    auroc = roc_auc_score(np.repeat([0, 1], [len(inside), len(outside)]), np.concatenate([inside, outside]))
    return auroc, float((outside > np.quantile(inside, 1 - REFUSED)).mean())


def scores(case: Case) -> dict[str, Score]:
    """Return every score that is compared, by its name.

    The states are what the last layer reads ("head"), the first token after the last layer of the encoder
    ("first"), and the mean over the tokens after the last ("mean") and the middle one ("middle").
    """
    targets, held_out = case["train.targets"], case["validation.targets"]
    temperature = fit_temperature(case["validation.logits"], held_out).values_C.astype(np.float32)

    def by_logits(kind: Kind) -> Score:
        return lambda split: score(
            kind, case[f"{split}.logits"] / temperature, None, multi_label=False, statistics=None
        )

    def mahalanobis(*layers: str, shrinkage: float | None = None) -> Score:
        fitted = fit(
            states("train", *layers),
            targets,
            widths=tuple(case[f"train.{each}"].shape[1] for each in layers),
            held_out_MW=states("validation", *layers),
            shrinkage=shrinkage,
        )
        return lambda split: fitted.distances(states(split, *layers))

    def states(split: str, *layers: str) -> np.ndarray:
        return np.hstack([case[f"{split}.{each}"] for each in layers])

    def relative(layer: str) -> Score:
        near, background = (fit(states("train", layer), each) for each in (targets, targets * 0))
        return lambda split: (
            near.distances(states(split, layer)) ** 2 - background.distances(states(split, layer)) ** 2
        )

    def cosine(layer: str) -> Score:
        known = unit(case[f"train.{layer}"])
        return lambda split: 1 - (unit(case[f"{split}.{layer}"]) @ known.T).max(axis=1)

    found = {"maximum probability": by_logits("max_probability"), "energy": by_logits("energy")}
    for layer in ("head", "first", "mean", "middle"):
        found[f"Mahalanobis, {layer}"] = mahalanobis(layer)
        found[f"nearest row by cosine, {layer}"] = cosine(layer)
    for layer in ("head", "first"):
        found[f"Mahalanobis, {layer}, nearly no shrinkage"] = mahalanobis(layer, shrinkage=1e-6)
        found[f"Mahalanobis, {layer}, relative (Ren et al.)"] = relative(layer)
    for layer in ("head", "first", "mean"):
        found[f"Mahalanobis, {layer} + middle"] = mahalanobis(layer, "middle")
    return found


def unit(states: np.ndarray) -> np.ndarray:
    return states / np.linalg.norm(states, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
