"""The cost of the data stages on a large corpus: time, memory, and a weekly batch of one percent.

Makes a corpus (texts of some 40 words of the packaged TREC sample, 2 % exact duplicates, 1 % near-duplicates)
and runs the stage commands of dvc.yaml on a tenth of it and on all of it, in a folder of its own. Prints, for
each stage, seconds, rows a second, peak memory and how much ten times the rows cost. Beside `validate`: the
same checks written by hand in DuckDB, with the same two tables written, as a process of its own. To the
tenth, one percent more rows are added: tokenising them on top of the last run, and from nothing, and whether
the bytes are equal. `--rows 500000` for a quick look.
`benchmarks.model_stages` measures the stages after these.
"""

import argparse
import csv
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from bertline.core.params_loading import load_params
from bertline.params.ingest import Params
from bertline.stages.ingest.source_reader import read_source

PROJECT = Path(__file__).parents[1]
STAGES = ("ingest", "validate", "split", "tokenize")
LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")

# The checks of params.yaml's `validate`, by hand; what it leaves out is in the printed note.
DUCKDB = r"""
import duckdb
db = duckdb.connect()
db.execute("SET memory_limit = '1500MB'; SET temp_directory = 'spill'; SET preserve_insertion_order = false")
db.execute('''CREATE VIEW source AS SELECT * FROM 'data/ingested/rows.parquet' ''')
db.execute('''CREATE TABLE conflicts AS SELECT content_id FROM source WHERE label <> ''
    GROUP BY content_id HAVING count(DISTINCT label) > 1''')
db.execute(r'''CREATE VIEW judged AS SELECT *, CASE
    WHEN fault IS NOT NULL THEN 'readable'
    WHEN text IS NULL THEN 'text_not_null'
    WHEN NOT regexp_matches(text, '\\S') THEN 'text_not_blank'
    WHEN length(text) NOT BETWEEN 1 AND 10000 THEN 'text_length'
    WHEN length(text) - length(regexp_replace(text,
        '[\x{FFFD}\x00-\x08\x0B\x0C\x0E-\x1F\x{80}-\x{9F}]|Ã.|â€.|Â.', '', 'g'))
        > 0.05 * length(text) THEN 'text_damaged'
    WHEN label IS NULL THEN 'label_not_null'
    WHEN NOT regexp_matches(label, '\\S') THEN 'label_not_blank'
    WHEN timestamp < '1990-01-01' THEN 'timestamp_sane'
    WHEN content_id IN (FROM conflicts) THEN 'label_conflict' END AS rule FROM source''')
db.execute("COPY (FROM judged WHERE rule IS NOT NULL) TO 'bad.parquet' (COMPRESSION zstd)")
db.execute("COPY (FROM judged WHERE rule IS NULL) TO 'good.parquet' (COMPRESSION zstd)")
print(db.sql("SELECT label, count(*) FROM 'good.parquet' GROUP BY label").fetchall())
print(db.sql("SELECT avg(length(text)), stddev(length(text)) FROM 'good.parquet'").fetchall())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    (PROJECT / ".bertline").mkdir(exist_ok=True)  # a fresh clone has none
    with tempfile.TemporaryDirectory(dir=PROJECT / ".bertline") as folder:
        root = Path(folder)
        copy_settings(root)
        write_corpus(root / "data/incoming/2026-01.csv", rows // 10, seed=1)
        print(f"{rows // 10:,} rows ({megabytes(root / 'data/incoming/2026-01.csv'):,.0f} MB)")
        small = {stage: timed(root, stage_command(stage)) for stage in STAGES}
        weekly = weekly_batch(root, rows // 10)
        shutil.rmtree(root / ".bertline")
        (root / "data/incoming/2026-02.csv").unlink()
        write_corpus(root / "data/incoming/2026-01.csv", rows, seed=1)
        print(f"{rows:,} rows ({megabytes(root / 'data/incoming/2026-01.csv'):,.0f} MB)")
        large = {stage: timed(root, stage_command(stage)) for stage in STAGES}
        by_hand = timed(root, [sys.executable, "-c", DUCKDB])
        print(f"{'':16}{'seconds':>9}{'rows/s':>11}{'peak MB':>9}{'of 10 x the rows':>18}")
        for stage, (seconds, _, memory) in large.items():
            growth = f"{seconds / small[stage][0]:.1f} x time"
            print(
                f"{stage:16}{seconds:9.1f}{rows / seconds:11,.0f}{memory:9,.0f}{growth:>18}"
                f"   {memory / small[stage][2]:.1f} x memory"
            )
        seconds, _, memory = by_hand
        ratio = large["validate"][0] / seconds
        print(f"{'DuckDB by hand':16}{seconds:9.1f}{rows / seconds:11,.0f}{memory:9,.0f}")
        print(f"validate takes {ratio:.2f} x the time of the same checks by hand in DuckDB")
        print("(validate also imports Great Expectations, tokenises 10,000 rows and writes its page)")
        print(weekly)


def weekly_batch(root: Path, rows: int) -> str:
    """Return what tokenising costs when one percent of new rows arrives after `rows` rows."""
    write_corpus(root / "data/incoming/2026-02.csv", rows // 100, seed=2)
    for stage in STAGES[:-1]:
        timed(root, stage_command(stage))
    incremental, *_ = timed(root, stage_command("tokenize"))
    first = fingerprint(root / "data/tokens")
    shutil.rmtree(root / ".bertline")
    rebuilt, *_ = timed(root, stage_command("tokenize"))
    equal = "equal" if fingerprint(root / "data/tokens") == first else "DIFFERENT"
    return (
        f"one percent more rows after {rows:,}: tokenize takes {incremental:.1f} s on top of the last run,"
        f" {rebuilt:.1f} s from nothing ({rebuilt / incremental:.1f} x); the bytes are {equal}"
    )


def copy_settings(root: Path) -> None:
    """Lay out a folder in which the stage commands run, with the project's parameters."""
    for name in ("params.yaml", "expectations.yaml", "data/reviews.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, root / name)
    (root / "data/incoming").mkdir()
    yaml = YAML()
    params = yaml.load(root / "params.yaml")
    params["ingest"]["source"] = "data/incoming/*.csv"
    yaml.dump(params, root / "params.yaml")


def write_corpus(path: Path, rows: int, seed: int) -> None:
    """Write `rows` rows of random phrases; the same seed writes the same rows."""
    words = [word for chunk in sample() for text in chunk for word in text.split()]
    draw = random.Random(seed)
    phrases = [" ".join(draw.choices(words, k=draw.randint(3, 13))) for _ in range(200_000)]
    earlier: list[str] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for _ in range(rows):
            text, kind = " ".join(draw.choices(phrases, k=5)), draw.random()
            if earlier and kind < 0.03:  # again, or again with a word more
                text = draw.choice(earlier) + (" indeed" if kind < 0.01 else "")
            elif kind > 0.9:
                earlier.append(text)
            writer.writerow((text, LABELS[len(text.split()[0]) % len(LABELS)]))


def sample() -> list[list[str]]:
    """Return the texts of the packaged TREC sample, in chunks."""
    params = load_params(Params, PROJECT / "params.yaml")
    return [chunk["text"].to_pylist() for chunk in read_source(params)]


def stage_command(stage: str) -> list[str]:
    """Return the command that dvc.yaml gives a stage."""
    stages = YAML(typ="safe").load(PROJECT / "dvc.yaml")["stages"]
    command: str = stages[stage]["cmd"]
    return [sys.executable, *command.split()[1:]]


def timed(root: Path, command: list[str]) -> tuple[float, float, float]:
    """Run `command` in `root`; return its seconds, its CPU seconds and its peak resident memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: {' '.join(command)[:200]} ended with status {status}")
    seconds, memory = time.perf_counter() - start, usage.ru_maxrss / 1000
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"  {' '.join(command[1:])[-60:]!r}: {seconds:.1f} s, {cpu:.1f} s of CPU, {memory:,.0f} MB",
        file=sys.stderr,
    )
    return seconds, cpu, memory


def fingerprint(folder: Path) -> str:
    """Return a hash of every file of `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def megabytes(path: Path) -> float:
    """Return the size of a file in MB."""
    return path.stat().st_size / 1e6


if __name__ == "__main__":
    main()
