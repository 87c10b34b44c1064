"""The two models of a comparison: which they are, and where their model, settings and hashes stand.

A model is the candidate, the champion, a registered version, a DVC experiment, or any model folder. Nobody
knows which data, settings and code made a folder.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from bertline.core.params_loading import PARAMS_FILE
from bertline.core.yaml_text import parse_yaml
from bertline.project.git import git
from bertline.project.layout import CANDIDATE, SCRATCH
from bertline.project.lock_file import LOCK_FILE, recorded_stages
from bertline.registry.registry import Registry, model_hashes
from bertline.registry.versions import CHAMPION, Version

CANDIDATE_NAME = "candidate"
_VERSION = re.compile(r"v\d+\.\d+\.\d+")
_RAN_NOTHING = "refs/exps/exec/"  # where DVC keeps what it works on


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two models; `commit` has its dvc.lock, or for the candidate the checkout."""

    root: Path
    name: str  # as the user calls it
    kind: Literal["candidate", "version", "experiment", "folder"]
    commit: str | None = None
    version: Version | None = None
    is_champion: bool = False

    @property
    def title(self) -> str:
        """The name as a sentence has it."""
        return {
            "candidate": "the candidate",
            "version": f"the {CHAMPION} {self.name}" if self.is_champion else self.name,
            "experiment": f"the experiment {self.name}",
            "folder": f"the model in {self.name}",
        }[self.kind]

    @property
    def subject(self) -> str:
        """The name at the beginning of a sentence."""
        return self.title[0].upper() + self.title[1:] if self.title.startswith("the ") else self.title

    def stages(self) -> Mapping[str, Any]:
        """Return the stages of its dvc.lock, by name; nobody may change them. None are known of a folder."""
        if self.kind == "candidate":
            return recorded_stages(self.root)
        text = git(self.root, "show", f"{self.commit}:{LOCK_FILE}", check=False) if self.commit else ""
        lock = parse_yaml(text)
        stages: Mapping[str, Any] = lock["stages"] if isinstance(lock, dict) else {}
        return stages

    def params(self) -> Mapping[str, Any]:
        """Return the settings of its stages, by section, as dvc.lock has them: params.yaml may be edited."""
        recorded = (stage.get("params", {}).get(PARAMS_FILE.name, {}) for stage in self.stages().values())
        return {section: settings for each in recorded for section, settings in each.items()}

    def output(self, path: str) -> str | None:
        """Return DVC's hash of the output `path`, or of the folder that has it; None if it is not known."""
        outs = [out for stage in self.stages().values() for out in stage.get("outs", ())]
        return next((str(out["md5"]) for out in outs if Path(path).is_relative_to(out["path"])), None)

    @property
    def model(self) -> tuple[str, ...] | None:
        """DVC's hashes that identify the model; None of a folder."""
        return model_hashes(self.stages())

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a folder with the model, during the block: fetching another version may remove it.

        Raises:
            ValueError: it can neither be found nor fetched.
        """
        if self.version:
            yield Registry(self.root).fetch(self.version)
        elif self.commit:
            from bertline.registry.storage import download_commit

            (self.root / SCRATCH).mkdir(exist_ok=True)
            with TemporaryDirectory(dir=self.root / SCRATCH) as scratch:
                model = Path(scratch, "model")
                download_commit(self.root, self.commit, CANDIDATE, model)
                yield model
        else:
            yield self.root / (CANDIDATE if self.kind == "candidate" else self.name)


def find_sides(root: Path, a: str | None, b: str | None) -> tuple[Side, Side]:
    """Return the models called `a`, by default today's champion, and `b`, by default the candidate.

    Raises:
        ValueError: there is no such model, or both are the same; the message has the next command.
    """
    registry = Registry(root)
    sides = find_side(registry, a or CHAMPION), find_side(registry, b or CANDIDATE_NAME)
    first, second = sides
    same_folder = first.kind == second.kind == "folder" and Path(first.name).samefile(second.name)
    if same_folder or (first.model and first.model == second.model):
        raise ValueError(
            f"{first.title} and {second.title} are the same model, so there is nothing to compare; "
            "name two others, see: bertline history"
        )
    return sides


def find_side(registry: Registry, name: str) -> Side:
    """Return the model that is called `name`: champion, candidate, a version, an experiment or a folder.

    Raises:
        ValueError: there is none; the message has the next command.
    """
    root = registry.root
    if name == CHAMPION:
        champion = registry.champion()
        if champion is None:
            raise ValueError(
                f"there is no {CHAMPION} yet to compare with{registry.fetch_tags_hint}; run: make run, "
                "or name two models, such as: bertline compare models/candidate FOLDER"
            )
        return of_version(registry, champion)
    if name == CANDIDATE_NAME or _is_candidate(root, name):
        if registry.candidate() is None:
            raise ValueError("there is no candidate yet; run: make run, or name two models")
        side = Side(root=root, name=CANDIDATE_NAME, kind="candidate")
        if stale := _not_run(side.stages()):
            raise ValueError(
                f"the last run did not come to its end (stale: {', '.join(stale)}); run: dvc repro"
            )
        return side
    if _VERSION.fullmatch(name):
        return of_version(registry, registry.find(name))
    if commits := _experiments(root, name):
        if len(commits) > 1:
            raise ValueError(
                f"{len(commits)} experiments are called {name!r}; rename one, see: dvc exp list --all"
            )
        return Side(root=root, name=name, kind="experiment", commit=commits[0])
    if (root / name).is_dir():
        return Side(root=root, name=name, kind="folder")
    raise ValueError(
        f"{name!r} is no version, experiment or model folder; "
        "see: bertline history, dvc exp list --all, ls models"
    )


def of_version(registry: Registry, version: Version) -> Side:
    """Return the registered `version` as one of the two models."""
    return Side(
        root=registry.root,
        name=version.name,
        kind="version",
        commit=version.commit,
        version=version,
        is_champion=version == registry.champion(),
    )


def _is_candidate(root: Path, name: str) -> bool:
    return (root / name).resolve() == (root / CANDIDATE).resolve()


def _not_run(stages: Mapping[str, Any]) -> list[str]:
    """Return those of the stages that have not run since another stage made what they depend on."""
    made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", ())}
    return [
        name
        for name, stage in stages.items()
        if any(made.get(dep["path"], dep["md5"]) != dep["md5"] for dep in stage.get("deps", ()))
    ]


def _experiments(root: Path, name: str) -> list[str]:
    """Return the commits of the experiments that are called `name`."""
    lines = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    refs = [line.split(" ") for line in lines if not line.startswith(_RAN_NOTHING)]
    return sorted({commit for ref, commit in refs if ref.rsplit("/", 1)[-1] == name})
