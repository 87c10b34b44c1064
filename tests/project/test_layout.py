from pathlib import Path

from ruamel.yaml import YAML

from bertline.project.layout import CANDIDATE, OUTPUTS, PACKAGED
from tests.support.tiny import PROJECT

MAP = YAML(typ="safe").load(PROJECT / "dvc.yaml")


def test_every_path_read_outside_its_stage_is_an_output_of_that_stage_in_the_map() -> None:
    outs = {stage: fields["outs"] for stage, fields in MAP["stages"].items()}
    wrong = {
        path: stage
        for path, stage in OUTPUTS.items()
        if not any(path.is_relative_to(out) for out in outs[stage])
    }
    assert wrong == {}


def test_the_candidate_is_the_artifact_in_the_map() -> None:
    assert [Path(artifact["path"]) for artifact in MAP["artifacts"].values()] == [CANDIDATE]


def test_what_the_candidate_is_put_together_from_are_the_models_that_package_reads() -> None:
    deps = MAP["stages"]["package"]["deps"]
    assert sorted(dep for dep in deps if dep.startswith("models/")) == sorted(map(str, PACKAGED))
