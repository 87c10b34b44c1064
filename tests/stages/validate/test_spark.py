"""Great Expectations' Spark engine counts as many broken rows as ours; where pyspark and Java are."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bertline.rows.labels import MULTI_LABEL
from bertline.stages.validate.checks import build_suite
from tests.support.params import write_params
from tests.support.validating import GOOD, judge_rows, rows, validate_params

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: pip install pyspark")
if shutil.which("java") is None:
    pytest.skip("Java is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def session():
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)  # the workers need pyarrow, too
        session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
        yield session
        session.stop()


def test_spark_counts_the_rows_that_we_count(session):
    from bertline.stages.validate.spark import count_broken

    bad = [
        (None, "ham"),
        (" \u3000", "ham"),
        ("x" * 41, "spam"),
        ("na\ufffdve", "spam"),
        ("\u0434\u0430", "ham"),
        ("e", None),
        ("f", " "),
        ("g", "hma"),
        ("A", "spam"),
        ("late", "ham"),
    ]
    stamps = [None] * (len(GOOD) + len(bad) - 1) + [datetime(2999, 1, 1, tzinfo=UTC)]
    table = rows(*GOOD, *bad, timestamp=stamps)
    knobs = {"labels": ["ham", "spam"], "scripts": ["Latin"], "latest": "2026-12-31"}
    ours = judge_rows(table, **knobs).outcomes

    params = validate_params(**knobs)
    frame = session.read.parquet(str(Path("rows.parquet").resolve()))
    counted = count_broken(frame, params, build_suite(params, []))

    assert counted == {name: ours[name].observed for name in counted}
    assert sum(counted.values()) > len(bad)


@pytest.mark.parametrize("labels", [None, ["ham", "spam"]])
def test_spark_takes_no_label_for_a_label_set_where_several_are_allowed(session, labels):
    from bertline.stages.validate.spark import count_broken

    table = rows(*GOOD, ("e", "ham"), ("E", ""), ("f", ""), ("F", None))
    ours = judge_rows(table, space=MULTI_LABEL, labels=labels).outcomes

    params = validate_params(labels=labels)
    frame = session.read.parquet(str(Path("rows.parquet").resolve()))
    counted = count_broken(frame, params, build_suite(params, []), MULTI_LABEL)

    assert counted["label_conflict"] == ours["label_conflict"].observed == 2


def test_the_command_prints_how_many_rows_break_each_rule(session):
    judge_rows(rows(*GOOD, ("e", None), ("f", None)))
    write_params(Path())
    command = [sys.executable, "-m", "bertline.stages.validate.spark", "rows.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counts = {name: int(count) for count, name in map(str.split, done.stdout.splitlines())}
    assert counts["label_not_blank"] == 2
    assert sum(counts.values()) == 2
