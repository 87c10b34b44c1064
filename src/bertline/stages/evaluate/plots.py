"""The evaluation in one picture: scores with intervals, confusion matrix, calibration and training curves.

A multi-label target gets F1 by label instead of the confusion matrix: where a row has several labels,
nobody knows which of them the model confused with which.

Guarantees: the same numbers and library versions draw the same bytes. Reads no file and opens no window.
"""

import io
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bertline.metrics.calibration import reliability
from bertline.metrics.predictions import Predictions
from bertline.stages.evaluate.training_curves import Curves

INK, MUTED, GRID = "#1e293b", "#64748b", "#e2e8f0"
CANDIDATE, BASELINE, SECOND = "#4f46e5", "#94a3b8", "#f59e0b"
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#c7d2fe", CANDIDATE])

FONT = "DejaVu Sans"  # ships with matplotlib: the same everywhere
STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "text.parse_math": False,  # a label may hold a dollar sign
}

MAX_ANNOTATED = 16  # classes; with more, counts and names would not be legible
MIN_ROWS = 5  # of a dot in the reliability diagram; fewer say nothing about a share


def draw(candidate: Predictions, baseline: Predictions, metrics: dict[str, Any], curves: Curves) -> bytes:
    """Return the picture as PNG, 1600 x 1000 pixels."""
    with mpl.rc_context():
        mpl.rcdefaults()  # ignore a matplotlibrc of the user or the folder
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(16, 10), dpi=100, facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            2,
            2,
            left=0.075,
            right=0.975,
            top=0.89,
            bottom=0.07,
            hspace=0.34,
            wspace=0.2,
            height_ratios=(1.12, 1),
        )
        rows, classes = metrics["rows"], len(candidate.classes)
        figure.text(0.02, 0.95, "Evaluation on held-out rows", fontsize=19, fontweight="bold")
        figure.text(
            0.975, 0.952, f"{rows:,} test rows, {classes} classes", fontsize=12, color=MUTED, ha="right"
        )
        if candidate.multi_label:
            _labels(figure.add_subplot(grid[0, 0]), metrics["classes"])
        else:
            _confusion(figure.add_subplot(grid[0, 0]), candidate)
        _scores(figure.add_subplot(grid[0, 1]), candidate, metrics)
        _reliability(figure.add_subplot(grid[1, 0]), candidate, baseline)
        inner = GridSpecFromSubplotSpec(1, 2, subplot_spec=grid[1, 1], width_ratios=(1.4, 1), wspace=0.32)
        _loss(figure.add_subplot(inner[0]), curves)
        _validation(figure.add_subplot(inner[1]), curves)
        png = io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})  # no version in the bytes
    return png.getvalue()


def _confusion(axes: Axes, candidate: Predictions) -> None:
    n_classes = len(candidate.classes)
    cells = candidate.expected * n_classes + candidate.predicted
    counts = np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    axes.set_title("Confusion matrix: actual down, predicted across")
    axes.spines[:].set_visible(False)
    if n_classes > MAX_ANNOTATED:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    names = [_short(name) for name in drawn(candidate.classes)]
    axes.set_xticks(range(n_classes), names)
    longest = max(map(len, names))
    axes.tick_params(labelsize=9 if longest > 8 else 11)
    if n_classes * longest > 70:
        axes.tick_params(axis="x", labelrotation=25)
    axes.set_yticks(range(n_classes), names)
    axes.set_xticks(np.arange(n_classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n_classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    for row, column in np.ndindex(counts.shape):
        count = int(counts[row, column])
        color = "white" if shares[row, column] > 0.6 else INK if count else "#cbd5e1"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=11)


def _labels(axes: Axes, classes: dict[str, dict[str, float]]) -> None:
    """Draw the F1 of the labels that occur, the weakest on top, with the number of their rows."""
    names = zip(drawn(classes), classes.values(), strict=True)
    occurring = [(row["f1"], name, int(row["support"])) for name, row in names if row["support"]]
    shown = sorted(occurring)[:MAX_ANNOTATED]
    bars = axes.barh(range(len(shown)), [f1 for f1, _, _ in shown], height=0.62, color=CANDIDATE, alpha=0.85)
    counts = [f"{f1:.0%}  {rows:,} row{'s' if rows > 1 else ''}" for f1, _, rows in shown]
    axes.bar_label(bars, counts, padding=6, color=INK, fontsize=10)
    axes.set_yticks([])
    for place, (_, label, _) in enumerate(shown):
        axes.text(-0.015, place, _short(label, 31), ha="right", va="center", color=MUTED, fontsize=10)
    axes.set_ylim(max(len(shown), 4) - 0.4, -0.6)  # four at least, so that two labels are not two blocks
    axes.set_xlim(-0.25, 1.3)  # room for the names and the counts
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x")
    axes.spines[:].set_visible(False)
    axes.set_title(
        "F1 by label" + (f": the weakest {len(shown)} of {len(occurring)}" if occurring[len(shown) :] else "")
    )


def drawn(names: Iterable[str]) -> list[str]:
    """Return the names for the picture: #2 replaces the second name if the font lacks a character of it.

    A font of the system that has it would draw other bytes on another machine.
    """
    font = get_font(findfont(FONT))
    known = {chr(code) for code in font.get_charmap()}
    return [name if set(name) <= known else f"#{i}" for i, name in enumerate(names, start=1)]


def _short(name: str, limit: int = 11) -> str:
    return name if len(name) <= limit else f"{name[: limit // 2]}…{name[-(limit // 2) :]}"


def _scores(axes: Axes, candidate: Predictions, metrics: dict[str, Any]) -> None:
    lows = []
    for place, metric in enumerate(("accuracy", "macro_f1")):
        for offset, model, color in ((-0.17, "candidate", CANDIDATE), (0.17, "baseline", BASELINE)):
            value, low, high = (metrics[model][f"{metric}{end}"] for end in ("", "_low", "_high"))
            y = place + offset
            axes.plot([low, high], [y, y], color=color, linewidth=7, alpha=0.35, solid_capstyle="round")
            axes.plot(value, y, "o", color=color, markersize=11)
            axes.annotate(
                f"{model}  {value:.1%}  ({low:.1%} to {high:.1%})",
                (high, y),
                (0, 11),
                textcoords="offset points",
                ha="right" if high > 0.5 else "left",
                color=INK,
                fontsize=12,
            )
            lows.append(low)
        gain, low, high = (100 * metrics["difference"][f"{metric}{end}"] for end in ("", "_low", "_high"))
        text = f"difference {gain:+.1f} points ({low:+.1f} to {high:+.1f})"
        axes.text(1, place + 0.42, text, ha="right", va="center", color=MUTED, fontsize=11)
    left = max(0.0, min(0.9, min(lows) - 0.8 * (1 - min(lows))))  # room for the labels
    axes.set_xlim(left, 1 + 0.03 * (1 - left))
    axes.set_ylim(1.5, -0.6)
    names = ["exact match" if candidate.multi_label else "accuracy", "macro-F1"]
    axes.set_yticks([0, 1], names, color=INK, fontsize=12)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_title(f"Scores with {100 * metrics['confidence']:g}% intervals")


def _reliability(axes: Axes, candidate: Predictions, baseline: Predictions) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
    for name, predictions, color in (("baseline", baseline, BASELINE), ("candidate", candidate, CANDIDATE)):
        bins = reliability(predictions.expected, predictions.probabilities)
        shown = bins.rows >= MIN_ROWS
        x, y, rows = bins.confidence[shown], bins.accuracy[shown], bins.rows[shown]
        axes.plot(x, y, "o-", color=color, linewidth=2, markersize=5, label=name)
        axes.scatter(x, y, 600 * rows / bins.rows.sum(), color=color, alpha=0.6, linewidths=0, zorder=3)
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.06)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid()
    axes.set_title("Reliability: is 90% sure right 90% of the time?")
    what, which = (
        ("answer, label or not", "answers") if candidate.multi_label else ("predicted class", "rows")
    )
    axes.set_xlabel(f"probability of the {what} (dot size: share of {which})")
    axes.set_ylabel("share that is right")
    axes.legend(loc="upper left", labelcolor=INK)


def _loss(axes: Axes, curves: Curves) -> None:
    window = max(1, len(curves.loss) // 40)
    smooth = np.convolve(curves.loss, np.ones(window) / window, mode="valid")
    axes.plot(curves.steps, curves.loss, color=CANDIDATE, linewidth=0.8, alpha=0.25)
    axes.plot(curves.steps[window - 1 :], smooth, color=CANDIDATE, linewidth=2, label="training")
    last = curves.steps[-1] / len(curves.epochs) * np.arange(1, len(curves.epochs) + 1)
    validation = [epoch["validation_loss"] for epoch in curves.epochs]
    axes.plot(last, validation, "o-", color=SECOND, linewidth=1.5, markersize=7, label="validation")
    axes.set_ylim(bottom=0)
    axes.set_title("Training loss")
    axes.set_xlabel("step")
    axes.grid(axis="y")
    axes.legend(loc="upper right", labelcolor=INK)


def _validation(axes: Axes, curves: Curves) -> None:
    epochs = [epoch["epoch"] for epoch in curves.epochs]
    for column, name, color in (
        ("validation_accuracy", "accuracy", CANDIDATE),
        ("validation_macro_f1", "macro-F1", SECOND),
    ):
        values = [epoch[column] for epoch in curves.epochs]
        axes.plot(epochs, values, "o-", color=color, linewidth=2, markersize=7, label=name)
    axes.margins(x=0.12, y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set_title("Validation scores")
    axes.set_xlabel(f"epoch (kept: {curves.summary['best_epoch']})")
    axes.grid(axis="y")
    axes.legend(loc="lower right", labelcolor=INK)
