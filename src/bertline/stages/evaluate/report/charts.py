"""The charts of the report as Vega-Lite specifications, made of the evaluation's JSON documents.

Each has a label for those who do not see it, and the report has a table of the same numbers. Colours are
those of reporting/style.css. A wheel turned with Ctrl (or a pinch) zooms, so that the page still scrolls;
dragging moves, a double click goes back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertline.reporting.environment import cut

Spec = dict[str, Any]
Chart = tuple[str, Spec]
"""A label, and what is drawn."""

ACCENT, QUIET, WARN = "var(--accent)", "var(--muted)", "var(--warn)"
MANY = 80  # slices of a chart; the table has all
NAMED = 16  # classes; with more, counts in the cells would not be legible


def draw_charts(documents: Mapping[str, Any]) -> dict[str, Chart]:
    """Return the charts by name, of those documents that are there and have something to draw."""
    charts = {
        "confusion": _confusion(documents["confusion_matrix"]),
        "reliability": _reliability(documents["reliability"]),
        "slices": _slices(documents),
        "behaviour": _behaviour(documents),
        "loss": _loss(documents["training"]),
        "validation": _validation(documents["training"]),
    }
    return {name: chart for name, chart in charts.items() if chart}


def _confusion(document: Mapping[str, Any]) -> Chart | None:
    if not document["cells"]:
        return None
    classes, cells = document["classes"], document["cells"]
    order: Spec = {
        "type": "nominal",
        "sort": None,
        "scale": {"domain": classes},
    }  # `sort` makes code of names
    axes = {
        "y": _field("actual", **order),
        "x": _field("predicted", **order)
        | {"axis": {"orient": "top", "labelAngle": -35 if len(classes) > 8 else 0}},
        "tooltip": [_tip("actual"), _tip("predicted"), _tip("rows", ","), _tip("share", ".1%", "of actual")],
    }
    rect: Spec = {
        "mark": _mark("rect", color=ACCENT, cornerRadius=3),
        "encoding": {"opacity": _field("share", scale={"domain": [0, 1], "range": [0.06, 1]}, legend=None)},
    }
    white = {"condition": {"test": "datum.share > 0.55", "value": "var(--card)"}, "value": "var(--ink)"}
    text: Spec = {"mark": "text", "encoding": {"text": _field("rows", format=","), "color": white}}
    layers = [rect, text] if len(classes) <= NAMED else [rect]
    step = max(14, min(44, 520 // len(classes)))
    spec = _spec(cells, layers, axes, height=step * len(classes))
    return "Confusion matrix: rows of each actual class by predicted class", spec


def _reliability(document: Mapping[str, Sequence[Mapping[str, float]]]) -> Chart:
    bins = [{"model": model} | dict(each) for model, found in document.items() for each in found]
    tips = [_tip("model"), _tip("probability", ".1%"), _tip("right", ".1%"), _tip("rows", ",")]
    ends = [{"probability": 0, "right": 0}, {"probability": 1, "right": 1}]
    diagonal = {"data": {"values": ends}, "mark": _mark("line", color=QUIET, strokeDash=[4, 4])}
    curve: Spec = {
        "mark": {"type": "line", "point": {"size": 55}},
        "encoding": {"color": _colors("model", list(document), QUIET), "tooltip": tips},
        "params": [_zoom()],
    }
    axes = {
        "x": _share("probability", "probability of the answer"),
        "y": _share("right", "share that is right"),
    }
    spec = _spec(bins, [diagonal, curve], axes, height=320)
    return "Reliability diagram: how often answers of a given probability are right", spec


def _slices(documents: Mapping[str, Any]) -> Chart | None:
    slices = documents.get("slices", {}).get("slices", [])
    rows = [each | {"name": f"{each['group']}: {cut(each['name'], 60)}"} for each in slices[:MANY]]
    if not rows:
        return None
    overall = documents["metrics"]["candidate"]["accuracy"]
    label = "Accuracy of each slice with its interval, and of all rows"
    if len(slices) > MANY:
        label = (
            "Accuracy of the first slices with their intervals, and of all rows; the table has every slice"
        )
    return label, _forest(rows, "accuracy", overall)


def _behaviour(documents: Mapping[str, Any]) -> Chart | None:
    tests = documents.get("behaviour", {}).get("tests", [])
    rows = [
        {key: value for key, value in each.items() if key != "examples"} | {"rows": each["cases"]}
        for each in tests
        if not each["skipped"]
    ]
    if not rows:
        return None
    return "Failure rate of each behavioural test with its interval", _forest(rows, "failure_rate")


def _forest(rows: Sequence[Spec], name: str, overall: float | None = None) -> Spec:
    title = name.replace("_", " ")
    low, high = f"{name}_low", f"{name}_high"
    tips = [_tip("name"), _tip("rows", ","), *(_tip(each, ".1%") for each in (name, low, high))]
    interval: Spec = {
        "mark": _mark("rule", color=ACCENT, opacity=0.4, strokeWidth=6, strokeCap="round"),
        "encoding": {"x": _share(low, title), "x2": {"field": high}, "tooltip": tips},
        "params": [_zoom(["x"])],
    }
    point: Spec = {
        "mark": _mark("point", filled=True, size=80, color=ACCENT, opacity=1),
        "encoding": {"x": _share(name, title), "tooltip": tips},
    }
    all_rows: Spec = {
        "data": {"values": [{"all": overall}]},
        "mark": _mark("rule", color=WARN, strokeDash=[4, 4]),
        "encoding": {"x": _share("all", title), "y": None, "tooltip": [_tip("all", ".1%", "all rows")]},
    }
    axes = {"y": _field("name", type="nominal", sort=None, axis={"title": None, "grid": True})}
    layers = [interval, point] if overall is None else [all_rows, interval, point]
    return _spec(rows, layers, axes, height=24 * len(rows))


def _loss(training: Mapping[str, Any]) -> Chart:
    points = [each | {"of": "training"} for each in training["loss"]]
    steps = training["steps"] / len(training["epochs"])
    points += [
        {"step": steps * place, "loss": each["validation_loss"], "of": "validation"}
        for place, each in enumerate(training["epochs"], start=1)
    ]
    layer: Spec = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {
            "color": _colors("of", ["training", "validation"], WARN),
            "tooltip": [_tip("of"), _tip("step", ",.0f"), _tip("loss", ".3f")],
        },
        "params": [_zoom()],
    }
    axes = {"x": _field("step"), "y": _field("loss")}
    return "Training and validation loss by step", _spec(points, [layer], axes, height=240)


def _validation(training: Mapping[str, Any]) -> Chart:
    names = {"accuracy": "validation_accuracy", "macro-F1": "validation_macro_f1"}
    points = [
        {"epoch": each["epoch"], "score": each[key], "of": name}
        for each in training["epochs"]
        for name, key in names.items()
    ]
    layer: Spec = {
        "mark": {"type": "line", "point": {"size": 55}},
        "encoding": {
            "color": _colors("of", list(names), WARN),
            "tooltip": [_tip("of"), _tip("epoch"), _tip("score", ".1%")],
        },
    }
    axes = {
        "x": _field("epoch", type="ordinal", axis={"labelAngle": 0}),
        "y": _field("score", scale={"zero": False}, axis={"format": ".1%"}),
    }
    return "Validation scores by epoch", _spec(points, [layer], axes, height=240)


def _spec(values: Iterable[Mapping[str, Any]], layers: list[Spec], axes: Spec, height: int) -> Spec:
    return {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(values)},
        "encoding": axes,
        "layer": layers,
    }


def _mark(kind: str, **settings: Any) -> Spec:
    return {"type": kind} | settings


def _field(name: str, **settings: Any) -> Spec:
    return {"field": name, "type": "quantitative"} | settings


def _share(name: str, title: str) -> Spec:
    return _field(name, title=title, scale={"zero": False}, axis={"format": ".0%", "tickCount": 8})


def _colors(name: str, two: list[str], second: str) -> Spec:
    return _field(name, type="nominal", scale={"domain": two, "range": [ACCENT, second]})


def _tip(name: str, format_: str | None = None, title: str | None = None) -> Spec:
    kind = {"type": "quantitative", "format": format_} if format_ else {"type": "nominal"}
    return {"field": name, "title": title or name.replace("_", " ")} | kind


def _zoom(encodings: Sequence[str] = ("x", "y")) -> Spec:
    select = {"type": "interval", "encodings": list(encodings), "zoom": "wheel![event.ctrlKey]"}
    return {"name": "zoom", "select": select, "bind": "scales"}
