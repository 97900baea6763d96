"""Real heads: tissue volumes before and after gadolinium, and built-in lesion segmentation against consensus masks.

    python benchmarks/gadolinium_volumes.py [DATA]

DATA: the folder of real scans (sub-C07, sub-C26: brain only, MNI space, 1 mm). Bottani 2024 reports that after
gadolinium grey matter is over- and CSF under-estimated (SPM). Is it so with the built-in segmentation?
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.lesion import Lesions
from recontrast.evaluation.segmentation.tissue import Tissue
from recontrast.evaluation.volumetry import SIZES_ML, aspc, compare_structure, count_lesions, match_lesions
from recontrast.io.nifti import read_volume

SUBJECTS = ("C07", "C26")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    data = parser.parse_args().data
    print("tissue volumes, ml: T1w before gadolinium (reference) and after")
    print(f"{'':12}{'before':>9}{'after':>9}{'after-before':>14}{'ASPC %':>8}{'Dice':>7}{'HD95':>7}{'ASD':>7}")
    lesion_lines = []
    for subject in SUBJECTS:
        folder = data / f"sub-{subject}" / "anat"
        images = {
            name: read_volume(folder / f"sub-{subject}_{name}.nii.gz")
            for name in ("space-MNI_T1w", "space-MNI_ce-gadolinium_T1w", "space-MNI_FLAIR")
            if (folder / f"sub-{subject}_{name}.nii.gz").is_file()
        }
        if len(images) < 3:
            raise SystemExit(f"{folder}: needs T1w before and after gadolinium and a FLAIR, found {sorted(images)}")
        before, after, flair = images.values()
        brain = read_volume(folder / f"sub-{subject}_space-MNI_desc-auto_brainmask.nii.gz", np.int16).data > 0
        start = time.perf_counter()
        found = [Tissue().segment(SegmentationInput(image, "T1w", brain)) for image in (before, after)]
        seconds = (time.perf_counter() - start) / 2
        for name in found[0].structures:
            c = compare_structure(name, found[0].mask(name), found[1].mask(name), before.spacing)
            change = c.volume_synthetic_ml - c.volume_reference_ml
            print(
                f"{subject} {name:8}{c.volume_reference_ml:9.1f}{c.volume_synthetic_ml:9.1f}{change:+14.1f}"
                f"{aspc(c.volume_reference_ml, c.volume_synthetic_ml):8.2f}{c.dice:7.3f}{c.hd95_mm:7.2f}{c.asd_mm:7.2f}"
            )
        print(f"{subject} {seconds:.1f} s an image", flush=True)
        truth = read_volume(folder / f"sub-{subject}_space-MNI_desc-lesion_mask.nii.gz", np.int16).data > 0
        for title, context in (("FLAIR alone", {}), ("with T1w", {"T1w": before})):
            start = time.perf_counter()
            mask = Lesions().segment(SegmentationInput(flair, "FLAIR", brain, context)).labels.data > 0
            seconds = time.perf_counter() - start
            c = compare_structure("lesion", truth, mask, flair.spacing)
            lesions = match_lesions(truth, mask, flair.spacing)
            lesion_lines.append(
                f"{subject} {title:12}{c.volume_reference_ml:8.2f}{c.volume_synthetic_ml:8.2f}{c.dice:7.3f}"
                f"{c.hd95_mm:7.1f}"
                + "".join(_counts(lesions, size) for size in ("", *(n for n, _ in SIZES_ML)))
                + f"{seconds:7.1f}"
            )
    print("\nlesions against the consensus: consensus ml, found ml, Dice, HD95 mm; in both/only consensus/only found")
    print(
        f"{'':16}{'truth':>8}{'found':>8}{'Dice':>7}{'HD95':>7}{'all':>13}{'small':>13}{'medium':>13}{'large':>13}{'s':>7}"
    )
    print("\n".join(lesion_lines))
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _counts(lesions: list, size: str) -> str:
    c = count_lesions(lesions, size)
    return f"{f'{c.both}/{c.only_reference}/{c.only_synthetic}':>13}"


if __name__ == "__main__":
    main()
