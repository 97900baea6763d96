"""Random changes: off by default, the same for source and target where they must be."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.datasets.augment import AugmentSettings, augment, random_shift
from recontrast.errors import ConfigError


def test_off_by_default(rng: np.random.Generator) -> None:
    source, target = rng.random((2, 1, 5, 6), dtype=np.float32)
    mask = target > 0.5
    assert augment(source, target, mask, AugmentSettings(), rng) == (source, target, mask)
    assert random_shift(AugmentSettings(), rng) == (0, 0)


def test_mirror_moves_source_target_and_mask_together(rng: np.random.Generator) -> None:
    source = rng.random((1, 5, 6), dtype=np.float32)
    mirrored = 0
    for _ in range(40):
        new, target, mask = augment(source, source, source > 0.5, AugmentSettings(mirror=True), rng)
        np.testing.assert_array_equal(new, target)
        np.testing.assert_array_equal(mask, new > 0.5)
        mirrored += bool((new[:, ::-1] == source).all())
    assert 5 < mirrored < 35


def test_gain_and_noise_leave_the_target(rng: np.random.Generator) -> None:
    source = np.ones((2, 8, 8), np.float32)
    target = source[:1].copy()
    new, same, _ = augment(source, target, target > 0, AugmentSettings(source_gain=0.2, source_noise=0.1), rng)
    assert same is target
    assert new.dtype == np.float32
    assert abs(new[0].mean() - new[1].mean()) > 0.01
    assert (source == 1).all()


def test_shifts_stay_in_range(rng: np.random.Generator) -> None:
    shifts = np.array([random_shift(AugmentSettings(shift_voxels=2), rng) for _ in range(200)])
    assert set(shifts.ravel()) == {-2, -1, 0, 1, 2}


def test_negative_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        AugmentSettings(source_noise=-1)
