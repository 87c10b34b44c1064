"""The ablation ledger: tips on fine-tuning tried one by one on the user's data, with several seeds.

Every run is a DVC experiment named ablate-TIP-seed-N, on the tokens of the user's own model; scores are those
on the validation split, and the test split is never read. A run that is finished is not run again, and one
that was killed continues. Seeds are the outer loop: an interruption leaves a fair, shorter comparison.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypedDict

from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params as Finetune
from bertline.params.loading import load_params
from bertline.tuning.editing import Value
from bertline.tuning.gains import Gain, paired_gain
from bertline.tuning.tips import RESTARTS, Tip
from bertline.tuning.workplace import Job, Workplace

ABLATION = Job("ablation", given="tokenize", stages=("adapt", "finetune"))
METRICS = ("macro_f1", "accuracy")
BASE = Tip("base", {})
_SUMMARY = Path("reports", "finetune", "summary.json")


class Entry(TypedDict):
    """What is remembered of a run; no scores: it is not finished. No minutes: DVC had it in its cache."""

    name: str
    minutes: float | None
    scores: dict[str, float] | None


class Ledger:
    """The runs of this checkout, kept in .bertline/ablation/ledger.json."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        params = place.checkout / "params.yaml"
        self._finetune, self._adapt = load_params(Finetune, params), load_params(Adapt, params)
        self._path = place.folder / "ledger.json"
        self._entries: dict[str, Entry] = (
            json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        )
        self._keys: dict[tuple[str, int], str] = {}
        self.errors: dict[str, str] = {}

    def run(self, tips: Sequence[Tip], seeds: int, tell: Callable[[str], None]) -> None:
        """Run the params as they are and with each tip, with each of `seeds` seeds; `tell` gets a line a run.

        A tip that fails is left out, with its error in `errors`.

        Raises:
            ValueError: the params as they are cannot be trained with.
        """
        runs = [(tip, seed) for seed in range(seeds) for tip in (BASE, *tips)]
        for number, (tip, seed) in enumerate(runs, start=1):
            if tip.name in self.errors:
                continue
            try:
                entry = self._run(tip, seed)
            except ValueError as error:
                if tip is BASE:
                    raise
                self.errors[tip.name] = str(error)
                tell(f"{number} of {len(runs)}: {tip.name} failed: {error}")
                continue
            tell(f"{number} of {len(runs)}: {entry['name']}: {_shown(entry)}{self._left(runs[number:])}")

    def gain(self, tip: Tip, seeds: int, metric: str) -> Gain | None:
        """Return the gain of `tip` over the params as they are, by the seeds that both are finished with."""
        pairs = [
            (mine[f"validation_{metric}"], theirs[f"validation_{metric}"])
            for seed in range(seeds)
            if (mine := self._entry(tip, seed)["scores"]) and (theirs := self._entry(BASE, seed)["scores"])
        ]
        return paired_gain(*zip(*pairs, strict=True)) if pairs else None

    def minutes(self, tip: Tip, seeds: int) -> float | None:
        """Return the minutes a run took, on average; None where DVC had all of them in its cache."""
        minutes = [
            entry["minutes"]
            for seed in range(seeds)
            if (entry := self._entry(tip, seed))["scores"] and entry["minutes"] is not None
        ]
        return fmean(minutes) if minutes else None

    def _run(self, tip: Tip, seed: int) -> Entry:
        changes = self._changes(tip, seed)
        entry = self._entry(tip, seed)
        if entry["scores"] is not None:
            return entry
        start, worked = time.monotonic(), True
        try:
            worked = self._place.run(entry["name"], changes)
            entry["scores"] = json.loads((self._place.checkout / _SUMMARY).read_text("utf-8"))
        finally:  # an interrupted run continues, and its minutes add up
            if worked:
                entry["minutes"] = (entry["minutes"] or 0.0) + (time.monotonic() - start) / 60
            self._entries[self._key(tip, seed)] = entry
            self._write()
        return entry

    def _entry(self, tip: Tip, seed: int) -> Entry:
        number = self._changes(tip, seed)["finetune.seed"]
        new = Entry(name=f"ablate-{tip.name}-seed-{number}", minutes=None, scores=None)
        return self._entries.get(self._key(tip, seed), new)

    def _key(self, tip: Tip, seed: int) -> str:
        place = (tip.name, seed)
        if place not in self._keys:  # params.yaml is parsed for it
            self._keys[place] = self._place.key(self._changes(tip, seed))
        return self._keys[place]

    def _changes(self, tip: Tip, seed: int) -> Mapping[str, Value]:
        # No training of one run is also one of another, or intervals over runs would be too narrow.
        first = self._finetune.seed + seed * (1 + max(RESTARTS, self._finetune.restarts))
        seeds: dict[str, Value] = {"finetune.seed": first + ("finetune.restarts" in tip.changes)}
        if tip.changes.get("adapt.objective", self._adapt.objective) != "none":
            seeds["adapt.seed"] = self._adapt.seed + seed
        return {**tip.changes, **seeds}

    def _left(self, runs: Sequence[tuple[Tip, int]]) -> str:
        """Say how long the rest takes, if a run takes as long as those before."""
        done = [entry["minutes"] for entry in self._entries.values() if entry["minutes"] and entry["scores"]]
        left = sum(
            self._entry(tip, seed)["scores"] is None for tip, seed in runs if tip.name not in self.errors
        )
        return f"; about {left * fmean(done):.0f} minutes left" if left and done else ""

    def _write(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._entries, indent=2) + "\n", "utf-8")
        new.replace(self._path)


def _shown(entry: Entry) -> str:
    assert entry["scores"] is not None
    scores = "  ".join(f"{metric} {entry['scores'][f'validation_{metric}']:.3f}" for metric in METRICS)
    return f"{scores}, " + ("cached" if entry["minutes"] is None else f"{entry['minutes']:.1f} minutes")
