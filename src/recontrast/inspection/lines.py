"""Lines through a case, along which images are compared: drawn by the user, or laid through the middle of the brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recontrast.errors import ConfigError
from recontrast.inspection import Finding, Plate
from recontrast.inspection.bench import Array, InspectedCase
from recontrast.reporting.figures import ACCENT_COLOUR, CONTROL_COLOUR, SYNTHETIC_COLOUR, new_figure, style

_FORM = "write CASE:I,J,K:I,J,K with voxel indices along right, anterior, superior (sub-01:20,50,40:70,50,40)"


@dataclass(frozen=True)
class Line:
    """A straight line in a case, voxel indices along R, A, S."""

    case: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]


def parse_line(text: str) -> Line:
    """Read a line that was drawn.

    Raises:
        ConfigError: It is written in another way.

    >>> parse_line("sub-01:20,50,40:70,50,40").end
    (70.0, 50.0, 40.0)
    """
    parts = text.split(":")
    try:
        case, *ends = parts
        start, end = (tuple(float(v) for v in part.split(",")) for part in ends)
        if len(start) != 3 or len(end) != 3 or start == end or not case or not np.isfinite([start, end]).all():
            raise ValueError
    except ValueError:
        raise ConfigError(f"--lines '{text}': {_FORM}") from None
    return Line(case, (start[0], start[1], start[2]), (end[0], end[1], end[2]))


def lines_of(case: InspectedCase, drawn: Sequence[Line]) -> list[Line]:
    """Lines drawn in a case; where there is none, two through the middle of the brain in the slice with most of it.

    Raises:
        ConfigError: A line leaves the image.
    """
    own = [line for line in drawn if line.case == case.key]
    for line in own:
        if not all(0 <= v <= n - 1 for end in (line.start, line.end) for v, n in zip(end, case.shape, strict=True)):
            size = " x ".join(map(str, case.shape))
            raise ConfigError(f"--lines: the line in {case.key} leaves the image of {size} voxels")
    if own:
        return own
    index = int(np.argmax(np.count_nonzero(case.inside, axis=(0, 1))))
    inside = np.argwhere(case.inside[:, :, index])
    if len(inside) < 2:
        return []
    i, j = (float(round(v)) for v in inside.mean(axis=0))
    row, column = inside[inside[:, 1] == j], inside[inside[:, 0] == i]
    found = []
    if len(row) > 1:
        found.append(Line(case.key, (float(row[:, 0].min()), j, index), (float(row[:, 0].max()), j, index)))
    if len(column) > 1:
        found.append(Line(case.key, (i, float(column[:, 1].min()), index), (i, float(column[:, 1].max()), index)))
    return found


def profile(image: Array, line: Line, spacing: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from the start in mm and the image along a line, four values a voxel."""
    start, end = np.array(line.start), np.array(line.end)
    count = 4 * int(np.ceil(np.abs(end - start).max())) + 1
    points = start + np.linspace(0, 1, count)[:, None] * (end - start)
    length = float(np.linalg.norm((end - start) * np.array(spacing)))
    return np.linspace(0, length, count), map_coordinates(image.astype(np.float64), points.T, order=1, mode="nearest")


def compare_along(case: InspectedCase, lines: Sequence[Line], target: str) -> tuple[list[Finding], Plate | None]:
    """Correlation and difference of the synthetic and the acquired target along lines, with a figure."""
    reference = case.reference
    if reference is None or not lines:
        return [], None
    findings = []
    with style():
        figure = new_figure(1.7 * len(lines), layout="constrained")
        grid: Any = figure.subplots(len(lines), 2, width_ratios=(1, 2.6), squeeze=False)
        for (picture, axes), line in zip(grid, lines, strict=True):
            along, acquired = profile(reference, line, case.spacing)
            _, made = profile(case.synthetic, line, case.spacing)
            note = f"({_place(line.start)}) to ({_place(line.end)})"
            both = acquired.std() > 0 and made.std() > 0
            value = float(np.corrcoef(acquired, made)[0, 1]) if both else float("nan")
            findings.append(Finding("correlation along a line", value, case=case.key, note=note, key=True))
            away = float(np.sqrt(np.mean(np.square(made - acquired))))
            findings.append(Finding("difference along a line (RMS)", 100 * away, "% of the range", case.key, note))
            index = round((line.start[2] + line.end[2]) / 2)
            aspect = case.spacing[1] / case.spacing[0]
            # R runs to the left on the page, A up: as everywhere in the report.
            picture.imshow(case.synthetic[:, :, index].T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=aspect)
            wide, high = case.shape[0] - 1, case.shape[1] - 1
            picture.plot([wide - line.start[0], wide - line.end[0]], [high - line.start[1], high - line.end[1]],
                         color=ACCENT_COLOUR, linewidth=0.8)  # fmt: skip
            picture.set_title(f"synthetic {target}")
            picture.set_axis_off()
            for label, image in list(case.sources.items())[:1]:
                axes.plot(*profile(image, line, case.spacing), color="#bbbbbb", linewidth=0.8, label=label)
            axes.plot(along, acquired, color=CONTROL_COLOUR, linewidth=1.1, label=f"acquired {target}")
            axes.plot(along, made, color=SYNTHETIC_COLOUR, linewidth=1.1, label=f"synthetic {target}")
            axes.set(xlabel="mm along the line", ylabel="network range", ylim=(-0.05, 1.15))
            axes.spines[["top", "right"]].set_visible(False)
        grid[0][1].legend(frameon=False, ncols=3, loc="upper center")
    return findings, Plate("profiles", figure, f"{case.key}: images along the lines drawn on the left.")


def _place(point: tuple[float, float, float]) -> str:
    return ", ".join(f"{v:g}" for v in point)
