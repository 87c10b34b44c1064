"""A tiny world for tests: texts a small model can learn, and a random BERT with a WordPiece tokenizer."""

import csv
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.support.params import SHIPPED

PROJECT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]

PEAK_MEMORY = "int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
"""An expression for the most memory, in kB, that the program of a process has had.

`ru_maxrss` would begin with the peak of the parent process: here, that of all the tests before this one.
"""

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
"""The sizes of a tiny BERT."""

TOPICS = {
    "animal": ["cat", "dog", "horse", "bird", "fish", "sheep"],
    "colour": ["red", "green", "blue", "yellow", "white", "black"],
    "number": ["one", "two", "three", "four", "five", "six"],
}
CLASSES = tuple(sorted(TOPICS))
FILLERS = ["what", "is", "the", "a", "of", "in", "my", "your", "this", "that", "where", "how"]


def make_texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return `count` distinct (text, label) pairs that a tiny model can learn to tell apart."""
    draw = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        label = draw.choice(sorted(TOPICS))
        words = draw.choices(FILLERS, k=draw.randint(2, 12)) + draw.choices(TOPICS[label], k=2)
        draw.shuffle(words)
        rows[" ".join(words)] = label
    return list(rows.items())


def save_tiny_encoder(folder: Path) -> None:
    """Save a random 2-layer BERT of 32 dimensions, and a WordPiece tokenizer of the words above."""
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = special + FILLERS + [word for topic in TOPICS.values() for word in topic]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    reads = ["input_ids", "token_type_ids", "attention_mask"]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=reads, **names).save_pretrained(
        folder
    )
    save_bert(folder, vocab_size=len(words), max_position_embeddings=128)


def save_bert(folder: Path, **config: float) -> None:
    """Save a random BERT, of `SIZES` unless `config` says otherwise; always the same."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES | config)).save_pretrained(folder)


def write_csv(path: Path, rows: list[tuple[str, str]]) -> None:
    """Write (text, label) rows as a CSV file with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def is_running(pid: int) -> bool:
    """Return whether the process runs; one that has ended does not, even if no parent has reaped it.

    In a container, process 1 may be a program that reaps none of the orphans that it is given.
    """
    import psutil  # here: the modeling tests also run where it is not installed

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def copy_project(folder: Path) -> None:
    """Copy what git would hold of the project, as it stands now, into a fresh repository in `folder`.

    What is the user's is as it ships: params.yaml, expectations.yaml, slices.yaml, behaviour.yaml, the
    reviews and pins, no raw data, and none of DVC's remotes, which a test would push to.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        users = name == "dvc.lock" or name.endswith(".dvc")
        if (PROJECT / name).is_file() and not users:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((PROJECT / name).read_bytes())
    for file in (path for path in SHIPPED.rglob("*") if path.is_file()):
        name = {"dvc.config": ".dvc/config"}.get(file.name, str(file.relative_to(SHIPPED)))
        (folder / name).write_bytes(file.read_bytes())
    commit(folder)


def commit(folder: Path) -> None:
    """Commit everything in `folder`, making it a repository first where it is none."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "Start"], cwd=folder, check=True)


def environment(project: Path, *more: Path) -> dict[str, str]:
    """Return an environment in which `python` and `dvc` are this one's, and the code is that of `project`.

    PYTHONPATH has `more` folders behind it.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    identity = dict.fromkeys(names, "test@example.com")
    code = os.pathsep.join(map(str, [project / "src", *more]))
    ours = {"PATH": path, "PYTHONPATH": code, "PREFECT_HOME": str(project.parent / "prefect")}
    theirs = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return theirs | identity | ours
