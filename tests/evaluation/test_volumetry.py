"""Volumes and lesion counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.evaluation.volumetry import (
    absolute_volume_difference,
    aspc,
    compare_structure,
    count_lesions,
    match_lesions,
    size_class,
    volume_difference,
    volume_ml,
)


def test_volume_counts_voxels_of_any_size() -> None:
    mask = np.zeros((4, 5, 6), np.int16)
    mask[1:3, 1:4, 2:4] = 1000  # 12 voxels
    assert volume_ml(mask, (0.5, 2.0, 3.0)) == pytest.approx(12 * 3.0 / 1000)
    assert volume_ml(np.zeros((2, 2, 2)), (1, 1, 1)) == 0


def test_aspc_of_tagawa_2025() -> None:
    # 200 |3.9 - 4.1| / 8.0 = 5 %
    assert aspc(3.9, 4.1) == pytest.approx(5.0)
    assert aspc(4.1, 3.9) == aspc(3.9, 4.1)
    assert aspc(0.0, 1.0) == 200.0
    assert math.isnan(aspc(0.0, 0.0))


def test_vd_and_avd_of_bottani_2024() -> None:
    # Reference 640, image 660 in a head of 1600, mean head 1500: (640 - 660) / 1600 * 1500 = -18.75 cm3.
    assert volume_difference(640, 660, 1600, 1500) == pytest.approx(-18.75)  # over-estimated: negative
    assert volume_difference(660, 640, 1600, 1500) == pytest.approx(18.75)
    assert absolute_volume_difference(640, 660, 1600, 1500) == pytest.approx(18.75)
    assert math.isnan(volume_difference(1, 2, 0, 1500))


def test_a_structure_in_both_in_one_and_in_none() -> None:
    reference, synthetic = np.zeros((2, 9, 9, 9), bool)
    assert compare_structure("GM", reference, synthetic, (1, 1, 1)).status == "the region is empty in both images"
    reference[2:5, 2:5, 2:5] = True
    alone = compare_structure("GM", reference, synthetic, (1, 2, 1))
    assert (alone.volume_reference_ml, alone.volume_synthetic_ml, alone.dice) == (0.054, 0, 0)
    assert math.isnan(alone.hd95_mm)
    assert "empty in the estimate" in alone.status
    synthetic[4:7, 2:5, 2:5] = True
    both = compare_structure("GM", reference, synthetic, (1, 2, 1))
    assert both.dice == pytest.approx(2 * 9 / 54)
    assert both.hd95_mm == 2.0
    assert 0 < both.asd_mm < 2
    assert both.status == "ok"


def lesions(*boxes: tuple[slice, ...]) -> np.ndarray:
    mask = np.zeros((30, 24, 20), bool)
    for box in boxes:
        mask[box] = True
    return mask


A = (slice(1, 6), slice(1, 6), slice(1, 6))  # 125 voxels
B = (slice(10, 13), slice(1, 4), slice(1, 4))  # 27 voxels
C = (slice(20, 22), slice(1, 2), slice(1, 2))  # 2 voxels: too small to count at 1 mm
D = (slice(15, 27), slice(10, 20), slice(4, 14))  # 1200 voxels


def test_lesions_in_both_and_in_one() -> None:
    reference = lesions(A, B, C)
    shifted_a = (slice(3, 8), *A[1:])
    synthetic = lesions(shifted_a, D)
    found = match_lesions(reference, synthetic, (1, 1, 1))
    assert [(lesion.found, lesion.volume_ml, lesion.size) for lesion in found] == [
        ("both", 0.125, "medium"),
        ("only reference", 0.027, "small"),
        ("only synthetic", 1.2, "large"),
    ]
    assert found[0].overlap_ml == pytest.approx(3 * 5 * 5 / 1000)
    everything = count_lesions(found)
    assert (everything.both, everything.only_reference, everything.only_synthetic) == (1, 1, 1)
    assert (everything.sensitivity, everything.precision, everything.f1) == (0.5, 0.5, 0.5)
    assert count_lesions(found, "small").sensitivity == 0
    assert math.isnan(count_lesions(found, "large").sensitivity)


def test_lesions_that_flow_together_count_one_by_one_in_the_other_image() -> None:
    bridge = (slice(1, 13), slice(1, 6), slice(1, 6))
    counts = count_lesions(match_lesions(lesions(A, B), lesions(bridge), (1, 1, 1)))
    assert (counts.both, counts.only_reference, counts.only_synthetic) == (2, 0, 0)


def test_corners_join_lesions_and_size_depends_on_spacing() -> None:
    diagonal = lesions((slice(1, 3),) * 3, (slice(3, 5),) * 3)
    found = match_lesions(diagonal, np.zeros_like(diagonal), (2, 2, 2))
    assert [(lesion.volume_ml, lesion.size) for lesion in found] == [(0.128, "medium")]


def test_no_lesion_anywhere() -> None:
    nothing = count_lesions(match_lesions(lesions(), lesions(), (1, 1, 1)))
    assert (nothing.both, nothing.only_reference, nothing.only_synthetic) == (0, 0, 0)
    assert math.isnan(nothing.f1)


@pytest.mark.parametrize(("volume", "name"), [(0.003, "small"), (0.0999, "small"), (0.1, "medium"), (1.0, "large")])
def test_ends_of_size_classes(volume: float, name: str) -> None:
    assert size_class(volume) == name
