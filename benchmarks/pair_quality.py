"""Is movement between two images found, and is none found where there is none? `python benchmarks/pair_quality.py`.

Three tables:

planted   simulated heads that moved between contrasts; the movement is known (`sub-XX_simulation.json`). Wanted: shift
          of the head's centre within 0.25 voxel along each axis, rotation angle within 0.3 degrees.
aligned   real pairs released on one grid: no alarm wanted.
released  `prepare` on real pairs released each on its own grid: our transform beside the one released with the data.
          Wanted: 0.5 mm (mean inside the head) and 0.5 degrees.

The last two need the real scans (RECONTRAST_REALDATA, or ../shared/data). The exit status is 1 when a wish is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.mask import head_mask
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.preparation.quality import measure_pair, rotation_angle

VOXELS, DEGREES = 0.25, 0.3
"""Wanted of planted movements."""

MM, TURN = 0.5, 0.5
"""Wanted beside the released transforms."""

CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR")


def planted(folder: Path, subjects: int, spacing_mm: float, motion: float) -> Iterator[tuple[str, bool]]:
    """Movements of simulated heads, and what is found of them."""
    settings = {"subjects": subjects, "spacing_mm": spacing_mm, "motion": motion, "pathology": "mixed"}
    simulate(SimulateSettings(out=folder, contrasts=CONTRASTS, workers=1, **settings))  # type: ignore[arg-type]
    for subject in sorted(folder.glob("sub-*")):
        record = folder / "derivatives" / "truth" / subject.name / f"{subject.name}_simulation.json"
        moves = {key: np.array(v["ReferenceToScan"]) for key, v in json.loads(record.read_text())["Motion"].items()}
        images = {c: read_volume(subject / "anat" / f"{subject.name}_{c}.nii.gz") for c in CONTRASTS}
        target = images["T1w"]
        centre = np.append(np.argwhere(head_mask(target).data).mean(axis=0), 1) @ target.affine.T
        for contrast in CONTRASTS[1:]:
            truth = moves[contrast] @ np.linalg.inv(moves["T1w"])  # world of the T1w to world of the other
            shift, turn = (centre - truth @ centre)[:3], rotation_angle(truth)
            found = measure_pair(images[contrast], target, f"{subject.name} {contrast}")
            off = float(np.abs(np.array(found.shift_mm) - shift).max()) / spacing_mm
            apart = abs(found.rotation_deg - turn)
            name = f"{subject.name} {contrast:6} {spacing_mm:g} mm"
            moved = f"planted {np.linalg.norm(shift):4.1f} mm {turn:4.1f} deg"
            yield f"{name}  {moved}  off by {off:.3f} voxel {apart:.3f} deg", off <= VOXELS and apart <= DEGREES


def aligned(data: Path) -> Iterator[tuple[str, bool]]:
    """Real pairs on one grid."""
    brain = ("T1w", "T2w", "FLAIR", "ce-gadolinium_T1w")
    stripped = [(data / f"sub-{who}/anat/sub-{who}_space-MNI_", brain) for who in ("C07", "C26")]
    whole = [
        (path.with_name(path.name.removesuffix("FLAIR.nii.gz")), ("FLAIR", "space-FLAIR_T1w", "space-FLAIR_T2w"))
        for path in sorted(data.glob("sub-L*/ses-*/anat/*_FLAIR.nii.gz"))
    ]
    for stem, contrasts in (*stripped, *whole):
        first = read_volume(Path(f"{stem}{contrasts[0]}.nii.gz"))
        for contrast in contrasts[1:]:
            path = Path(f"{stem}{contrast}.nii.gz")
            if not path.is_file():
                continue
            found = measure_pair(read_volume(path), first, path.name)
            alarm = "ALARM" if found.moved else "no alarm"
            name = path.name.removesuffix(".nii.gz")
            yield f"{name:42} {found.displacement_mm:5.2f} mm {found.rotation_deg:5.2f} deg  {alarm}", not found.moved


def released_transform(path: Path) -> np.ndarray:
    """World of the FLAIR to world of the other image (RAS+ mm), from an ITK transform file."""
    values = {
        key: np.array(line.split(), float)
        for key, line in re.findall(r"^(\w*Parameters): (.*)$", path.read_text(), re.M)
    }
    linear, centre = values["Parameters"][:9].reshape(3, 3), values["FixedParameters"]
    matrix, flip = np.eye(4), np.diag([-1.0, -1, 1, 1])
    matrix[:3, :3] = linear
    matrix[:3, 3] = values["Parameters"][9:] + centre - linear @ centre
    return flip @ matrix @ flip


def released(data: Path, out: Path) -> Iterator[tuple[str, bool]]:
    """Our alignment of released pairs beside the transforms of the database."""
    prepare(
        PrepareSettings(
            bids=data, out=out, contrasts=("FLAIR", "T1w"), subjects=("L01", "L12"), test=("L12",), workers=1
        )
    )
    for case in read_cohort(out).cases:
        theirs = released_transform(data / case.case.folder / "anat" / f"{case.key}_from-T1w_to-FLAIR_xfm.txt")
        ours = np.array(read_sidecar(case.images["T1w"])["Transform"])
        apart = mean_displacement(ours, theirs, read_volume(case.regions["head"], np.uint8))
        turn = rotation_angle(ours @ np.linalg.inv(theirs))
        yield (
            f"{case.key} T1w to FLAIR: {apart:.3f} mm and {turn:.3f} deg from the released transform",
            (apart <= MM and turn <= TURN),
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(os.environ.get("RECONTRAST_REALDATA", Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--tables", nargs="+", default=["planted", "aligned", "released"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        tables: dict[str, Iterator[tuple[str, bool]]] = {}
        for spacing_mm, motion in ((2.0, 3.0), (1.0, 0.7)):
            count = asked.subjects if spacing_mm > 1 else 1
            tables[f"planted at {spacing_mm:g} mm"] = planted(Path(name) / f"{spacing_mm}", count, spacing_mm, motion)
        if (asked.folder / "participants.tsv").is_file():
            tables["aligned"] = aligned(asked.folder)
            tables["released"] = released(asked.folder, Path(name) / "prepared")
        else:
            print(f"{asked.folder}: no real scans there; only simulated heads")
        for title, rows in tables.items():
            if title.split()[0] not in asked.tables:
                continue
            print(f"== {title}")
            for line, good in rows:
                bad += not good
                print(line if good else f"{line}  MISSED", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
