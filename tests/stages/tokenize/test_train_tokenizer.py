import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer

from bertline.stages.tokenize.train_tokenizer import (
    copy_tokenizer,
    measure_tokenizer,
    special_ids,
    train_tokenizer,
)
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import load_tokenizer
from tests.support.tiny import make_texts

ENGLISH = [text for text, _ in make_texts(200)]
CHINESE = [
    "今天天气很好我们去公园散步吧。",
    "这家餐厅的服务太差了。我 never 再也不会来了",
    "请问天气好吗",
] * 2
MINILM = "sample:all-MiniLM-L6-v2"


def scrambled(count: int) -> list[str]:
    """Return texts with many characters and words that come equally often, in words and alone."""
    draw = random.Random(0)
    letters = [chr(0x61 + i) for i in range(26)] + [chr(0x430 + i) for i in range(32)]
    words = ["".join(draw.choices(letters, k=draw.randint(1, 8))) for _ in range(600)]
    ideographs = [chr(0x4E00 + i) for i in range(300)]
    return [" ".join(draw.choices(words, k=8)) + "".join(draw.choices(ideographs, k=5)) for _ in range(count)]


def save(folder: Path, tokenizer: Tokenizer, special: dict[str, str], kind: str) -> Path:
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{role}_token": token for role, token in special.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind, **names}))
    return folder


@pytest.fixture
def roberta(tmp_path: Path) -> Path:
    """Return a folder with a byte-level BPE tokenizer like RoBERTa's, whose <mask> has the highest id."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        ENGLISH, trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    roles = {"cls": "<s>", "bos": "<s>", "pad": "<pad>", "sep": "</s>", "eos": "</s>", "unk": "<unk>"}
    return save(tmp_path / "roberta", tokenizer, roles | {"mask": "<mask>"}, "RobertaTokenizer")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def same_as_transformers(folder: Path, texts: list[str]) -> None:
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert len(theirs) == ours.get_vocab_size()
    assert [theirs(text)["input_ids"] for text in texts] == [ours.encode(text).ids for text in texts]
    assert theirs(*texts[:2])["input_ids"] == ours.encode(*texts[:2]).ids
    ids = special_ids(folder)
    assert ids == {role: getattr(theirs, f"{role}_token_id") for role in ids}


@pytest.mark.parametrize("weights", [MINILM, "tiny", "without names"])
def test_a_copied_tokenizer_is_transformers_own_without_the_encoder(
    tiny_encoder: Path, tmp_path: Path, out: Path, weights: str
) -> None:
    folder = (
        find_pretrained(weights) if weights == MINILM else shutil.copytree(tiny_encoder, tmp_path / "copy")
    )
    if weights == "without names":
        (folder / "tokenizer_config.json").unlink()
    copy_tokenizer(folder, out)
    assert (out / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    same_as_transformers(out, ENGLISH[:20])
    assert list(special_ids(out)) == ["pad", "unk", "cls", "sep", "mask"]


def test_a_trained_tokenizer_has_the_special_tokens_first_and_in_their_order(out: Path) -> None:
    train_tokenizer(find_pretrained(MINILM), lambda: ENGLISH, 150, out)
    assert special_ids(out) == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    tokenizer = load_tokenizer(out)
    assert tokenizer.encode("The CAT").tokens == [
        "[CLS]",
        "the",
        "cat",
        "[SEP]",
    ]  # lower case, as the weights'
    assert tokenizer.encode("the", "[MASK]").ids == [2, tokenizer.token_to_id("the"), 3, 4, 3]
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
    same_as_transformers(out, ENGLISH[:20])


def test_chinese_characters_are_known_and_each_a_token(out: Path) -> None:
    train_tokenizer(find_pretrained(MINILM), lambda: CHINESE, 200, out)
    assert load_tokenizer(out).encode("天气never好").tokens == ["[CLS]", "天", "气", "never", "好", "[SEP]"]
    before, after = (measure_tokenizer(folder, CHINESE) for folder in (find_pretrained(MINILM), out))
    assert before["unknown_tokens"] > 0.5
    assert after["unknown_tokens"] == 0
    same_as_transformers(out, CHINESE)


def test_a_byte_level_tokenizer_is_trained_alike(roberta: Path, out: Path) -> None:
    train_tokenizer(roberta, lambda: CHINESE, 300, out)
    assert special_ids(out) == {"pad": 1, "unk": 3, "cls": 0, "sep": 2, "mask": 4}
    tokenizer = load_tokenizer(out)
    assert tokenizer.encode("天气", "很").ids[:1] == [0]
    assert tokenizer.decode(tokenizer.encode("天气 and more 😀").ids) == "天气 and more 😀"
    assert tokenizer.get_vocab_size() == 300
    same_as_transformers(out, CHINESE)


@pytest.mark.parametrize("size", [100, 400, 1500])
def test_a_vocabulary_is_never_larger_than_asked_for(out: Path, size: int) -> None:
    texts = scrambled(300)
    train_tokenizer(find_pretrained(MINILM), lambda: texts, size, out)
    found = load_tokenizer(out).get_vocab_size()
    assert found <= size
    assert found >= 0.9 * size


def test_few_texts_give_a_smaller_vocabulary(out: Path) -> None:
    train_tokenizer(find_pretrained(MINILM), lambda: ENGLISH, 30_000, out)
    assert load_tokenizer(out).get_vocab_size() < 300


def test_a_character_that_comes_once_is_no_token(out: Path) -> None:
    train_tokenizer(find_pretrained(MINILM), lambda: ["the cat 今", "the cat 天 天"], 100, out)
    assert load_tokenizer(out).encode("今天").tokens == ["[CLS]", "[UNK]", "天", "[SEP]"]


@pytest.mark.parametrize(("kind", "size"), [("WordPiece", 300), ("WordPiece", 1500), ("BPE", 1500)])
def test_every_process_trains_the_same_bytes(kind: str, size: int, roberta: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(scrambled(500)))
    folder = find_pretrained(MINILM) if kind == "WordPiece" else roberta
    program = (
        "import json, sys; from pathlib import Path\n"
        "from bertline.stages.tokenize.train_tokenizer import train_tokenizer\n"
        "texts, folder, out = map(Path, sys.argv[1:4]); out.mkdir()\n"
        "train_tokenizer(folder, lambda: json.loads(texts.read_text()), int(sys.argv[4]), out)"
    )
    digests = set()
    for run in range(3):
        out = tmp_path / f"run{run}"
        hashing = {"PYTHONHASHSEED": str(run), "RAYON_NUM_THREADS": str(1 + run)}
        command = [sys.executable, "-c", program, str(texts), str(folder), str(out), str(size)]
        subprocess.run(command, env=os.environ | hashing, check=True)
        files = sorted(out.iterdir())
        assert {file.name for file in files} >= {"tokenizer.json", "tokenizer_config.json"}
        digests.add(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest())
    assert len(digests) == 1


def test_a_tokenizer_that_trains_differently_each_time_is_refused(tmp_path: Path, out: Path) -> None:
    tokenizer = Tokenizer(models.Unigram([("<pad>", 0.0), ("<unk>", 0.0), ("▁a", -1.0)], unk_id=1))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    folder = save(tmp_path / "albert", tokenizer, {"pad": "<pad>", "unk": "<unk>"}, "AlbertTokenizer")
    with pytest.raises(ValueError, match=r"a Unigram tokenizer .* choose tokenize\.weights with a WordPiece"):
        train_tokenizer(folder, lambda: ENGLISH, 200, out)
    assert list(out.iterdir()) == []


def test_a_folder_that_does_not_say_what_its_tokenizer_is_is_refused(tmp_path: Path, out: Path) -> None:
    shutil.copyfile(find_pretrained(MINILM) / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"nor a model_type in its config\.json names a tokenizer"):
        copy_tokenizer(tmp_path, out)


def test_a_byte_level_tokenizer_needs_room_for_all_bytes(roberta: Path, out: Path) -> None:
    with pytest.raises(ValueError, match="needs 256 for the bytes; raise it"):
        train_tokenizer(roberta, lambda: ENGLISH, 200, out)


def test_ids_that_a_file_of_older_transformers_names_are_not_kept(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    for name in ("tokenizer.json", "config.json"):
        shutil.copyfile(find_pretrained(MINILM) / name, folder / name)
    tokens = {str(100 + i): {"content": name, "special": True} for i, name in enumerate(["[UNK]", "[CLS]"])}
    names = {"tokenizer_class": "BertTokenizer", "added_tokens_decoder": tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "special_tokens_map.json").write_text(json.dumps({"cls_token": {"content": "[CLS]"}}))
    train_tokenizer(folder, lambda: ENGLISH, 150, out)
    assert special_ids(out)["cls"] == 2
    same_as_transformers(out, ENGLISH[:20])


HINDI = ["था है कुल वह पर आज मल मेल", "पर कल कुल घर यह जो मेला", "आज वह था जो मेल था घर"] * 2
JAPANESE = ["いまはこれかぎこれ", "がものかきそれもへ", "はをががをへかぎかき"] * 2


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (HINDI, ["कुल", "कल", "मेल", "मल", "मेला"]),
        (JAPANESE, ["かぎ", "かき", "がも", "かも"]),
        (["pêche péché peche Straße", "le pêche a péché peche"] * 2, ["pêche", "péché", "peche"]),
    ],
    ids=["Hindi", "Japanese", "French"],
)
def test_different_words_have_different_ids(texts: list[str], words: list[str], out: Path) -> None:
    train_tokenizer(find_pretrained(MINILM), lambda: texts, 300, out)
    tokenizer = load_tokenizer(out)
    ids = {tuple(tokenizer.encode(word).ids) for word in words}
    assert len(ids) == len(words)
    assert not any(special_ids(out)["unk"] in each for each in ids)
    same_as_transformers(out, texts)


def test_one_word_in_two_spellings_has_the_same_ids(out: Path) -> None:
    texts = ["ein café für Lisa", "CAFE\u0301 fu\u0308r sie"] * 2
    train_tokenizer(find_pretrained(MINILM), lambda: texts, 300, out)
    tokenizer = load_tokenizer(out)
    assert tokenizer.encode("café für").ids == tokenizer.encode("CAFE\u0301\u200b fu\u0308r\ufeff").ids


def test_the_joiner_inside_a_persian_word_counts(out: Path) -> None:
    words = ["نامه\u200cای", "نامهای"]  # noqa: RUF001 - Persian
    train_tokenizer(find_pretrained(MINILM), lambda: [" ".join(words)] * 3, 300, out)
    one, other = (load_tokenizer(out).encode(word).ids for word in words)
    assert one != other
