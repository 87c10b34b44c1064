import os
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest

from bertline.metrics import classification
from bertline.metrics.huggingface import Accuracy, MacroF1, MatthewsCorrelation, MicroF1, PerClass

RANDOM = np.random.default_rng(1)
SINGLE = (RANDOM.integers(4, size=200), RANDOM.integers(4, size=200))
SEVERAL = tuple((RANDOM.random((200, 4)) < 0.3).astype(np.int64) for _ in range(2))
SAME_SCORES = [
    (Accuracy, classification.accuracy, "default", SINGLE),
    (Accuracy, classification.accuracy, "multilabel", SEVERAL),
    (MacroF1, classification.macro_f1, "default", SINGLE),
    (MacroF1, classification.macro_f1, "multilabel", SEVERAL),
    (MicroF1, classification.micro_f1, "default", SINGLE),
    (MicroF1, classification.micro_f1, "multilabel", SEVERAL),
    (MatthewsCorrelation, classification.matthews_correlation, "default", SINGLE),
]


@pytest.mark.parametrize(("metric", "function", "config", "rows"), SAME_SCORES)
def test_a_module_gives_the_score_of_the_plain_function(metric, function, config, rows, tmp_path: Path):
    targets, predicted = rows
    module = metric(config_name=config, keep_in_memory=True, cache_dir=str(tmp_path))
    (found,) = module.compute(predictions=predicted, references=targets).values()
    n_classes = () if function is classification.accuracy else (4,)
    assert found == function(targets, predicted, *n_classes)


def test_the_module_of_scores_by_class_gives_those_of_the_plain_function(tmp_path: Path):
    targets, predicted = SINGLE
    module = PerClass(keep_in_memory=True, cache_dir=str(tmp_path))
    found = module.compute(predictions=predicted, references=targets, n_classes=4)
    assert found == classification.scores_by_class(targets, predicted, 4)


@pytest.mark.parametrize("metric", [Accuracy, MacroF1, MicroF1, MatthewsCorrelation, PerClass])
def test_modules_are_evaluate_metrics_that_say_what_they_measure(
    metric: type[evaluate.Metric], tmp_path: Path
):
    module = metric(keep_in_memory=True, cache_dir=str(tmp_path))
    assert isinstance(module, evaluate.Metric)
    assert module.description == metric.__doc__


def test_a_module_takes_its_rows_in_batches_as_evaluate_does(tmp_path: Path):
    module = Accuracy(keep_in_memory=True, cache_dir=str(tmp_path))
    module.add_batch(predictions=[0, 1], references=[0, 1])
    module.add_batch(predictions=[1, 1], references=[1, 0])
    assert module.compute() == {"accuracy": 0.75}


def test_scoring_leaves_nothing_in_the_home_folder(tmp_path: Path):
    script = """
import numpy as np
from bertline.metrics.huggingface import more_scores, per_class
from bertline.metrics.predictions import Predictions
p = Predictions(ids=["a", "b"], classes=("x", "y"), expected=np.array([0, 1]),
                probabilities=np.eye(2, dtype=np.float32))
assert more_scores(p)["mcc"] == 1 and per_class(p)["y"]["recall"] == 1
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    offline = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", script], env=os.environ | home | offline, check=True)
    assert list(tmp_path.rglob("*")) == []
