"""Make the picture of degraded scans of docs/concepts/virtual-scanner.md: `python docs/pictures/make_warehouse.py`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

from recontrast.io.nifti import read_volume
from recontrast.phantom.cohort import SimulateSettings
from recontrast.phantom.subject import simulate_subject
from recontrast.phantom.warehouse import SCANNERS, Grades
from recontrast.volume import Volume

HERE = Path(__file__).parent

GRADES = [Grades(), *(Grades(**{name: grade}) for name in ("contrast", "motion", "noise") for grade in (1, 2))]
NAMES = ["good", *(f"{name} {grade}" for name in ("contrast", "motion", "noise") for grade in (1, 2))]
CUTS = {"axial": (2, 14.0), "sagittal": (0, 4.0)}


def scan(out: Path, scanner: str, grades: Grades) -> Volume:
    """The same head in a scanner, graded."""
    settings = SimulateSettings(out=out, subjects=1, contrasts=("T1w",), pathology="none", spacing_mm=2.0, seed=0)
    plan = {"age": 55.0, "sex": "F", "pathology": "none", "scanner": scanner, "quality": {"T1w": grades}}
    simulate_subject(settings, 0, plan)
    return read_volume(out / "sub-01" / "anat" / "sub-01_T1w.nii.gz")


def slice_at(volume: Volume, axis: int, world_mm: float) -> np.ndarray:
    """A slice through a RAS volume, turned so that up is up; axial slices show the left side left."""
    return np.take(volume.data, round((world_mm - volume.origin[axis]) / volume.spacing[axis]), axis=axis).T


def draw(scans: dict[tuple[str, str], Volume], rows: list[tuple[str, str]], path: Path) -> None:
    """Draw one row for each (scanner, plane), one column for each grade."""
    heights = [slice_at(scans[scanner, "good"], *CUTS[plane]).shape for scanner, plane in rows]
    ratios = [lines / columns for lines, columns in heights]
    width = 1.15
    figure, axes = plt.subplots(
        len(rows), len(NAMES), figsize=(width * len(NAMES), width * sum(ratios)), facecolor="black", squeeze=False,
        gridspec_kw={"height_ratios": ratios, "wspace": 0.02, "hspace": 0.02},
    )  # fmt: skip
    for line, (scanner, plane) in zip(axes, rows, strict=True):
        for place, name in zip(line, NAMES, strict=True):
            volume = scans[scanner, name]
            top = float(np.percentile(volume.data, 99.3))
            place.imshow(slice_at(volume, *CUTS[plane]), cmap="gray", origin="lower", vmin=0, vmax=top, aspect="auto")
            place.axis("off")
        line[0].text(0.03, 0.97, scanner, color="white", fontsize=6, va="top", transform=line[0].transAxes)
        if plane == "axial":
            line[0].text(0.02, 0.5, "L", color="white", fontsize=6, va="center", transform=line[0].transAxes)
    for place, name in zip(axes[0], NAMES, strict=True):
        place.text(0.97, 0.97, name, color="white", fontsize=6, ha="right", va="top", transform=place.transAxes)
    figure.subplots_adjust(0, 0, 1, 1)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    # Noise compresses badly: 43 greys are enough to look at.
    Image.open(drawn).convert("L").point([6 * (grey // 6) for grey in range(256)]).save(path, optimize=True)
    plt.close(figure)


def main() -> None:
    """Simulate one head in every scanner at every grade, and draw it."""
    with tempfile.TemporaryDirectory() as scratch:
        scans = {
            (scanner, name): scan(Path(scratch) / f"{scanner}-{name.replace(' ', '-')}", scanner, grades)
            for scanner in SCANNERS
            for name, grades in zip(NAMES, GRADES, strict=True)
        }
    rows = [*((scanner, "axial") for scanner in SCANNERS), (next(iter(SCANNERS)), "sagittal")]
    draw(scans, rows, HERE / "warehouse-quality.png")


if __name__ == "__main__":
    main()
