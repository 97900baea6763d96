"""Random changes: off by default, the same for source and target where they must be."""

from __future__ import annotations

import dataclasses

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


@pytest.mark.parametrize("name", ["source_noise", "rotate_degrees", "stretch", "bend_mm"])
def test_negative_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        AugmentSettings(**{name: -1.0})  # type: ignore[arg-type]


RESHAPED = AugmentSettings(rotate_degrees=8, stretch=0.1, bend_mm=3)


def ellipse(shape: tuple[int, int], radii: tuple[float, float], centre: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A soft-edged ellipse around the middle of a slice, (1, I, J)."""
    first, second = np.indices(shape) - (np.array(shape)[:, None, None] - 1) / 2
    distance = np.hypot((first - centre[0]) / radii[0], (second - centre[1]) / radii[1])
    return np.clip(8 * (1 - distance), 0, 1)[None].astype(np.float32)


def test_source_target_and_mask_are_reshaped_alike(rng: np.random.Generator) -> None:
    head = ellipse((64, 80), (20, 26))
    source = np.concatenate([head, 2 * head])
    new, target, mask = augment(source, head, head > 0.5, RESHAPED, rng)
    np.testing.assert_array_equal(new[0], target[0])
    np.testing.assert_allclose(new[1], 2 * target[0], rtol=1e-6)
    assert (mask[0] != (target[0] > 0.5)).mean() < 0.02
    assert mask.dtype == np.bool_
    assert np.abs(new[:1] - head).max() > 0.3
    again = augment(source, head, head > 0.5, RESHAPED, np.random.default_rng(5))
    same = augment(source, head, head > 0.5, RESHAPED, np.random.default_rng(5))
    assert all(np.array_equal(one, other) for one, other in zip(again, same, strict=True))


def test_a_share_of_the_slices_is_reshaped_and_the_rest_stays_as_it_is(rng: np.random.Generator) -> None:
    head = ellipse((32, 32), (10, 12))
    some = dataclasses.replace(RESHAPED, reshape_share=0.3)
    changed = sum(augment(head, head, head > 0.5, some, rng)[0] is not head for _ in range(200))
    assert 35 < changed < 90
    assert not dataclasses.replace(RESHAPED, reshape_share=0.0).reshapes
    for share in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="it must be 0 to 1"):
            AugmentSettings(reshape_share=share)


def test_left_stays_left(rng: np.random.Generator) -> None:
    marker = ellipse((64, 64), (4, 4), centre=(-14, 0))
    for _ in range(30):
        new, _, _ = augment(marker, marker, marker > 0, RESHAPED, rng)
        rows = np.flatnonzero(new[0].max(axis=1) > 0.5)
        assert rows.size
        assert rows.max() < 31


def test_a_stretched_disc_has_the_area_of_its_factors() -> None:
    disc = ellipse((96, 96), (20, 20))
    new, _, _ = augment(disc, disc, disc > 0, AugmentSettings(stretch=0.2), np.random.default_rng(0))
    chance = np.random.default_rng(0)
    chance.standard_normal()  # of the rotation
    factors = np.exp(0.2 * chance.standard_normal(2))
    assert new.sum() / disc.sum() == pytest.approx(factors.prod(), rel=0.02)
    widths = [(new[0].max(axis=axis) > 0.5).sum() / (disc[0].max(axis=axis) > 0.5).sum() for axis in (1, 0)]
    np.testing.assert_allclose(widths, factors, rtol=0.05)


def test_rotation_is_one_of_millimetres() -> None:
    head = ellipse((96, 48), (20, 10))  # a disc, in voxels of 1 x 2 mm
    for seed in range(5):
        chance = np.random.default_rng(seed)
        new, _, _ = augment(head, head, head > 0, AugmentSettings(rotate_degrees=40), chance, 1, (1.0, 2.0))
        assert np.abs(new - head).max() < 0.35
        assert np.abs(new - head).mean() < 0.005
