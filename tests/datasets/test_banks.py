"""Batches with a target and sources drawn for every slice: what is there, what is told, and that it repeats."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.datasets.banks import BankBatches
from recontrast.datasets.cases import cache_cases
from recontrast.datasets.settings import DataSettings
from recontrast.io.nifti import write_volume
from recontrast.preparation.acquisition import NUMBERS, Usual
from recontrast.preparation.bank import Bank
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.normalize import Scale
from recontrast.volume import Volume

AFFINE = np.diag([1.0, 1.5, 3.0, 1.0])
LEVELS = {"T1w": 0.25, "T2w": 0.5, "FLAIR": 0.75}
"""Each contrast is one value throughout, by which it is known again."""

SCALES = {label: Scale("fixed", 0.0, 1000.0) for label in LEVELS}
BANK = Bank(sources=tuple(LEVELS), targets=dict(SCALES))

MakeBatches = Callable[..., BankBatches]


@pytest.fixture
def make_batches(tmp_path: Path, make_case: Callable[..., PreparedCase]) -> MakeBatches:
    """Two cases; the second has no FLAIR."""

    def make(
        bank: Bank = BANK, levels: Mapping[str, float] | None = None, usual: Usual | None = None, **settings: object
    ) -> BankBatches:
        cases = []
        for subject, labels in {"01": tuple(LEVELS), "02": ("T1w", "T2w")}.items():
            plain, images = make_case(subject), {}
            for label in labels:
                images[label] = tmp_path / f"sub-{subject}_{label}.nii.gz"
                write_volume(images[label], Volume(np.full((10, 12, 7), 1000 * LEVELS[label], np.float32), AFFINE))
            acquired = {"T1w": {"FlipAngle": math.exp(int(subject))}, "T2w": {"EchoTime": 0.1}}
            cases.append(dataclasses.replace(plain, images=images, scales=SCALES, acquired=acquired))
        given = DataSettings(batch=8, **settings)  # type: ignore[arg-type]
        cached = cache_cases(cases, bank.contrasts, "", given, tmp_path / "cache", partly=True)
        return BankBatches(cached, given, 3, bank, levels, usual)

    return make


def told(source: torch.Tensor, each: int = 1) -> tuple[tuple[str, ...], str]:
    """Sources that are said to be there, and the target, of one sample."""
    planes = source.reshape(-1, each, *source.shape[1:])
    assert all(bool((plane == plane.flatten()[0]).all()) for plane in planes[3:])
    numbers = [float(plane.flatten()[0]) for plane in planes[3:]]
    given = tuple(label for label, number in zip(LEVELS, numbers[:3], strict=True) if number == 1)
    (target,) = (label for label, number in zip(LEVELS, numbers[3:], strict=True) if number == 1)
    return given, target


@pytest.mark.parametrize("neighbours", [0, 1])
def test_what_is_told_is_what_is_there(make_batches: MakeBatches, neighbours: int) -> None:
    batches, each = make_batches(neighbours=neighbours), 2 * neighbours + 1
    for step in range(8):
        batch = batches.batch(step)
        assert batch.source.shape[1] == 9 * each
        for source, target, mask in zip(batch.source, batch.target, batch.mask, strict=True):
            given, wanted = told(source, each)
            assert given
            assert wanted not in given
            assert torch.all(target[mask] == LEVELS[wanted])
            images = source.reshape(9, each, *source.shape[1:])[:3]
            for label, image in zip(LEVELS, images, strict=True):
                assert torch.all(image[mask.expand_as(image)] == (LEVELS[label] if label in given else 0))


def test_what_is_around_is_that_of_the_sources_that_are_given(make_batches: MakeBatches) -> None:
    batches = make_batches(context_voxels=((1.0, 1.0, 0.0),))
    seen = set()
    for step in range(8):
        batch = batches.batch(step)
        assert batch.source.shape[1] == 9 + 3 + 3
        for source, mask in zip(batch.source, batch.mask[:, 0], strict=True):
            images, blurred, place, code = source[:3], source[3:6], source[6:9], source[9:]
            given = {label for label, number in zip(LEVELS, code, strict=False) if number[0, 0] == 1}
            for label, image, soft in zip(LEVELS, images, blurred, strict=True):
                assert bool(soft.any()) == (label in given)
                ratio = soft[mask] / image[mask] if label in given else torch.ones(1)
                assert 0.5 < float(ratio.min()) <= float(ratio.max()) < 1.001  # air around makes it darker at the edge
            assert float(place.std()) > 0.1
            seen.add(len(given))
    assert seen == {1, 2}


def test_sources_come_to_their_level_with_what_is_around_and_targets_stay(make_batches: MakeBatches) -> None:
    around = {"context_voxels": ((1.0, 1.0, 0.0),), "context_steep": 1}
    plain, levelled = make_batches(**around), make_batches(levels={"T1w": 1.0, "FLAIR": 0.25}, **around)
    gains, seen = {"T1w": 4.0, "T2w": 1.0, "FLAIR": 1 / 3}, set()
    for before, after in [
        *((plain.batch(step), levelled.batch(step)) for step in range(4)),
        *zip(plain.to_begin_with(4), levelled.to_begin_with(4), strict=True),
    ]:
        assert torch.equal(before.target, after.target)
        assert torch.equal(before.source[:, 9:], after.source[:, 9:])  # the place, and what is told
        for number, (label, gain) in enumerate(gains.items()):
            for planes in ([number], [3 + 2 * number, 4 + 2 * number]):
                torch.testing.assert_close(after.source[:, planes], before.source[:, planes] * gain)
            seen |= {label} if before.source[:, number].any() else set()
    assert seen == set(LEVELS)


def test_how_a_source_was_acquired_is_told_but_for_a_quarter(make_batches: MakeBatches) -> None:
    usual = {"T1w": {"FlipAngle": (0.0, 0.5)}}
    plain, batches = make_batches(), make_batches(usual=usual)
    assert batches.batch(0).source.shape[1] == plain.batch(0).source.shape[1] + 3 * NUMBERS
    seen = Counter[object]()
    for step in range(40):
        batch = batches.batch(step)
        for source in batch.source:
            (there, *_), numbers = source[3:6, 0, 0].tolist(), source[9:, 0, 0]
            assert not numbers[:6].any()
            assert not numbers[8:].any()
            seen[there, tuple(numbers[6:8].tolist())] += 1
    assert set(seen) == {(1, (1, 2)), (1, (1, 4)), (1, (0, 0)), (0, (0, 0))}
    of_those = [seen[1, (1, 2)] + seen[1, (1, 4)], seen[1, (0, 0)]]
    assert 0.15 < of_those[1] / sum(of_those) < 0.35
    for batch in batches.to_begin_with(2):
        assert torch.equal(batch.source[:, 3, 0, 0], batch.source[:, 15, 0, 0])  # always told


def test_steepness_is_a_further_image_of_each_source(make_batches: MakeBatches) -> None:
    batch = make_batches(context_voxels=((1.0, 1.0, 0.0), (2.0, 2.0, 0.0)), context_steep=1).batch(0)
    assert batch.source.shape[1] == 9 + 3 * 3 + 3
    for source in batch.source:
        around, code = source[3:12].reshape(3, 3, *source.shape[1:]), source[15:]
        for images, number in zip(around, code, strict=False):
            assert [bool(image.any()) for image in images] == [number[0, 0] == 1] * 3


def test_all_subsets_and_targets_come_and_none_that_a_case_has_not(make_batches: MakeBatches) -> None:
    batches, seen = make_batches(), (Counter[object](), Counter[object]())
    for number in range(2):
        rng = np.random.default_rng(number)
        for _ in range(900):
            target, given = batches.drawn(number, rng)
            seen[number][given, target] += 1
    assert len(seen[0]) == 9
    assert min(seen[0].values()) > 60  # 100 expected, standard deviation 9.4
    assert set(seen[1]) == {(("T1w",), "T2w"), (("T2w",), "T1w")}


def test_batch_n_is_the_same_however_often_it_is_asked_for(make_batches: MakeBatches) -> None:
    first, second = make_batches(), make_batches()
    second.batch(7)
    for one, other in zip(first.batch(4)[:4], second.batch(4)[:4], strict=True):
        assert torch.equal(one, other)


def test_a_target_need_not_be_a_source(make_batches: MakeBatches) -> None:
    batches = make_batches(Bank(sources=("T1w",), targets={"FLAIR": SCALES["FLAIR"], "T2w": SCALES["T2w"]}))
    drawn = {batches.drawn(1, np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {("T2w", ("T1w",))}
    assert batches.batch(0).source.shape[1] == 4


def test_as_they_are_all_subsets_and_targets_come_in_turn(make_batches: MakeBatches) -> None:
    batch = make_batches().as_they_are(60)
    seen = {told(source) for source in batch.source}
    assert len(batch.source) == 60
    assert len(seen) == 9


def test_to_begin_with_each_subset_and_target_has_a_batch_of_the_cases_that_have_it(make_batches: MakeBatches) -> None:
    batches = make_batches()
    seen = {}
    for batch in batches.to_begin_with(8):
        (way,) = {told(source) for source in batch.source}
        seen[way] = len(batch.source)
    of_first = sum(number == 0 for number, _ in batches.places)
    of_both = {(("T1w",), "T2w"), (("T2w",), "T1w")}
    assert seen == {way: min(8, len(batches.places) if way in of_both else of_first) for way in seen}
    assert len(seen) == 9
    assert of_both < set(seen)


def test_what_is_held_out_is_unknown_to_what_looks_beyond_the_mask(make_batches: MakeBatches) -> None:
    whole, batches = make_batches(planes=("coronal",)), make_batches(planes=("coronal",), held_out=0.3)
    for parts in ([*batches.to_begin_with(50)], [batches.as_they_are(50)]):
        unknown, mask = (torch.cat([getattr(part, name) for part in parts]) for name in ("target", "mask"))
        assert unknown.isnan().any()
        assert not unknown.isnan()[mask].any()
    place = next(place for place in batches.places if batches.cases[place[0]].plane == "coronal")
    plain, rng = batches._plain(batches.cases)
    part, complete = plain.sample(*place, rng), whole.sample(*place, rng)
    assert np.isnan(part.target)[complete.mask & ~part.mask].all()
