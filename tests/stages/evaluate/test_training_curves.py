from pathlib import Path

import pytest

from bertline.stages.evaluate.training_curves import read_curves, read_temperature

FILES = {
    "steps.csv": "step,loss,learning_rate\n1,1.5,0.1\n2,0.5,0.0\n",
    "epochs.csv": (
        "epoch,train_loss,validation_loss,validation_accuracy,validation_macro_f1\n1,1.0,0.8,0.9,0.85\n"
    ),
    "summary.json": '{"best_epoch": 1}',
}


def _write(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_it_reads_what_finetune_leaves(tmp_path: Path):
    curves = read_curves(_write(tmp_path))
    assert curves.steps.tolist() == [1, 2]
    assert curves.loss.tolist() == [1.5, 0.5]
    assert curves.epochs[0]["validation_macro_f1"] == 0.85
    assert curves.summary == {"best_epoch": 1}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_broken_file_names_the_next_command(tmp_path: Path, name: str):
    _write(tmp_path)
    (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="run `dvc repro finetune`"):
        read_curves(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="run `dvc repro finetune`"):
        read_curves(tmp_path)


def test_it_reads_what_the_logits_have_been_divided_by(tmp_path: Path):
    for record, expected in (("1.5", [1.5, 1.5]), ('{"a": 2.0, "b": 0.5}', [2.0, 0.5])):
        (tmp_path / "calibration.json").write_text(f'{{"temperature": {record}}}', encoding="utf-8")
        assert read_temperature(tmp_path, ("a", "b")).values_C.tolist() == expected


@pytest.mark.parametrize("text", ["", "{}", '{"temperature": {"other": 1.0}}', None])
def test_a_calibration_that_is_missing_or_of_other_classes_names_the_next_command(
    tmp_path: Path, text: str | None
):
    if text is not None:
        (tmp_path / "calibration.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="run `dvc repro finetune`"):
        read_temperature(tmp_path, ("a", "b"))
