"""Batches of volumes: what lies where, order, patches, air."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.datasets.augment import AugmentSettings
from recontrast.datasets.cases import CachedCase, cache_cases
from recontrast.datasets.patches import SliceBatches
from recontrast.datasets.settings import DataSettings
from recontrast.datasets.volumes import VolumeBatches
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase

MakeCase = Callable[..., PreparedCase]


def volumes(batch: int = 1, **settings: object) -> DataSettings:
    return DataSettings(plane="volume", batch=batch, clip_target=False, **settings)  # type: ignore[arg-type]


def two_cases(make_case: MakeCase, folder: Path, settings: DataSettings) -> list[CachedCase]:
    return cache_cases([make_case("01"), make_case("02", shape=(14, 11, 8))], ["T1w"], "T2w", settings, folder)


@pytest.mark.parametrize("cache_type", ["float32", "uint16"])
def test_a_whole_head_lies_as_in_the_image_with_air_around(
    make_case: MakeCase, tmp_path: Path, cache_type: str
) -> None:
    settings = volumes(cache_type=cache_type)
    prepared = make_case("01")
    (case,) = cache_cases([prepared], ["T1w"], "T2w", settings, tmp_path / "cache")
    batch = VolumeBatches([case], settings, seed=0).batch(0)
    # Head of 7 x 7 x 5 voxels, 8 mm of air on either side (8, 5 and 3 voxels), up to a multiple of 16.
    assert batch.source.shape == batch.target.shape == batch.mask.shape == (1, 1, 32, 32, 16)
    assert batch.spacing is not None
    assert batch.spacing.tolist() == [[1.0, 1.5, 3.0]]
    image = prepared.scales["T2w"].apply(read_volume(prepared.images["T2w"]).data)
    low = [(2 + 9 - 32) // 2, (3 + 10 - 32) // 2, (1 + 6 - 16) // 2]
    inside = tuple(slice(-start, -start + length) for start, length in zip(low, image.shape, strict=True))
    np.testing.assert_allclose(batch.target[0, 0].numpy()[inside], image, atol=1e-4)
    expected = np.full((32, 32, 16), prepared.scales["T1w"].apply(np.zeros(1))[0])
    expected[inside] = prepared.scales["T1w"].apply(read_volume(prepared.images["T1w"]).data)
    np.testing.assert_allclose(batch.source[0, 0].numpy(), expected, atol=1e-4)
    assert int(batch.mask.sum()) == 7 * 7 * 5


def test_an_epoch_takes_every_case_as_often_as_asked(make_case: MakeCase, tmp_path: Path) -> None:
    settings = volumes(patch=(4, 6, 4), patches=3)
    batches = VolumeBatches(two_cases(make_case, tmp_path, settings), settings, seed=0)
    assert batches.epoch_length == 6
    assert sorted(batches.place(position)[0] for position in range(6)) == [0, 0, 0, 1, 1, 1]
    assert batches.batch(0).source.shape == (1, 1, 4, 6, 4)
    assert [batches.epoch_of(step) for step in (0, 5, 6)] == [0, 0, 1]


def test_patches_reach_every_voxel_of_the_head_and_over_its_edge(make_case: MakeCase, tmp_path: Path) -> None:
    settings = volumes(patch=(4, 4, 4))
    (case,) = cache_cases([make_case("01")], ["T1w"], "T2w", settings, tmp_path / "cache")
    batches = VolumeBatches([case], settings, seed=0)
    rng = np.random.default_rng(0)
    starts = np.array([batches._starts(0, rng) for _ in range(300)])
    assert starts.min(axis=0).tolist() == [1, 2, 0]  # the head begins at 2, 3, 1
    assert (starts.max(axis=0) + 4).tolist() == [10, 11, 7]  # and ends before 9, 10, 6


def test_batches_depend_on_seed_and_number_only_and_ranks_share_them(make_case: MakeCase, tmp_path: Path) -> None:
    augment = AugmentSettings(shift_voxels=2, source_gain=0.1, source_noise=0.1, mirror=True)
    settings = volumes(batch=2, patch=(4, 6, 4), augment=augment)
    cases = two_cases(make_case, tmp_path, settings)
    first, second = VolumeBatches(cases, settings, seed=1), VolumeBatches(cases, settings, seed=1)
    first.batch(0)
    for one, other in zip(first.batch(3)[:4], second.batch(3)[:4], strict=True):
        assert torch.equal(one, other)
    parts = [first.batch(3, rank, 2).source for rank in range(2)]
    assert torch.equal(first.batch(3).source, torch.cat(parts))
    assert not torch.equal(first.batch(0).source, VolumeBatches(cases, settings, seed=2).batch(0).source)


@pytest.mark.parametrize(
    "given",
    [{"neighbours": 1}, {"planes": ("axial",)}, {"size": (8, 8)}, {"paired": False}, {"patch": (0, 4, 4)}],
)
def test_settings_of_slices_are_refused_for_volumes(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        volumes(**given)
    with pytest.raises(ConfigError, match="volume"):
        DataSettings(patch=(4, 4, 4))
    with pytest.raises(UnknownNameError, match="volume"):
        DataSettings(plane="volumes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="axial"):
        VolumeBatches([], DataSettings(), seed=0)


def test_what_is_held_out_is_unknown_to_what_looks_beyond_the_mask(make_case: MakeCase, tmp_path: Path) -> None:
    settings = volumes(held_out=0.3)
    batches = VolumeBatches(two_cases(make_case, tmp_path, settings), settings, seed=0)
    whole, part = VolumeBatches(batches.cases, volumes(), seed=0).as_they_are(1), batches.as_they_are(1)
    held = whole.mask & ~part.mask
    assert held.any()
    assert part.target.isnan()[held].all()
    assert not part.target.isnan()[part.mask].any()
    assert not any(batch.target.isnan().any() for batch in (batches.batch(0), *batches.held_out()))


def test_some_air_counts_in_training_and_nowhere_else(
    make_case: MakeCase, tmp_path: Path, same_masks_outside_training: Callable[[SliceBatches, SliceBatches], None]
) -> None:
    settings = volumes(held_out=0.3, air=0.25)
    cases = cache_cases([make_case("01")], ["T1w"], "T2w", settings, tmp_path)
    batches = VolumeBatches(cases, settings, seed=0)
    without = VolumeBatches(cases, dataclasses.replace(settings, air=0.0), seed=0)
    held = without.as_they_are(1).target.isnan()
    more, fewer = batches.batch(0).mask, without.batch(0).mask
    assert not more[held].any()
    assert 0.15 < more[~fewer & ~held].float().mean() < 0.35
    same_masks_outside_training(batches, without)


def test_lesions_are_cut_shifted_and_mirrored_with_the_head(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    case = dataclasses.replace(case, regions={**case.regions, "lesion": case.regions["head"]})
    settings = DataSettings(plane="volume", batch=1, augment=AugmentSettings(shift_voxels=3, mirror=True))
    (ill,) = cache_cases([case], ["T1w"], "T2w", settings, tmp_path / "cache", lesions=True)
    batches = VolumeBatches([ill], settings, seed=0)
    for step in range(4):
        batch = batches.batch(step)
        assert batch.lesion is not None
        assert batch.mask.any()
        assert torch.equal(batch.lesion, batch.mask)
    (plain,) = cache_cases([case], ["T1w"], "T2w", settings, tmp_path / "cache")
    without = VolumeBatches([plain], settings, seed=0).batch(3)
    assert without.lesion is None
    assert all(torch.equal(one, other) for one, other in zip(without[:4], batch[:4], strict=True))
