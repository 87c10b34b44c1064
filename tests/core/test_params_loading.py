import re
from pathlib import Path

import pytest

from bertline.core.params_loading import load_params
from bertline.params.checking import check_params
from bertline.params.finetune import Params as FinetuneParams
from tests.support.params import SHIPPED_PARAMS

PARAMS = SHIPPED_PARAMS.read_text()


def edited(folder: Path, old: str, new: str) -> Path:
    assert old in PARAMS
    path = folder / "params.yaml"
    path.write_text(new.join(PARAMS.rsplit(old, 1)))  # in the last section that has it
    return path


def test_a_section_becomes_a_frozen_typed_object(tmp_path: Path) -> None:
    params = load_params(FinetuneParams, edited(tmp_path, "learning_rate: auto", "learning_rate: 3e-5"))
    assert params.learning_rate == 3e-5
    with pytest.raises(AttributeError):
        params.seed = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  epochs:", "  epoch:", "unknown key finetune.epoch; allowed: seed, epochs,"),
        ("  epochs: auto", "  # epochs: auto", "finetune.epochs is missing"),
        ("epochs: 3", "epochs: auto", "adapt.epochs is 'auto'; allowed: a valid integer"),
        ("epochs: auto", "epochs: 3.5", "finetune.epochs is 3.5; allowed: a valid integer or 'auto'"),
        ("epochs: auto", "epochs: all", "finetune.epochs is 'all'; allowed: a valid integer or 'auto'"),
        ("epochs: auto", "epochs: 0", "finetune.epochs is 0; allowed: >= 1"),
        ("rate: auto", "rate: fast", "finetune.learning_rate is 'fast'; allowed: a valid number or 'auto'"),
        (
            "max_grad_norm: 1.0",
            "max_grad_norm: true",
            "finetune.max_grad_norm is True; allowed: a valid number",
        ),
        ("learning_rate: auto", "learning_rate: .nan", "finetune.learning_rate is"),
        ("select_by: macro_f1", "select_by: f2", "allowed: 'macro_f1', 'accuracy' or 'loss'"),
        ("\nfinetune:", "\nfinetuning:", "unknown section 'finetuning'; allowed: adapt, baseline,"),
        ("promote:", "promote: yes\nx:", "unknown section 'x'"),
        ("labels: null", "labels: [a, a]", "validate.labels is ['a', 'a']; allowed: null, or at least two"),
        ("labels: null", "labels: [a, 3]", "validate.labels.1 is 3; allowed: a valid string"),
        ("test: 0.15", "test: 0.95", "split.test is 0.95; allowed: < 0.9, so that rows are left to train on"),
        ("encoding: null", "encoding: utf-9", "ingest.encoding is 'utf-9'; allowed: null, or a codec"),
        ("  seed: 1", " seed: 1", "is not valid YAML"),
        (
            "micro_batch: null",
            "micro_batch: 33",
            "finetune.micro_batch is 33; allowed: null, or 1 to batch_size (32)",
        ),
        ("patience: null", "patience: 0", "finetune.patience is 0; allowed: null, or >= 1"),
        (
            "parallelism: ddp",
            "parallelism: fsdp",
            "finetune.parallelism is 'fsdp'; allowed: ddp where processes is 1",
        ),
        ("fresh: false", "fresh: true", "adapt.fresh is True; allowed: false where objective is none"),
        ("restarts: 1", "restarts: 4294967296", "so many that seeds stay under 2**32"),
        ("temperature: 2.0", "temperature: .inf", "finetune.temperature is inf; allowed: 0 < temperature <="),
    ],
)
def test_a_wrong_value_names_the_field_the_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml") as error:
        check_params(edited(tmp_path, old, new))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("new", "old", "says"),
    [
        ("  C: 10.0", "  regularization: 3.0", "baseline.regularization is called C now; write: C: 3.0"),
        (
            "  ema_decay: null",
            "  averaging: 0.9",
            "finetune.averaging is called ema_decay now; write: ema_decay: 0.9",
        ),
        (
            "  ema_decay: null",
            "  averaging:",
            "finetune.averaging is called ema_decay now; write: ema_decay: null",
        ),
        (
            "  mlm_probability: 0.15",
            "  masked: 0.2",
            "adapt.masked is called mlm_probability now; write: mlm_probability: 0.2",
        ),
        (
            "  parallelism: ddp",
            "  sharding: shard",
            "finetune.sharding is called parallelism now; write: parallelism: fsdp",
        ),
        (
            "  parallelism: ddp",
            "  parallelism: replicate",
            "finetune.parallelism: replicate is called ddp now; write: parallelism: ddp",
        ),
        (
            "  parallelism: ddp",
            "  parallelism: none",
            "finetune.parallelism is 'none'; allowed: 'ddp' or 'fsdp'",
        ),
    ],
)
def test_a_key_of_an_earlier_version_is_answered_with_its_new_name(
    tmp_path: Path, new: str, old: str, says: str
) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml") as error:
        check_params(edited(tmp_path, new, old))
    assert str(error.value).endswith(f"params.yaml: {says}")


@pytest.mark.parametrize("key", ["true", "1.50", "null", "2026-01-01", "0"])
def test_a_key_that_yaml_does_not_read_as_text_is_an_error(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml: ingest: label_map has the key .*put it in quotes"):
        check_params(edited(tmp_path, "label_map: {}", f"label_map: {{{key}: ham}}"))
    check_params(edited(tmp_path, "label_map: {}", f'label_map: {{"{key}": ham}}'))


def test_a_file_in_another_encoding_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.encode() + b"# caf\xe9\n")
    with pytest.raises(ValueError, match=r"params\.yaml is not UTF-8: "):
        check_params(path)


@pytest.mark.parametrize("key", ["source", "validation_source", "test_source"])
def test_an_address_in_ingest_is_refused_and_its_password_not_repeated(tmp_path: Path, key: str) -> None:
    section = PARAMS[PARAMS.index("\ningest:") :]
    (old,) = re.findall(rf"\n  {key}: \S+", section)[:1]
    new = section.replace(old, f"\n  {key}: postgresql://reader:SEKRET@host/db", 1)
    with pytest.raises(
        ValueError, match=rf"params\.yaml: ingest\.{key} is an address; .*fetch\.source"
    ) as error:
        check_params(edited(tmp_path, section, new))
    assert "SEKRET" not in str(error.value)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run from the folder that holds"):
        check_params(tmp_path / "params.yaml")
