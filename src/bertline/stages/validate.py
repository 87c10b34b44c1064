"""Judge a batch of rows: set bad rows aside, and stop the run if the batch as a whole is bad."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from bertline.modeling.cutting import load_tokenizer
from bertline.modeling.weights import find_weights
from bertline.params import tokenize
from bertline.params.loading import load_params
from bertline.params.validate import Params
from bertline.quality.expectations_file import read_expectations
from bertline.quality.judge import describe, explain, judge
from bertline.quality.observing import MeasureTokens
from bertline.quality.report import write_report
from bertline.quality.review import read_reviews
from bertline.quality.suite import build_suite
from bertline.quality.verdict import Fact, Verdict
from bertline.quality.vocabulary import measure_tokens
from bertline.stages.command import run


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
    """Set bad rows aside with the rule they broke; stop a bad batch with a report of what failed."""
    params = load_params(Params)
    suite = build_suite(params, read_expectations(expectations))
    account = _read_account(ingested)
    verdict = judge(
        rows,
        params,
        suite,
        validated=validated,
        quarantine=quarantine,
        reviews=read_reviews(reviews),
        measure_tokens=_token_contract(load_params(tokenize.Params)),
        known={"share_duplicates": _share_duplicates(account)},
    )
    if verdict.rows_in != account["rows_out"]:
        raise ValueError(
            f"{rows} has {verdict.rows_in} rows and {ingested} says {account['rows_out']}; run ingest again"
        )
    write_report(verdict, account, report)
    (report / "suite.json").write_text(suite.as_json(), encoding="utf-8")
    _print_account(verdict, reviews)
    if not verdict.passed:
        raise ValueError(f"the batch is stopped: {explain(verdict)}; see {report / 'index.html'}")


def _token_contract(params: tokenize.Params) -> MeasureTokens | None:
    """Return what asks whether the encoder's tokenizer suits the texts; None if one is trained on them."""
    weights = find_weights(params.weights)
    if params.vocabulary is not None:
        return None
    max_length = None if params.long_texts == "windows" else params.max_length
    return partial(measure_tokens, load_tokenizer(weights), max_length)


def _share_duplicates(account: dict[str, Any]) -> Fact:
    duplicates, lines = account["duplicates"], account["lines_in"]
    return Fact(duplicates / max(lines, 1), f"{duplicates:,} of {lines:,} lines were exact duplicates")


def _read_account(path: Path) -> dict[str, Any]:
    try:
        account = json.loads(path.read_text(encoding="utf-8"))
        return {key: account[key] for key in ("lines_in", "duplicates", "rows_out", "files")}
    except FileNotFoundError:
        raise ValueError(f"{path} is not here; `dvc repro` makes it") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not the report of ingest ({error}); `dvc repro -f -s ingest` makes it"
        ) from None


def _print_account(verdict: Verdict, reviews: Path) -> None:
    released = f" ({verdict.rows_released} of them released)" if verdict.rows_released else ""
    kept = f"{verdict.rows_kept} kept{released}"
    print(f"{verdict.rows_in} rows in = {kept} + {verdict.rows_quarantined} quarantined")
    if verdict.reviews_of_no_row:
        print(f"  {verdict.reviews_of_no_row} decisions in {reviews} are about no row that is here")
    for outcome in verdict.expectations:
        if outcome.passed:
            continue
        if outcome.severity == "row":
            print(f"  {outcome.name}: {outcome.observed} rows ({outcome.column} must be {outcome.allowed})")
        elif outcome.severity == "warn":
            print(f"  warning: {describe(outcome)}")


if __name__ == "__main__":
    run(validate)
