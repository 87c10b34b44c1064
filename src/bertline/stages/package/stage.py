"""The `package` stage: one folder with all that a consumer needs, in the layout that its readers look for.

transformers and our torch backend read model.safetensors, onnxruntime and text-embeddings-inference read
onnx/model.onnx, people read README.md. The folder changes nothing in what it puts together.
"""

import shutil
from pathlib import Path

from bertline.core.files import apply_umask
from bertline.core.params_loading import load_params
from bertline.params.package import Params
from bertline.stages.package.examples import typical_texts
from bertline.stages.package.model_card import md5, write_card
from bertline.stages.package.reports import read_reports
from bertline.tokens.pretrained import WEIGHTS


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
    examples = typical_texts(train, out_of_fold, reports.classes, params.examples)
    write_card(model, reports, examples, md5(train))
    apply_umask(model)
