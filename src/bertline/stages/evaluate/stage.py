"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads.

It also lists the test and training rows whose labels look wrong. Rows out of scope are reported apart.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bertline.core.params_loading import load_params
from bertline.evaluation.slice_rules import read_rules
from bertline.metrics.predict import predict
from bertline.metrics.predictions import Predictions, read_predictions, write_predictions
from bertline.models.classifier import Classifier, Outputs, Texts
from bertline.models.tfidf import load_baseline
from bertline.params.evaluate import Params
from bertline.rows.io import inputs, read_label_space, read_rows
from bertline.rows.labels import in_scope, out_of_scope
from bertline.stages.evaluate.behaviour import write_behaviour
from bertline.stages.evaluate.confused_pairs import write_confused_pairs
from bertline.stages.evaluate.cost import write_cost
from bertline.stages.evaluate.data_checks import write_data_checks
from bertline.stages.evaluate.label_issues import list_label_issues
from bertline.stages.evaluate.mistakes import write_mistakes
from bertline.stages.evaluate.out_of_scope import count_refusals, write_out_of_scope
from bertline.stages.evaluate.outputs import write_numbers
from bertline.stages.evaluate.pinned_rows import write_pinned_score
from bertline.stages.evaluate.pins import read_pinned_rows
from bertline.stages.evaluate.report.write import write_pages
from bertline.stages.evaluate.slices import write_slices


def evaluate(
    *,
    test: Path,
    train: Path,
    validation: Path,
    pinned: Path,
    out_of_fold: Path,
    model: Path,
    baseline: Path,
    training: Path,
    slices: Path,
    behaviour: Path,
    predictions: Path,
    report: Path,
) -> None:
    """Compare the candidate with the baseline on the test rows; write predictions, numbers and report."""
    params = load_params(Params)
    rules = read_rules(slices)
    pinned_rows = read_pinned_rows(pinned)
    scored = predict_test_rows(params, test, model, baseline, predictions)
    unseen = read_predictions(out_of_fold / "train.parquet")
    learnt = in_scope(read_rows(train))
    issues = list_label_issues({"test": (scored.candidate, scored.rows), "train": (unseen, learnt)})
    write_numbers(
        params,
        scored.candidate,
        scored.baseline,
        issues,
        refusals=scored.refusals,
        training=training,
        report=report,
    )
    write_slices(params, scored.rows, scored.candidate, rules, report)
    write_behaviour(params, scored.rows, scored.classifier, behaviour, predictions=predictions, report=report)
    write_confused_pairs(scored.candidate, scored.rows, report)
    write_cost(params, scored.rows, scored.classifier, model, report)
    write_mistakes(scored.candidate, scored.rows, report)
    elsewhere = {
        "it lies in the training split": train,
        "it lies in the validation split": validation,
        "its row is labelled out of scope": test,
    }
    write_pinned_score(params, pinned_rows, scored.candidate, scored.rows, elsewhere, report)
    write_data_checks(
        params, scored.rows, scored.candidate, scored.outputs, scored.classifier, learnt, report
    )
    write_pages(scored.candidate, issues, report)  # last: it shows what the others wrote


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredRows:
    """The N test rows in scope, and what both models made of them in one forward pass each."""

    rows: pa.Table  # ROW_SCHEMA
    candidate: Predictions
    baseline: Predictions
    outputs: Outputs  # the candidate's: logits [N, C], and states [N, H] if its folder gives them
    classifier: Classifier  # the candidate, for parts that predict changed texts
    refusals: dict[str, dict[str, float]]  # as `count_refusals` returns them


def predict_test_rows(
    params: Params, test: Path, model: Path, baseline: Path, predictions: Path
) -> ScoredRows:
    """Return what candidate and baseline make of the test rows in scope, and write their predictions.

    The answers to the other test rows are written apart.

    Raises:
        ValueError: there are no rows, one has a label that was not trained on, or a model cannot be read.
    """
    everything, space = read_rows(test), read_label_space(test)
    rows, others = in_scope(everything), out_of_scope(everything)
    classifier = Classifier(model, threads=params.threads, batch_size=params.batch_size)
    keeping = _Keeping(classifier)
    candidate = predict(keeping, rows, space, unknown_labels="error")
    reference = predict(load_baseline(baseline), rows, space, unknown_labels="error")
    write_predictions(candidate, predictions / "candidate.parquet")
    write_predictions(reference, predictions / "baseline.parquet")
    outside = classifier.answers(inputs(others))
    write_out_of_scope(outside, classifier.space, others["id"], predictions)
    inside = classifier.to_answers(keeping.outputs)
    return ScoredRows(
        rows=rows,
        candidate=candidate,
        baseline=reference,
        outputs=keeping.outputs,
        classifier=classifier,
        refusals=count_refusals(inside, candidate.right, outside),
    )


class _Keeping:
    """A classifier that keeps its last outputs, beside the probabilities that `predict` reads."""

    outputs: Outputs

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self.space = classifier, classifier.space

    def probabilities(self, texts: Texts) -> np.ndarray:
        self.outputs = self._classifier.outputs(texts)
        return self._classifier.to_probabilities(self.outputs.logits)
