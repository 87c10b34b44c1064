"""Changing single values of a params.yaml."""

import pytest
from ruamel.yaml import YAML

from bertline.tuning.yaml_edit import Value, edit, spell
from tests.support.params import SHIPPED_PARAMS

TEXT = """\
# Knobs
adapt: {objective: none, mlm_probability: 0.15}   # inline
finetune:
  learning_rate: 2.0e-4        # MiniLM wants more
  patience:                    # left out means null
  layers: ~
  labels: ['ham', "spam"]
"""


def test_only_the_value_changes_and_its_comment_stays_in_its_column() -> None:
    changes: dict[str, Value] = {
        "finetune.patience": 2,
        "finetune.learning_rate": 1e-5,
        "adapt.objective": "mlm_nsp",
        "finetune.layers": 4,
    }
    assert (
        edit(TEXT, changes)
        == """\
# Knobs
adapt: {objective: mlm_nsp, mlm_probability: 0.15}   # inline
finetune:
  learning_rate: 1.0e-05       # MiniLM wants more
  patience: 2                  # left out means null
  layers: 4
  labels: ['ham', "spam"]
"""
    )


@pytest.mark.parametrize(
    "value", [None, True, 3, 0.5, 1e-05, 1e16, "mlm", "no", "1", "a b", 'say "x"', "", "é"]
)
def test_a_spelled_value_is_read_back_as_it_was(value: Value) -> None:
    read = YAML(typ="safe").load(edit(TEXT, {"finetune.learning_rate": value}))
    assert read["finetune"]["learning_rate"] == value
    assert type(read["finetune"]["learning_rate"]) is type(value)
    assert YAML(typ="safe").load(f"x: {spell(value)}") == {"x": value}


def test_every_single_value_of_our_own_params_can_be_set() -> None:
    text = SHIPPED_PARAMS.read_text(encoding="utf-8")
    document = YAML(typ="safe").load(text)
    single = {
        section: {key: f"new {key}" for key, value in keys.items() if not isinstance(value, list | dict)}
        for section, keys in document.items()
    }
    changes = {f"{section}.{key}": value for section, keys in single.items() for key, value in keys.items()}
    changed = YAML(typ="safe").load(edit(text, changes))
    assert len(changes) > 90
    assert changed == {section: keys | single[section] for section, keys in document.items()}


@pytest.mark.parametrize("name", ["finetune.epoch", "finetun.epochs", "finetune.learning_rate.x"])
def test_a_name_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"there is no {name} to set"):
        edit(TEXT, {name: 1})
