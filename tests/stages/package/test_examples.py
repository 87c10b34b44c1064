from pathlib import Path

import numpy as np
import pytest

from bertline.metrics.predictions import Predictions, write_predictions
from bertline.rows.io import write_rows
from bertline.rows.labels import LABEL_SEPARATOR, MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import ROW_SCHEMA, make_rows
from bertline.stages.package import examples
from bertline.stages.package.examples import CHARACTERS, typical_texts

CLASSES = ("ham", "spam")
ROWS = [  # text, label, probability of spam
    ("hello", "ham", 0.3),
    ("hi there", "ham", 0.1),
    ("the weather", OUT_OF_SCOPE, 0.5),
    ("this is wrongly labelled", "ham", 0.9),
    ("buy now", "spam", 0.8),
    ("buy now", "spam", 0.7),
    ("x" * 500, "spam", 0.99),
    ("free", "spam", 0.6),
]


def write(
    folder: Path, rows: list[tuple[str, str, float]], space: LabelSpace = SINGLE_LABEL, pair: object = None
) -> None:
    texts, labels, _ = zip(*rows, strict=True)
    ids = [f"{place:03}" for place in range(len(rows))]
    table = make_rows(texts, labels, text_pair=pair)
    for name in ("content_id", "id"):
        table = table.add_column(0, name, [ids])
    write_rows(table.select(ROW_SCHEMA.names).cast(ROW_SCHEMA), folder / "train.parquet", space=space)
    inside = [
        (each, label, spam) for each, (_, label, spam) in zip(ids, rows, strict=True) if label != OUT_OF_SCOPE
    ]
    spam = np.array([each for _, _, each in inside], np.float32)
    predictions = Predictions(
        ids=[each for each, _, _ in inside],
        classes=CLASSES,
        expected=space.with_classes(CLASSES).encode([label for _, label, _ in inside]),
        probabilities=np.stack([1 - spam, spam], axis=1),
    )
    write_predictions(predictions, folder / "out_of_fold/train.parquet")


def texts_of(folder: Path, count: int = 2) -> dict[str, list[str]]:
    return dict(typical_texts(folder / "train.parquet", folder / "out_of_fold", CLASSES, count))


def test_the_texts_are_those_whose_label_is_most_probable_each_once(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    assert texts_of(tmp_path) == {"ham": ["hi there", "hello"], "spam": ["buy now", "free"]}


def test_a_long_text_comes_last_and_is_cut(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    last = texts_of(tmp_path, 3)["spam"][-1]
    assert (last[:10], len(last)) == ("x" * 10, CHARACTERS)


def test_no_examples_are_asked_for_and_nothing_is_read(tmp_path: Path) -> None:
    assert texts_of(tmp_path, 0) == {"ham": [], "spam": []}


def test_a_row_with_two_labels_is_an_example_of_both(tmp_path: Path) -> None:
    both = LABEL_SEPARATOR.join(CLASSES)
    write(tmp_path, [("both", both, 0.5), ("none", "", 0.5), ("one", "spam", 0.9)], MULTI_LABEL)
    assert texts_of(tmp_path) == {"ham": ["both"], "spam": ["one", "both"]}


def test_both_texts_of_a_pair_are_shown(tmp_path: Path) -> None:
    write(tmp_path, [("first", "spam", 0.5)], pair=["second"])
    assert texts_of(tmp_path)["spam"] == ["first / second"]


def test_rows_in_several_chunks_give_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ROWS)
    whole = texts_of(tmp_path)
    monkeypatch.setattr(examples, "CHUNK", 3)
    assert texts_of(tmp_path) == whole


def test_predictions_of_other_rows_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    (tmp_path / "train.parquet").rename(tmp_path / "kept")
    write(tmp_path / "other", [("a", "ham", 0.1), *ROWS])
    (tmp_path / "other/train.parquet").rename(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="run: dvc repro --force baseline"):
        texts_of(tmp_path)
