"""Bad rows planted in real corpora: each is found for what it is, and no good row with them."""

import random
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from bertline.params.validate import Params
from bertline.rows.duplicates import drop_duplicates
from bertline.rows.io import write_rows
from bertline.rows.schema import ROW_SCHEMA, make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from tests.support.params import section
from tests.support.validating import judge_rows

PARAMS: Params = section("validate")
OF_EACH = 20

Row = tuple[str | None, str | None, datetime | None, str | None]  # text, label, time stamp, fault


def sample(source):
    """Return a packaged sample without its exact duplicates, in the current folder."""
    texts, labels, _ = read_sample(source)
    write_rows(add_ids(make_rows(texts, labels, source=source, batch=source)), Path("all.parquet"))
    return pa.concat_tables(drop_duplicates(Path("all.parquet")))


def plant(texts: list[str]) -> dict[str, list[Row]]:
    """Make of texts that come nowhere else 20 bad rows of each kind, by the rule that must find them."""
    new = iter(texts)
    future = datetime(2999, 1, 1, tzinfo=UTC)

    def several(make):
        return [make(f"{next(new)} ({number})", number) for number in range(OF_EACH)]

    def damaged(text, number):
        if number % 2:
            return text.replace("e", "\ufffd"), "LOC", None, None
        return text.replace("e", "\u00e9").encode().decode("cp1252"), "LOC", None, None

    def in_conflict(_, number):
        return f"Where is number {number // 2} ?", ("LOC", "NUM")[number % 2], None, None

    cyrillic = str.maketrans("aeiounrst", "\u0430\u0435\u0438\u043e\u0443\u043d\u0440\u0441\u0442")
    return {
        "readable": several(lambda text, _: (f'"{text}', None, None, "a quote is not closed")),
        "text_not_null": several(lambda text, _: (None, "LOC", None, None)),
        "text_not_blank": several(lambda text, number: (" \t\u3000\n"[: number % 4], "LOC", None, None)),
        "text_length": several(lambda text, _: (text * 500, "LOC", None, None)),
        "text_damaged": several(damaged),
        "text_script": several(lambda text, _: (text.lower().translate(cyrillic), "LOC", None, None)),
        "label_not_null": several(lambda text, _: (text, None, None, None)),
        "label_known": several(lambda text, number: (text, ("loc", "LOCATION")[number % 2], None, None)),
        "timestamp_sane": several(lambda text, _: (text, "LOC", future, None)),
        "label_conflict": several(in_conflict),
    }


def test_200_bad_rows_of_10_kinds_are_all_quarantined_with_their_rule_and_no_good_row():
    good = sample("sample:trec")
    long = [text for text in good["text"].to_pylist() if text.count("e") > 4 and text.isascii()]
    planted = plant([f"Tell me more : {text}" for text in long])
    bad = [(rule, *row) for rule, rows in planted.items() for row in rows]
    assert len(bad) == 200
    everything = [
        (None, text, label, None, None) for text, label in zip(good["text"], good["label"], strict=True)
    ]
    everything = [(rule, str(text), str(label), *rest) for rule, text, label, *rest in everything] + bad
    random.Random(0).shuffle(everything)
    rules, texts, labels, stamps, faults = zip(*everything, strict=True)
    rows = make_rows(texts, labels, source="planted", batch="one", timestamp=stamps, fault=faults)
    labels = sorted(set(good["label"].to_pylist()))
    params = replace(PARAMS, labels=labels, scripts=["Latin"], latest="2026-12-31")

    judged = judge_rows(add_ids(rows), **asdict(params))

    assert judged.verdict.passed
    assert judged.quarantined["rule"].to_pylist() == [rule for rule in rules if rule is not None]
    assert sorted(judged.kept["id"].to_pylist()) == sorted(good["id"].to_pylist())


@pytest.mark.parametrize(("source", "rows"), [("sample:trec", 5380), ("sample:sms-spam", 5574 - 415)])
def test_no_row_of_a_sample_is_quarantined(source, rows):
    unique = sample(source)
    judged = judge_rows(unique, **asdict(PARAMS))
    assert judged.verdict.passed
    assert judged.kept.equals(unique.cast(ROW_SCHEMA))
    assert len(unique) == rows
