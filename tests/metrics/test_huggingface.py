import os
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest

from bertline.metrics import huggingface
from bertline.metrics.count_scores import SEVERAL, SINGLE, totals
from bertline.metrics.huggingface import Accuracy
from bertline.metrics.ranking import roc_auc

RANDOM = np.random.default_rng(1)
ONE = (RANDOM.integers(4, size=200), RANDOM.integers(4, size=200))
SETS = tuple((RANDOM.random((200, 4)) < 0.3).astype(np.int64) for _ in range(2))
MODULES = [
    each
    for name, each in vars(huggingface).items()
    if isinstance(each, type) and issubclass(each, huggingface.Module) and name != "Module" and name[0] != "_"
]
COUNTED = {each.score: each for each in MODULES if issubclass(each, huggingface._CountModule)}


@pytest.mark.parametrize(
    ("name", "config"), [*((name, "default") for name in SINGLE), *((name, "multilabel") for name in SEVERAL)]
)
def test_a_module_gives_the_score_of_the_plain_function(name: str, config: str, tmp_path: Path):
    targets, predicted = ONE if config == "default" else SETS
    average, _, score = name.partition("_")
    options = {} if name in COUNTED else {"average": average}
    module = COUNTED[name if name in COUNTED else score](
        config_name=config, keep_in_memory=True, cache_dir=str(tmp_path)
    )
    (found,) = module.compute(predictions=predicted, references=targets, **options).values()
    scores = SINGLE if config == "default" else SEVERAL
    assert found == scores[name](totals(targets, predicted, 4))


def test_a_module_gives_lists_the_score_that_it_gives_arrays(tmp_path: Path):
    targets, scores = ONE[0] % 2, np.stack([1 - RANDOM.random(200), RANDOM.random(200)], axis=1)
    module = huggingface.RocAuc(keep_in_memory=True, cache_dir=str(tmp_path))
    arrays = module.compute(prediction_scores=scores, references=targets)
    lists = module.compute(prediction_scores=scores.tolist(), references=targets.tolist())
    assert lists == arrays
    sides = [roc_auc(scores[targets == i, i], scores[targets != i, i]) for i in (0, 1)]
    assert arrays["roc_auc"] == pytest.approx(np.mean(sides))


@pytest.mark.parametrize("metric", MODULES)
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
from bertline.metrics.scores import model_scores, per_class
from bertline.metrics.predictions import Predictions
p = Predictions(ids=["a", "b"], classes=("x", "y"), expected=np.array([0, 1]),
                probabilities=np.eye(2, dtype=np.float32))
assert model_scores(p, resamples=9, confidence=0.9, seed=1)["mcc"] == 1 and per_class(p)["y"]["recall"] == 1
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    offline = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", script], env=os.environ | home | offline, check=True)
    assert list(tmp_path.rglob("*")) == []
