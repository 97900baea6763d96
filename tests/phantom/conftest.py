"""A tiny head (concentric spheres, 6 mm voxels) and a small simulated cohort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recontrast.phantom.anatomy import Anatomy, Head, Shape
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.phantom.grids import Grid
from recontrast.phantom.head import pull_towards


@pytest.fixture(scope="session")
def tiny_grid() -> Grid:
    return Grid((22, 24, 20), (6.0, 6.0, 6.0), (-63.0, -70.0, -58.0))


@pytest.fixture(scope="session")
def tiny_head(tiny_grid: Grid) -> Head:
    """White matter around a ventricle, a shell of grey matter, CSF, skull, fat; a blob of muscle on the right only."""
    x, y, z = np.meshgrid(*tiny_grid.axes(), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    edges = {"CSF": (0, 10), "WM": (10, 32), "GM": (32, 40), "skull": (46, 52), "fat": (52, 58)}
    parts = {name: (radius >= low) & (radius < high) for name, (low, high) in edges.items()}
    parts["CSF"] |= (radius >= 40) & (radius < 46)
    parts["muscle"] = (x > 40) & (np.abs(y) < 15) & (np.abs(z) < 15) & (radius >= 52) & (radius < 58)
    parts["fat"] &= ~parts["muscle"]
    names = tuple(sorted(parts))
    fractions = np.stack([parts[name] * np.uint8(255) for name in names]).astype(np.uint8)
    ventricles = ((radius < 10) * 255).astype(np.uint8)
    pull = pull_towards((radius < 10).astype(np.float32), 6.0)
    return Head(names, fractions, tiny_grid, ventricles, tiny_grid, (radius - 40).astype(np.float32), pull)


@pytest.fixture(scope="session")
def same_shape() -> Shape:
    """A subject that does not differ from the template."""
    identity = tuple(tuple(float(v) for v in row) for row in np.eye(4))
    return Shape(identity, 0.0, 1.0, 0.0, 0.0, (0.0, 0.0, 0.0))


@pytest.fixture
def tiny_anatomy(tiny_head: Head, tiny_grid: Grid, same_shape: Shape) -> Anatomy:
    from recontrast.phantom.anatomy import render
    from recontrast.phantom.tissues import LESIONAL

    return render(tiny_head, same_shape, np.random.default_rng(0), tiny_grid, tiny_grid, LESIONAL)


SETTINGS = {"subjects": 4, "spacing_mm": 6.0, "contrasts": ("T1w", "FLAIR"), "workers": 1}


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects at 6 mm with T1w and FLAIR, one of each pathology."""
    out = tmp_path_factory.mktemp("cohort") / "bids"
    summary = simulate(SimulateSettings(out=out, **SETTINGS))
    assert not summary.failed
    return out
