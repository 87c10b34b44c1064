"""The `package` stage: one folder with all that a consumer needs, in the layout that its readers look for.

transformers and our torch backend read model.safetensors, onnxruntime and text-embeddings-inference read
onnx/model.onnx, people read README.md. The folder changes nothing in what it puts together.

text-embeddings-inference takes the longest text from a file of sentence-transformers; without it, it would
read texts up to the positions of the encoder, and not as they were read in training.
"""

import shutil
from pathlib import Path

from bertline.core.files import apply_umask, write_json
from bertline.core.params_loading import load_params
from bertline.params.package import Params
from bertline.stages.package.examples import typical_texts
from bertline.stages.package.model_card import md5, write_card
from bertline.stages.package.reports import read_reports
from bertline.tokens.pretrained import WEIGHTS

LENGTHS = "sentence_bert_config.json"


def package(
    *,
    finetuned: Path,
    exported: Path,
    train: Path,
    out_of_fold: Path,
    ingested: Path,
    split: Path,
    training: Path,
    export: Path,
    evaluation: Path,
    model: Path,
) -> None:
    """Write the candidate to `model`: the files of `exported`, the weights of `finetuned`, and its card."""
    params = load_params(Params)
    shutil.copytree(exported, model, dirs_exist_ok=True, copy_function=shutil.copyfile)
    shutil.copyfile(finetuned / WEIGHTS, model / WEIGHTS)
    reports = read_reports(
        model, ingested=ingested, split=split, training=training, export=export, evaluation=evaluation
    )
    lengths = {"do_lower_case": False, "max_seq_length": reports.settings["max_length"]}
    write_json(model / LENGTHS, lengths)
    examples = typical_texts(train, out_of_fold, reports.classes, params.examples)
    write_card(model, reports, examples, md5(train))
    apply_umask(model)
