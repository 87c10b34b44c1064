import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bertline.rows.io import read_label_space, read_rows, write_rows
from bertline.rows.labels import MULTI_LABEL, OUT_OF_SCOPE, SINGLE_LABEL
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from bertline.stages.split.assign import SIDES, template
from bertline.stages.split.near_duplicates import SET_ASIDE, shingles, similarity
from bertline.stages.split.stage import split
from tests.support.params import write_params

PATHS = {
    "rows": Path("data/validated/rows.parquet"),
    "out": Path("data/splits"),
    "report": Path("reports/split"),
}


def write(texts, labels, *, space=SINGLE_LABEL, **columns):
    rows = add_ids(make_rows(texts, labels, **columns))
    write_rows(rows, PATHS["rows"], space=space)
    return dict(zip(texts, rows["id"].to_pylist(), strict=True))


def unlike(count):
    """Texts of which no two resemble each other."""
    return ["".join(random.Random(number).choices("abcdefghijklmnop", k=40)) for number in range(count)]


def run():
    """Split, and return the rows of each side and those set aside."""
    split(**PATHS)
    sides = {name: read_rows(PATHS["out"] / f"{name}.parquet").to_pylist() for name in SIDES}
    return sides, read_rows(PATHS["out"] / "set_aside.parquet", SET_ASIDE).to_pylist()


def by_text(sides):
    return {row["text"]: name for name in SIDES for row in sides[name]}


def summary():
    return json.loads((PATHS["report"] / "summary.json").read_text())


def files():
    return {path.name: path.read_bytes() for folder in ("out", "report") for path in PATHS[folder].iterdir()}


@pytest.fixture
def trec():
    """Questions of TREC, no two of them the same: {text: label}."""
    found = read_sample("sample:trec")
    return dict(zip(found.texts, found.labels, strict=True))


# Accounts


def test_the_report_counts_what_the_files_hold(set_params, capsys):
    write(unlike(400), ["x", "y"] * 200)
    sides, aside = run()
    found = summary()
    assert {name: found[name] for name in SIDES} == {name: len(rows) for name, rows in sides.items()}
    assert found["rows"] == 400 == found["set_aside"] + sum(len(rows) for rows in sides.values())
    assert found["set_aside"] == len(aside)
    assert found["classes"]["x"]["test"] == [row["label"] for row in sides["test"]].count("x")
    assert found["by"] == "content"
    assert found["params"] == {"seed": 1, "validation": 0.1, "test": 0.15, "near_duplicates": 0.8}
    assert capsys.readouterr().out.startswith("400 rows = train ")


def test_every_row_of_trec_lies_in_one_file_sorted_by_id(set_params, trec):
    ids = write(list(trec), list(trec.values()))
    sides, aside = run()
    dealt = [*sides.values(), aside]
    assert sorted(row["id"] for rows in dealt for row in rows) == sorted(ids.values())
    assert all(rows == sorted(rows, key=lambda row: row["id"]) for rows in dealt)


def test_the_order_of_the_rows_does_not_change_a_byte(set_params, trec):
    written = []
    for seed in (1, 2):
        texts = random.Random(seed).sample(list(trec), len(trec))
        write(texts, [trec[text] for text in texts])
        run()
        written.append(files())
    assert written[0] == written[1]
    assert len(written[0]) == 6


def test_a_time_stamp_is_the_same_in_any_zone_of_the_machine(set_params, monkeypatch):
    stamp = datetime(2026, 1, 1, tzinfo=UTC)
    write(unlike(100), "x", timestamp=[stamp] * 100)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    sides, _ = run()
    assert {row["timestamp"] for row in sides["test"]} == {stamp}


def test_the_labels_of_a_multi_label_target_are_counted_one_by_one(set_params):
    write(unlike(200), ["a\x1fb", "", "b", "a"] * 50, space=MULTI_LABEL)
    run()
    assert {label: sum(dealt.values()) for label, dealt in summary()["classes"].items()} == {
        "a": 100,
        "b": 100,
    }
    assert all(read_label_space(path) == MULTI_LABEL for path in PATHS["out"].iterdir())


@pytest.mark.parametrize("knobs", [{}, {"folds": 4, "fold": 1}])
def test_rows_out_of_scope_are_dealt_like_others_and_move_none_of_these(knobs, set_params, capsys):
    set_params("split", **knobs)
    texts = unlike(500)
    labels = ["x", "y"] * 200
    write(texts[:400], labels)
    without, _ = run()
    write(texts, [*labels, *[OUT_OF_SCOPE] * 100])
    sides, _ = run()
    outside = {name: [row for row in sides[name] if row["label"] == OUT_OF_SCOPE] for name in SIDES}
    assert all(outside.values())
    for name in SIDES:
        assert [row for row in sides[name] if row not in outside[name]] == without[name]
    assert summary()["out_of_scope"] == {name: len(rows) for name, rows in outside.items()}
    assert list(summary()["classes"]) == ["x", "y"]
    assert f"out of scope: train {len(outside['train'])}, validation " in capsys.readouterr().out
    assert "Out of scope, in no class" in (PATHS["report"] / "index.html").read_text()


def test_rows_out_of_scope_need_no_row_on_each_side(set_params):
    write([*unlike(200), "lonely"], [*["x", "y"] * 100, OUT_OF_SCOPE])
    run()
    assert sum(summary()["out_of_scope"].values()) == 1


# Leaks


def test_a_planted_near_duplicate_across_train_and_test_is_caught(set_params, trec):
    write(list(trec), list(trec.values()))
    sides, _ = run()
    tested = [row["text"] for row in sides["test"] if len(row["text"]) > 60][:20]
    planted = {text[:-6]: text for text in tested}
    ids = write([*trec, *planted], [*trec.values(), *["DESC"] * len(planted)])
    sides, aside = run()
    dealt, caught = by_text(sides), {row["text"]: row for row in aside}
    straddling = [text for text in planted if dealt.get(text) != "test"]
    assert len(straddling) >= 10
    for text in straddling:
        twin = planted[text]
        assert dealt[twin] == "test"
        assert (caught[text]["twin"], caught[text]["twin_side"]) == (ids[twin], "test")
        assert caught[text]["similarity"] == pytest.approx(similarity(shingles(text), shingles(twin)))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_batches_arrive_a_row_stays_or_is_set_aside_for_a_later_side(seed, set_params, trec):
    chance = random.Random(seed)
    set_params("split", near_duplicates=0.7)
    texts = chance.sample(list(trec), 600)
    texts += [f"{text} {chance.choice('abcdefgh')}{chance.choice('abcdefgh')}" for text in texts[:300]]
    chance.shuffle(texts)
    start, earlier = 0, {}
    while start < len(texts):
        start += chance.randint(150, 400)
        here = chance.sample(texts[:start], len(texts[:start]))
        write(here, chance.choices(["x", "y"], k=len(here)))
        sides, aside = run()
        left = {row["text"]: row["twin_side"] for row in aside}
        dealt = by_text(sides)
        for text, side in earlier.items():
            if text in left:
                assert SIDES.index(left[text]) > SIDES.index(side)
            else:
                assert dealt[text] == side
        earlier |= dealt
    assert aside


def test_no_template_lies_on_two_sides(set_params):
    sms = read_sample("sample:sms-spam")
    rows = dict(zip(sms.texts, sms.labels, strict=True))
    write(list(rows), list(rows.values()))
    set_params("split", near_duplicates=None)
    sides, aside = run()
    templates = [{template(row["text"]) for row in rows} for rows in sides.values()]
    assert sum(len(each) for each in templates) == len(set().union(*templates))
    assert aside == []


def test_rows_with_an_official_side_take_part_and_its_test_rows_never_leave(set_params):
    texts = unlike(300)
    copies = [f"{text} z" for text in texts[:50]]
    own = ["test"] * 50 + [None] * 300
    write([*copies, *texts], "x", side=own)
    sides, aside = run()
    assert {row["text"] for row in sides["test"]} == set(copies)
    assert {row["text"] for row in aside} == set(texts[:50])
    assert summary()["official"] == ["test"]


def test_the_same_text_with_another_label_is_set_aside_with_similarity_one(set_params):
    texts = unlike(300)
    write([*texts, texts[0].upper()], ["x"] * 301, side=["test"] + [None] * 300)
    _, aside = run()
    assert [(row["text"], row["similarity"]) for row in aside] == [(texts[0].upper(), 1.0)]


# By time, by folds


def test_by_time_the_newest_rows_are_the_test_split(set_params):
    set_params("split", validation_from="2026-02-01", test_from="2026-03-01")
    stamps = [datetime(2026, 1 + number % 3, 5, tzinfo=UTC) for number in range(90)]
    write(unlike(90), "x", timestamp=stamps)
    sides, _ = run()
    assert {name: {row["timestamp"].month for row in rows} for name, rows in sides.items()} == {
        "train": {1},
        "validation": {2},
        "test": {3},
    }
    assert summary()["by"] == "time"
    assert summary()["params"]["test_from"] == "2026-03-01"


def test_rows_without_a_timestamp_end_the_command_with_one_line(set_params, run_stage):
    write_params(
        Path(),
        ingest={"timestamp_column": "time"},
        split={"validation_from": "2026-02-01", "test_from": "2026-03-01"},
    )
    write(unlike(90), "x")
    done = run_stage("split", **PATHS)
    assert done.returncode == 1
    assert done.stderr.startswith("error: split: 90 rows have no timestamp")
    assert done.stderr.count("\n") == 1


def test_over_all_folds_each_row_is_tested_once(set_params):
    texts = unlike(90)
    write(texts, "x")
    tested = []
    for fold in range(3):
        set_params("split", folds=3, fold=fold)
        sides, _ = run()
        tested += [row["text"] for row in sides["test"]]
        assert summary()["params"]["fold"] == fold
    assert sorted(tested) == sorted(texts)


# Groups


def customers(count, of):
    return [[("customer", of(number))] for number in range(count)]


def test_the_report_counts_groups_and_none_straddles_whatever_arrives(set_params, trec):
    set_params("split", group_column="customer", near_duplicates=0.7)
    texts = random.Random(1).sample(list(trec), 900)
    owners = customers(900, lambda number: str(number * 7 % 90))
    earlier = {}
    for rows in (500, 900):
        write(texts[:rows], ["x", "y"] * (rows // 2), extra=owners[:rows])
        sides, _ = run()
        dealt = by_text(sides)
        assert all(dealt[text] == earlier[text] for text in earlier.keys() & dealt.keys())
        earlier |= dealt
    found = summary()["groups"]
    assert (found["groups"], found["straddling"], found["rows_without"]) == (90, 0, 0)
    assert "No group lies on two splits" in (PATHS["report"] / "index.html").read_text()


def test_a_group_that_fills_a_side_is_warned_about(set_params, capsys):
    set_params("split", group_column="customer")
    write(
        unlike(600),
        ["x", "y"] * 300,
        extra=customers(600, lambda number: "big" if number > 100 else f"{number}"),
    )
    run()
    assert "warning: one group of 'customer' holds " in capsys.readouterr().out


def test_a_group_column_that_no_row_has_ends_the_command_with_one_line(set_params, run_stage):
    set_params("ingest", keep_columns=["customer"])
    set_params("split", group_column="customer")
    write(unlike(400), ["x", "y"] * 200)
    done = run_stage("split", **PATHS)
    assert done.returncode == 1
    assert "split.group_column is 'customer'" in done.stderr
    assert "ingest.keep_columns" in done.stderr
    assert done.stderr.count("\n") == 1


# The page


def test_the_page_shows_the_most_similar_pairs_first_and_needs_no_network(set_params):
    texts = unlike(200)
    near, nearer = f"{texts[0]} <b>", f"{texts[1]} z"
    write([*texts, near, nearer], ["x", "y"] * 101, side=["test", "test", *[None] * 200])
    run()
    page = (PATHS["report"] / "index.html").read_text()
    assert near not in page
    assert page.index(nearer) < page.index(f"{texts[0]} &lt;b&gt;")
    assert "http" not in page
    assert "<script" not in page


def test_the_page_says_when_near_duplicates_were_not_looked_for(set_params):
    set_params("split", near_duplicates=None)
    write(unlike(100), "x")
    run()
    assert "Not looked for" in (PATHS["report"] / "index.html").read_text()


# Mistakes


def test_a_class_too_small_for_every_side_is_named(set_params, capsys):
    write(unlike(400), ["x"] * 399 + ["y"])
    set_params("split", test=0.01, validation=0.01)
    run()
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert [line[: line.index("(")] for line in warnings] == [
        f"warning: label 'y' has no row in {side} " for side in ("validation", "test")
    ]


def test_a_class_without_a_row_to_train_on_ends_the_command_with_one_line(set_params, run_stage):
    set_params("split", test=0.98, validation=0.01)
    write(unlike(400), ["x"] * 399 + ["y"])
    done = run_stage("split", **PATHS)
    assert done.returncode == 1
    assert done.stderr.startswith("error: split: label 'y' has no row in train ")
    assert done.stderr.count("\n") == 1


def test_missing_rows_are_an_error_that_names_the_command(set_params):
    with pytest.raises(ValueError, match=r"data/validated/rows\.parquet is not here; `dvc repro`"):
        split(**PATHS)
