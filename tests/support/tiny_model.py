"""A tiny model folder without a training: it answers, but it has learnt nothing."""

import json
from pathlib import Path

from bertline.models.classifier import Classifier, Texts
from bertline.models.folder import SERVED, Answering, add_answering
from tests.support.tiny import CLASSES


def save_tiny_model(
    folder: Path,
    encoder: Path,
    *,
    onnx: bool = False,
    pairs: bool = False,
    multi_label: bool = False,
    seed: int = 0,
    over: Texts = (),
) -> Path:
    """Write the model to `folder`, which torch answers, or with `onnx` onnxruntime; it has no thresholds.

    It gives nearly all texts the same answer, unless there are texts `over` which its answers are spread.
    """
    import torch

    from bertline.encoder.classifier import build_classifier, load_classifier, save_classifier

    torch.manual_seed(seed)
    model = build_classifier(encoder, CLASSES, multi_label=multi_label)
    save_classifier(model, encoder, 16, folder)
    (folder / "bertline.json").write_text(json.dumps({"max_length": 16, "pairs": pairs}))
    if over:
        logits_NC = torch.from_numpy(Classifier(folder).outputs(over).logits)
        mean_C, spread_C = logits_NC.mean(dim=0), logits_NC.std(dim=0)
        with torch.no_grad():
            model.classifier.bias.copy_((model.classifier.bias - mean_C) / spread_C)
            model.classifier.weight.div_(spread_C[:, None])
        save_classifier(model, encoder, 16, folder)
    if onnx:
        from bertline.stages.export.onnx_model import write_onnx

        (folder / SERVED).parent.mkdir()
        write_onnx(load_classifier(folder), folder / SERVED)
        refuse_below(folder, None)
    return folder


def refuse_below(folder: Path, min_probability: float | None) -> None:
    """Set the thresholds of a model with ONNX, as `export` does: less probable answers are refused."""
    answering = Answering(
        precision="fp32", score="energy", max_out_of_scope=None, min_probability=min_probability
    )
    add_answering(folder, answering)
