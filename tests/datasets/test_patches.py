"""Batches: order, windows, neighbours, ranks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.datasets.augment import AugmentSettings
from recontrast.datasets.cases import CachedCase, cache_cases
from recontrast.datasets.patches import SliceBatches, read_sources, shifted
from recontrast.datasets.settings import DataSettings
from recontrast.datasets.volumes import VolumeBatches
from recontrast.errors import IntensityError, RecontrastWarning
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.slices import SliceStack
from recontrast.translation.translator import Translator

MakeCase = Callable[..., PreparedCase]
ALL = slice(None)


def two_cases(make_case: MakeCase, folder: Path) -> list[CachedCase]:
    cases = [make_case("01"), make_case("02", shape=(14, 11, 8))]
    return cache_cases(cases, ["T1w"], "T2w", DataSettings(), folder / "cache")


def test_an_epoch_shows_every_slice_once(make_case: MakeCase, tmp_path: Path) -> None:
    cases = two_cases(make_case, tmp_path)
    batches = SliceBatches(cases, DataSettings(batch=1, slices="head", size=(16, 16), clip_target=False), seed=3)
    assert batches.epoch_length == 5 + 6
    for epoch in range(2):
        shown = Counter(batches.batch(epoch * 11 + n).target.sum().item() for n in range(11))
        assert set(shown.values()) == {1}
    assert [batches.epoch_of(step) for step in (0, 10, 11, 22)] == [0, 0, 1, 2]


def test_batches_depend_on_seed_and_number_only(make_case: MakeCase, tmp_path: Path) -> None:
    cases = two_cases(make_case, tmp_path)
    augment = AugmentSettings(shift_voxels=2, source_gain=0.1, source_noise=0.1, mirror=True)
    settings = DataSettings(batch=4, augment=augment)
    first, second = SliceBatches(cases, settings, seed=1), SliceBatches(cases, settings, seed=1)
    for step in range(6):
        first.batch(step)
    for step in (5, 0, 3):
        for one, other in zip(first.batch(step)[:4], second.batch(step)[:4], strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(first.batch(0).source, SliceBatches(cases, settings, seed=2).batch(0).source)


def test_slices_as_they_are(make_case: MakeCase, tmp_path: Path) -> None:
    augment = AugmentSettings(source_gain=0.5, shift_voxels=3)
    cached = two_cases(make_case, tmp_path)
    changed = SliceBatches(cached, DataSettings(batch=4, size=(16, 16), augment=augment), seed=0)
    plain = SliceBatches(cached, DataSettings(batch=4, size=(16, 16)), seed=0)
    few = changed.as_they_are(4)
    assert torch.equal(few.source, plain.batch(0).source)
    assert not torch.equal(few.source, changed.batch(0).source)
    assert len(changed.as_they_are(10_000).source) == len(changed.places)


def test_ranks_share_a_batch(make_case: MakeCase, tmp_path: Path) -> None:
    batches = SliceBatches(two_cases(make_case, tmp_path), DataSettings(batch=6), seed=0)
    whole = batches.batch(2).source
    parts = [batches.batch(2, rank, 2).source for rank in range(2)]
    assert torch.equal(whole, torch.stack(parts, dim=1).flatten(0, 1))


def test_window_lies_around_the_head_and_is_filled_with_air(make_case: MakeCase, tmp_path: Path) -> None:
    (case,) = cache_cases([make_case()], ["T1w"], "T2w", DataSettings(), tmp_path / "cache")
    batches = SliceBatches([case], DataSettings(batch=1, size=(20, 4), clip_target=False), seed=0)
    batch = batches.batch(0)
    index = batches.places[batches._at(0)][1]
    # Head rows 2..8 have their centre at 5, so row 0 of the image lies in row 5 of the window of 20.
    np.testing.assert_array_equal(batch.source[0, 0, 5:15], case.read(index, ALL, ALL, slice(4, 8))[0])
    np.testing.assert_array_equal(batch.target[0, 0, 5:15], case.read(index, ALL, ALL, slice(4, 8))[1])
    assert (batch.source[0, 0, :5] == case.air[0]).all()
    assert (batch.target[0, 0, 15:] == case.air[1]).all()
    assert batch.mask[0, 0, 5:15].numpy().sum() == case.regions[index, 0, :, 4:8].sum()


def test_common_size_holds_every_head(make_case: MakeCase, tmp_path: Path) -> None:
    batches = SliceBatches(two_cases(make_case, tmp_path), DataSettings(margin_mm=3.0), seed=0)
    # Heads of 7 x 7 and 11 x 6 voxels of 1 x 1.5 mm, 3 and 2 voxels of air, rounded up to 16.
    assert batches.size == (32, 16)


def test_a_much_larger_head_is_pointed_out(make_case: MakeCase, tmp_path: Path) -> None:
    cases = [make_case("01"), make_case("02"), make_case("03", shape=(40, 40, 5))]
    stacks = cache_cases(cases, ["T1w"], "T2w", DataSettings(), tmp_path / "cache")
    with pytest.warns(RecontrastWarning, match="sub-03"):
        SliceBatches(stacks, DataSettings(margin_mm=0), seed=0)


def test_target_is_clipped_where_asked(make_case: MakeCase, tmp_path: Path) -> None:
    cases = cache_cases([make_case()], ["T2w"], "T1w", DataSettings(), tmp_path / "cache")
    for clip in (True, False):
        target = SliceBatches(cases, DataSettings(batch=5, clip_target=clip), seed=0).batch(0).target
        assert (bool(target.min() >= 0), bool(target.max() <= 1)) == (clip, clip)


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_channels_are_ordered_as_in_translation(make_case: MakeCase, tmp_path: Path, neighbours: int) -> None:
    (case,) = cache_cases([make_case()], ["T1w", "T2w"], "T1w", DataSettings(), tmp_path / "cache")
    volumes = [np.moveaxis(np.asarray(case.images[:, channel]), 0, 2) for channel in range(2)]
    stack = SliceStack(volumes, "axial", neighbours)
    for index in (0, 3, 6):
        np.testing.assert_array_equal(read_sources(case, index, neighbours), stack.batch([index])[0])


@pytest.mark.parametrize("neighbours", [0, 1])
def test_surroundings_are_ordered_as_in_translation(make_case: MakeCase, tmp_path: Path, neighbours: int) -> None:
    prepared, widths = make_case(), ((1.0, 1.0, 1.0), (2.0, 2.0, 1.0))
    settings = DataSettings(context_voxels=widths, context_steep=1, neighbours=neighbours)
    (case,) = cache_cases([prepared], ["T1w", "T2w"], "T1w", settings, tmp_path / "cache")
    volumes = [prepared.scales[n].apply(read_volume(prepared.images[n]).reoriented("RAS").data) for n in ("T1w", "T2w")]
    about = TranslatorDescription(
        preset="t", sources=("T1w", "T2w"), target="FLAIR", model=Member(name="unet"), spacing_mm=(1, 1, 1),
        recipe=Member(name="supervised"), target_scale=prepared.scales["T1w"], context_voxels=widths, context_steep=1,
        neighbours=neighbours,
    )  # fmt: skip
    stack = Translator(torch.nn.Identity(), about, EngineSettings(engine="torch")).slices_of(volumes)
    read = read_sources(case, 3, neighbours)
    assert len(read) == about.channels == settings.channels(2) == (2 * 4 + 3) * (2 * neighbours + 1)
    np.testing.assert_allclose(read, stack.batch([3])[0], atol=1e-6)


def test_neighbours_are_channels_of_the_batch(make_case: MakeCase, tmp_path: Path) -> None:
    cases = cache_cases([make_case()], ["T1w", "T2w"], "T1w", DataSettings(), tmp_path / "cache")
    batch = SliceBatches(cases, DataSettings(batch=2, neighbours=1), seed=0).batch(0)
    assert batch.source.shape[:2] == (2, 6)
    assert batch.target.shape[:2] == (2, 1)


def test_nothing_to_learn_from_is_an_error(make_case: MakeCase, tmp_path: Path) -> None:
    (case,) = cache_cases([make_case()], ["T1w"], "T2w", DataSettings(), tmp_path / "cache")
    with pytest.raises(IntensityError, match="no slice of sub-01"):
        SliceBatches([case], DataSettings(minimum_area=2.0), seed=0)


def test_three_planes_are_mixed_and_each_slice_carries_its_spacing(make_case: MakeCase, tmp_path: Path) -> None:
    settings = DataSettings(batch=1, planes=("sagittal", "coronal", "axial"), clip_target=False, size=(16, 16))
    cases = cache_cases([make_case()], ["T1w"], "T2w", settings, tmp_path / "cache")
    assert [case.plane for case in cases] == ["sagittal", "coronal", "axial"]
    batches = SliceBatches(cases, settings, seed=0)
    assert len(batches.places) == 7 + 7 + 5  # head in 7 x 7 x 5 voxels
    spacings = Counter(tuple(batches.batch(n).spacing.flatten().tolist()) for n in range(19))
    assert spacings == {(1.5, 3.0): 7, (1.0, 3.0): 7, (1.0, 1.5): 5}


def test_a_volume_of_one_slice(make_case: MakeCase, tmp_path: Path) -> None:
    settings = DataSettings(batch=2, slices="all", neighbours=1, planes=("coronal", "axial"))
    cases = cache_cases([make_case(shape=(10, 12, 1))], ["T1w"], "T2w", settings, tmp_path / "cache")
    batch = SliceBatches(cases, settings, seed=0).batch(0)
    assert batch.source.shape[1] == 3
    assert torch.isfinite(batch.source).all()


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_the_target_of_a_held_out_slab_is_never_learned_from(make_case: MakeCase, tmp_path: Path, plane: str) -> None:
    planes = {"plane": "axial", "planes": (plane,)}
    settings = DataSettings(batch=2, held_out=0.2, slices="head", **planes)  # type: ignore[arg-type]
    cached = cache_cases([make_case("01")], ["T1w"], "T2w", settings, tmp_path)
    case = next(case for case in cached if case.plane == plane)
    slab = case.held_slab(settings)
    assert slab.stop > slab.start
    batches = SliceBatches([case], settings, seed=0)
    rng = np.random.default_rng(0)
    seen = 0
    for number, index in batches.places:
        sample = batches.sample(number, index, rng)
        seen += int(sample.mask.sum())
        if plane == "axial":
            assert not slab.start <= index < slab.stop
    head = np.asarray(case.regions[:, 0])
    held = head[slab].sum() if plane == "axial" else head[..., slab].sum()
    assert seen == head[case.chosen_slices(settings)].sum() - held
    axial = next(case for case in cached if case.plane == "axial")
    kept = sum(int(batch.mask.sum()) for batch in SliceBatches([axial], settings, seed=0).held_out())
    assert kept == np.asarray(axial.regions[:, 0])[slab].sum()


def test_what_is_held_out_is_unknown_to_what_looks_beyond_the_mask(make_case: MakeCase, tmp_path: Path) -> None:
    settings = DataSettings(batch=2, held_out=0.2, planes=("coronal", "sagittal"))
    cached = cache_cases([make_case("01")], ["T1w"], "T2w", settings, tmp_path)
    cases = [case for case in cached if case.plane != "axial"]
    batches = SliceBatches(cases, settings, seed=0)
    batch = batches.as_they_are(100)
    whole = SliceBatches(cases, dataclasses.replace(settings, held_out=0.0), seed=0).as_they_are(100)
    unknown = batch.target.isnan()
    held = whole.mask & ~batch.mask
    assert held.sum() > 0
    assert unknown[held].all()
    assert not unknown[batch.mask].any()
    assert torch.equal(batch.target[~unknown], whole.target[~unknown])
    assert not any(batches.batch(step).target.isnan().any() for step in range(3))
    assert not any(part.target.isnan().any() for part in SliceBatches(cached[:1], settings, seed=0).held_out())


def test_some_air_counts_in_training_and_nowhere_else(
    make_case: MakeCase, tmp_path: Path, same_masks_outside_training: Callable[[SliceBatches, SliceBatches], None]
) -> None:
    settings = DataSettings(batch=4, air=0.25, held_out=0.2, planes=("axial", "coronal"))
    cases = cache_cases([make_case("01")], ["T1w"], "T2w", settings, tmp_path)
    batches = SliceBatches(cases, settings, seed=0)
    without = SliceBatches(cases, dataclasses.replace(settings, air=0.0), seed=0)
    more, fewer = batches.batch(0), without.batch(0)
    assert torch.equal(more.source, fewer.source)
    assert not (fewer.mask & ~more.mask).any()
    coronal = SliceBatches([case for case in cases if case.plane == "coronal"], settings, seed=0)
    number, index = coronal.places[0]
    sample = coronal.sample(number, index, np.random.default_rng(0))
    head = SliceBatches(coronal.cases, without.settings, seed=0).sample(number, index, np.random.default_rng(0)).mask
    slab = shifted(coronal.held[number], -(coronal.centres[number][1] - coronal.size[1] // 2))
    assert not sample.mask[..., slab].any()
    outside = ~head
    outside[..., slab] = False
    assert 0.15 < sample.mask[outside].mean() < 0.35
    same_masks_outside_training(batches, without)


def test_lesions_are_cut_shifted_and_mirrored_with_the_head(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    case = dataclasses.replace(case, regions={**case.regions, "lesion": case.regions["head"]})
    settings = DataSettings(augment=AugmentSettings(shift_voxels=3, mirror=True))
    (ill,) = cache_cases([case], ["T1w"], "T2w", settings, tmp_path / "cache", lesions=True)
    batches = SliceBatches([ill], settings, seed=0)
    for step in range(4):
        batch = batches.batch(step)
        assert batch.lesion is not None
        assert batch.mask.any()
        assert torch.equal(batch.lesion, batch.mask)
    (plain,) = cache_cases([case], ["T1w"], "T2w", settings, tmp_path / "cache")
    without = SliceBatches([plain], settings, seed=0).batch(3)
    assert without.lesion is None
    assert all(torch.equal(one, other) for one, other in zip(without[:4], batch[:4], strict=True))


@pytest.mark.parametrize("settings", [DataSettings(batch=3), DataSettings(batch=2, plane="volume", patch=(16, 16, 16))])
def test_threads_get_the_batches_that_one_after_the_other_would_give(
    make_case: MakeCase, tmp_path: Path, settings: DataSettings
) -> None:
    moved = dataclasses.replace(settings, augment=AugmentSettings(shift_voxels=2, source_noise=0.1))
    kind = VolumeBatches if settings.spatial_dims == 3 else SliceBatches
    alone, shared = (kind(two_cases(make_case, tmp_path / name), moved, 0) for name in ("alone", "shared"))
    steps = list(range(4 * alone.epoch_length))  # across the borders of epochs
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.batch, steps[::-1]))[::-1]
    for step in steps:
        for part, expected in zip(found[step][:3], alone.batch(step)[:3], strict=True):
            assert torch.equal(part, expected)
