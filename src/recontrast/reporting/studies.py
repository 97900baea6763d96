"""Figures of a study: learning curves of all runs, the selection sheet, all networks with their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recontrast.reporting.curves import Curves
from recontrast.reporting.figures import ACCENT_COLOUR, SYNTHETIC_COLOUR, WIDTH_INCHES, new_figure, style
from recontrast.reporting.montage import mark
from recontrast.reporting.planes import Sides

Image = NDArray[Any]


def plot_all_curves(runs: Mapping[str, Curves], across: int = 3) -> Figure:
    """Small multiples: training loss (grey, left scale, logarithmic) and validation metric (blue, right scale).

    Args:
        runs: Name of each run to its curves.
        across: Panels beside each other.
    """
    rows = -(-len(runs) // across)
    with style():
        figure = new_figure(1.45 * rows + 0.1, layout="constrained")
        grid = figure.subplots(rows, across, squeeze=False).ravel()
        for axes, (name, curves) in zip(grid, runs.items(), strict=False):
            axes.set_title(name.replace("/", "\n", 1), loc="left", fontsize=5.5)
            axes.tick_params(labelsize=5.5)
            steps, loss = curves.smooth_loss()
            axes.plot(steps, loss, color="#777777", linewidth=0.9)
            if len(loss) and np.nanmin(loss) > 0:
                axes.set_yscale("log")
                axes.yaxis.set_minor_formatter("")
            if curves.metrics:
                label, values = next(iter(curves.metrics.items()))
                right = axes.twinx()
                right.plot(curves.validation_steps, values, color=SYNTHETIC_COLOUR, linewidth=1, marker="o", ms=2)
                right.tick_params(labelsize=5.5, colors=SYNTHETIC_COLOUR)
                right.set_ylabel(label, fontsize=6, color=SYNTHETIC_COLOUR)
            if curves.best_step is not None:
                axes.axvline(curves.best_step, color=ACCENT_COLOUR, linewidth=0.7, linestyle="--")
        for axes in grid[len(runs) :]:
            axes.set_visible(False)
    return figure


def plot_sheet(
    rows: Mapping[str, Sequence[Image]], tops: Sequence[float], letters: Sides, reference: str = "acquired"
) -> Figure:
    """Slices of each candidate in a row, black at zero.

    Args:
        rows: Name of a row to its slices, (rows, columns) each; every row has the same slices.
        tops: Intensity that is white, one a slice.
        letters: Sides of the slices.
        reference: Name of the row that was acquired; all others are marked as synthetic.
    """
    across = max(len(images) for images in rows.values())
    tallest = max(image.shape[0] / image.shape[1] for images in rows.values() for image in images)
    width = WIDTH_INCHES / across
    with style():
        figure = new_figure(width * tallest * len(rows), dpi=150)
        figure.subplots_adjust(left=0.05, right=0.999, bottom=0.001, top=0.999, wspace=0.02, hspace=0.02)
        grid = figure.subplots(len(rows), across, squeeze=False)
        for line, (name, images) in zip(grid, rows.items(), strict=True):
            for axes, image, top in zip(line, images, tops, strict=True):
                axes.imshow(image, cmap="gray", vmin=0, vmax=top)
                mark(axes, letters, "white", synthetic=name != reference, size=4.5)
            for axes in line:
                axes.set_xticks([])
                axes.set_yticks([])
            line[0].set_ylabel(name, fontsize=6)
    return figure


def plot_volume_differences(values: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], label: str) -> Figure:
    """Differences of volume around zero: a row a set of subjects, a panel a tissue, a strip a method.

    Args:
        values: Set of subjects to tissue to method to one value a subject.
        label: Axis label, with the unit.
    """
    tissues = list(dict.fromkeys(tissue for found in values.values() for tissue in found))
    methods = list(dict.fromkeys(m for found in values.values() for by in found.values() for m in by))
    with style():
        figure = new_figure((0.5 + 0.2 * len(methods)) * len(values) + 0.3, layout="constrained")
        grid = figure.subplots(len(values), len(tissues), squeeze=False, sharey=True, sharex="col")
        for line, (name, found) in zip(grid, values.items(), strict=True):
            for axes, tissue in zip(line, tissues, strict=True):
                axes.axvline(0, color="#999999", linewidth=0.7)
                for place, method in enumerate(reversed(methods)):
                    row = np.asarray(found.get(tissue, {}).get(method, ()), dtype=float)
                    spread = 0.14 * np.sin(2.4 * np.arange(len(row)))
                    axes.scatter(row, place + spread, s=8, color=SYNTHETIC_COLOUR, alpha=0.7, linewidths=0)
                    if np.isfinite(row).any():
                        mean = {"s": 30, "marker": "D", "facecolor": "none", "edgecolor": ACCENT_COLOUR, "zorder": 4}
                        axes.scatter([np.nanmean(row)], [place], **mean)
                axes.set_yticks(range(len(methods)), labels=list(reversed(methods)))
                axes.tick_params(labelsize=6)
                axes.set_title(f"{tissue}, {name}" if name else tissue, loc="left", fontsize=7)
        for axes in grid[-1]:
            axes.set_xlabel(label, fontsize=6)
    return figure


def plot_networks(
    columns: Mapping[str, Image], reference: str, top: float, limit: float, letters: Sides, aspect: float = 1.0
) -> Figure:
    """One slice by every network, and under each its difference from the acquired image.

    Args:
        columns: Name of a column to its slice; the target's scale, except for the first, the source, on its own.
        reference: Name of the acquired image.
        top: Intensity that is white.
        limit: The difference scale runs from minus this to plus this.
        letters: Sides of the slices.
        aspect: Height of a pixel over its width.
    """
    names = list(columns)
    acquired = columns[reference]
    width = WIDTH_INCHES / max(4, len(names))
    height = width * aspect * acquired.shape[0] / acquired.shape[1]
    size = min(6.5, 36 / len(names))  # of letters: they must not meet in narrow pictures
    with style():
        figure = new_figure(2 * height + 0.75, dpi=150, layout="constrained")
        grid = figure.subplots(2, len(names), squeeze=False)
        shown = None
        for number, name in enumerate(names):
            image, (above, below) = columns[name], grid[:, number]
            brightest = float(np.percentile(image, 99.8)) or 1.0
            synthetic = name != reference and number > 0
            above.imshow(image, cmap="gray", vmin=0, vmax=brightest if number == 0 else top, aspect=aspect)
            mark(above, letters, "white", synthetic=synthetic, size=size)
            above.set_title(name, fontsize=6)
            above.set_axis_off()
            below.set_axis_off()
            if synthetic:
                shown = below.imshow(image - acquired, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect=aspect)
                mark(below, letters, "black", synthetic=False, size=size)
        grid[1, 0].text(0.5, 0.5, "synthetic −\nacquired", ha="center", va="center", transform=grid[1, 0].transAxes)
        if shown is not None:
            bar = figure.colorbar(shown, ax=grid[1].tolist(), location="bottom", shrink=0.4, aspect=50, pad=0.02)
            bar.ax.tick_params(labelsize=6)
            bar.set_label("difference, part of the scale", fontsize=6)
    return figure
