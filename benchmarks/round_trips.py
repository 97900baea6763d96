"""Real scans there and back: every image must return as it was, on the grid it had.

    python benchmarks/round_trips.py [FOLDER] [--only sub-L01]

FOLDER holds the real scans (default: RECONTRAST_REALDATA, or ../shared/data). Three ways, with a network that copies:

file      `translate` on the file as released
prepared  copied into a BIDS data set, `prepare` (recipe native), `translate` on the prepared folder, and back onto the
          grid of the released file: turned where nothing was interpolated, else resampled with the stored transform;
          the BIDS validator looks at the prepared folder and at the synthetic images
dicom     every DICOM series: `import`, then each imported image as above; and `translate` on the series itself, as
          `dicom_round_trip.py` does, with dcm2niix and dciodvfy beside it

Difference: largest difference of values over the range of the image (interpolated: root mean square, for information).
Affine: largest difference of an entry. A refusal is a result: its line is printed. The last line counts the outcomes;
the exit status is 1 when an image did not come back or a validator found an error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dicom_round_trip
import nibabel as nib
import numpy as np
import torch
from torch import nn

from recontrast.errors import RecontrastError
from recontrast.importing.command import ImportSettings, import_dicom
from recontrast.io.bids import BidsName, find_images, read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.models import MODELS
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.preparation.placement import Placement
from recontrast.preparation.resample import resample
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.translator import save_translator
from recontrast.volume import Volume

TOLERANCE = 1e-4
"""Part of the range by which values may differ."""


@dataclass(frozen=True)
class Group:
    """Images that are prepared together.

    Attributes:
        name: Stands in the table.
        files: Path below the data folder to path in the data set.
        contrasts: Contrasts every case must have.
        space: Space entity to choose.
        align: Whether they are aligned.
    """

    name: str
    files: dict[str, str]
    contrasts: tuple[str, ...]
    space: str = ""
    align: bool = True


@MODELS.register("benchmark-copy")
class Copy(nn.Module):
    """Gives back its input."""

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, spatial_dims: int = 2) -> None:
        """One weight of 1, so that there is something to save."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(out_channels, in_channels, *[1] * spatial_dims))

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        """The input."""
        return source * self.weight[0, 0]


def make_run(run: Path, label: str) -> Path:
    """A translator from a contrast to another one that copies; its scale is fixed, so that units come back."""
    scale = ScaleSettings(name="fixed", fixed_offset=0.0, fixed_factor=1000.0)
    description = TranslatorDescription(
        preset="copy",
        sources=(label,),
        target="T2w" if label == "PDw" else "PDw",
        model=Member(name="benchmark-copy"),
        recipe=Member(name="supervised"),
        scale_settings=scale,
        target_scale=Scale("fixed", 0.0, 1000.0),
        spacing_mm=(1.0, 1.0, 1.0),
        clip_output=False,
    )
    save_translator(run / "translator", Copy(), description)
    return run


def groups(data: Path) -> list[Group]:
    """Cases of the developer data set, as BIDS."""
    found = []
    for session in sorted(path.parent for path in data.glob("sub-*/ses-*/anat")):
        images = {str(path.relative_to(data)): str(path.relative_to(data)) for path in session.glob("anat/*.nii.gz")}
        labels = tuple(c for c in ("FLAIR", "T1w", "T2w") if any(name.endswith(f"_{c}.nii.gz") for name in images))
        key = f"{session.parent.name} {session.name}"
        found.append(Group(f"{key} FLAIR grid", images, labels, space="FLAIR"))
        released = tuple(c for c in labels if f"{session.parent.name}_{session.name}_{c}.nii.gz" in map_names(images))
        if len(released) > 1:
            plain = {name: place for name, place in images.items() if "_space-" not in name}
            found.append(Group(f"{key} as released", plain, released))
    for subject in ("sub-C07", "sub-C26", "sub-SF02", "sub-SC01"):
        images = {str(p.relative_to(data)): str(p.relative_to(data)) for p in (data / subject).glob("anat/*.nii.gz")}
        if not images:
            continue
        space = "MNI" if subject.startswith("sub-C") else ""
        labels = {
            "sub-C": ("T1w", "T2w", "FLAIR", "ce-gadolinium_T1w"),
            "sub-SF02": ("T1w",),
            "sub-SC01": ("T1w", "T2w"),
        }
        wanted = labels.get(subject, labels["sub-C"])
        found.append(Group(subject, images, wanted, space=space))
    prostate = {
        f"qmri_prostate/sub-P0218_{label}.nii.gz": f"sub-P0218/anat/sub-P0218_{label}.nii.gz"
        for label in ("T1w", "ce-gadolinium_T1w", "T2w")
    }
    if all((data / name).is_file() for name in prostate):
        found.append(Group("sub-P0218 (pelvis)", prostate, ("T1w", "ce-gadolinium_T1w", "T2w")))
    for path in sorted(data.glob("labels_synthseg/*.nii.gz"))[:3]:
        name = path.name.split("_")[0].replace("-", "")
        place = {f"labels_synthseg/{path.name}": f"sub-{name}/anat/sub-{name}_T1w.nii.gz"}
        found.append(Group(f"{path.name} as an image", place, ("T1w",)))
    return found


def map_names(images: dict[str, str]) -> set[str]:
    """File names without folders."""
    return {Path(name).name for name in images}


def of_file(path: Path, folder: Path, run: Path) -> tuple[str, str, bool]:
    """Translate one file; difference, affine difference, whether both are as they must be."""
    out = folder / f"copy_synthetic{'.nii.gz' if path.name.endswith('.gz') else '.nii'}"
    for old in folder.glob("copy_synthetic*"):
        old.unlink()
    translate(TranslateSettings(run=run, input=path, out=out, engine="torch", precision="fp32", device="cpu"))
    before, after = nib.load(path), nib.load(out)
    values, made = np.asarray(before.dataobj, np.float64), np.asarray(after.dataobj, np.float64)
    difference = float(np.abs(values.reshape(made.shape) - made).max() / np.ptp(values))
    affine = float(np.abs(before.affine - after.affine).max())
    codes = all(int(before.header[code]) == int(after.header[code]) for code in ("qform_code", "sform_code"))
    return f"{difference:.1e}", f"{affine:.1e}", difference <= TOLERANCE and affine == 0 and codes


def back(synthetic: Path, prepared: Path, raw: Volume) -> tuple[str, str, bool]:
    """Bring the copy of a prepared image back to the raw grid and compare."""
    facts = read_sidecar(prepared)
    image = read_volume(synthetic)
    spread = float(np.ptp(raw.data))
    if facts["Interpolated"]:
        there = resample(image, raw, np.linalg.inv(np.array(facts["Transform"])), "cubic")
        inside = resample(
            image.with_data(np.ones_like(image.data)), raw, np.linalg.inv(np.array(facts["Transform"])), "cubic"
        )
        seen = inside.data > 0.5
        rms = float(np.sqrt(np.mean((there.data[seen] - raw.data[seen]) ** 2)) / spread) if seen.any() else float("nan")
        return f"{rms:.1e} rms, interpolated", f"{np.abs(there.affine - raw.affine).max():.1e}", True
    there = Placement.from_dict(facts).to_source(image)
    difference = float(np.abs(there.data - raw.data).max() / spread)
    affine = float(np.abs(there.affine - raw.affine).max())
    return f"{difference:.1e}", f"{affine:.1e}", difference <= TOLERANCE and affine == 0 and there.shape == raw.shape


def of_group(group: Group, data: Path, folder: Path) -> list[tuple[str, str, str, str, bool]]:
    """Prepare, translate each contrast, go back."""
    bids, prepared = folder / "bids", folder / "prepared"
    for source, place in group.files.items():
        (bids / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / source, bids / place)
    summary = prepare(
        PrepareSettings(
            bids=bids, out=prepared, contrasts=group.contrasts, space=group.space, align=group.align, workers=1,
            test=(Path(next(iter(group.files.values()))).parts[0].removeprefix("sub-"),),
        )
    )  # fmt: skip
    for reason in summary.failed.values():
        raise RecontrastError(reason)
    errors = dicom_round_trip.bids_errors(prepared)
    rows = [
        (
            group.name,
            "-",
            "-",
            f"BIDS validator: {errors} errors in the prepared folder",
            errors in ("0", "not installed"),
        )
    ]
    places = {case.case: case for case in read_cohort(prepared).cases}
    for label in group.contrasts:
        out = folder / f"synthetic-{label}"
        done = translate(
            TranslateSettings(
                run=make_run(folder / f"run-{label}", label), input=prepared, out=out, engine="torch", precision="fp32",
                device="cpu",
            )
        )  # fmt: skip
        for key, reason in done.failed.items():
            rows.append((f"{group.name} {label}", "-", "-", f"{key}: {reason}", False))
        found = dicom_round_trip.bids_errors(out) if label == group.contrasts[0] else "0"
        if found not in ("0", "not installed"):
            rows.append((f"{group.name} {label}", "-", "-", f"BIDS validator: {found} errors in the synthetic", False))
        for synthetic in sorted(out.rglob("*_desc-synthetic_*.nii.gz")):
            case = BidsName.parse(synthetic.name).case
            made = places[case].images[label]
            raw = read_volume(bids / json.loads(made.with_name(made.name[:-7] + ".json").read_text())["Sources"][0])
            rows.append((f"{group.name} {label}", *back(synthetic, made, raw)[:2], "", back(synthetic, made, raw)[2]))
    return rows


def main() -> None:
    """Print the table; the exit status is 1 when an image did not come back."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    repository = Path(__file__).parents[1]
    default = Path(os.environ.get("RECONTRAST_REALDATA", repository.parent / "shared" / "data"))
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    parser.add_argument("--only", default="", help="only paths that contain this")
    parser.add_argument("--ways", nargs="+", default=["file", "prepared", "dicom"])
    asked = parser.parse_args()
    if not (asked.folder / "participants.tsv").is_file():
        raise SystemExit(f"real scans not found at {asked.folder}; set RECONTRAST_REALDATA to their folder")
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    print(f"{'case':58} {'way':8} {'difference':26} {'affine':8} outcome", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for way, case, difference, affine, line, good in results(asked.folder, asked.only, asked.ways, Path(name)):
            fine = "back on its grid" if "interpolated" in difference else "same"
            said = line or (fine if good else "NOT THE SAME")
            counts[said.split(":")[0] if good else "WRONG"] += 1
            print(f"{case:58} {way:8} {difference:26} {affine:8} {said}", flush=True)
        if "dicom" in asked.ways:
            print("\nDICOM series through `translate`", flush=True)
            for line, good in dicom_round_trip.table(asked.folder / "dicom", Path(name) / "series"):
                counts["DICOM lines right" if good else "WRONG"] += not line.startswith("series  ")
                print(line if good else f"{line}  NOT AS WANTED", flush=True)
    print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    sys.exit(1 if counts["WRONG"] else 0)


def results(data: Path, only: str, ways: list[str], folder: Path):  # type: ignore[no-untyped-def]
    """Rows of the table as they come."""
    if "file" in ways:
        run = make_run(folder / "run", "T1w")
        for path in sorted(data.rglob("*.nii.gz")):
            case = str(path.relative_to(data))
            if only not in case:
                continue
            try:
                difference, affine, good = of_file(path, folder, run)
                yield "file", case, difference, affine, "", good
            except RecontrastError as error:
                yield "file", case, "-", "-", f"refused: {str(error).removeprefix(f'{path}: ')}", True
    if "prepared" in ways:
        yield from of_groups("prepared", groups(data), data, only, folder)
    if "dicom" in ways:
        import_dicom(ImportSettings(dicom=data / "dicom", out=folder / "bids", missing="fill", times="all", workers=1))
        yield from of_groups("dicom", imported(folder / "bids"), folder / "bids", only, folder)


def imported(bids: Path) -> list[Group]:
    """Every image of a data set alone."""
    return [
        Group(image.path.name.removesuffix(".nii.gz"), {where: where}, (image.name.contrast.label,))
        for image in find_images(bids)
        for where in [str(image.path.relative_to(bids))]
    ]


def of_groups(way: str, found: list[Group], data: Path, only: str, folder: Path):  # type: ignore[no-untyped-def]
    """Rows of groups."""
    for number, group in enumerate(found):
        if only not in group.name:
            continue
        place = folder / f"{way}-{number}"
        try:
            for case, difference, affine, line, good in of_group(group, data, place):
                yield way, case, difference, affine, line, good
        except RecontrastError as error:
            yield way, group.name, "-", "-", f"refused: {error}", True
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
