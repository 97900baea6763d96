"""Unpaired draws: nothing ties source and target together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.datasets.augment import AugmentSettings
from recontrast.datasets.cases import cache_cases
from recontrast.datasets.settings import DataSettings
from recontrast.datasets.unpaired import UnpairedBatches
from recontrast.errors import LayoutError
from recontrast.preparation.cohort import PreparedCase

MakeCase = Callable[..., PreparedCase]
SETTINGS = DataSettings(batch=2, paired=False, clip_target=False, size=(16, 16))


def only(case: PreparedCase, *labels: str) -> PreparedCase:
    return dataclasses.replace(case, images={label: case.images[label] for label in labels})


def batches(
    cases: list[PreparedCase], folder: Path, settings: DataSettings = SETTINGS, seed: int = 0
) -> UnpairedBatches:
    return UnpairedBatches(cache_cases(cases, ["T1w"], "T2w", settings, folder / "cache"), settings, seed)


def test_order_of_targets_says_nothing_about_that_of_sources(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case(shape=(10, 12, 40))
    drawn = batches([case], tmp_path, dataclasses.replace(SETTINGS, batch=1))
    pairs = [(drawn._sources.place(n)[1], drawn._targets.place(n)[1]) for n in range(4 * len(drawn.places))]
    same = np.mean([source == target for source, target in pairs])
    assert same < 0.15  # 1 / 38 by chance
    assert abs(np.corrcoef(np.array(pairs).T)[0, 1]) < 0.3


def test_shift_and_mirror_of_the_target_are_its_own(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    same_image = dataclasses.replace(case, images={"T1w": case.images["T1w"], "T2w": case.images["T1w"]},
                                     scales={"T1w": case.scales["T1w"], "T2w": case.scales["T1w"]})  # fmt: skip
    augment = AugmentSettings(shift_voxels=3, mirror=True)
    settings = dataclasses.replace(SETTINGS, batch=1, slices="all", augment=augment)
    drawn = batches([same_image], tmp_path, settings)
    monotone = np.zeros(1, np.intp)  # one and the same slice in both orders: only cuts may differ
    for part in (drawn._sources, drawn._targets):
        part.places = part.places[:1]
        part._order = (-1, monotone)
    equal = [torch.equal(b.source, b.target) for b in (drawn.batch(step) for step in range(20))]
    assert sum(equal) < 4


def test_folders_of_different_sizes_and_subjects(make_case: MakeCase, tmp_path: Path) -> None:
    sources = [only(make_case("01"), "T1w"), only(make_case("02"), "T1w")]
    targets = [only(make_case("03", shape=(12, 12, 9)), "T2w")]
    drawn = batches([*sources, *targets], tmp_path)
    assert len(drawn._sources.places) == 10  # five slices with head in each
    assert len(drawn._targets.places) == 7
    assert len(drawn.places) == 10
    assert drawn.epoch_length == 5
    assert drawn.epoch_of(5) == 1
    seen = [drawn._targets.place(n) for n in range(14)]
    assert len(set(seen[:7])) == len(set(seen[7:])) == 7
    batch = drawn.batch(0)
    assert batch.source.shape == batch.target.shape == (2, 1, 16, 16)
    assert batch.spacing is not None
    assert batch.spacing.tolist() == [[1.0, 1.5]] * 2


def test_batches_depend_on_seed_and_number_only(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    first, second, other = (batches([case], tmp_path, seed=seed) for seed in (1, 1, 2))
    first.batch(0)
    for one, same in zip(first.batch(7)[:4], second.batch(7)[:4], strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(first.batch(7).target, other.batch(7).target)


@pytest.mark.parametrize(("label", "missing"), [("T1w", "target"), ("T2w", "source")])
def test_one_side_alone_is_refused(make_case: MakeCase, tmp_path: Path, label: str, missing: str) -> None:
    with pytest.raises(LayoutError, match=f"no training case has the {missing}"):
        batches([only(make_case(), label)], tmp_path)
