from pathlib import Path

import pytest

from bertline.comparison.compared_rows import ComparedRows
from bertline.comparison.fairness import Reading, cautions, has_same_split
from bertline.comparison.sides import Side
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL, LabelSpace
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids

SIDES = (
    Side(root=Path(), name="models/other", kind="folder"),
    Side(root=Path(), name="candidate", kind="candidate"),
)


def said(*labels: str, knows: tuple[str, ...] = ("ham", "spam"), pairs: bool = False, **more: object) -> str:
    """Return what is said of a folder that knows these labels, and of a candidate that fits the rows."""
    multi_label = any("\x1f" in label for label in labels)
    rows = add_ids(make_rows([f"text {i}" for i in range(len(labels))], [*labels], **more))
    space = MULTI_LABEL if multi_label else SINGLE_LABEL
    compared = ComparedRows(rows=rows, space=space, out_of_scope=0)
    fits = LabelSpace(("eggs", "ham", "spam"), multi_label)
    readings = (
        Reading(space=LabelSpace(knows, multi_label), pairs=pairs, exported=True),
        Reading(space=fits, pairs=compared.pairs, exported=True),
    )
    return "\n".join(cautions(SIDES, readings, compared))


def test_of_a_folder_nobody_knows_the_training_rows() -> None:
    assert said("ham") == "The model in models/other may have seen some of these rows: " + (
        "nobody knows which it was trained on."
    )


@pytest.mark.parametrize(
    ("labels", "rows"), [(("ham", "eggs", "eggs"), 2), (("ham\x1feggs", "spam", "eggs", ""), 2)]
)
def test_labels_that_a_model_does_not_know_are_named_with_their_rows(
    labels: tuple[str, ...], rows: int
) -> None:
    assert f"does not know the labels of {rows} rows (eggs), so these count against it" in said(*labels)


def test_a_model_of_pairs_and_single_texts_do_not_fit() -> None:
    assert "was trained on sentence pairs, and these rows are single texts" in said("ham", pairs=True)
    assert "was trained on single texts, and these rows are sentence pairs" in said("ham", text_pair="b")
    assert "pairs" not in said("ham", pairs=True, text_pair="b")


def test_the_split_is_the_same_where_the_settings_that_choose_test_rows_are() -> None:
    settings = {"split": {"seed": 1}, "ingest": {"test_source": None, "encoding": "utf-8"}}
    assert has_same_split(settings, settings | {"ingest": {"test_source": None}})
    assert not has_same_split(settings, settings | {"ingest": {"test_source": "new.csv"}})
    assert has_same_split(settings, settings | {"split": {"seed": 1, "group_column": None}})
    assert not has_same_split(settings, settings | {"split": {"seed": 2}})
