"""DICOM in, identity translator, DICOM out, for each series: `python benchmarks/dicom_round_trip.py [FOLDER]`.

One row a stack: what the import made of it, whether dcm2niix makes the same image, whether the series that was written
comes back with the same values (in steps of its 16 bits) on the same grid, and what dciodvfy and the BIDS validator
say.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recontrast.errors import RecontrastWarning
from recontrast.importing.command import TABLE, ImportSettings, import_dicom
from recontrast.importing.plan import series_key
from recontrast.io.dicom.find import Series, find_series
from recontrast.io.dicom.pixels import read_stack
from recontrast.io.dicom.stacks import Stack
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.translation.command import TranslateSettings
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.dicom import translate_dicom
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Translator
from recontrast.volume import Volume

DATA = Path(__file__).parents[2] / "shared" / "data" / "dicom"

STEPS, AFFINE = 0.51, 1e-9
"""Wanted: half a step of 16 bits (with rounding of float32), and the affine."""

SOURCE = "acq-roundtrip_T1w"
"""A name that no header gives, so that only the stack that is meant is translated."""


class Identity(nn.Module):
    """Gives back what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return source * self.weight


def identity_for(volume: Volume) -> Translator:
    """A translator whose result is its source: the network copies, the target's scale is the source's."""
    description = TranslatorDescription(
        preset="identity", sources=(SOURCE,), target="T2w", model=Member(name="identity"),
        recipe=Member(name="supervised"), target_scale=fit_scale(volume, ScaleSettings()),
        spacing_mm=volume.spacing, clip_output=False,
    )  # fmt: skip
    return Translator(Identity(), description, EngineSettings(engine="torch", precision="fp32"))


def back_and_forth(folder: Path, series: Series, stack: Stack, scratch: Path) -> tuple[str, str, str]:
    """Slices written, largest difference of values in steps, and difference of affines, for one stack."""
    if stack.grid is None:
        return "none", stack.problem, ""
    volume = read_stack(stack, fill_missing=True)
    volume = volume.with_data(volume.data.astype(np.float32))
    key, out = series_key(series, stack), scratch / series_key(series, stack)
    settings = TranslateSettings(
        run=Path("identity"), input=folder, out=out, contrast=(f"{key}={SOURCE}",), engine="torch", precision="fp32"
    )
    failed = translate_dicom(settings, identity_for(volume), {}).failed
    if failed:
        return "none", "; ".join(failed.values()), ""
    (made,) = find_series(out).series
    (again,) = made.stacks
    back = read_stack(again, fill_missing=True)
    there = [place for place in range(volume.shape[2]) if place not in stack.grid.missing]
    steps = np.abs(back.data[:, :, there].astype(np.float64) - volume.data[:, :, there]).max() / again.frames[0].slope
    return str(len(again.frames)), f"{steps:.3f}", f"{np.abs(back.affine - volume.affine).max():.1g}"


def checked(folder: Path) -> str:
    """Number of errors that dciodvfy finds in the files of a folder."""
    program = shutil.which("dciodvfy")
    if program is None:
        return "not installed"
    errors = 0
    for path in sorted(folder.rglob("*.dcm")):
        ran = subprocess.run([program, path], capture_output=True, text=True, check=False, errors="replace")
        errors += sum(line.startswith("Error") for line in (ran.stdout + ran.stderr).splitlines())
    return str(errors)


def beside_dcm2niix(stack: Stack, scratch: Path) -> str:
    """Whether dcm2niix makes the same voxels and affine of the files of a stack."""
    program = Path(sys.executable).with_name("dcm2niix")
    if not program.is_file():
        return "not installed"
    if stack.grid is None:
        return ""
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "in").mkdir(parents=True)
    for number, path in enumerate(dict.fromkeys(frame.path for frame in stack.frames)):
        shutil.copyfile(path, scratch / "in" / f"{number}.dcm")
    command = [program, "-z", "n", "-f", "x", "-o", scratch, scratch / "in"]
    subprocess.run(command, capture_output=True, check=False)
    files = sorted(scratch.glob("*.nii"))
    if len(files) != 1:
        return f"{len(files)} images"
    theirs, ours = read_volume(files[0]).reoriented("RAS"), read_stack(stack, fill_missing=True).reoriented("RAS")
    if theirs.shape != ours.shape:
        return f"{theirs.shape[2]} slices, not {ours.shape[2]}"
    voxels = np.abs(theirs.data - ours.data).max()
    return f"voxels {voxels:g}, affine {np.abs(theirs.affine - ours.affine).max():.0e}"


def bids_errors(folder: Path) -> str:
    """Number of errors of the BIDS validator."""
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        return "not installed"
    ran = subprocess.run([program, folder, "--format", "json"], capture_output=True, text=True, check=False)
    if not ran.stdout.startswith("{"):
        return "does not run here"
    return str(sum(issue.get("severity") == "error" for issue in json.loads(ran.stdout)["issues"]["issues"]))


def table(folder: Path, scratch: Path) -> Iterator[tuple[str, bool]]:
    """Lines of the table, and whether each is as it must be; the imported data set is left in `scratch / "bids"`."""
    import_dicom(ImportSettings(dicom=folder, out=scratch / "bids", missing="fill", times="all", workers=1))
    rows = read_table(scratch / "bids" / TABLE, text_columns=("series",)).set_index("series")
    yield (
        (
            f"{'series':34} {'slices':>9} {'import':9} {'contrast':9} {'dcm2niix':26} {'out':>4} {'steps':>6} "
            f"{'affine':>7} {'dciodvfy':>8}"
        ),
        True,
    )
    for series in find_series(folder).series:
        for stack in series.stacks:
            key = series_key(series, stack)
            row = rows.loc[key]
            written, steps, affine = back_and_forth(folder, series, stack, scratch / "back")
            grid = f"{len(stack.frames)}/{stack.grid.shape[2]}" if stack.grid else str(len(stack.frames))
            beside, errors = beside_dcm2niix(stack, scratch / "niix"), checked(scratch / "back" / key)
            label = f"{series.description} {stack.name}".strip()[:34]
            good = written != "none" and float(steps) <= STEPS and float(affine) <= AFFINE
            yield (
                (
                    f"{label:34} {grid:>9} {row['outcome']:9} {row['contrast']!s:9} {beside:26} {written:>4} "
                    f"{steps:>6} {affine:>7} {errors:>8}"
                ),
                good and errors in ("0", "not installed"),
            )
    errors = bids_errors(scratch / "bids")
    yield f"BIDS validator: {errors} errors in the imported data set", errors in ("0", "not installed")


def main() -> None:
    """Print the table; the exit status is 1 when a series did not come back."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    folder = parser.parse_args().folder
    if not folder.is_dir():
        print(f"{folder}: no such folder, nothing measured; name one with DICOM files")
        return
    warnings.simplefilter("ignore", RecontrastWarning)
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        for line, good in table(folder, Path(name)):
            bad += not good
            print(line if good else f"{line}  NOT AS WANTED", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
