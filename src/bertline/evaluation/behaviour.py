"""Behavioural tests: changed test rows and a user's own texts, and which of a model's answers to them fail.

`build_cases` depends on the rows, the file and the seed alone, so two models are asked the same. A case is a
text that a test changed, or one of a minimum functionality test; a text that stays as it was is none.

Does not guarantee that a failing answer is wrong: a change may have changed the meaning.
Shape suffixes: M cases, R rows that are changed, C classes.

Source: Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bertline.evaluation.behaviour_file import BehaviourFile, Input, UserTest, whole_words
from bertline.evaluation.perturbations import PERTURBATIONS, Perturbation, random_of
from bertline.evaluation.sampling import sampled
from bertline.metrics.classification import predict_classes
from bertline.metrics.predict import Model
from bertline.params.evaluate import Params
from bertline.rows.io import inputs
from bertline.rows.labels import LabelSpace

Test = Perturbation | UserTest

NO_ROW = -1
CASES = pa.schema(
    {"test": pa.string(), "id": pa.string(), "row": pa.int64(), "text": pa.string(), "text_pair": pa.string()}
)
"""A case: its test; the id of its row, or the number of its text; the place of its row among the rows that
are changed, or `NO_ROW`; the text, and of a sentence pair the second one."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The tests in the order of the report, the R rows that they change, and the M cases (`CASES`)."""

    tests: tuple[Test, ...]
    rows: pa.Table
    cases: pa.Table
    skipped: dict[str, str]  # by test: why it has no case
    bounds: Mapping[str, float]  # by test: the highest failure rate that is accepted

    def texts(self) -> list[Input]:
        """Return what a model reads of the M cases."""
        return inputs(self.cases)


@dataclass(frozen=True, eq=False)
class CaseAnswers:
    """A model's probabilities float32 for the unchanged rows [R, C] and for the cases [M, C]."""

    space: LabelSpace
    rows_RC: npt.NDArray[np.float32]
    cases_MC: npt.NDArray[np.float32]

    @cached_property
    def row_labels(self) -> list[str]:
        """The answer to each row [R], as a label of `LabelSpace`."""
        return _labels(self.space, self.rows_RC)

    @cached_property
    def case_labels(self) -> list[str]:
        """The answer to each case [M]."""
        return _labels(self.space, self.cases_MC)


def sample_cases(rows: pa.Table, file: BehaviourFile, params: Params) -> Behaviour:
    """Return the cases for a sample of the test `rows`, the same for every model; as in `build_cases`."""
    sample = rows.take(sampled(len(rows), params.behaviour_rows, params.seed))
    return build_cases(sample, file, params.seed)


def build_cases(rows: pa.Table, file: BehaviourFile, seed: int) -> Behaviour:
    """Return the cases of the generic tests and of the user's, for R `rows` of `ROW_SCHEMA`.

    Raises:
        ValueError: the texts of a test are pairs and the rows are not, or the other way round.
    """
    generic = (each for each in PERTURBATIONS if each.name not in file.off)
    tests: tuple[Test, ...] = (*generic, *file.tests)
    texts, ids = inputs(rows), rows["id"].to_pylist()
    columns: dict[str, list[object]] = {name: [] for name in CASES.names}
    skipped = {}
    for test in tests:
        found = [*_cases(test, texts, ids, seed)]
        if not found:
            skipped[test.name] = _why_none(test, texts)
        for case in found:
            for name, value in zip(CASES.names, (test.name, *case), strict=True):
                columns[name].append(value)
    return Behaviour(tests, rows, pa.table(columns, schema=CASES), skipped, file.bounds)


def _cases(
    test: Test, texts: Sequence[Input], ids: Sequence[str], seed: int
) -> Iterable[tuple[str, int, str, str | None]]:
    """Yield id, row, text and second text of each case of `test`."""
    if isinstance(test, UserTest) and test.texts:
        _check_pairs(test, texts)
        yield from ((f"text {n}", NO_ROW, *_parts(text)) for n, text in enumerate(test.texts, start=1))
    elif not _unfit_for_pairs(test, texts):
        for row, (both, row_id) in enumerate(zip(texts, ids, strict=True)):
            text, second = _parts(both)
            if isinstance(test, UserTest):
                changed = _change(test, text, seed)
            else:
                changed = test.apply(text, seed) if test.fits(text) else text
            if changed != text:
                yield row_id, row, changed, second


def _parts(text: Input) -> tuple[str, str | None]:
    return (text, None) if isinstance(text, str) else text


def _check_pairs(test: UserTest, texts: Sequence[Input]) -> None:
    pairs = any(isinstance(text, tuple) for text in texts)
    if wrong := [text for text in test.texts if isinstance(text, tuple) != pairs]:
        kind = "pairs: [first, second]" if pairs else "single texts"
        raise ValueError(f"behaviour.yaml, {test.name!r}: {wrong[0]!r:.120}; the rows are {kind}")


def _unfit_for_pairs(test: Test, texts: Sequence[Input]) -> bool:
    fits = isinstance(test, UserTest) or test.fits_pairs
    return not fits and any(isinstance(text, tuple) for text in texts)


def _change(test: UserTest, text: str, seed: int) -> str:
    random = random_of(seed, test.name, text)
    changed = text
    for pattern, words in test.replace:
        changed = whole_words(pattern).sub(partial(_other, words, random), changed)
    if test.replace and (changed == text or not changed.strip()):  # the test is about the words it replaces
        return text
    return f"{test.prepend}{changed}{test.append}"


def _other(words: Sequence[str], random: Random, match: re.Match[str]) -> str:
    """Return one of `words` that does not stand there; what stands there if there is no other."""
    return random.choice([word for word in words if word != match[0]] or [match[0]])


def _why_none(test: Test, texts: Sequence[Input]) -> str:
    if _unfit_for_pairs(test, texts):
        return "both texts of a pair would have to change alike"
    firsts = (_parts(text)[0] for text in texts)
    if isinstance(test, Perturbation) and test.scripts and not any(map(test.fits, firsts)):
        return f"no text is mostly in {' or '.join(sorted(test.scripts))} letters"
    return "it changes none of the texts"


def answer_cases(model: Model, behaviour: Behaviour) -> CaseAnswers:
    """Return what `model` answers to the rows and the cases, each distinct text once.

    `model`: answers a text the same whatever is asked with it (`Classifier.one_by_one`), or a changed answer
    may come from another batch.
    """
    asked: list[Input] = [*inputs(behaviour.rows), *behaviour.texts()]
    places = {text: place for place, text in enumerate(dict.fromkeys(asked))}
    probabilities = model.probabilities([*places])
    found = probabilities[[places[text] for text in asked]] if asked else probabilities
    return CaseAnswers(model.space, *np.split(found, [len(behaviour.rows)]))


def failed_cases(behaviour: Behaviour, answers: CaseAnswers) -> npt.NDArray[np.bool_]:
    """Return whether each case [M] fails.

    - Invariance: the answer is not that to the unchanged row. With several labels a row, the sets differ.
    - Minimum functionality: the answer is not the label, or not exactly the labels, of the test.
    - Directional: the probability of the label rises or falls by more than the test allows. A label that the
      model does not know has probability 0.
    """
    failed_M = np.zeros(len(behaviour.cases), bool)
    names = np.array(behaviour.cases["test"].to_pylist(), object)
    rows_M = behaviour.cases["row"].to_numpy()
    before, after = np.array(answers.row_labels, object), np.array(answers.case_labels, object)
    for test in behaviour.tests:
        of_test = np.flatnonzero(names == test.name)
        if isinstance(test, UserTest) and test.kind == "minimum_functionality":
            failed_M[of_test] = after[of_test] != answers.space.join(test.labels)
        elif isinstance(test, UserTest) and test.kind == "directional":
            change = _of_label(answers, answers.cases_MC[of_test], test.labels[0])
            change -= _of_label(answers, answers.rows_RC[rows_M[of_test]], test.labels[0])
            failed_M[of_test] = change > test.by if test.must_not == "rise" else -change > test.by
        else:
            failed_M[of_test] = after[of_test] != before[rows_M[of_test]]
    return failed_M


def _of_label(
    answers: CaseAnswers, probabilities: npt.NDArray[np.float32], label: str
) -> npt.NDArray[np.float64]:
    if label not in answers.space.classes:
        return np.zeros(len(probabilities))
    return probabilities[:, answers.space.classes.index(label)].astype(np.float64)


def _labels(space: LabelSpace, probabilities: npt.NDArray[np.float32]) -> list[str]:
    return space.decode(predict_classes(probabilities, like=space.encode([])))
