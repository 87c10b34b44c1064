import pyarrow as pa

from bertline.comparison.changes import _param_changes, row_changes
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids


def rows(**labels: str) -> pa.Table:
    """Rows of these texts with these labels; the first letter of a text is its delivery."""
    return add_ids(make_rows([*labels], [*labels.values()], batch=pa.array([text[0] for text in labels])))


def test_rows_are_added_removed_or_relabelled_by_class_and_delivery() -> None:
    before = rows(a1="ham", a2="ham", a3="spam")
    after = rows(a1="ham", a2="spam", b1="ham", b2="spam")
    found = row_changes(before, after)
    assert (found["added"], found["removed"], found["relabelled"]) == (2, 1, 1)
    assert found["classes"]["lines"] == [
        {"name": "spam", "added": 1, "removed": 1, "relabelled_from": 0, "relabelled_to": 1},
        {"name": "ham", "added": 1, "removed": 0, "relabelled_from": 1, "relabelled_to": 0},
    ]
    assert found["deliveries"]["lines"] == [
        {"name": "a", "added": 0, "removed": 1, "relabelled": 1},
        {"name": "b", "added": 2, "removed": 0, "relabelled": 0},
    ]


def test_each_of_several_labels_of_a_row_counts() -> None:
    found = row_changes(rows(a1="ham"), rows(a1="ham", a2="ham\x1fspam"))
    assert [(line["name"], line["added"]) for line in found["classes"]["lines"]] == [("ham", 1), ("spam", 1)]


def test_the_same_rows_have_no_changes() -> None:
    found = row_changes(rows(a1="ham", a2="spam"), rows(a2="spam", a1="ham"))
    assert (found["added"], found["removed"], found["relabelled"], found["classes"]["lines"]) == (0, 0, 0, [])


def test_a_setting_that_is_new_gone_or_other_is_listed_by_its_name() -> None:
    before = {"finetune": {"epochs": 3, "old": None}, "split": {"seed": 1}}
    after = {"finetune": {"epochs": 4, "ema": False}, "split": {"seed": 1}}
    assert [tuple(each.values()) for each in _param_changes(before, after)] == [
        ("finetune.ema", "(not there)", "false"),
        ("finetune.epochs", "3", "4"),
        ("finetune.old", "null", "(not there)"),
    ]
