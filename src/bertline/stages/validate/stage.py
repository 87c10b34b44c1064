"""Judge a batch of rows: quarantine bad rows, and stop the run if the batch as a whole is bad."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from bertline.core.params_loading import load_params
from bertline.params import tokenize
from bertline.params.validate import Params
from bertline.stages.validate.batch_metrics import MeasureTokens
from bertline.stages.validate.checks import build_suite
from bertline.stages.validate.custom_checks import read_expectations
from bertline.stages.validate.quarantine.reasons import reasons_of_faults
from bertline.stages.validate.quarantine.reviews import read_reviews
from bertline.stages.validate.report import write_report
from bertline.stages.validate.result import BatchMetric, ValidationResult
from bertline.stages.validate.token_contract import measure_tokens
from bertline.stages.validate.validate_rows import REASONS_SHOWN, describe, explain, validate_rows
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import load_tokenizer


def validate(
    *,
    rows: Path,
    ingested: Path,
    expectations: Path,
    reviews: Path,
    validated: Path,
    quarantine: Path,
    report: Path,
) -> None:
    """Quarantine bad rows with the rule they broke; stop a bad batch with a report of what failed."""
    params = load_params(Params)
    suite = build_suite(params, read_expectations(expectations))
    account = _read_account(ingested)
    verdict = validate_rows(
        rows,
        params,
        suite,
        validated=validated,
        quarantine=quarantine,
        reviews=read_reviews(reviews),
        measure_tokens=_token_contract(load_params(tokenize.Params)),
        extra_metrics={"share_duplicates": _share_duplicates(account)},
        unreadable=reasons_of_faults(account["files"]),
    )
    if verdict.rows_in != account["rows_out"]:
        raise ValueError(
            f"{rows} has {verdict.rows_in} rows, {ingested} counts {account['rows_out']}; run ingest again"
        )
    write_report(verdict, account, report)
    (report / "suite.json").write_text(suite.as_json(), encoding="utf-8")
    _print_account(verdict, reviews)
    if not verdict.passed:
        raise ValueError(f"the batch is stopped: {explain(verdict)}; the report: {report / 'index.html'}")


def _token_contract(params: tokenize.Params) -> MeasureTokens | None:
    """Return the measurement of the encoder's tokenizer on the texts; None if one is trained on them."""
    weights = find_pretrained(params.weights)
    if params.vocabulary is not None:
        return None
    max_length = None if params.long_texts == "windows" else params.max_length
    return partial(measure_tokens, load_tokenizer(weights), max_length)


def _share_duplicates(account: dict[str, Any]) -> BatchMetric:
    duplicates, lines = account["duplicates"], account["lines_in"]
    return BatchMetric(duplicates / max(lines, 1), f"{duplicates:,} of {lines:,} lines were exact duplicates")


def _read_account(path: Path) -> dict[str, Any]:
    try:
        account = json.loads(path.read_text(encoding="utf-8"))
        keys = ("lines_in", "duplicates", "rows_out", "files")
        return {key: account[key] for key in keys} | {"label_map_unused": account.get("label_map_unused", [])}
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; `dvc repro` makes it") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not the report of ingest ({error}); `dvc repro -f -s ingest` makes it"
        ) from None


def _print_account(verdict: ValidationResult, reviews: Path) -> None:
    parts = {"released": verdict.rows_released, "out of scope": verdict.rows_out_of_scope}
    shown = ", ".join(f"{rows} of them {what}" for what, rows in parts.items() if rows)
    kept = f"{verdict.rows_kept} kept{f' ({shown})' if shown else ''}"
    print(f"{verdict.rows_in} rows in = {kept} + {verdict.rows_quarantined} quarantined")
    if verdict.reviews_of_no_row:
        print(f"  {verdict.reviews_of_no_row} decisions in {reviews} are about rows that are not here")
    for outcome in verdict.expectations:
        if outcome.passed:
            continue
        if outcome.severity == "row":
            print(f"  {outcome.name}: {outcome.observed} rows ({outcome.column} must be {outcome.allowed})")
            reasons = [each for each in verdict.reasons if each.rule == outcome.name]
            for reason in reasons[:REASONS_SHOWN]:
                if reason.example:
                    print(f"    {reason.rows} of them: {reason.description}")
            if more := reasons[REASONS_SHOWN:]:
                rows = sum(each.rows for each in more)
                print(f"    {rows} of them: other reasons ({len(more)}), in the report")
        elif outcome.severity == "warn":
            print(f"  warning: {describe(outcome)}")
