"""The behavioural tests of the candidate: behaviour.json, and its answers to the changed texts."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bertline.core.files import write_json
from bertline.evaluation.behaviour import Behaviour, CaseAnswers, answer_cases
from bertline.evaluation.behaviour_summary import summarize_behaviour
from bertline.metrics.rounding import rounded
from bertline.models.classifier import Classifier
from bertline.params.evaluate import Params

FILE = "behaviour.parquet"


def write_behaviour(
    params: Params,
    behaviour: Behaviour,
    classifier: Classifier,
    *,
    of_rows: int,
    predictions: Path,
    report: Path,
) -> None:
    """Ask the model the behavioural tests, on a sample `of_rows` test rows; write numbers and answers."""
    answers = answer_cases(classifier.one_by_one(), behaviour)
    document: dict[str, Any] = rounded(summarize_behaviour(behaviour, answers, params.confidence))
    write_json(report / "behaviour.json", document | {"of_rows": of_rows})
    pq.write_table(answers_table(behaviour, answers), predictions / FILE)
    print(_line(document))


def answers_table(behaviour: Behaviour, answers: CaseAnswers) -> pa.Table:
    """Return test, id, text, prediction and probabilities of each row, whose test is null, and each case.

    `text_pair` is the second text of a sentence pair.
    """
    rows = behaviour.rows.select(["id", "text", "text_pair"])
    asked = pa.concat_tables(
        [
            rows.add_column(0, "test", pa.nulls(len(rows), pa.string())),
            behaviour.cases.select(["test", "id", "text", "text_pair"]),
        ]
    )
    probabilities = [*answers.rows_RC, *answers.cases_MC]
    asked = asked.append_column(
        "prediction", pa.array([*answers.row_labels, *answers.case_labels], pa.string())
    )
    return asked.append_column("probabilities", pa.array(probabilities, pa.list_(pa.float32())))


def _line(document: dict[str, Any]) -> str:
    tests = [test for test in document["tests"] if test["cases"]]
    if not tests:
        return "behavioural tests: none has a case"
    line = f"behavioural tests: {len(tests)} on {document['rows']:,} rows; "
    worst = max(tests, key=lambda test: test["failure_rate"])
    if not worst["failures"]:
        return f"{line}no failures"
    return f"{line}most failures in {worst['name']} ({worst['failure_rate']:.1%} of {worst['cases']:,} texts)"
