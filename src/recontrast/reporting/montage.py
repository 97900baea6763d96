"""The montage of a case: three planes of source, synthetic, reference, signed difference and SSIM map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from recontrast.reporting.cases import CasePictures, PlanePictures
from recontrast.reporting.figures import SYNTHETIC_COLOUR, WIDTH_INCHES, new_figure, style
from recontrast.reporting.planes import Sides, sides

DPI = 150
"""Resolution with five columns, about one pixel a millimetre; more columns get more, so that panels keep it."""

GREY = "gray"
DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"

_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.42, 0.04, 0.36, 0.46, 0.05
"""Margins in inches."""

_OUTSIDE = {GREY: "black", DIVERGING: "white", SEQUENTIAL: "#d9d9d9"}
_LESION = {DIVERGING: "black", SEQUENTIAL: "#ff2d9b"}
"""Colours of the lesion outline: on no scale does its own colour occur."""

_OUTLINE = {
    ink: [patheffects.withStroke(linewidth=1.4, foreground=paper)]
    for ink, paper in (("white", "black"), ("black", "white"))
}

Across = Literal["left", "center", "right"]
Up = Literal["top", "center", "bottom"]


@dataclass(frozen=True)
class _Column:
    """What a column shows, and how values become colours.

    Attributes:
        name: source-<contrast>, synthetic, reference, difference or ssim.
        title: First line above the column.
        subtitle: Second line.
        norm: Values to [0, 1].
        colours: Name of the colour map.
        unit: Label of the colour bar; empty: no bar of its own.
        extend: Ends of the colour bar beyond which values take the end colour.
    """

    name: str
    title: str
    subtitle: str
    norm: Normalize
    colours: str
    unit: str
    extend: str = "neither"

    def pixels(self, plane: PlanePictures) -> NDArray[Any]:
        """The values to draw; masked where nothing is to be drawn."""
        if self.name == "ssim":
            return np.ma.masked_where(~plane.head | ~np.isfinite(plane.ssim), plane.ssim)
        if self.name.startswith("source-"):
            return plane.sources[self.name.removeprefix("source-")]
        return np.asarray({"synthetic": plane.synthetic, "reference": plane.reference}.get(self.name, plane.difference))


def nice_limit(value: float) -> float:
    """The next number of the form 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten: a limit for a colour scale.

    >>> nice_limit(0.117)
    0.15
    """
    if not np.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return float(f"{next(s for s in steps if s * power >= value * (1 - 1e-9)) * power:.6g}")


def plot_case(pictures: CasePictures, difference_limit: float | None = None) -> Figure:
    """Montage of a case: planes down, source | synthetic | reference | signed difference | SSIM across.

    Synthetic and reference have one window, that of the reference. Pixels keep their size in mm.

    Args:
        pictures: The case, from `cut_case`.
        difference_limit: The difference scale runs from minus this to plus this; default: from the case.

    Example:
        >>> plot_case(cut_case(files)).savefig("case.png")  # doctest: +SKIP
    """
    columns = _columns(pictures, difference_limit or nice_limit(pictures.difference_limit))
    width = (WIDTH_INCHES - _LEFT - _RIGHT - _GAP * (len(columns) - 1)) / len(columns)
    sizes = [_size_mm(plane) for plane in pictures.planes]
    heights = [width / max(across for across, _ in sizes) * up for _, up in sizes]
    total = _TOP + sum(heights) + _GAP * (len(heights) - 1) + _BOTTOM
    with style():
        figure = new_figure(total, round(DPI * max(1.0, len(columns) / 5)))
        top = total - _TOP
        for plane, height in zip(pictures.planes, heights, strict=True):
            for number, column in enumerate(columns):
                place = (_LEFT + number * (width + _GAP), top - height, width, height)
                axes = figure.add_axes(_fractions(place, total), gid=f"{plane.where.plane.name}-{column.name}")
                _draw_panel(axes, plane, column, pictures)
            _write_row(figure, plane, (top - height / 2) / total)
            top -= height + _GAP
        for number, column in enumerate(columns):
            left = _LEFT + number * (width + _GAP)
            _write_title(figure, column, (left + width / 2) / WIDTH_INCHES, total)
            if column.unit:
                span = 2 * width + _GAP if column.name == "synthetic" else width
                inset = 0.08 * width
                place = (left + inset, _BOTTOM - 0.12, span - 2 * inset, 0.07)
                _draw_bar(figure, column, _fractions(place, total))
        _draw_ruler(figure.axes[0], pictures.planes[0])
    return figure


def _columns(pictures: CasePictures, limit: float) -> list[_Column]:
    target, shared = pictures.target, Normalize(*pictures.window)
    signed = Normalize(-limit, limit)
    own = [
        _Column(f"source-{label}", "source", label, Normalize(*window), GREY, "image units")
        for label, window in pictures.source_windows.items()
    ]
    return [
        *own,
        _Column("synthetic", "SYNTHETIC", target, shared, GREY, "scored units, one window for both"),
        _Column("reference", "reference", target, shared, GREY, ""),
        _Column("difference", "difference", "synthetic − reference", signed, DIVERGING, "scored units", "both"),
        _Column("ssim", "local SSIM", "1 = identical", Normalize(0, 1), SEQUENTIAL, "SSIM, no unit", "min"),
    ]


def _draw_panel(axes: Axes, plane: PlanePictures, column: _Column, pictures: CasePictures) -> None:
    rows, cols = plane.reference.shape
    wide, high = plane.pixel_mm
    axes.imshow(
        column.pixels(plane),
        norm=column.norm,
        cmap=colormaps[column.colours],
        aspect=high / wide,
        extent=(0, cols, rows, 0),
    )
    axes.set_facecolor(_OUTSIDE[column.colours])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    ink = "white" if column.colours == GREY else "black"
    if column.colours != GREY and pictures.region.startswith("lesion") and plane.region.any():
        x, y = np.arange(cols) + 0.5, np.arange(rows) + 0.5
        axes.contour(x, y, plane.region.astype(float), levels=[0.5], colors=_LESION[column.colours], linewidths=0.6)
    mark(axes, sides(plane.where.plane, pictures.convention), ink, synthetic=column.name == "synthetic")


def mark(axes: Axes, letters: Sides, ink: str, *, synthetic: bool, size: float = 6.5) -> None:
    """Write into a picture which side is which, and that it is synthetic where it is.

    Args:
        axes: The picture.
        letters: Of its four sides.
        ink: white (on grey values) or black.
        synthetic: Whether it was computed.
        size: Of the letters, in points.
    """
    _inscribe(axes, 0.015, 0.5, letters.left, "left", "center", ink, size)
    _inscribe(axes, 0.985, 0.5, letters.right, "right", "center", ink, size)
    _inscribe(axes, 0.5, 0.985, letters.top, "center", "top", ink, size)
    _inscribe(axes, 0.5, 0.015, letters.bottom, "center", "bottom", ink, size)
    if synthetic:
        _inscribe(axes, 0.03, 0.975, "synthetic", "left", "top", ink, size=size - 1)


def _inscribe(axes: Axes, x: float, y: float, text: str, across: Across, up: Up, ink: str, size: float = 6.5) -> None:
    # Snapped to pixels, the bar of a small L may vanish, and the left side reads I, inferior.
    axes.text(
        x, y, text, transform=axes.transAxes, color=ink, fontsize=size, ha=across, va=up, path_effects=_OUTLINE[ink],
        snap=False,
    )  # fmt: skip


def _write_row(figure: Figure, plane: PlanePictures, y: float) -> None:
    text = f"{plane.where.plane.name}\n{plane.where.label}"
    x = (_LEFT - 0.05) / WIDTH_INCHES
    figure.text(x, y, text, rotation=90, ha="right", va="center", multialignment="center")


def _write_title(figure: Figure, column: _Column, x: float, total: float) -> None:
    synthetic = column.name == "synthetic"
    colour, weight = (SYNTHETIC_COLOUR, "bold") if synthetic else ("black", "normal")
    for text, size, inches in ((column.title, 8, 0.18), (column.subtitle, 6.3, 0.05)):
        y = 1 - (_TOP - inches) / total
        figure.text(x, y, text, fontsize=size, ha="center", va="bottom", color=colour, fontweight=weight)


def _draw_bar(figure: Figure, column: _Column, place: tuple[float, float, float, float]) -> None:
    axes = figure.add_axes(place, gid=f"bar-{column.name}")
    scale = ScalarMappable(column.norm, colormaps[column.colours])
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal", extend=column.extend)
    low, high = float(column.norm.vmin or 0.0), float(column.norm.vmax or 1.0)
    ticks = (low, (low + high) / 2, high)
    bar.set_ticks(ticks, labels=[_short(value) for value in ticks])
    bar.outline.set_linewidth(0.4)
    axes.tick_params(length=2, pad=1.5, labelsize=6.5)
    sides_of_ticks: tuple[Across, Across, Across] = ("left", "center", "right")
    for tick, side in zip(axes.get_xticklabels(), sides_of_ticks, strict=True):
        tick.set_horizontalalignment(side)
    axes.set_xlabel(column.unit, fontsize=6.5, labelpad=1)


def _draw_ruler(axes: Axes, plane: PlanePictures) -> None:
    extent_mm = plane.reference.shape[1] * plane.pixel_mm[0]
    length = next((mm for mm in (50, 20, 10, 5, 2) if mm < 0.3 * extent_mm), 1)
    share = length / extent_mm
    axes.plot(
        [0.97 - share, 0.97], [0.035, 0.035], transform=axes.transAxes, color="white", linewidth=1.4,
        path_effects=_OUTLINE["white"], solid_capstyle="butt", scalex=False, scaley=False,
    )  # fmt: skip
    _inscribe(axes, 0.97, 0.05, f"{length} mm", "right", "bottom", "white", size=5.5)


def _fractions(inches: Sequence[float], total: float) -> tuple[float, float, float, float]:
    left, bottom, width, height = inches
    return (left / WIDTH_INCHES, bottom / total, width / WIDTH_INCHES, height / total)


def _size_mm(plane: PlanePictures) -> tuple[float, float]:
    rows, cols = plane.reference.shape
    return cols * plane.pixel_mm[0], rows * plane.pixel_mm[1]


def _short(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")
