"""Tiny raw data sets: a head in several contrasts, each a function of the same tissue."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from recontrast.io.bids import BidsName, Case
from recontrast.io.mni152 import read_mni152
from recontrast.io.nifti import write_volume
from recontrast.preparation.placement import inverse
from recontrast.preparation.resample import resample
from recontrast.preparation.template import template_brain
from recontrast.volume import Volume

SIGNALS = {
    "T1w": {0: 5, 1: 300, 2: 600, 3: 900, 4: 150},
    "T2w": {0: 5, 1: 350, 2: 500, 3: 300, 4: 900},
    "FLAIR": {0: 5, 1: 200, 2: 550, 3: 420, 4: 60},
    "ce-gadolinium_T1w": {0: 5, 1: 400, 2: 650, 3: 950, 4: 200},
}
"""Signal of air, scalp, grey, white and fluid."""


def tissue(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Labels of a head without symmetry: scalp, grey, white, two chambers of fluid."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    wobble = rng.uniform(-0.05, 0.05, 3)

    def ball(centre, radii):
        return sum(((x - c) / r) ** 2 for x, c, r in zip((i, j, k), centre, radii, strict=True)) < 1

    labels = np.zeros(shape, np.uint8)
    labels[ball((0, 0, 0), (0.7, 0.88, 0.8))] = 1
    labels[ball((0, 0.85, -0.2), (0.15, 0.1, 0.2))] = 1  # a nose
    labels[ball(wobble, (0.55, 0.74, 0.66))] = 2
    for centre, radii, label in (
        ((0.05, -0.1, 0.1), (0.35, 0.5, 0.42), 3),
        ((0.2, 0.05, 0.0), (0.1, 0.3, 0.25), 4),
        ((-0.15, 0.2, 0.1), (0.1, 0.2, 0.3), 4),
    ):
        labels[ball(np.add(wobble, centre), radii) & (labels >= 2)] = label
    return labels


def signal(labels: np.ndarray, contrast: str, seed: int = 0, noise: float = 4.0) -> np.ndarray:
    """Image of the tissue in a contrast, with noise."""
    values = SIGNALS[contrast]
    table = np.array([values[n] for n in range(5)], np.float32)
    rng = np.random.default_rng([seed, len(contrast), ord(contrast[0])])
    return np.abs(table[labels] + noise * rng.standard_normal(labels.shape)).astype(np.float32)


@pytest.fixture
def head(oblique_affine: np.ndarray) -> Callable[..., Volume]:
    """Make one contrast of a head."""

    def make(contrast: str = "T1w", shape: tuple[int, int, int] = (24, 20, 16), seed: int = 0) -> Volume:
        return Volume(signal(tissue(shape, seed), contrast, seed), oblique_affine)

    return make


@pytest.fixture
def raw(tmp_path: Path, head: Callable[..., Volume]) -> Callable[..., Path]:
    """Make a raw data set of a few subjects; images stored LPS, as scanners do."""

    def make(subjects: int = 3, contrasts: Sequence[str] = ("T1w", "T2w"), name: str = "raw") -> Path:
        root = tmp_path / name
        for number in range(1, subjects + 1):
            for contrast in contrasts:
                write_raw(root, Case(f"{number:02d}"), contrast, head(contrast, seed=number))
        return root

    return make


def write_raw(root: Path, case: Case, contrast: str, volume: Volume, **entities: str) -> Path:
    """Write one raw image, stored LPS; return its path."""
    path = root / case.folder / "anat" / BidsName.of(case, contrast, **entities).filename
    write_volume(path, volume.reoriented("LPS"))
    return path


@functools.lru_cache(maxsize=1)
def _template_tissue() -> Volume:
    """Labels of a head around the template's brain, 2 mm: scalp, skull, three tissues."""
    grey, white = (read_mni152(name) for name in ("gm", "wm"))
    affine = grey.affine @ np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = grey.affine[:3, 3]
    small = [np.pad(v.data[::2, ::2, ::2].astype(float), 12) for v in (grey, white)]
    affine[:3, 3] -= 24.0
    brain = np.pad(template_brain().data[::2, ::2, ::2], 12)
    labels = np.zeros(brain.shape, np.uint8)
    labels[ndimage.binary_dilation(brain, iterations=7)] = 1
    labels[ndimage.binary_dilation(brain, iterations=4)] = 0
    labels[brain] = 4
    labels[brain & (small[0] > 100)] = 2
    labels[brain & (small[1] > 128)] = 3
    return Volume(labels, affine)


def mni_scan(
    contrast: str, affine: np.ndarray, shape: tuple[int, int, int], to_scan: np.ndarray | None = None, seed: int = 0
) -> Volume:
    """A scan of a head whose brain is the template's; `to_scan` takes MNI space to the scan's world."""
    labels = _template_tissue()
    clean = labels.with_data(signal(labels.data, contrast, noise=0))
    grid = Volume(np.zeros(shape, np.uint8), affine)
    out = resample(clean, grid, None if to_scan is None else inverse(to_scan), "linear")
    rng = np.random.default_rng([seed, 11])
    return out.with_data(np.abs(out.data + 10 * rng.standard_normal(shape)).astype(np.float32))


def mni_brain(affine: np.ndarray, shape: tuple[int, int, int], to_scan: np.ndarray | None = None) -> np.ndarray:
    """Brain mask of `mni_scan`."""
    grid = Volume(np.zeros(shape, np.uint8), affine)
    return resample(template_brain(), grid, None if to_scan is None else inverse(to_scan), "nearest").data.astype(bool)


def mni_grid(step: float = 4.0) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A grid around MNI space, cubic voxels of `step` mm."""
    shape = (round(220 / step), round(256 / step), round(220 / step))
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = (-110 + step / 2, -146 + step / 2, -100 + step / 2)
    return affine, shape
