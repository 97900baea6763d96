"""What protocols do to images before they measure, and how regions are named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from recontrast.config import to_plain
from recontrast.errors import ConfigError, FormatError
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.steps import (
    CentreCrop,
    Clip,
    Divide,
    KeepRegion,
    Linear,
    Magnitude,
    Pair,
    PercentileScale,
    Quantise,
    Step,
    find_region,
    read_step,
    region_name,
)

SHAPE = (6, 5, 4)


@pytest.fixture
def pair(rng: np.random.Generator) -> Pair:
    head = np.zeros(SHAPE, bool)
    head[1:5, 1:4, 1:3] = True
    images = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    return Pair(images[0], images[1], {"head": head}, np.ones(4, bool))


STEPS = (
    Linear(gain=2.0, offset=-1.0), Clip(low=0, high=1), Magnitude(), Quantise(levels=255), KeepRegion(),
    CentreCrop(size=(4, 8, 0)), Divide(statistic="max"), Divide(statistic="mean", of="reference", over="volume"),
    PercentileScale(low=1.0),
)  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.step)
def test_every_step_leaves_its_input_alone_and_keeps_shapes_together(pair: Pair, step: Step) -> None:
    before = pair.reference.copy(), pair.estimate.copy()
    done = step.apply(pair)
    assert np.array_equal(pair.reference, before[0])
    assert np.array_equal(pair.estimate, before[1])
    assert done.reference.shape == done.estimate.shape == done.masks["head"].shape
    assert done.usable.shape == done.reference.shape[2:]
    assert done.reference.dtype == np.float32
    assert to_plain(step)["step"] == step.step


def test_arithmetic_by_hand(pair: Pair) -> None:
    assert Linear(gain=2.0, offset=-1.0).apply(pair).estimate == pytest.approx(2 * pair.estimate - 1)
    only = Clip(low=0, high=0.5, of=("reference",)).apply(pair)
    assert only.reference.max() == 0.5
    assert np.array_equal(only.estimate, pair.estimate)
    assert np.array_equal(Magnitude().apply(pair).reference, np.abs(pair.reference))
    coarse = Quantise(levels=4).apply(pair).reference
    assert set(np.unique(coarse)) <= {0.0, 0.25, 0.5, 0.75, 1.0}
    kept = KeepRegion(fill=-7.0).apply(pair)
    assert (kept.estimate[~pair.masks["head"]] == -7).all()
    with pytest.raises(ConfigError, match="'lesion'"):
        KeepRegion(region="lesion").apply(pair)


def test_a_mask_without_a_voxel_leaves_nothing_to_compare(pair: Pair) -> None:
    empty = replace(pair, masks={**pair.masks, "brain": np.zeros(SHAPE, bool)})
    done = CentreCrop(size=(4, 8, 0)).apply(KeepRegion().apply(empty))
    assert done.undefined == "region 'brain', outside of which the protocol removes everything, is empty"
    assert KeepRegion(region="head").apply(empty).undefined == ""


def test_crop_and_pad_keep_the_middle(pair: Pair) -> None:
    done = CentreCrop(size=(4, 8, 0)).apply(pair)
    assert np.array_equal(done.reference[:, 1:6], pair.reference[1:5])
    assert not done.reference[:, 6:].any()
    assert not done.masks["head"][:, 0].any()
    fewer = CentreCrop(size=(0, 0, 2)).apply(pair)
    assert np.array_equal(fewer.estimate, pair.estimate[..., 1:3])
    assert fewer.usable.shape == (2,)


def test_slices_that_cannot_be_divided_are_marked() -> None:
    reference = np.ones((2, 2, 3))
    reference[..., 1] = 0
    done = Divide(statistic="max").apply(Pair(reference, 2 * np.ones((2, 2, 3)), {}, np.ones(3, bool)))
    assert done.usable.tolist() == [True, False, True]
    assert (done.estimate == 1).all()
    spread = Divide(statistic="range", of="reference", over="volume")
    flat = spread.apply(Pair(np.ones((2, 2, 3)), reference, {}, np.ones(3, bool)))
    assert not flat.usable.any()


def test_percentiles_are_those_of_the_whole_reference() -> None:
    reference = np.arange(101.0).reshape(101, 1, 1)
    done = PercentileScale(low=10.0, high=90.0).apply(Pair(reference, reference + 5, {}, np.ones(1, bool)))
    assert done.reference.min() == 0
    assert done.reference[50, 0, 0] == pytest.approx(0.5)
    assert done.estimate[45, 0, 0] == pytest.approx(0.5)
    assert done.estimate.max() == 1
    unclipped = PercentileScale(high=50.0, clip=("reference",)).apply(Pair(reference, reference, {}, np.ones(1, bool)))
    assert unclipped.estimate.max() == pytest.approx(2)
    empty = PercentileScale().apply(Pair(np.zeros((2, 2, 2)), np.ones((2, 2, 2)), {}, np.ones(2, bool)))
    assert not empty.usable.any()


def test_regions_by_name(pair: Pair) -> None:
    masks = pair.masks
    assert find_region("image", masks, SHAPE)[1].all()
    assert find_region("brain|head", masks, SHAPE)[0] == "head"
    assert find_region("brain", masks, SHAPE) == ("brain", None)
    slab = find_region("axial[1:3]", masks, SHAPE)[1]
    assert slab.sum() == 6 * 5 * 2
    assert slab[..., 1].all()
    both = find_region("head&sagittal[:50%]", masks, SHAPE)[1]
    assert np.array_equal(both, masks["head"] & (np.arange(6) < 3)[:, None, None])
    assert find_region("coronal[25%:75%]", masks, SHAPE)[1].any(axis=(0, 2)).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert region_name("brain&axial[1:2]|head&axial[1:2]", masks) == "head&axial[1:2]"
    for wrong in ("axial[3:3]", "axial[9:12]"):
        with pytest.raises(ConfigError, match="holds no slice"):
            find_region(wrong, masks, SHAPE)


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_steps_come_back_from_a_file(name: str) -> None:
    protocol = PROTOCOLS.get(name)
    steps = [*protocol.steps, *(step for use in protocol.metrics for step in use.steps)]
    assert [read_step(json.loads(json.dumps(to_plain(step)))) for step in steps] == steps


@pytest.mark.parametrize("content", [{}, {"step": "bend"}, {"step": "linear", "gein": 2.0}, {"step": "centre_crop"}])
def test_what_is_no_step_is_refused(content: dict) -> None:
    with pytest.raises(FormatError, match="is no step of a protocol"):
        read_step(content)
