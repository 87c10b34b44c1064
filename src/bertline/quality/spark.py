"""The same row expectations on Spark, for data past one machine: Great Expectations' own Spark engine judges.

Guarantees the counts of broken rows that `judge` finds: the features come from the same function, chunk by
chunk on the workers, and the expectations are the same objects. Does not write anything, and judges neither
the batch nor the user's own expectations. Needs pyspark and Java, which bertline does not install.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from bertline.params.validate import Params
from bertline.quality.engine import judge_batch, spark_batches
from bertline.quality.features import FEATURES, Featurizer
from bertline.quality.suite import Suite
from bertline.quality.survey import sound_labels

_SQL = {pa.bool_(): "boolean", pa.int32(): "int", pa.float64(): "double"}
SPARK_FEATURES = ", ".join(f"{field.name} {_SQL[field.type]}" for field in FEATURES)


def count_broken(rows: Any, params: Params, suite: Suite, *, multi_label: bool = False) -> dict[str, int]:
    """Return how many of `rows`, a Spark data frame with the columns of `ROWS`, break each rule."""
    conflicts = pa.array(_contradicting(rows, params, multi_label=multi_label), pa.string())
    features = Featurizer(params, conflicts, multi_label)

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from features.compute(pa.Table.from_batches([batch])).to_batches()

    judged = rows.mapInArrow(compute, SPARK_FEATURES).cache()
    results = judge_batch(spark_batches(), judged, suite.features, result_format="SUMMARY")
    return {
        rule.name: int(result.result["unexpected_count"])
        for rule, result in zip(suite.features, results, strict=True)
    }


def _contradicting(rows: Any, params: Params, *, multi_label: bool) -> list[str]:
    """Do as `duplicates.contradicting`; the contradicting texts are few, and collected on the driver."""
    found = (row["label"] for row in rows.select("label").distinct().collect())
    labels = sound_labels(found, params, multi_label=multi_label)
    labelled = "label is not null" if multi_label else "label <> ''"  # a set of labels may be empty
    pairs = rows.select("content_id", "label").where(f"content_id is not null and {labelled}").distinct()
    if labels is not None:
        pairs = pairs.where(pairs["label"].isin(labels))
    several = pairs.groupBy("content_id").count().where("count > 1")
    return sorted(row["content_id"] for row in several.collect())
