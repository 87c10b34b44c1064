import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from bertline.encoder.classifier import build_classifier, load_classifier, save_classifier
from bertline.head.out_of_scope import Part, Reader, Statistics
from bertline.models.classifier import Classifier
from bertline.tokens.truncation import load_tokenizer
from tests.support.tiny import CLASSES, make_texts


@pytest.fixture(scope="module")
def model_folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_classifier(build_classifier(tiny_encoder, CLASSES), tiny_encoder, 16, folder)
    (folder / "bertline.json").write_text(json.dumps({"max_length": 16}))
    return folder


def test_probabilities_are_those_of_the_transformers_pipeline(model_folder: Path) -> None:
    texts = [text for text, _ in make_texts(40)] + ["cat " * 50]
    classify = pipeline("text-classification", model=str(model_folder), top_k=None, device="cpu")
    classifier = Classifier(model_folder, batch_size=7)
    theirs = [{each["label"]: each["score"] for each in row} for row in classify(texts, truncation=True)]
    expected = [[row[label] for label in classifier.space.classes] for row in theirs]
    np.testing.assert_allclose(classifier.probabilities(texts), expected, atol=1e-6)


def test_labels_are_words_people_read(model_folder: Path) -> None:
    assert Classifier(model_folder).space.classes == CLASSES


def test_rows_are_probabilities_in_the_order_of_the_texts(model_folder: Path) -> None:
    texts = [text for text, _ in make_texts(30)]
    together = Classifier(model_folder, batch_size=4).probabilities(texts)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)
    alone = np.concatenate([Classifier(model_folder).probabilities([text]) for text in texts[:3]])
    np.testing.assert_allclose(together[:3], alone, atol=1e-6)


def serve(folder: Path, source: Path, *, multi_label: bool = False, **about: object) -> Classifier:
    torch.manual_seed(0)
    save_classifier(build_classifier(source, CLASSES, multi_label=multi_label), source, 16, folder)
    (folder / "bertline.json").write_text(json.dumps({"max_length": 16, **about}))
    return Classifier(folder, batch_size=7)


def test_texts_are_cut_by_the_tokenizer_of_the_training_not_by_its_class(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_encoder, source)
    file = source / "tokenizer.json"
    file.write_text(
        file.read_text()
        .replace('"lowercase":true', '"lowercase":false')
        .replace('"lowercase": true', '"lowercase": false')
    )
    config = source / "tokenizer_config.json"
    settings = {**json.loads(config.read_text()), "tokenizer_class": "BertTokenizer", "do_lower_case": True}
    config.write_text(json.dumps(settings))
    classifier = serve(tmp_path / "model", source)
    upper, unknown, lower = classifier.probabilities(["CAT", "ZZZ", "cat"])
    np.testing.assert_array_equal(upper, unknown)
    assert not np.allclose(upper, lower)
    ids = AutoTokenizer.from_pretrained(tmp_path / "model")("CAT")["input_ids"]
    assert ids == load_tokenizer(source).encode("CAT").ids


LONG = " ".join(["the cat is blue", "my dog", "two of three horse"] * 9)  # 90 words


def test_the_logits_of_the_windows_of_a_text_are_averaged(tiny_encoder: Path, tmp_path: Path) -> None:
    classifier = serve(tmp_path, tiny_encoder, long_texts="windows", stride=4)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    texts = ["the cat", LONG, "a dog is " * 3, LONG[:200], ""]
    expected = []
    for text in texts:
        windows = tokenizer(
            text, truncation=True, max_length=16, stride=4, return_overflowing_tokens=True, padding=True
        )
        inputs = {name: torch.tensor(windows[name]) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            expected.append(model(**inputs).logits.mean(dim=0).softmax(dim=0).numpy())
    np.testing.assert_allclose(classifier.probabilities(texts), expected, atol=1e-6)


@pytest.mark.parametrize("long_texts", ["head", "tail", "head_tail"])
def test_long_texts_are_cut_as_in_training(tiny_encoder: Path, tmp_path: Path, long_texts: str) -> None:
    classifier = serve(tmp_path, tiny_encoder, long_texts=long_texts, stride=4)
    words = LONG.split()
    read = {"head": words[:14], "tail": words[-14:], "head_tail": words[:4] + words[-10:]}[long_texts]
    np.testing.assert_allclose(*map(classifier.probabilities, ([LONG], [" ".join(read)])), atol=1e-6)


def test_the_probabilities_of_several_labels_are_each_on_their_own(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    classifier = serve(tmp_path, tiny_encoder, multi_label=True)
    texts = ["the cat", "my dog is blue", LONG]
    classify = pipeline("text-classification", model=str(tmp_path), top_k=None, device="cpu")
    theirs = [{each["label"]: each["score"] for each in row} for row in classify(texts, truncation=True)]
    expected = [[row[label] for label in classifier.space.classes] for row in theirs]
    np.testing.assert_allclose(classifier.probabilities(texts), expected, atol=1e-6)
    assert classifier.space.multi_label
    assert not np.allclose(np.sum(expected, axis=1), 1)


def test_a_model_of_one_label_each_is_not_multi_label(model_folder: Path) -> None:
    assert not Classifier(model_folder).space.multi_label


def test_one_by_one_an_answer_depends_on_no_other_text(model_folder: Path) -> None:
    alone = Classifier(model_folder).one_by_one()
    texts = [text for text, _ in make_texts(5)]
    together = alone.probabilities(texts)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_array_equal(alone.probabilities([text])[0], row)


def test_one_by_one_equal_tokens_are_computed_once(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Classifier(model_folder).one_by_one()
    texts = ["my dog", "the cat", "THE  CAT", "a fish", "my dog"]
    expected = np.concatenate([alone.probabilities([text]) for text in texts])
    run, lengths = alone._backend.run, []
    monkeypatch.setattr(
        alone._backend, "run", lambda inputs: lengths.append(inputs["input_ids"].shape) or run(inputs)
    )
    np.testing.assert_array_equal(alone.probabilities(texts), expected)
    assert len(lengths) == 3


def test_no_texts_are_no_rows(model_folder: Path) -> None:
    assert Classifier(model_folder).probabilities([]).shape == (0, 3)


def test_no_texts_have_no_answers_and_no_scores(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    part = Part(center_H=np.zeros(32), whitening_HH=np.eye(32), means_KH=np.zeros((3, 32)))
    Statistics((part,)).save(folder)
    answers = Classifier(folder).answers([])
    assert (answers.probabilities.shape, answers.out_of_scope.shape, answers.refused.shape) == (
        (0, 3),
        (0,),
        (0,),
    )


@pytest.mark.parametrize("reader", get_args(Reader))
def test_the_states_are_those_that_the_statistics_are_of(
    model_folder: Path, tmp_path: Path, reader: Reader
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    part = Part(center_H=np.zeros(32), whitening_HH=np.eye(32), means_KH=np.zeros((3, 32)))
    Statistics((part,), reader).save(folder)
    model = load_classifier(folder)
    text = make_texts(1)[0][0]
    inputs = dict(AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt"))
    with torch.inference_mode():
        outputs = model.bert(**inputs)
    expected_H = outputs.last_hidden_state[0, 0] if reader == "first" else outputs.pooler_output[0]
    states_W = Classifier(folder).outputs([text]).states[0]
    np.testing.assert_allclose(states_W[: len(expected_H)], expected_H, atol=1e-5)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_folder_that_is_no_model_names_the_next_command(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=f"there is no model in .*{kind}; `dvc repro` makes models"):
        Classifier(tmp_path / kind)


def test_a_model_of_someone_else_lacks_what_says_how_it_reads(tiny_encoder: Path) -> None:
    with pytest.raises(ValueError, match=r"has no bertline\.json, so the length of its inputs is unknown"):
        Classifier(tiny_encoder)


@pytest.mark.parametrize(
    ("damaged", "fault"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "max_length: Field required"),
        ('{"max_length": "16"}', "max_length: Input should be a valid integer"),
        ('{"max_length": 16, "long_texts": "middle"}', "long_texts: Input should be 'head', 'tail'"),
    ],
)
def test_a_damaged_bertline_json_is_named_with_its_fault(tmp_path: Path, damaged: str, fault: str) -> None:
    (tmp_path / "bertline.json").write_text(damaged)
    with pytest.raises(
        ValueError, match=rf"bertline\.json is damaged \({fault}.*\); fetch or train"
    ) as raised:
        Classifier(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_an_answer_that_is_not_a_number_is_an_error(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"] = torch.tensor([[3e38], [-3e38], [0.0]]).repeat(1, 32)
    weights["bert.pooler.dense.bias"].fill_(50)  # so that what the huge weights meet is 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="gives NaN or infinity for these texts; fine-tune it again"):
        Classifier(folder).probabilities(["the cat"])
