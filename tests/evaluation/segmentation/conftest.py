"""A brain of three tissues with noise and an uneven coil, and programs that only pretend."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from recontrast.volume import Volume


@dataclass(frozen=True)
class MadeBrain:
    """T1w and FLAIR, and the truth: 1 GM, 2 WM, 3 CSF; lesions."""

    t1w: Volume
    flair: Volume
    brain: np.ndarray
    tissues: np.ndarray
    lesions: np.ndarray


def make_brain(affine: np.ndarray, shape: tuple[int, int, int] = (40, 46, 24), seed: int = 3) -> MadeBrain:
    """Fluid outside and in a ventricle, a folded cortex, white matter with three lesions."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt((i / 0.9) ** 2 + (j / 0.92) ** 2 + (k / 0.9) ** 2)
    folds = 0.05 * np.sin(9 * np.arctan2(j, i)) * np.cos(4 * k)
    brain = radius < 1
    tissues = np.where(brain, 3, 0)
    tissues[radius < 0.93 + folds] = 1
    tissues[radius < 0.72 + folds] = 2
    tissues[(i / 0.2) ** 2 + (j / 0.3) ** 2 + (k / 0.3) ** 2 < 1] = 3
    lesions = np.zeros(shape, bool)
    for centre, size in (((0.4, 0.1, 0.0), 0.12), ((-0.4, -0.2, 0.1), 0.1), ((0.0, 0.5, -0.2), 0.1)):
        lesions |= sum((axis - c) ** 2 for axis, c in zip((i, j, k), centre, strict=True)) < size**2
    lesions &= tissues == 2
    gain = np.exp(0.25 * i - 0.2 * j * k)

    def image(values: dict[int, float], lesion: float) -> Volume:
        data = np.zeros(shape)
        for number, value in values.items():
            data[tissues == number] = value
        data[lesions] = lesion
        data = gain * data + 18 * rng.standard_normal(shape)
        return Volume(np.where(brain, np.abs(data), 0).astype(np.float32), affine)

    t1w = image({1: 400, 2: 600, 3: 150}, 420)
    flair = image({1: 430, 2: 360, 3: 60}, 700)
    return MadeBrain(t1w, flair, brain, tissues, lesions)


@pytest.fixture
def made_brain(oblique_affine: np.ndarray) -> MadeBrain:
    return make_brain(oblique_affine)


@pytest.fixture
def fake_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a Python script into PATH under the name of a program; returns its path. The real program is not here."""
    folder = tmp_path / "fake" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys, pathlib, numpy as np, nibabel as nib\na = sys.argv\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make
