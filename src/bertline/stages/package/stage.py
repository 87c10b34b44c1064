"""The `package` stage: one folder with all that a consumer needs, in the layout that its readers look for.

transformers and our torch backend read model.safetensors, onnxruntime and text-embeddings-inference read
onnx/model.onnx. The folder changes nothing in what it puts together.
"""

import shutil
from pathlib import Path

from bertline.core.files import apply_umask
from bertline.tokens.pretrained import WEIGHTS


def package(*, finetuned: Path, exported: Path, model: Path) -> None:
    """Write the candidate to `model`: the files of `exported`, and the weights of `finetuned`."""
    shutil.copytree(exported, model, dirs_exist_ok=True, copy_function=shutil.copyfile)
    shutil.copyfile(finetuned / WEIGHTS, model / WEIGHTS)
    apply_umask(model)
