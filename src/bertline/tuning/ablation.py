"""Ablation: techniques of fine-tuning, tried one by one on the user's data with several seeds.

- Every run is a DVC experiment named ablate-TECHNIQUE-seed-N, on the tokens of the user's own model.
- Scores are those on the validation split. The test split is never read.
- A finished run is not run again. A killed run continues from its crash checkpoint.
- Seeds are the outer loop, so that an interruption leaves a fair, shorter comparison.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TypedDict

from bertline.core.files import write_json
from bertline.core.params_loading import load_params
from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params as Finetune
from bertline.project.layout import FINETUNE_SUMMARY
from bertline.tuning.paired_difference import PairedDifference, paired_difference
from bertline.tuning.techniques import RESTARTS, Technique
from bertline.tuning.worktree import Job, Worktree
from bertline.tuning.yaml_edit import Value

ABLATION = Job("ablation", upstream="tokenize", target="finetune")
METRICS = ("macro_f1", "accuracy")
BASE = Technique("base", {})


class Entry(TypedDict):
    """A run. Without scores it is not finished; without minutes, DVC had all of it in its cache."""

    name: str
    minutes: float | None
    scores: dict[str, float] | None


class AblationRuns:
    """The runs of this checkout, kept in .bertline/ablation/runs.json."""

    def __init__(self, worktree: Worktree) -> None:
        self._worktree = worktree
        params = worktree.checkout / "params.yaml"
        self._finetune, self._adapt = load_params(Finetune, params), load_params(Adapt, params)
        self._path = worktree.folder / "runs.json"
        self._entries: dict[str, Entry] = (
            json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        )
        self._keys: dict[tuple[str, int], str] = {}
        self.errors: dict[str, str] = {}

    def run(self, techniques: Sequence[Technique], seeds: int, report: Callable[[str], None]) -> None:
        """Train with the params as they are and with each technique, with `seeds` seeds each.

        `report` gets a line a run. A technique that fails is left out, with its error in `errors`.

        Raises:
            ValueError: the params as they are cannot be trained with.
        """
        runs = [(technique, seed) for seed in range(seeds) for technique in (BASE, *techniques)]
        for number, (technique, seed) in enumerate(runs, start=1):
            if technique.name in self.errors:
                continue
            try:
                entry = self._run(technique, seed)
            except ValueError as error:
                if technique is BASE:
                    raise
                self.errors[technique.name] = str(error)
                report(f"{number} of {len(runs)}: {technique.name} failed: {error}")
                continue
            report(f"{number} of {len(runs)}: {entry['name']}: {_shown(entry)}{self._left(runs[number:])}")

    def difference(self, technique: Technique, seeds: int, metric: str) -> PairedDifference | None:
        """Return `technique` minus the params as they are, over the seeds that both have finished."""
        pairs = [
            (mine[f"validation_{metric}"], theirs[f"validation_{metric}"])
            for seed in range(seeds)
            if (mine := self._entry(technique, seed)["scores"])
            and (theirs := self._entry(BASE, seed)["scores"])
        ]
        return paired_difference(*zip(*pairs, strict=True)) if pairs else None

    def minutes(self, technique: Technique, seeds: int) -> float | None:
        """Return the minutes a run took, on average; None where DVC had all of them in its cache."""
        minutes = [
            entry["minutes"]
            for seed in range(seeds)
            if (entry := self._entry(technique, seed))["scores"] and entry["minutes"] is not None
        ]
        return fmean(minutes) if minutes else None

    def _run(self, technique: Technique, seed: int) -> Entry:
        changes = self._changes(technique, seed)
        entry = self._entry(technique, seed)
        if entry["scores"] is not None:
            return entry
        start, worked = time.monotonic(), True
        try:
            worked = self._worktree.run(entry["name"], changes)
            entry["scores"] = json.loads((self._worktree.checkout / FINETUNE_SUMMARY).read_text("utf-8"))
        finally:  # an interrupted run continues, and its minutes add up
            if worked:
                entry["minutes"] = (entry["minutes"] or 0.0) + (time.monotonic() - start) / 60
            self._entries[self._key(technique, seed)] = entry
            self._write()
        return entry

    def _entry(self, technique: Technique, seed: int) -> Entry:
        number = self._changes(technique, seed)["finetune.seed"]
        new = Entry(name=f"ablate-{technique.name}-seed-{number}", minutes=None, scores=None)
        return self._entries.get(self._key(technique, seed), new)

    def _key(self, technique: Technique, seed: int) -> str:
        run = (technique.name, seed)
        if run not in self._keys:  # kept, because it takes parsing params.yaml
            self._keys[run] = self._worktree.key(self._changes(technique, seed))
        return self._keys[run]

    def _changes(self, technique: Technique, seed: int) -> Mapping[str, Value]:
        # No two runs share a training (of several restarts), or intervals over runs would be too narrow.
        first = self._finetune.seed + seed * (1 + max(RESTARTS, self._finetune.restarts))
        seeds: dict[str, Value] = {"finetune.seed": first + ("finetune.restarts" in technique.changes)}
        if technique.changes.get("adapt.objective", self._adapt.objective) != "none":
            seeds["adapt.seed"] = self._adapt.seed + seed
        return {**technique.changes, **seeds}

    def _left(self, runs: Sequence[tuple[Technique, int]]) -> str:
        """Return the minutes left in words, if a run takes as long as those before."""
        done = [entry["minutes"] for entry in self._entries.values() if entry["minutes"] and entry["scores"]]
        left = sum(
            self._entry(technique, seed)["scores"] is None
            for technique, seed in runs
            if technique.name not in self.errors
        )
        return f"; about {left * fmean(done):.0f} minutes left" if left and done else ""

    def _write(self) -> None:
        write_json(self._path, self._entries)


def _shown(entry: Entry) -> str:
    assert entry["scores"] is not None
    scores = "  ".join(f"{metric} {entry['scores'][f'validation_{metric}']:.3f}" for metric in METRICS)
    return f"{scores}, " + ("cached" if entry["minutes"] is None else f"{entry['minutes']:.1f} minutes")
