"""Bias field and affine to MNI space of a 1 mm head: `python benchmarks/preparation.py [--ants PYTHON]`.

Ours beside SimpleITK with plain settings, and beside antspyx where the Python of another environment has it
(`--ants /path/to/bin/python`). Each method runs in a process of its own on the same simulated T1w, once with the whole
head and once with the skull stripped by the truth, which plain methods need. Printed: seconds of both steps (median of
`--repeats`), peak memory of the process, and the overlap (Dice) of the moved true tissues with those of the template.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

METHODS = ("recontrast", "simpleitk", "ants-Affine", "ants-AffineFast")
TISSUES = ("GM", "WM", "CSF")


def recontrast_steps(image: Path, labels: Path, moved: Path, template: Path) -> tuple[float, float]:
    """Our functions with their defaults."""
    from recontrast.io.nifti import read_volume, write_volume
    from recontrast.preparation.bias import correct_bias
    from recontrast.preparation.resample import resample
    from recontrast.preparation.template import register_to_template

    volume, grid = read_volume(image), read_volume(template)
    start = time.perf_counter()
    corrected = correct_bias(volume).volume
    middle = time.perf_counter()
    transform = register_to_template(corrected).transform
    resample(corrected, grid, transform, "linear")
    end = time.perf_counter()
    write_volume(moved, resample(read_volume(labels, np.uint8), grid, transform, "nearest"), np.uint8)
    return middle - start, end - middle


def simpleitk_steps(image: Path, labels: Path, moved: Path, template: Path) -> tuple[float, float]:
    """SimpleITK as its examples use it: N4 at shrink 4, then Mattes information, 5 % of voxels, levels 4-2-1."""
    import SimpleITK as sitk

    head = sitk.ReadImage(str(image), sitk.sitkFloat32)
    fixed = sitk.ReadImage(str(template), sitk.sitkFloat32)
    start = time.perf_counter()
    mask = sitk.OtsuThreshold(head, 0, 1, 200)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([50] * 4)
    n4.Execute(sitk.Shrink(head, [4] * 3), sitk.Shrink(mask, [4] * 3))
    head = sitk.Cast(head / sitk.Exp(n4.GetLogBiasFieldAsImage(head)), sitk.sitkFloat32)
    middle = time.perf_counter()
    begin = sitk.CenteredTransformInitializer(
        fixed, head, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.05, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(
        learningRate=1.0, numberOfIterations=100, convergenceMinimumValue=1e-6, convergenceWindowSize=10
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(begin, inPlace=False)
    found = method.Execute(fixed, head)
    sitk.Resample(head, fixed, found, sitk.sitkLinear)
    end = time.perf_counter()
    truth = sitk.Resample(sitk.ReadImage(str(labels)), fixed, found, sitk.sitkNearestNeighbor)
    sitk.WriteImage(sitk.Cast(truth, sitk.sitkUInt8), str(moved))
    return middle - start, end - middle


def ants_steps(kind: str) -> Callable[[Path, Path, Path, Path], tuple[float, float]]:
    """ANTs through antspyx; N4 with the same shrink factor, mask and end as SimpleITK, the affine with its defaults."""

    def steps(image: Path, labels: Path, moved: Path, template: Path) -> tuple[float, float]:
        import ants

        head, fixed = ants.image_read(str(image)), ants.image_read(str(template))
        start = time.perf_counter()
        mask = ants.threshold_image(head, "Otsu", 1)
        head = ants.n4_bias_field_correction(
            head, mask=mask, shrink_factor=4, convergence={"iters": [50] * 4, "tol": 1e-3}
        )
        middle = time.perf_counter()
        found = ants.registration(fixed, head, type_of_transform=kind, random_seed=1)
        end = time.perf_counter()
        truth = ants.apply_transforms(
            fixed, ants.image_read(str(labels)), found["fwdtransforms"], interpolator="nearestNeighbor"
        )
        ants.image_write(truth, str(moved))
        return middle - start, end - middle

    return steps


def worker(name: str, files: list[str]) -> None:
    """Run one method and print what it took as JSON."""
    steps = {
        "recontrast": recontrast_steps,
        "simpleitk": simpleitk_steps,
        "ants-Affine": ants_steps("Affine"),
        "ants-AffineFast": ants_steps("AffineFast"),
    }[name]
    image, labels, moved, template = map(Path, files)
    bias, affine = steps(image, labels, moved, template)
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage would count what the parent had
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"bias": bias, "affine": affine, "peak": peak}))


def make_head(folder: Path) -> tuple[dict[str, Path], Path, Path]:
    """Simulate a head; return its T1w (whole, stripped), its true tissues as 1 GM, 2 WM, 3 CSF, and the template."""
    from recontrast.io.mni152 import read_mni152
    from recontrast.io.nifti import read_volume, write_volume
    from recontrast.io.tables import read_table
    from recontrast.phantom.cohort import SimulateSettings, simulate

    raw = folder / "raw"
    simulate(SimulateSettings(out=raw, subjects=1, spacing_mm=1.0, contrasts=("T1w",), pathology="none", workers=1))
    truth = raw / "derivatives" / "truth" / "sub-01" / "anat"
    head = read_volume(raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    brain = read_volume(truth / "sub-01_desc-brain_mask.nii.gz", np.uint8).data > 0
    labels = read_volume(truth / "sub-01_desc-tissue_dseg.nii.gz", np.uint8)
    table = read_table(truth / "sub-01_desc-tissue_dseg.tsv", text_columns=("name",))
    numbers = dict(zip(table["name"], table["index"], strict=True))
    tissue = np.zeros(labels.shape, np.uint8)
    for value, names in enumerate((("GM", "deepGM"), ("WM",), ("CSF",)), start=1):
        for name in names:
            if name in numbers:
                tissue[(labels.data == numbers[name]) & brain] = value
    paths = {"whole head": folder / "head.nii.gz", "stripped": folder / "brain.nii.gz"}
    write_volume(paths["whole head"], head)
    write_volume(paths["stripped"], head.with_data(np.where(brain, head.data, 0)))
    write_volume(folder / "tissue.nii.gz", labels.with_data(tissue), np.uint8)
    write_volume(folder / "template.nii.gz", read_mni152())
    return paths, folder / "tissue.nii.gz", folder / "template.nii.gz"


def overlaps(moved: Path) -> list[float]:
    """Dice of the moved tissues with those of the template."""
    from recontrast.io.mni152 import read_mni152
    from recontrast.io.nifti import read_volume
    from recontrast.preparation.template import template_brain

    grey, white = (read_mni152(name).data.astype(float) / 255 for name in ("gm", "wm"))
    fluid = np.clip(1 - grey - white, 0, 1)
    reference = np.where(template_brain().data, 1 + np.argmax([grey, white, fluid], axis=0), 0)
    found = read_volume(moved, np.uint8).reoriented("RAS").data
    return [
        2 * np.count_nonzero((found == n) & (reference == n))
        / (np.count_nonzero(found == n) + np.count_nonzero(reference == n))
        for n in (1, 2, 3)
    ]  # fmt: skip


def main() -> None:
    """Print one line a method and input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ants", default="", help="Python of an environment that has antspyx")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each method; the median counts")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, help="only these")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker[0], arguments.worker[1:])
        return
    methods = [name for name in arguments.methods if arguments.ants or not name.startswith("ants")]
    print(
        f"{'method':<16} {'input':<11} {'N4 s':>6} {'affine s':>9} {'both s':>7} {'peak MB':>8}  Dice GM WM CSF  mean"
    )
    with tempfile.TemporaryDirectory() as scratch:
        heads, tissue, template = make_head(Path(scratch))
        for title, image in heads.items():
            for name in methods:
                python = arguments.ants if name.startswith("ants") else sys.executable
                moved = Path(scratch) / "moved.nii.gz"
                command = [python, __file__, "--worker", name, *map(str, (image, tissue, moved, template))]
                runs = []
                for _ in range(arguments.repeats):
                    ended = subprocess.run(command, capture_output=True, text=True, check=False)
                    if ended.returncode != 0:
                        raise SystemExit(f"{name} failed: {ended.stderr.strip().splitlines()[-1]}")
                    runs.append(json.loads(ended.stdout.strip().splitlines()[-1]))
                middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                dice = overlaps(moved)
                print(
                    f"{name:<16} {title:<11} {middle['bias']:6.1f} {middle['affine']:9.1f} "
                    f"{middle['bias'] + middle['affine']:7.1f} {middle['peak']:8.0f}  "
                    f"{' '.join(f'{value:.3f}' for value in dice)}  {statistics.mean(dice):.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
