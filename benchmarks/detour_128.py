"""What squeezing heads to 128^3 voxels and back costs a segmentation, with no network at all (Bottani 2024).

    python benchmarks/detour_128.py [--subjects 4] [--real ../shared/data]

Plain T1w of 1 mm are cut to 169 x 208 x 179 voxels, brought to 128 x 128 x 128 and back by linear interpolation, and
segmented by the built-in segmenter. Dice with the segmentation of the image as it was; beside it the enhanced T1w of
the same head as it was, the paper's "not translated". Real heads: those of the folder with both and an automatic brain
mask.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.tissue import Tissue
from recontrast.io.nifti import read_volume
from recontrast.metrics.overlap import dice
from recontrast.volume import Volume

TISSUES = ("GM", "WM", "CSF")
PAPER = (169, 208, 179)
SQUEEZED = (128, 128, 128)


def cut(volume: Volume) -> tuple[slice, ...]:
    """The middle of a volume, of the paper's size or smaller."""
    return tuple(
        slice(max(0, (n - m) // 2), max(0, (n - m) // 2) + m) for n, m in zip(volume.shape, PAPER, strict=True)
    )


def detour(data: np.ndarray) -> np.ndarray:
    """To 128^3 and back, by linear interpolation."""
    image = torch.from_numpy(np.ascontiguousarray(data, np.float32))[None, None]
    small = functional.interpolate(image, size=SQUEEZED, mode="trilinear", align_corners=False)
    back = functional.interpolate(small, size=tuple(data.shape), mode="trilinear", align_corners=False)
    return back[0, 0].numpy()


def heads(subjects: int, real: Path | None, folder: Path) -> Iterator[tuple[str, Volume, Volume, np.ndarray]]:
    """Name, plain and enhanced T1w and brain of each head."""
    if subjects:
        command = [
            sys.executable, "-m", "recontrast", "simulate", str(folder), "--subjects", str(subjects),
            "--spacing-mm", "1", "--contrasts", "T1w", "ce-gadolinium_T1w", "--seed", "128",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for root in [folder, *([real] if real is not None else [])]:
        for plain in sorted(root.glob("sub-*/anat/sub-*_T1w.nii.gz")):
            if "_ce-" in plain.name:
                continue
            enhanced = plain.with_name(plain.name.replace("_T1w", "_ce-gadolinium_T1w"))
            subject = plain.name.split("_")[0]
            masks = [
                *plain.parent.glob("*auto_brainmask.nii.gz"),
                *root.glob(f"derivatives/**/{subject}_*brain_mask.nii.gz"),
            ]
            if enhanced.exists() and masks:
                yield (
                    f"{root.name} {subject}",
                    read_volume(plain),
                    read_volume(enhanced),
                    read_volume(masks[0]).data > 0,
                )


def labels(volume: Volume, brain: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of the tissues."""
    found = Tissue().segment(SegmentationInput(volume, "T1w", brain))
    return {name: found.mask(name) for name in TISSUES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, plain, enhanced, brain in heads(arguments.subjects, arguments.real, Path(folder, "simulated")):
            where = cut(plain)
            truth = labels(plain, brain)
            squeezed = plain.data.astype(np.float32).copy()
            squeezed[where] = detour(squeezed[where])
            parts = []
            for way, volume in (("128^3 and back", plain.with_data(squeezed)), ("enhanced", enhanced)):
                found = labels(volume, brain)
                parts.append(way + " " + " ".join(f"{t} {float(dice(found[t], truth[t])):.3f}" for t in TISSUES))
            print(f"{name}: {'; '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
