"""A page of thumbnails of a prepared folder, worst case first: to be looked through before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recontrast.atomic import write_text
from recontrast.errors import ConfigError, RecontrastError
from recontrast.execution.workers import Summary
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table, require_columns
from recontrast.preparation.cohort import PreparedCase, read_cohort
from recontrast.preparation.quality import LARGEST_TURN_DEG, LEAST_COVERAGE, LEAST_OVERLAP
from recontrast.preparation.tiers import TIERS
from recontrast.provenance import version
from recontrast.reporting.figures import ACCENT_COLOUR, WIDTH_INCHES, data_uri, new_figure, png, style
from recontrast.reporting.page import Headline, Picture, Section, Text, Tile, frame_table, render
from recontrast.reporting.planes import check_convention, choose_slices, picture, pixel_size
from recontrast.volume import Volume

FILE_NAME = "quality.html"

_STATEMENT = (
    "Acquired images, prepared. The line is the outline of the head of the case: every contrast should meet it."
)

_ACROSS = 2
"""Contrasts beside each other."""

_TITLE_INCHES = 0.16
"""Room for the name of a contrast, inches."""

_SHOWN = (
    "tier", "grade_contrast", "grade_motion", "grade_noise", "graded_by", "gadolinium", "shift_left_mm",
    "turn_left_deg", "overlap", "coverage", "snr", "tissue_contrast", "ghosting", "duplicate_of",
)  # fmt: skip
"""Columns of `quality.tsv` in the table of the page."""


@dataclass(frozen=True, kw_only=True)
class ThumbnailsSettings:
    """What the page of thumbnails shows."""

    prepared: Path
    """prepared folder; the page is written into it"""
    cases: int = 60
    """most cases shown, the worst first; the table lists all"""
    convention: str = "radiological"
    """radiological (the patient's left is on the right of the picture) or neurological"""


def thumbnails(settings: ThumbnailsSettings) -> Summary:
    """Write `PREPARED/quality.html`: each case in three planes and all contrasts, worst first, with its figures.

    Raises:
        LayoutError: Not a finished prepared folder.
        FormatError: A table is damaged.
        ConfigError: A setting is wrong.
        OutputError: The page cannot be written.

    Example:
        >>> thumbnails(ThumbnailsSettings(prepared=Path("prepared"))).done  # doctest: +SKIP
        ['prepared/quality.html: 12 cases, worst first']
    """
    check_convention(settings.convention)
    if settings.cases < 1:
        raise ConfigError(f"cases is {settings.cases}; show at least 1")
    cohort = read_cohort(settings.prepared)
    path = settings.prepared / "quality.tsv"
    table = read_table(path, text_columns=("case", "contrast", "tier", "graded_by", "gadolinium", "duplicate_of"))
    require_columns(path, table, ("case", "contrast", "tier"))
    rows: dict[str, list[dict[str, Any]]] = {}
    for record in table.to_dict("records"):
        rows.setdefault(str(record["case"]), []).append({str(key): value for key, value in record.items()})
    ordered = sorted(cohort.cases, key=lambda case: (-badness(rows.get(case.key, [])), case.key))
    pictures: list[Picture | Text] = []
    failed: dict[str, str] = {}
    for case in ordered[: settings.cases]:
        try:
            uri = data_uri(png(plot_case(case, settings.convention)), "image/png")
        except RecontrastError as error:
            failed[case.key] = str(error)
            pictures.append(Text(f"{case.key}: cannot be shown: {error}", "warning"))
            continue
        caption = "; ".join(in_words(row) for row in rows.get(case.key, []))
        pictures.append(Picture(uri, f"{case.key} in three planes", caption, f"{case.key} ({case.split})"))
    page = render(_headline(table, len(cohort.cases), cohort.failed), _sections(table, pictures, ordered), version())
    write_text(settings.prepared / FILE_NAME, page)
    return Summary([f"{settings.prepared / FILE_NAME}: {len(ordered)} cases, worst first"], failed)


def badness(rows: Sequence[Mapping[str, Any]]) -> float:
    """How much a case is to be looked at: larger is worse.

    A low tier counts 100, a medium one 10, each figure beyond its limit (movement, overlap, coverage, suspected
    contrast agent, a copy) 20, plus the movement left in mm; the worst of its images and their sum decide.

    Example:
        >>> badness([{"tier": "good"}]) < badness([{"tier": "medium"}]) < badness([{"tier": "low"}])
        True
    """
    scores = []
    for row in rows:
        shift, turn = _number(row.get("shift_left_mm")), _number(row.get("turn_left_deg"))
        beyond = [
            turn > LARGEST_TURN_DEG,
            _number(row.get("overlap"), 1.0) < LEAST_OVERLAP,
            _number(row.get("coverage"), 1.0) < LEAST_COVERAGE,
            row.get("gadolinium") == "suspected",
            isinstance(row.get("duplicate_of"), str),
        ]
        tier = TIERS.index(str(row["tier"])) if row.get("tier") in TIERS else 0
        scores.append((0, 10, 100)[tier] + 20 * sum(beyond) + shift)
    return max(scores, default=0.0) + 0.01 * sum(scores)


def in_words(row: Mapping[str, Any]) -> str:
    """One image in a line: contrast, tier and what is remarkable.

    Example:
        >>> in_words({"contrast": "T1w", "tier": "good", "shift_left_mm": 0.2, "turn_left_deg": 0.1})
        'T1w good, 0.2 mm and 0.1° left'
    """
    text = f"{row['contrast']} {row['tier']}"
    if not math.isnan(_number(row.get("shift_left_mm"), math.nan)):
        text += f", {_number(row['shift_left_mm']):.1f} mm and {_number(row.get('turn_left_deg')):.1f}° left"
    if row.get("gadolinium") == "suspected":
        text += ", contrast agent suspected"
    if isinstance(row.get("duplicate_of"), str):
        text += f", same voxels as {row['duplicate_of']}"
    return text


def plot_case(case: PreparedCase, convention: str = "radiological") -> Figure:
    """All contrasts of a case in three planes, with the outline of its head.

    Args:
        case: A prepared case.
        convention: radiological or neurological.
    """
    head = read_volume(case.regions["head"], np.uint8).reoriented("RAS")
    inside = head.data.astype(bool)
    slices = choose_slices(head, inside)
    images = {label: read_volume(path).reoriented("RAS") for label, path in case.images.items()}
    columns = min(_ACROSS, len(images))
    rows = -(-len(images) // columns)
    size_mm = np.multiply(head.shape, head.spacing)
    tallest, widest = (max(size_mm[axis] for axis in axes) for axes in ((1, 2), (0, 1)))  # planes: up, across
    height = min(2.5, WIDTH_INCHES / (3 * columns) * tallest / widest) + _TITLE_INCHES
    with style():
        figure = new_figure(rows * height, dpi=110)
        cells = figure.subplots(rows, 3 * columns, squeeze=False).ravel()
        figure.subplots_adjust(
            left=0.005, right=0.995, bottom=0.005, top=1 - _TITLE_INCHES / (rows * height), wspace=0.02,
            hspace=_TITLE_INCHES / (height - _TITLE_INCHES),
        )  # fmt: skip
        for axes in cells:
            axes.set_axis_off()
        for number, (label, image) in enumerate(images.items()):
            top = _brightest(image, inside)
            for axes, where in zip(cells[3 * number : 3 * number + 3], slices, strict=True):
                wide, tall = pixel_size(image, where.plane)
                axes.imshow(picture(image.data, where, convention), cmap="gray", vmin=0, vmax=top, aspect=tall / wide)
                outline = picture(inside, where, convention)
                if outline.any() and not outline.all():
                    axes.contour(outline.astype(float), levels=[0.5], colors=ACCENT_COLOUR, linewidths=0.5)
            cells[3 * number + 1].set_title(label, fontsize=7)
    return figure


def _brightest(image: Volume, inside: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    values = image.data[inside]
    return float(np.percentile(values, 99.5)) or 1.0 if values.size else 1.0


def _headline(table: pd.DataFrame, cases: int, failed: Mapping[str, str]) -> Headline:
    tiers = [Tile(tier, str(int((table["tier"] == tier).sum())), "images") for tier in TIERS]
    verdicts = [("unknown", f"{len(failed)} cases could not be prepared; see cases.tsv.")] if failed else []
    return Headline("Quality of prepared images", f"{cases} cases, worst first", verdicts, tiers, _STATEMENT)


def _sections(
    table: pd.DataFrame,
    pictures: Sequence[Picture | Text],
    ordered: Sequence[PreparedCase],
) -> list[Section]:
    place = {case.key: number for number, case in enumerate(ordered)}
    shown = [name for name in ("case", "contrast", *_SHOWN) if name in table]
    listed = table.assign(_place=table["case"].map(lambda key: place.get(key, len(place))))
    listed = listed.sort_values("_place", kind="stable")[shown]
    left_out = len(ordered) - len(pictures)
    note = [Text(f"{left_out} further cases are better than these and not shown.")] if left_out > 0 else []
    return [
        Section("cases", "Cases, worst first", [*pictures, *note]),
        Section(
            "figures", "Figures", [frame_table(listed, "Figures of every image (quality.tsv).", ("low", "suspected"))]
        ),
    ]


def _number(value: Any, otherwise: float = 0.0) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return otherwise
    return otherwise if math.isnan(number) else number
