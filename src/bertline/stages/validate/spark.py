"""Count on Spark the rows that break the built-in row expectations, for data too large for one machine.

    python -m bertline.stages.validate.spark data/ingested/rows.parquet

Great Expectations' own Spark engine judges. Guarantees the counts that `validate_rows` finds: the features
come from the same function, chunk by chunk on the workers, and the expectations are the same objects. Writes
nothing. Does not judge the batch, nor the user's own expectations. Needs pyspark and Java, which bertline
does not install.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from bertline.core.params_loading import load_params
from bertline.params.validate import Params
from bertline.rows.labels import MULTI_LABEL, SINGLE_LABEL, LabelSpace
from bertline.stages.validate.checks import Suite, build_suite
from bertline.stages.validate.features import FEATURES, Featurizer
from bertline.stages.validate.great_expectations import judge_batch, spark_batches
from bertline.stages.validate.row_checks import sound_labels

_SQL = {pa.bool_(): "boolean", pa.int32(): "int", pa.float64(): "double"}
SPARK_FEATURES = ", ".join(f"{field.name} {_SQL[field.type]}" for field in FEATURES)


def count_broken(rows: Any, params: Params, suite: Suite, space: LabelSpace = SINGLE_LABEL) -> dict[str, int]:
    """Return how many of `rows`, a Spark data frame with the columns of `ROW_SCHEMA`, break each rule."""
    conflicts = pa.array(_contradicting(rows, params, space), pa.string())
    features = Featurizer(params, conflicts, space)

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from features.compute(pa.Table.from_batches([batch])).to_batches()

    judged = rows.mapInArrow(compute, SPARK_FEATURES).cache()
    results = judge_batch(spark_batches(), judged, suite.features, result_format="SUMMARY")
    return {
        rule.name: int(result.result["unexpected_count"])
        for rule, result in zip(suite.features, results, strict=True)
    }


def _contradicting(rows: Any, params: Params, space: LabelSpace) -> list[str]:
    """Do as `duplicates.contradicting`; the contradicting texts are few, and collected on the driver."""
    found = (row["label"] for row in rows.select("label").distinct().collect())
    labels = sound_labels(found, params, space)
    pairs = (
        rows.select("content_id", "label").where(f"content_id is not null and {space.labelled}").distinct()
    )
    if labels is not None:
        pairs = pairs.where(pairs["label"].isin(labels))
    several = pairs.groupBy("content_id").count().where("count > 1")
    return sorted(row["content_id"] for row in several.collect())


def main() -> int:
    """Print how many rows of a Parquet file or folder break each rule, with the bounds of params.yaml."""
    parser = argparse.ArgumentParser(
        prog="python -m bertline.stages.validate.spark", description=inspect.getdoc(main)
    )
    parser.add_argument("rows", help="what `ingest` wrote: a path, or an address that Spark reads")
    parser.add_argument("--multi-label", action="store_true", help="a row may have several labels, or none")
    arguments = parser.parse_args()
    try:
        from pyspark.errors import AnalysisException
        from pyspark.sql import SparkSession
    except ImportError:
        sys.exit("error: pyspark is not installed; run: pip install 'bertline[spark]' (it also needs Java)")
    try:
        params = load_params(Params)
        session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
        frame = session.read.parquet(arguments.rows)
        space = MULTI_LABEL if arguments.multi_label else SINGLE_LABEL
        counts = count_broken(frame, params, build_suite(params, []), space)
    except (ValueError, AnalysisException) as error:
        sys.exit(f"error: {' '.join(str(error).split())[:300]}")
    for name, count in counts.items():
        print(f"{count:>12,}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
