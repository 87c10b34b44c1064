"""The `export` stage: write the model as ONNX, and decide what is served and when an answer is refused.

Everything is decided on validation rows, with the file that will be served. What torch cannot export is
served by torch, and what cannot be computed in int8 in float32; the report says so.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bertline.core.files import apply_umask, disk_errors, write_json
from bertline.core.params_loading import load_params
from bertline.encoder.classifier import load_classifier
from bertline.encoder.oom import is_out_of_memory
from bertline.head.out_of_scope import Reader
from bertline.metrics.rounding import rounded
from bertline.models.classifier import Classifier, Outputs
from bertline.models.folder import FP32, INT8, SERVED, Precision, add_answering
from bertline.params.export import Params
from bertline.stages.export.onnx_model import ExportError, write_onnx
from bertline.stages.export.parity import Parity, choose, compare
from bertline.stages.export.quantize import write_int8
from bertline.stages.export.thresholds import describe, set_thresholds
from bertline.stages.export.validation_rows import ValidationRows, read_validation_rows
from bertline.tokens.pretrained import WEIGHTS


def export(*, validation: Path, finetuned: Path, exported: Path, report: Path) -> None:
    """Write the folder `exported`, which answers as the model in `finetuned` does, and what was decided."""
    params = load_params(Params)
    classifier = Classifier(finetuned, threads=params.threads, batch_size=params.batch_size)
    rows = read_validation_rows(validation, classifier.space, params.rows)
    outputs = {"torch": classifier.outputs(rows.all)}
    shutil.copytree(finetuned, exported, ignore=shutil.ignore_patterns(WEIGHTS), dirs_exist_ok=True)
    precision, reason, parities = _export(finetuned, exported, classifier.reader, rows, outputs, params)
    print(f"served: {precision}, because {reason}")
    answering, aurocs = set_thresholds(classifier, precision, rows, outputs[precision], params)
    add_answering(exported, answering)
    apply_umask(exported)
    report.mkdir(parents=True, exist_ok=True)
    document = {
        "served": precision,
        "reason": reason,
        "rows": len(rows.inside),
        "out_of_scope_rows": len(rows.outside),
        "parity": {name: asdict(each) for name, each in parities.items()},
        "thresholds": asdict(answering),
        "abstention": describe(classifier, answering, rows, outputs[precision], outputs["torch"]),
        "auroc": aurocs,
    }
    write_json(report / "export.json", rounded(document))


def _export(
    finetuned: Path,
    exported: Path,
    reader: Reader,
    rows: ValidationRows,
    outputs: dict[str, Outputs],
    params: Params,
) -> tuple[Precision, str, dict[str, Parity]]:
    """Write the ONNX files, add the `outputs` of each, and return which is served, why, and their parity."""
    if not params.onnx:
        return _serve_torch(finetuned, exported), "export.onnx is false", {}
    (exported / SERVED).parent.mkdir(exist_ok=True)
    paths = {"fp32": exported / FP32, "int8": exported / INT8}
    parities: dict[str, Parity] = {}

    def measure(name: str) -> Parity:
        each = Classifier(exported, threads=params.threads, batch_size=params.batch_size, onnx=paths[name])
        outputs[name] = each.outputs(rows.all)
        parities[name] = compare(
            rows.expected,
            outputs["torch"].logits[: len(rows.inside)],
            outputs[name].logits[: len(rows.inside)],
            resamples=params.resamples,
            confidence=params.confidence,
            seed=params.seed,
        )
        return parities[name]

    try:
        with _faults("the ONNX file"):
            write_onnx(load_classifier(finetuned), paths["fp32"], reader)
            fp32 = measure("fp32")
    except ExportError as error:
        return _serve_torch(finetuned, exported), str(error), {}
    try:
        with _faults("int8"):
            write_int8(paths["fp32"], paths["int8"], reduce_range=params.reduce_range)
            precision, reason = choose(params, fp32, measure("int8"))
    except ExportError as error:
        paths["int8"].unlink(missing_ok=True)
        precision, reason = choose(params, fp32, str(error))
    if precision == "torch":
        return _serve_torch(finetuned, exported), reason, parities
    paths[precision].rename(exported / SERVED)
    return precision, reason, parities


@contextmanager
def _faults(what: str) -> Iterator[None]:
    """Turn every error but that of a full disk or memory into an ExportError that names `what`."""
    try:
        with disk_errors():
            yield
    except (ExportError, OSError, MemoryError):
        raise
    except Exception as error:  # those of onnxruntime and its quantiser have no base class of their own
        if is_out_of_memory(error):
            raise
        fault = " ".join(str(error).split())[:200]
        raise ExportError(f"{what} cannot be computed: {fault}") from error


def _serve_torch(finetuned: Path, exported: Path) -> Precision:
    shutil.rmtree((exported / SERVED).parent, ignore_errors=True)
    shutil.copyfile(finetuned / WEIGHTS, exported / WEIGHTS)
    return "torch"
