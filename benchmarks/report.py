"""How large the evaluation's report is, and how long it takes, with 100,000 test rows, 10 % of them wrong.

Texts have 400 characters, so that each is cut; half of these need two bytes. There are 40 classes, and every
cell of the confusion matrix holds rows. Prints the seconds of the pages and of what only they need, and the
size of HTML (also compressed) and Markdown.

    python -m benchmarks.report [ROWS]
"""

import gzip
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bertline.core.files import write_json
from bertline.metrics.predictions import Predictions
from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.evaluate.label_issues import list_label_issues
from bertline.stages.evaluate.mistakes import write_mistakes
from bertline.stages.evaluate.report.chart_numbers import confusion_matrix, reliability_bins
from bertline.stages.evaluate.report.write import write_pages
from tests.support.evaluation_documents import documents

CLASSES = tuple(f"class {i:02}" for i in range(40))


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    random = np.random.default_rng(1)
    expected = random.integers(len(CLASSES), size=rows)
    probabilities = random.dirichlet(np.full(len(CLASSES), 0.1), size=rows).astype(np.float32)
    chosen = np.where(random.random(rows) < 0.9, expected, probabilities.argmax(axis=1))
    probabilities[np.arange(rows), chosen] += 1
    texts = [f"{i} {'äb ' * 133}" for i in range(rows)]
    table = add_ids(make_rows(texts, [CLASSES[i] for i in expected], source="data/incoming/rows.csv"))
    found = Predictions(
        ids=table["id"].to_pylist(), classes=CLASSES, expected=expected, probabilities=probabilities / 2
    )
    issues = list_label_issues({"test": (found, table)})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder)
        started = time.perf_counter()
        made = {
            "confusion_matrix": confusion_matrix(found),
            "reliability": reliability_bins({"candidate": found}),
        }
        for name, document in (documents() | made).items():
            write_json(report / f"{name}.json", document)
        (report / "evaluation.png").write_bytes(bytes(250_000))
        write_mistakes(found, table, report)
        write_pages(found, issues, report)
        seconds = time.perf_counter() - started
        html = (report / "report.html").read_bytes()
        megabytes, packed = len(html) / 1e6, len(gzip.compress(html)) / 1e6
        print(f"{rows:,} rows: {seconds:.1f} s, {megabytes:.2f} MB, {packed:.2f} MB with gzip")
        print(f"report.md: {len((report / 'report.md').read_text(encoding='utf-8')):,} characters")


if __name__ == "__main__":
    main()
