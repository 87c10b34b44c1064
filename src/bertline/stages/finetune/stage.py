"""Fine-tune the encoder that the tokens were made for; a killed run continues from its last checkpoint."""

from pathlib import Path

import numpy as np

from bertline.core.files import write_json
from bertline.core.params_loading import load_params
from bertline.head.out_of_scope import FILE
from bertline.params.finetune import Params
from bertline.stages.finetune.calibration import calibrate
from bertline.stages.finetune.diagnosis import diagnose
from bertline.stages.finetune.distillation import load_teacher
from bertline.stages.finetune.prepare import resolve_settings, teacher_logits
from bertline.stages.finetune.restarts import train_with_restarts
from bertline.stages.finetune.statistics import fit_statistics
from bertline.stages.finetune.task import predict_classes_of
from bertline.tokens.arrays import TokenizedSplit, read_split
from bertline.tokens.manifest import Manifest
from bertline.training.session import Session, run_session
from bertline.training.starting_encoder import find_encoder


def finetune(*, tokens: Path, adapted: Path, teacher: Path, model: Path, report: Path) -> None:
    """Write the calibrated model to `model`, and curves, summary and calibration.json to `report`."""
    params = load_params(Params)

    def train(session: Session) -> None:
        manifest = Manifest.read(tokens)
        encoder = find_encoder(manifest, adapted)
        splits = {name: read_split(tokens / f"{name}.arrow") for name in ("train", "validation")}
        resolved, lines = resolve_settings(params, encoder, manifest, rows=len(splits["train"]))
        session.announce(*lines)
        teacher_logits_NC = _ask_teacher(teacher, tokens, manifest, splits["train"], params, session)
        best = train_with_restarts(session, encoder, manifest, splits, resolved, teacher_logits_NC)
        calibration = calibrate(best.model, splits["validation"], params)
        session.announce(calibration.line())
        predicted = predict_classes_of(calibration.before_NC, like=calibration.targets)
        warnings = diagnose(
            best.events,
            calibration.targets,
            predicted,
            manifest.classes,
            resolved,
            rate_is_auto=params.learning_rate == "auto",
        )
        session.announce(*(f"warning: {each}" for each in warnings))
        statistics, out_of_scope = fit_statistics(best.model, splits, params)
        if session.world.is_main:
            calibrated = calibration.record(manifest.classes)
            origin = session.save(best.model, manifest, tokens, model)
            (model / FILE).unlink(missing_ok=True)
            if statistics:
                statistics.save(model)
            reading = {
                name: getattr(manifest, name) for name in ("max_length", "long_texts", "stride", "pairs")
            }
            temperature = {"temperature": calibrated["temperature"]}
            write_json(model / "bertline.json", origin | reading | temperature | session.facts)
            used = {"epochs": resolved.epochs, "learning_rate": resolved.learning_rate}
            session.write_report(best.events, params.select_by, seed=best.seed, **used, warnings=warnings)
            write_json(report / "out_of_scope.json", out_of_scope)
            write_json(report / "calibration.json", calibrated)

    run_session("finetune", params, [tokens, adapted, teacher], report, train)


def _ask_teacher(
    folder: Path,
    tokens: Path,
    manifest: Manifest,
    split: TokenizedSplit,
    params: Params,
    session: Session,
) -> np.ndarray | None:
    """Return the teacher's logits for `split`, float32 [N, C]; None without distillation."""
    if not params.distillation:
        return None
    session.announce(f"computing the teacher's logits for {len(split)} rows")
    model = load_teacher(folder, tokens, manifest.classes, multi_label=manifest.multi_label)
    return teacher_logits(model, split, params, session.device)
