"""One fixed prediction under every protocol: `python benchmarks/one_prediction_many_protocols.py DATA`.

The prediction is the T1w of sub-C26 with the histogram of its FLAIR inside the brain (a quantile map, made on this very
image): nothing about it is learned or good. DATA is the folder of real scans.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE
from recontrast.evaluation.scores import OK, CaseScorer
from recontrast.io.nifti import read_volume
from recontrast.preparation.normalize import fit_scale
from recontrast.volume import Volume

SHOWN = ("psnr", "ssim", "mae", "nrmse")


def read(folder: Path, suffix: str) -> Volume:
    """An image of sub-C26 with its axes along R, A, S."""
    return read_volume(next(folder.rglob(f"sub-C26_space-MNI_{suffix}.nii.gz"))).reoriented("RAS")


def quantile_mapped(source: np.ndarray, target: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The source's ranks with the target's histogram inside the brain, zero outside."""
    levels = np.linspace(0, 1, 1025)
    known, place = np.unique(np.quantile(source[brain], levels), return_inverse=True)
    wanted = np.bincount(place, np.quantile(target[brain], levels)) / np.bincount(place)
    return np.where(brain, np.interp(source, known, wanted), 0).astype(np.float32)


def main() -> None:
    """Score and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=None, help="LPIPS weights")
    arguments = parser.parse_args()
    source, target = read(arguments.data, "T1w"), read(arguments.data, "FLAIR")
    brain = read(arguments.data, "desc-auto_brainmask").data != 0
    lesion = read(arguments.data, "desc-lesion_mask").data != 0
    made = quantile_mapped(source.data, target.data, brain)
    regions = {"head": brain, "brain": brain, "lesion": lesion}
    print("| protocol | region | " + " | ".join(SHOWN) + " |")
    print("|---|---|" + "---|" * len(SHOWN))
    for name, protocol in PROTOCOLS.items():
        # The map gives the reference's own units, so both images have one scale.
        scale = fit_scale(target, protocol.normaliser)
        scorer = CaseScorer(protocol, scale.apply(target.data), regions, target.spacing, (), arguments.weights)
        region = protocol.primary_region([*regions, WHOLE_IMAGE])
        records = [r for r in scorer.score(scale.apply(made)) if r.region == region and r.status == OK]
        cells = [
            ", ".join(dict.fromkeys(f"{r.value:.4g}" for r in records if r.metric.split("_")[0] == shown))
            for shown in SHOWN
        ]
        print(f"| `{name}` | {region} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
