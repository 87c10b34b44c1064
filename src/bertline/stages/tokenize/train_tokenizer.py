"""The tokenizer beside the tokens: a copy of the encoder's own, or one of its kind trained on the texts.

A trained one takes over from the encoder

- its normalisation, except that no mark of a letter is removed (`keep_marks`);
- its way to find words;
- its special tokens, with the lowest ids, in the same order and in the same places.

It has a vocabulary of its own: WordPiece (Wu et al., Google's Neural Machine Translation System, 2016) or BPE
(Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2016). An encoder cannot read
its ids before it was trained with them.

Guarantees the same bytes for the same texts. By default the library's WordPiece training numbers the
characters inside words in the order of a hash table, which differs between processes. So bertline passes
it all of them beforehand. Its Unigram training differs from process to process too, and is refused.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, trainers

from bertline.core.files import disk_errors, write_json
from bertline.stages.tokenize.keep_marks import with_marks
from bertline.tokens.pretrained import GENERIC_CLASS, TOKENIZER_FILES, read_config
from bertline.tokens.truncation import ENCODE_BATCH, load_tokenizer

USUAL = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
"""Roles of special tokens, and their usual names, for folders that do not name them."""
TRAINERS = {"WordPiece": trainers.WordPieceTrainer, "BPE": trainers.BpeTrainer}
MIN_COUNT = 2
"""Minimum frequency of a token."""


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy into `out` the files of the encoder in `folder` that transformers' AutoTokenizer needs."""
    for name in ("tokenizer.json", *TOKENIZER_FILES):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    names = out / TOKENIZER_FILES[0]
    if names.is_file() and "auto_map" in (fields := json.loads(names.read_text("utf-8"))):
        write_json(names, {name: value for name, value in fields.items() if name != "auto_map"})
    if not (out / TOKENIZER_FILES[0]).is_file():  # the model_type names the tokenizer then
        kind = read_config(folder).get("model_type")
        if kind is None:
            raise ValueError(
                f"neither {folder / TOKENIZER_FILES[0]} nor a model_type in its config.json names a tokenizer"
            )
        (out / "config.json").write_text(json.dumps({"model_type": kind}) + "\n", "utf-8")


def train_tokenizer(folder: Path, texts: Callable[[], Iterable[str]], size: int, out: Path) -> None:
    """Write a tokenizer like that of `folder`, trained on `texts` (called twice), into `out`.

    It knows at most `size` tokens: fewer if fewer of them occur twice in the texts.

    Raises:
        ValueError: the tokenizer of `folder` is of a kind that cannot be trained to the same bytes twice, or
            `size` is less than it needs to spell anything.
    """
    source = json.loads(with_marks(load_tokenizer(folder)).to_str())
    trained = json.dumps(_train(source, texts, size), ensure_ascii=False)
    copy_tokenizer(folder, out)
    with disk_errors():
        Tokenizer.from_str(trained).save(str(out / "tokenizer.json"))
    config = out / TOKENIZER_FILES[0]
    fields = _name_special(out) | (json.loads(config.read_text("utf-8")) if config.is_file() else {})
    fields.pop("added_tokens_decoder", None)  # the ids of the special tokens as they were
    # A class such as BertTokenizer would replace the normalisation of the training by its own.
    write_json(config, fields | {"tokenizer_class": GENERIC_CLASS})


def _name_special(folder: Path) -> dict[str, Any]:
    """Return the special tokens of the tokenizer in `folder` as tokenizer_config.json names them."""
    tokenizer = load_tokenizer(folder)
    return {f"{role}_token": tokenizer.id_to_token(i) for role, i in special_ids(folder).items()}


def special_ids(folder: Path) -> dict[str, int]:
    """Return the ids of the special tokens of the tokenizer in `folder`, by role, of those that it has."""
    tokenizer = load_tokenizer(folder)
    files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    fields: dict[str, Any] = {}
    for file in files:
        fields |= json.loads(file.read_text("utf-8"))
    ids: dict[str, int | None] = {}
    for role, usual in USUAL.items():
        named = fields.get(f"{role}_token")
        names = usual if named is None else [named["content"] if isinstance(named, dict) else named]
        found = [tokenizer.token_to_id(name) for name in names]
        ids[role] = next((each for each in found if each is not None), None)
    return {role: each for role, each in ids.items() if each is not None}


def measure_tokenizer(folder: Path, inputs: Sequence[str | tuple[str, str]]) -> dict[str, float]:
    """Return the size of the vocabulary in `folder`, and how it splits some texts.

    `tokens_per_text`, and `unknown_tokens`, the share of unknown ones; special tokens are not counted.
    """
    tokenizer, ids = load_tokenizer(folder), special_ids(folder)
    tokens = unknown = 0
    for start in range(0, len(inputs), ENCODE_BATCH):
        for encoding in tokenizer.encode_batch_fast(list(inputs[start : start + ENCODE_BATCH])):
            tokens += len(encoding.ids) - sum(encoding.special_tokens_mask)
            unknown += encoding.ids.count(ids.get("unk", -1))
    return {
        "vocabulary": tokenizer.get_vocab_size(),
        "tokens_per_text": tokens / len(inputs),
        "unknown_tokens": unknown / max(tokens, 1),
    }


def _train(source: dict[str, Any], texts: Callable[[], Iterable[str]], size: int) -> dict[str, Any]:
    """Return `source`, what a tokenizer.json holds, with a vocabulary learnt from `texts`."""
    model, kept = source["model"], [token for token in source["added_tokens"] if token["special"]]
    if model["type"] not in TRAINERS or model.get("end_of_word_suffix"):
        raise ValueError(
            f"tokenize.vocabulary: a {model['type']} tokenizer like this cannot be trained twice to the same "
            "result; choose tokenize.weights with a WordPiece (BERT's) or a byte-level tokenizer (RoBERTa's)"
        )
    special = [token["content"] for token in sorted(kept, key=lambda token: token["id"])]
    empty = source | {
        "post_processor": None,
        "added_tokens": [],
        "model": model | {"vocab": {}, "merges": []},
    }
    tokenizer = Tokenizer.from_str(json.dumps(empty))
    prefix = model.get("continuing_subword_prefix") or ""
    alphabet = _alphabet(tokenizer, texts(), size - len(special), prefix)
    trainer = TRAINERS[model["type"]](
        vocab_size=size,
        min_frequency=MIN_COUNT,
        special_tokens=[*special, *alphabet],
        limit_alphabet=0,  # the whole alphabet is given
        show_progress=False,
        **({"continuing_subword_prefix": prefix} if prefix else {}),
    )
    tokenizer.train_from_iterator(texts(), trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    return source | {
        "model": learnt,
        "added_tokens": [token | {"id": learnt["vocab"][token["content"]]} for token in kept],
        "post_processor": _renumber(source["post_processor"], learnt["vocab"]),
    }


def _alphabet(tokenizer: Tokenizer, texts: Iterable[str], room: int, prefix: str) -> list[str]:
    """Return at most `room` tokens of one character, the most frequent; inside words with the `prefix`."""
    counts: Counter[str] = Counter()
    inside: set[str] = set()
    for text in texts:
        for word in _words(tokenizer, text):
            counts.update(word)
            inside.update(word[1:])
    if "ByteLevel" in str(json.loads(tokenizer.to_str())["pre_tokenizer"]):
        counts = Counter(dict.fromkeys(pre_tokenizers.ByteLevel.alphabet(), MIN_COUNT))  # any text is spelt
        if len(counts) > room:
            raise ValueError(
                f"tokenize.vocabulary leaves {room} tokens beside the special ones, but a byte-level "
                f"tokenizer needs {len(counts)} for the bytes; raise it"
            )
    tokens: list[str] = []
    for character, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        spelt = [character, prefix + character] if prefix and character in inside else [character]
        if count < MIN_COUNT or len(tokens) + len(spelt) > room:
            break
        tokens += spelt
    return sorted(tokens)


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    normalized = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    if tokenizer.pre_tokenizer is None:
        return [normalized]
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]


def _renumber(processor: dict[str, Any] | None, ids: dict[str, int]) -> dict[str, Any] | None:
    """Return `processor`, which adds the special tokens to a text, with new `ids` for these tokens."""
    if processor is None:
        return None
    changed = dict(processor)
    if processor["type"] == "Sequence":
        changed["processors"] = [_renumber(each, ids) for each in processor["processors"]]
    elif processor["type"] == "TemplateProcessing":
        changed["special_tokens"] = {
            name: token | {"ids": [ids[each] for each in token["tokens"]]}
            for name, token in processor["special_tokens"].items()
        }
    else:  # BertProcessing, RobertaProcessing; ByteLevel has none
        changed |= {
            role: [processor[role][0], ids[processor[role][0]]]
            for role in ("cls", "sep")
            if role in processor
        }
    return changed
