import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bertline.corpus.duplicates import drop_duplicates, labels_per_text
from bertline.corpus.rows import content_key


def table(*pairs):
    texts, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())})


def pairs_of(rows):
    return list(zip(rows["text"].to_pylist(), rows["label"].to_pylist(), strict=True))


def test_the_first_of_several_duplicates_is_kept_in_place():
    rows = table(("b", "x"), ("A", "x"), ("a ", "x"), ("c", "x"), ("B", "x"))
    assert pairs_of(drop_duplicates(rows)) == [("b", "x"), ("A", "x"), ("c", "x")]


def test_the_same_text_with_another_label_is_no_duplicate():
    rows = table(("a", "x"), ("a", "y"))
    assert drop_duplicates(rows).equals(rows)


def test_null_and_blank_rows_are_never_duplicates():
    rows = table(
        (None, "x"), (None, "x"), ("a", None), ("a", None), (" ", "x"), (" ", "x"), ("a", ""), ("a", "")
    )
    assert drop_duplicates(rows).equals(rows)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "A", "b ", "b", "c", "", None]), st.sampled_from(["x", "y", None]))
    )
)
def test_duplicates_are_what_a_plain_loop_finds(pairs):
    seen, expected = set(), []
    for text, label in pairs:
        key = (content_key(text or ""), label)
        if key[0] == "" or label is None or key not in seen:
            expected.append((text, label))
        seen.add(key)
    assert pairs_of(drop_duplicates(table(*pairs))) == expected


def test_labels_per_text_counts_the_labels_of_one_content():
    rows = table(("a", "x"), ("b", "x"), ("A ", "y"), ("b", "x"))
    assert labels_per_text(rows).to_pylist() == [2, 1, 2, 1]


def test_null_blank_and_unknown_labels_do_not_contradict_a_sound_one():
    rows = table(("a", "x"), ("a", None), ("a", " "), ("a", "typo"))
    assert labels_per_text(rows, ["x", "y"]).to_pylist() == [1, 1, 1, 1]
    assert labels_per_text(rows).to_pylist() == [2, 2, 2, 2]
