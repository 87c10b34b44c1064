"""The complete suite: the checks of params.yaml on rows and on a batch, and the user's own.

Rows are judged by their features (`features.py`), a batch by one row of metrics (`BatchMetric`) and by its
classes; the user's own expectations by the columns they name. Does not guarantee that a label is right:
only that the same text never comes with another.
"""

import json
from dataclasses import dataclass
from typing import Any

import great_expectations.expectations as gxe

from bertline.params.validate import SEVERITIES, Params
from bertline.stages.validate.great_expectations import Check
from bertline.stages.validate.quarantine.table import DROPPED


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Rules, grouped by the data that they judge."""

    features: list[Check]  # of each row, the first that a row breaks is its rule
    custom_rows: list[Check]  # of each row, after those
    metrics: list[Check]
    classes: list[Check]
    custom_batch: list[Check]  # on all rows kept

    def as_json(self) -> str:
        """Return all expectations as Great Expectations writes them, each list under what it is judged on."""
        written = {name: [rule.as_json() for rule in rules] for name, rules in vars(self).items()}
        return json.dumps(written, indent=2, ensure_ascii=False, default=str) + "\n"


def build_suite(params: Params, custom: list[Check]) -> Suite:
    """Return the suite for `params` and the user's `custom` checks.

    Raises:
        ValueError: one of `custom` has the name of another check.
    """
    features, metrics, classes = _on_features(params), _on_metrics(params), _on_classes(params)
    taken = {DROPPED, *(rule.name for rule in [*features, *metrics, *classes])}
    for rule in custom:
        if rule.name in taken:
            raise ValueError(
                f"expectation {rule.name!r} has the name of another expectation; choose another name"
            )
        taken.add(rule.name)
    return Suite(
        features=features,
        custom_rows=[rule for rule in custom if rule.severity == "row"],
        metrics=metrics,
        classes=classes,
        custom_batch=[rule for rule in custom if rule.severity != "row"],
    )


def _on_features(params: Params) -> list[Check]:
    shortest, longest = params.min_characters, params.max_characters
    damage = f"at most {params.max_damage:g} damaged (U+FFFD, control characters, mojibake)"
    moments = f"{params.earliest or 'any time'} to {params.latest or 'any time'}"
    rules = [
        _true("readable", "record", "readable", "readable"),
        _true("text_not_null", "text", "present", "text_present"),
        _true("text_not_blank", "text", "more than white space (of a pair, both)", "text_not_blank"),
        _between(
            "text_length", "text", f"{shortest} to {longest} characters", "characters", shortest, longest
        ),
        _between("text_damaged", "text", damage, "damaged", None, params.max_damage),
    ]
    if params.scripts is not None:
        script = f"mostly {' or '.join(params.scripts)}"
        rules.append(_between("text_script", "text", script, "foreign", None, 0.5))
    rules += [
        _true("label_not_null", "label", "present", "label_present"),
        _true("label_not_blank", "label", "more than white space", "label_not_blank"),
    ]
    if params.labels is not None:
        rules.append(_true("label_known", "label", f"one of: {', '.join(params.labels)}", "label_known"))
    if params.earliest is not None or params.latest is not None:
        rules.append(_true("timestamp_sane", "timestamp", moments, "timestamp_sane"))
    return [*rules, _true("label_conflict", "label", "the same in all rows with the same text", "one_label")]


def _on_metrics(params: Params) -> list[Check]:
    bounds: dict[str, tuple[str | None, float | None, float | None]] = {
        "rows_kept": (None, params.min_rows, None),
        "labels": ("label", 2, None),
        "share_quarantined": (None, None, params.max_quarantined),
        "imbalance": ("label", None, params.max_imbalance),
        "share_duplicates": ("text", None, params.max_duplicates),
        "unknown_tokens": ("text", None, params.max_unknown_tokens),
        "merged_words": ("text", None, params.max_merged_words),
        "truncated": ("text", None, params.max_truncated),
        "drift_length": ("text", None, params.max_drift),
        "drift_labels": ("label", None, params.max_drift),
        "drift_vocabulary": ("text", None, params.max_drift),
    }
    return [
        _between(name, column, _bounds(least, most), name, least, most, _severity(name, params))
        for name, (column, least, most) in bounds.items()
    ]


def _on_classes(params: Params) -> list[Check]:
    least, severity = params.min_rows_per_class, _severity("rows_per_class", params)
    return [_between("rows_per_class", "label", _bounds(least, None), "rows", least, None, severity)]


def _severity(name: str, params: Params) -> str:
    return params.severity.get(name, SEVERITIES[name])


def _bounds(least: float | None, most: float | None) -> str:
    return f"at most {most:g}" if least is None else f"at least {least:g}"


def _true(name: str, column: str, allowed: str, feature: str) -> Check:
    expectation = gxe.ExpectColumnValuesToBeInSet(column=feature, value_set=[True])
    return Check(name=name, column=column, severity="row", allowed=allowed, expectation=expectation)


def _between(
    name: str,
    column: str | None,
    allowed: str,
    judged: str,
    least: float | None,
    most: float | None,
    severity: str = "row",
) -> Check:
    expectation: Any = gxe.ExpectColumnValuesToBeBetween(column=judged, min_value=least, max_value=most)
    return Check(name=name, column=column, severity=severity, allowed=allowed, expectation=expectation)
