"""Exact duplicates and contradicting labels, by `content_key`.

Guarantees that the first of several equal rows is kept and the order does not change. Does not find
near-duplicates: two texts that differ in one character are two texts.
"""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from bertline.corpus.rows import content_keys


def drop_duplicates(columns: pa.Table) -> pa.Table:
    """Return the rows of `columns` without those whose content and label came before, in the same order.

    A row whose text or label is null or blank equals no other: a broken batch must reach `validate` at
    its full size, not as one row.
    """
    keys = content_keys(columns["text"])
    position = pa.array(range(len(columns)), pa.int64())
    # A group of its own for each row that says nothing; -1 for all others.
    lone = pc.if_else(pc.or_(_blank(keys), _blank(content_keys(columns["label"]))), position, -1)
    table = pa.table({"key": keys, "label": columns["label"], "lone": lone, "position": position})
    first = table.group_by(["key", "label", "lone"]).aggregate([("position", "min")])["position_min"]
    return columns.take(first.take(pc.sort_indices(first)))


def labels_per_text(rows: pa.Table, labels: Collection[str] | None = None) -> pa.Array:
    """Return for each row how many labels its content has in `rows`, [rows] integers; more than 1 contradict.

    Only sound labels count: not null, not blank and, if `labels` is given, one of these. A misspelt label
    must not condemn the well-labelled row of the same text.
    """
    keys, label = content_keys(rows["text"]), rows["label"].combine_chunks()
    sound = pc.invert(_blank(content_keys(rows["label"])))
    if labels is not None:
        sound = pc.and_(sound, pc.is_in(label, pa.array(sorted(labels), pa.string())))
    table = pa.table({"key": keys, "label": pc.if_else(sound, label, None)})
    counts = table.group_by("key").aggregate([("label", "count_distinct")])  # nulls are not counted
    group = pc.index_in(keys, counts["key"].combine_chunks())
    return counts["label_count_distinct"].combine_chunks().take(group)


def _blank(keys: pa.Array) -> pa.Array:
    return pc.equal(keys.fill_null(""), "")
