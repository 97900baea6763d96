"""Charts of the report, and figures as bytes.

`plot_…` returns a matplotlib Figure. Nothing global is touched, and the same input gives the same bytes.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from recontrast.reporting.curves import Curves

WIDTH_INCHES = 7.4
"""Width of every figure: two columns of a journal page."""

SYNTHETIC_COLOUR = "#0072B2"
CONTROL_COLOUR = "#6b6b6b"
ACCENT_COLOUR = "#D55E00"
"""Blue, grey and vermilion of Okabe and Ito: told apart by colour-blind readers."""

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "svg.hashsalt": "recontrast",
    "svg.fonttype": "path",
}


def style() -> AbstractContextManager[None]:
    """Fonts and lines of our figures, for the time of a `with` block."""
    return rc_context(_STYLE)


def new_figure(height_inches: float, dpi: int = 150, **options: Any) -> Figure:
    """An empty figure of our width that draws without a screen."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=dpi, facecolor="white", **options)
    FigureCanvasAgg(figure)
    return figure


def plot_learning_curves(curves: Curves) -> Figure:
    """Training loss and each validation metric against steps; the step whose weights were kept is marked in all.

    Args:
        curves: From `read_curves`.
    """
    panels = 1 + len(curves.metrics)
    columns = min(panels, 2)
    rows = -(-panels // columns)
    with style():
        figure = new_figure(1.75 * rows, layout="constrained")
        grid = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).ravel()
        steps, loss = curves.smooth_loss()
        grid[0].plot(curves.steps, curves.loss, color="#b8b8b8", linewidth=0.5, label="each logged step")
        grid[0].plot(steps, loss, color="black", linewidth=1.1, label="running median")
        finite = curves.loss[np.isfinite(curves.loss)]
        if finite.size and finite.min() > 0:
            grid[0].set_yscale("log")
        grid[0].set_title("training loss", loc="left")
        grid[0].legend(frameon=True, framealpha=0.9, edgecolor="none", loc="upper right")
        for axes, (name, values) in zip(grid[1:panels], curves.metrics.items(), strict=True):
            axes.plot(curves.validation_steps, values, color=SYNTHETIC_COLOUR, linewidth=1.1, marker="o", markersize=2)
            axes.set_title(f"validation {curves.titles[name]}", loc="left")
        for axes in grid[:panels]:
            if curves.best_step is not None:
                axes.axvline(curves.best_step, color=ACCENT_COLOUR, linewidth=0.9, linestyle="--", zorder=1)
            _tidy(axes, "y")
        for axes in grid[max(0, panels - columns) : panels]:
            axes.set_xlabel("optimiser step")
            axes.tick_params(labelbottom=True)
        for axes in grid[panels:]:
            axes.set_visible(False)
        if curves.best_step is not None:
            grid[0].set_title(f"– – {curves.kept}", loc="right", fontsize=7, color=ACCENT_COLOUR)
    return figure


def plot_values(values: Mapping[str, Sequence[float]], label: str, subjects: Sequence[str]) -> Figure:
    """Values of one metric for each subject: the synthetic images above, then each control; mean as a diamond.

    A thin line joins the values of one subject, so that differences within subjects can be followed. From five
    subjects on a box shows the quartiles.

    Args:
        values: Estimator to one value a subject (NaN where undefined), best first; "synthetic" is drawn in colour.
        label: Axis label: metric, unit, region, direction.
        subjects: Subject labels, in the order of the values.
    """
    names = list(values)
    table = np.array([list(values[name]) for name in names], dtype=float)
    offsets = 0.14 * np.sin(2.4 * np.arange(table.shape[1]))  # spreads equal values the same way each time
    with style():
        figure = new_figure(0.6 + 0.36 * len(names), layout="constrained")
        axes = figure.add_subplot()
        places = np.arange(len(names))[::-1].astype(float)
        for column, offset in zip(table.T, offsets, strict=True):
            axes.plot(column, places + offset, color="#d0d0d0", linewidth=0.5, zorder=1)
        for name, row, place in zip(names, table, places, strict=True):
            colour = SYNTHETIC_COLOUR if name == "synthetic" else CONTROL_COLOUR
            defined = row[np.isfinite(row)]
            if len(defined) >= 5:
                line = {"color": colour, "linewidth": 0.8}
                axes.boxplot(
                    [defined], positions=[place], orientation="horizontal", widths=0.5, showfliers=False,
                    manage_ticks=False, medianprops=line, boxprops=line, whiskerprops=line, capprops=line,
                )  # fmt: skip
            axes.scatter(row, place + offsets, s=9, color=colour, alpha=0.75, linewidths=0, zorder=3)
            if defined.size:
                axes.scatter([defined.mean()], [place], s=30, marker="D", facecolor="none", edgecolor=colour, zorder=4)
        axes.set_yticks(places, labels=names)
        for tick in axes.get_yticklabels():
            tick.set_fontweight("bold" if tick.get_text() == "synthetic" else "normal")
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(f"{label}; one dot a subject ({len(subjects)}), ◇ mean")
        _tidy(axes, "x")
    return figure


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    with style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=9, dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """A figure as SVG with letters drawn as outlines, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """An image as a `data:` address, to stand inside a page.

    >>> data_uri(b"x", "image/png")
    'data:image/png;base64,eA=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _tidy(axes: Any, grid_axis: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid_axis, color="#ececec", linewidth=0.6)
    axes.set_axisbelow(True)
