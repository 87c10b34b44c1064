"""The `evaluate` stage: the candidate and the baseline on the test split, which no other stage reads.

It also lists the test and training rows whose labels look wrong. Rows out of scope are reported apart.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bertline.core.params_loading import load_params
from bertline.evaluation.behaviour import sample_cases
from bertline.evaluation.behaviour_file import read_behaviour
from bertline.evaluation.pins import read_pinned_rows
from bertline.evaluation.slice_rules import read_rules
from bertline.evaluation.slices import slices_of
from bertline.metrics.predict import predict
from bertline.metrics.predictions import Predictions, read_predictions, write_predictions
from bertline.models.classifier import Classifier, Outputs, Texts
from bertline.models.folder import read_config
from bertline.models.tfidf import joined, load_baseline
from bertline.params.evaluate import Params
from bertline.rows.io import inputs, read_label_space, read_rows
from bertline.rows.labels import LabelSpace, in_scope, out_of_scope
from bertline.stages.evaluate.behaviour import write_behaviour
from bertline.stages.evaluate.confused_pairs import write_confused_pairs
from bertline.stages.evaluate.cost import write_cost
from bertline.stages.evaluate.data_checks import write_data_checks
from bertline.stages.evaluate.label_issues import list_label_issues
from bertline.stages.evaluate.mistakes import write_mistakes
from bertline.stages.evaluate.out_of_scope import count_refusals, write_out_of_scope
from bertline.stages.evaluate.outputs import write_numbers
from bertline.stages.evaluate.pinned_rows import write_pinned_score
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
    everything, space = read_rows(test), read_label_space(test)
    rows = in_scope(everything)
    texts = joined(inputs(rows))
    # Files that people write come first: their mistakes show before anything is computed.
    pinned_rows = read_pinned_rows(pinned)
    parts = slices_of(rows, texts, space, read_rules(slices))
    tests = sample_cases(rows, read_behaviour(behaviour, read_config(model).space), params)
    scored = predict_test_rows(params, everything, space, model, baseline, predictions)
    unseen = read_predictions(out_of_fold / "train.parquet")
    learnt = in_scope(read_rows(train))
    issues = list_label_issues({"test": (scored.candidate, rows), "train": (unseen, learnt)})
    write_numbers(
        params,
        scored.candidate,
        scored.baseline,
        issues,
        refusals=scored.refusals,
        training=training,
        report=report,
    )
    write_slices(params, rows, texts, parts, scored.candidate, report)
    write_behaviour(
        params, tests, scored.classifier, of_rows=len(rows), predictions=predictions, report=report
    )
    write_confused_pairs(scored.candidate, rows, report)
    write_cost(params, rows, scored.classifier, model, report)
    write_mistakes(scored.candidate, rows, report)
    elsewhere = {
        "it lies in the training split": train,
        "it lies in the validation split": validation,
        "its row is labelled out of scope": test,
    }
    write_pinned_score(params, pinned_rows, scored.candidate, rows, elsewhere, report)
    write_data_checks(params, rows, scored.candidate, scored.outputs, scored.classifier, learnt, report)
    write_pages(scored.candidate, issues, report)  # last: it shows what the others wrote


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredRows:
    """What both models made of the N test rows in scope, in one forward pass each."""

    candidate: Predictions
    baseline: Predictions
    outputs: Outputs  # the candidate's: logits [N, C], and states [N, H] if its folder gives them
    classifier: Classifier  # the candidate, for parts that predict changed texts
    refusals: dict[str, dict[str, float]]  # as `count_refusals` returns them


def predict_test_rows(
    params: Params, test: pa.Table, space: LabelSpace, model: Path, baseline: Path, predictions: Path
) -> ScoredRows:
    """Return what candidate and baseline make of the rows of `test` in scope, and write their predictions.

    The answers to the other rows are written apart. `space` says whether a row may have several labels.

    Raises:
        ValueError: there are no rows, one has a label that was not trained on, or a model cannot be read.
    """
    rows, others = in_scope(test), out_of_scope(test)
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
