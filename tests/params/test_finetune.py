"""Settings of the fine-tuning that cannot be combined are refused, whatever the encoder."""

import pytest

from tests.support.params import section


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layers": 4, "frozen_layers": 5}, "frozen_layers is 5; allowed: null, or 0 to layers (4)"),
        ({"layers": 4, "frozen_layers": 3, "reinit_layers": 2}, "frozen_layers is 3; allowed: null, or 0 to"),
        ({"layers": 4, "reinit_layers": 5}, "reinit_layers is 5; allowed: 0 to layers (4)"),
        ({"layers": 4, "frozen_layers": 4, "lora_rank": 8}, "lora_rank is 8; allowed: null where all layers"),
        ({"lora_rank": 8, "reinit_layers": 1}, "lora_rank is 8; allowed: null with reinit_layers"),
        (
            {"cache_activations": True},
            "cache_activations is True; allowed: false where frozen_layers is null",
        ),
        ({"unfreeze_epochs": 3, "epochs": 3}, "unfreeze_epochs is 3; allowed: 0 to under epochs (3)"),
        ({"unfreeze_epochs": 2, "patience": 2}, "patience is 2; allowed: null, or over unfreeze_epochs (2)"),
        ({"patience": 3, "epochs": 3}, "patience is 3; allowed: null, or 1 to under epochs (3)"),
        ({"unfreeze_epochs": -1}, "unfreeze_epochs is -1; allowed: >= 0"),
    ],
)
def test_settings_that_cannot_be_combined_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  the text follows
        section("finetune", **changes)
    assert str(error.value).startswith(says)


def test_a_linear_probe_may_freeze_every_layer_that_is_kept() -> None:
    assert section("finetune", layers=4, frozen_layers=4).frozen_layers == 4
