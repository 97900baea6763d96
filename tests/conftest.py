"""Fixtures shared by all tests: tiny, anisotropic, oblique volumes and the folder of real scans."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from recontrast.volume import Volume

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def nothing_is_left_to_collect() -> Iterator[None]:
    """For files that use Dask, which leaves sockets to the garbage collector: what it says would fail a later file."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20261120)


@pytest.fixture
def oblique_affine() -> np.ndarray:
    """Spacing 1.0 x 1.5 x 3.0 mm, turned by 10 degrees about z and 5 about x, origin off centre."""
    a, b = np.deg2rad(10), np.deg2rad(5)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([1.0, 1.5, 3.0])
    affine[:3, 3] = (-12.0, 7.5, -30.0)
    return affine


@pytest.fixture
def make_volume(oblique_affine: np.ndarray) -> Callable[..., Volume]:
    """Make a head-like test volume: an ellipsoid of brain in a shell, asymmetric left to right, air outside."""

    def make(shape: tuple[int, int, int] = (20, 24, 18), seed: int = 0, noise: float = 1.0) -> Volume:
        rng = np.random.default_rng(seed)
        i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
        radius = np.sqrt((i / 0.8) ** 2 + (j / 0.85) ** 2 + (k / 0.8) ** 2)
        data = np.where(radius < 1, 300.0, 0.0)
        data[radius < 0.8] = 600.0
        data[(radius < 0.5) & (i > 0.1)] = 900.0
        data += noise * rng.standard_normal(shape)
        return Volume(np.abs(data).astype(np.float32), oblique_affine)

    return make


@pytest.fixture
def large_imports() -> Callable[[str], list[str]]:
    """Name the large packages that importing a module brings with it."""

    def found(module: str) -> list[str]:
        code = f"import sys, {module}; print(*{{'numpy', 'nibabel', 'pandas', 'torch'}}.intersection(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return done.stdout.split()

    return found


@pytest.fixture
def disk_of_one_image(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Within `with disk_of_one_image():` the first image is written, and at the second the disk is full."""

    @contextmanager
    def full() -> Iterator[None]:
        save, room = nib.save, iter([True])

        def save_one(image: Any, path: Path) -> None:
            if not next(room, False):
                Path(path).write_bytes(b"half of it")
                raise OSError(errno.ENOSPC, "No space left on device")
            save(image, path)

        with monkeypatch.context() as patch:
            patch.setattr("recontrast.io.nifti.nib.save", save_one)
            yield

    return full


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real scans; skips the test, saying so, where it is absent."""
    folder = Path(os.environ.get("RECONTRAST_REALDATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "participants.tsv").is_file():
        pytest.skip(f"real scans not found at {folder}; set RECONTRAST_REALDATA to their folder")
    return folder
