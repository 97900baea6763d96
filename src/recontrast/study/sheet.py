"""The selection sheet: brain slices of every candidate, named by codes alone, for readers to pick from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recontrast.atomic import make_folder, write_text
from recontrast.io.nifti import read_volume
from recontrast.io.tables import write_table
from recontrast.preparation.cohort import PreparedCase
from recontrast.provenance import version
from recontrast.reporting.figures import data_uri, png
from recontrast.reporting.page import Headline, Picture, Section, Text, render
from recontrast.reporting.planes import AXIAL, Slice, picture, sides
from recontrast.reporting.studies import plot_sheet
from recontrast.study.cohort import complete_cases
from recontrast.study.plan import Candidate
from recontrast.study.score import IMAGES, synthetic_scale
from recontrast.study.select import FOLDER

SHEETS = "sheets"
_STATEMENT = (
    "Synthetic images of candidates, named by codes so that nobody knows which is which. Leave out candidates with "
    "wrong anatomy or artefacts; of the others pick the best."
)


def codes_of(group: Sequence[Candidate]) -> dict[str, str]:
    """Candidate to code, in an order that says nothing of the candidates and is the same each time.

    >>> codes_of([])
    {}
    """
    names = [candidate.name for candidate in group]
    shuffled = list(names)
    random.Random(",".join(names)).shuffle(shuffled)
    width = len(str(len(names)))
    return {name: f"C{number:0{width}d}" for number, name in enumerate(shuffled, start=1)}


def write_sheet(group: Sequence[Candidate], cases: Sequence[PreparedCase], out: Path, slices: int) -> Path | None:
    """Write the sheet of a group and, beside it, the key of its codes.

    Args:
        group: Candidates of one direction and method, translated for the validation cases.
        cases: Validation cases; the slices are shared out among those that have sources and target.
        out: Folder of the study.
        slices: Slices of each candidate.

    Returns:
        The page; None when no case is complete or no candidate has images.
    """
    direction, method = group[0].group
    target = group[0].job.direction.target
    cases = complete_cases(cases, group[0].job.direction)
    if not cases:
        return None
    codes = codes_of(group)
    shown = {code: name for name, code in sorted(codes.items(), key=lambda item: item[1])}
    wanted = _places(cases[:slices], slices)
    rows: dict[str, list[NDArray[np.float32]]] = {
        "acquired": [case.scales[target].apply(_cut(case.images[target], at)) for case, at in wanted]
    }
    for code, name in shown.items():
        folder = out / FOLDER / direction / name / IMAGES
        paths = [next(iter(sorted(folder.glob(f"{case.case.folder}/**/*_{target.rpartition('_')[2]}.nii*"))), None)
                 for case, _ in wanted]  # fmt: skip
        if all(path is not None for path in paths):
            rows[code] = [
                synthetic_scale(path).apply(_cut(path, at))
                for path, (_, at) in zip(paths, wanted, strict=True)
                if path is not None
            ]
    if len(rows) < 2:
        return None
    tops = [float(np.percentile(image, 99.8)) or 1.0 for image in rows["acquired"]]
    names = list(rows)
    pictures: list[Picture | Text] = []
    for start in range(0, len(names), 10):
        part = {name: rows[name] for name in ("acquired", *[n for n in names[start : start + 10] if n != "acquired"])}
        uri = data_uri(png(plot_sheet(part, tops, sides(AXIAL, "radiological"))), "image/png")
        pictures.append(Picture(uri, "brain slices of candidates", f"{slices} slices a candidate, one window a slice."))
    folder = make_folder(out / SHEETS)
    path = folder / f"{direction}_{method}.html"
    how = (
        "Write the code you pick into a table (TSV) with the columns direction, method, code: "
        f"`{direction}`, `{method}` and the code; then run the study again with `--picks FILE`."
    )
    headline = Headline(f"Selection sheet: {direction}, {method}", f"{len(rows) - 1} candidates", [], [], _STATEMENT)
    write_text(path, render(headline, [Section("sheet", "Candidates", [Text(how), *pictures])], version()))
    key = pd.DataFrame([(direction, method, code, name) for code, name in shown.items()])
    key.columns = pd.Index(["direction", "method", "code", "candidate"])
    write_table(folder / f"{direction}_{method}_key.tsv", key)
    return path


def _places(cases: Sequence[PreparedCase], slices: int) -> list[tuple[PreparedCase, Slice]]:
    """Axial slices through the brain, shared out among the cases, evenly within each."""
    places = []
    share = [slices // len(cases) + (number < slices % len(cases)) for number in range(len(cases))]
    for case, number in zip(cases, share, strict=True):
        mask = read_volume(case.regions.get("brain", case.regions["head"]), np.uint8).reoriented("RAS").data > 0
        area = mask.sum(axis=(0, 1))
        there = np.flatnonzero(area > 0.2 * area.max()) if area.max() else np.arange(mask.shape[2])
        at = np.linspace(0, len(there) - 1, number + 2)[1:-1].round().astype(int)
        places += [(case, Slice(AXIAL, int(there[k]), 0.0)) for k in at]
    return places


def _cut(path: Path, at: Slice) -> NDArray[np.float32]:
    return picture(read_volume(path).reoriented("RAS").data, at, "radiological")
