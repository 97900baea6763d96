"""Lesions have the contrast of the signal equations, the size asked for, and a place of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.planting import (
    contrast_at,
    draw_plants,
    put_into,
    require_physics,
    signal_ratio,
    white_matter,
)


def test_the_ratio_of_a_spin_echo_is_that_of_the_equation() -> None:
    # T2w of the virtual scanner is a turbo spin echo of TE 96 ms: with T2 74 -> 135 ms and PD 0.70 -> 0.86 the decay
    # and the density alone give this; T1 takes a little away.
    expected = 0.86 / 0.70 * np.exp(-0.096 / 0.135) / np.exp(-0.096 / 0.074)
    assert signal_ratio("T2w", "lesion", 1.0) == pytest.approx(expected, rel=0.1)
    assert signal_ratio("T1w", "lesion", 1.0) < 1 < signal_ratio("FLAIR", "lesion", 1.0)
    assert 1 < signal_ratio("FLAIR", "lesion", 0.25) < signal_ratio("FLAIR", "lesion", 0.5)
    assert signal_ratio("ce-gadolinium_T1w", "enhancing", 1.0) > 1.2


def test_a_contrast_nobody_can_simulate_is_said(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="cannot make dwi"):
        signal_ratio("dwi", "lesion", 1.0)
    with pytest.raises(NotAsked, match="MESE is made by 8 scans"):
        require_physics(dataclasses.replace(make_bench(cases=1), source_labels=("MESE",)))


@pytest.mark.parametrize("diameter", [4.0, 8.0, 16.0])
def test_a_lesion_has_the_volume_asked_for(make_bench: Callable[..., Bench], diameter: float) -> None:
    case = make_bench(cases=1).cases[0]
    (plant,) = draw_plants(case, white_matter(case), [("MS", diameter, 1.0)], np.random.default_rng(1))
    volume = plant.share.sum() * np.prod(case.spacing)
    assert volume == pytest.approx(np.pi / 6 * diameter**3, rel=0.35)  # its surface is uneven


def test_lesions_do_not_touch_and_stay_in_white_matter(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    white = white_matter(case)
    plants = draw_plants(case, white, [("MS", 5.0, 1.0)] * 6, np.random.default_rng(0))
    assert len(plants) >= 3
    total = np.zeros(case.shape)
    for plant in plants:
        total[plant.box] += plant.share
        assert white[plant.centre]
    assert total.max() <= 1.0 + 1e-6


def test_the_middle_gets_the_ratio_and_the_rest_stays(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    plants = draw_plants(case, white_matter(case), [("MS", 12.0, 1.0)], np.random.default_rng(0))
    image = case.sources["T1w"]
    changed = put_into(image, plants, "T1w")
    plant = plants[0]
    core = plant.share > 0.99
    ratio = changed[plant.box][core].mean() / np.median(image[plant.box][plant.ring])
    assert ratio == pytest.approx(signal_ratio("T1w", "lesion", 1.0), rel=0.05)
    assert contrast_at(changed, plant) < -0.1
    outside = np.ones(case.shape, bool)
    outside[plant.box] = plant.share == 0
    assert np.array_equal(changed[outside], image[outside])


@pytest.mark.slow
def test_white_matter_is_found_where_no_mask_names_it_and_spares_lesions(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1, shape=(60, 70, 40)).cases[0]
    lesion = np.zeros(case.shape, bool)
    lesion[30, 35, 20] = True
    regions = {"head": case.inside, "brain": case.inside, "lesion": lesion}
    white = white_matter(dataclasses.replace(case, regions=regions))
    truth = case.regions["WM"]
    assert (white & truth).sum() > 0.8 * white.sum()
    assert not white[29:32, 35, 20].any()
    with pytest.raises(NotAsked, match="no white-matter mask"):
        white_matter(dataclasses.replace(case, regions={"head": case.inside}))
