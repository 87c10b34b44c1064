"""The list of tips."""

from dataclasses import replace

import pytest
from tiny import PROJECT

from bertline.params.adapt import Params as Adapt
from bertline.params.finetune import Params as Finetune
from bertline.params.loading import load_params
from bertline.tuning.tips import all_tips, choose

FINETUNE = load_params(Finetune, PROJECT / "params.yaml")
ADAPT = load_params(Adapt, PROJECT / "params.yaml")


@pytest.mark.parametrize("depth", [1, 2, 6, 12])
def test_every_tip_is_possible_and_changes_something(depth: int) -> None:
    for tip in all_tips(FINETUNE, ADAPT, depth):
        assert tip.changes
        for name, value in tip.changes.items():
            section, key = name.split(".")
            params = {"finetune": FINETUNE, "adapt": ADAPT}[section]
            replace(params, **{key: value} | ({"frozen_layers": 0} if key == "cache_activations" else {}))
        assert any(
            getattr({"finetune": FINETUNE, "adapt": ADAPT}[name.split(".")[0]], name.split(".")[1]) != value
            for name, value in tip.changes.items()
        )


def test_what_is_followed_already_is_no_tip() -> None:
    names = {tip.name for tip in all_tips(FINETUNE, ADAPT, 6)}
    followed = replace(FINETUNE, schedule="cosine", batch_size=16, lora_rank=8)
    assert {"cosine", "batch-16", "lora-8", "mlm"} <= names
    left = {tip.name for tip in all_tips(followed, replace(ADAPT, objective="mlm"), 6)}
    assert names - left == {"cosine", "batch-16", "lora-8", "mlm"}


def test_depths_follow_the_encoder_and_what_is_kept_of_it() -> None:
    def changes(layers: int | None, depth: int) -> dict[str, object]:
        tips = all_tips(replace(FINETUNE, layers=layers), ADAPT, depth)
        return {
            key: value
            for tip in tips
            for key, value in tip.changes.items()
            if tip.name != "frozen-embeddings"
        }

    assert changes(None, 12)["finetune.frozen_layers"] == 6
    assert changes(None, 12)["finetune.layers"] == 8
    assert changes(6, 12)["finetune.frozen_layers"] == 3


def test_an_unknown_tip_is_refused_with_those_there_are() -> None:
    tips = all_tips(FINETUNE, ADAPT, 6)
    assert [tip.name for tip in choose(tips, ["mlm", "cosine", "mlm"])] == ["mlm", "cosine"]
    with pytest.raises(ValueError, match=r"no tip is called 'cosin'.*; choose from .*cosine"):
        choose(tips, ["cosin"])
