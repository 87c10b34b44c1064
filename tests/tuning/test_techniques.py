"""Which techniques are offered."""

from dataclasses import replace
from typing import Any

import pytest
from ruamel.yaml import YAML

from bertline.params.finetune import Resolved
from bertline.tuning.techniques import Technique, find_techniques
from tests.support.params import section
from tests.support.tiny import PROJECT

FINETUNE = Resolved(**vars(section("finetune", epochs=3, learning_rate=2e-4)))
ADAPT = section("adapt")
PRESET = YAML(typ="safe").load(PROJECT / "presets/small-data.yaml")["finetune"]
SMALL_DATA = Resolved(**vars(section("finetune", **PRESET)))


def settings(technique: Technique, of: str) -> dict[str, Any]:
    return {key.split(".")[1]: value for key, value in technique.changes.items() if key.startswith(f"{of}.")}


@pytest.mark.parametrize("finetune", [FINETUNE, SMALL_DATA], ids=["defaults", "small-data"])
@pytest.mark.parametrize("layers", [1, 2, 6, 12])
def test_every_technique_offered_can_be_combined_and_changes_something(finetune: Any, layers: int) -> None:
    for technique in find_techniques(finetune, ADAPT, layers).possible:
        changed = replace(finetune, **{"layers": layers} | settings(technique, "finetune"))
        assert (changed, replace(ADAPT, **settings(technique, "adapt"))) != (
            replace(finetune, layers=layers),
            ADAPT,
        )


def test_what_the_settings_exclude_is_not_offered_and_the_reason_is_named() -> None:
    found = find_techniques(SMALL_DATA, ADAPT, 6)
    assert found.impossible == {
        "unfreezing": "finetune.patience is 3; allowed: null, or over unfreeze_epochs (9)",
        "lora-8": "finetune.lora_rank is 8; allowed: null with reinit_layers",
    }
    with pytest.raises(ValueError, match=r"lora-8 cannot be combined with params\.yaml: finetune\.lora_rank"):
        found.choose(["cosine", "lora-8"])


def test_layers_that_the_encoder_lacks_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match=r"finetune\.frozen_layers is 8; .* with this encoder of 6 layers"):
        find_techniques(replace(FINETUNE, frozen_layers=8), ADAPT, 6)


def test_what_the_settings_use_already_is_not_offered() -> None:
    names = {technique.name for technique in find_techniques(FINETUNE, ADAPT, 6).possible}
    used = replace(FINETUNE, schedule="cosine", batch_size=16, label_smoothing=0.1)
    assert {"cosine", "batch-16", "label-smoothing-0.1", "mlm"} <= names
    left = find_techniques(used, replace(ADAPT, objective="mlm"), 6)
    assert names - {technique.name for technique in left.possible} == {
        "cosine",
        "batch-16",
        "label-smoothing-0.1",
        "mlm",
    }
    assert left.impossible == {}


def test_depths_follow_the_encoder_and_what_is_kept_of_it() -> None:
    def changes(layers: int | None, encoder_layers: int) -> dict[str, object]:
        found = find_techniques(replace(FINETUNE, layers=layers), ADAPT, encoder_layers)
        return {
            key: value
            for technique in found.possible
            for key, value in technique.changes.items()
            if technique.name != "frozen-embeddings"
        }

    assert changes(None, 12)["finetune.frozen_layers"] == 6
    assert changes(None, 12)["finetune.layers"] == 8
    assert changes(6, 12)["finetune.frozen_layers"] == 3


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    found = find_techniques(FINETUNE, ADAPT, 6)
    assert [technique.name for technique in found.choose(["mlm", "cosine", "mlm"])] == ["mlm", "cosine"]
    with pytest.raises(ValueError, match=r"no technique is called 'cosin'.*; choose from .*cosine"):
        found.choose(["cosin"])
