"""The head, whatever was scanned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.preparation.conftest import SIGNALS, signal, tissue

from recontrast.errors import IntensityError
from recontrast.preparation.mask import bounding_box, fill_holes, find_head, head_mask, require_signal
from recontrast.volume import Volume

SHAPE = (40, 44, 36)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("contrast", SIGNALS)
def test_the_whole_head_in_noisy_air(contrast):
    labels = tissue(SHAPE)
    found, zero_background = find_head(Volume(signal(labels, contrast), np.diag([4.0, 4, 4, 1])))
    assert dice(found.data, labels > 0) > 0.93
    assert not zero_background
    assert found.data.dtype == np.bool_


def test_fluid_enclosed_by_the_head_belongs_to_it():
    labels = tissue(SHAPE)
    image = signal(labels, "T1w")
    image[labels == 4] = 1.0
    assert head_mask(Volume(image, np.diag([4.0, 4, 4, 1]))).data[labels == 4].all()


def test_a_stripped_brain_gives_exactly_its_support():
    labels = tissue(SHAPE)
    image = np.where(labels >= 2, signal(labels, "T1w") + 1, 0).astype(np.float32)
    image[20, 22, 18] = 0.0  # a hole
    found, zero_background = find_head(Volume(image, np.eye(4)))
    np.testing.assert_array_equal(found.data, labels >= 2)
    assert zero_background


def test_a_second_brainlike_island_is_left_out():
    image = np.zeros((20, 20, 20), np.float32)
    image[2:14, 2:14, 2:14] = 100 + np.arange(12)
    image[17:19, 17:19, 17:19] = 100
    found = head_mask(Volume(image, np.eye(4))).data
    assert found[2:14, 2:14, 2:14].all()
    assert found.sum() == 12**3


def test_zero_corners_around_a_turned_field_of_view_are_not_a_stripped_brain():
    labels = tissue(SHAPE)
    image = ndimage.rotate(signal(labels, "T1w", noise=6), 20, reshape=False, order=1)
    turned = ndimage.rotate(labels, 20, reshape=False, order=0)
    assert dice(head_mask(Volume(image, np.diag([4.0, 4, 4, 1]))).data, turned > 0) > 0.92


def test_the_scanner_set_most_of_the_air_to_zero():
    labels = tissue(SHAPE)
    rng = np.random.default_rng(1)
    image = signal(labels, "T2w")
    image[(labels == 0) & (rng.random(SHAPE) < 0.7)] = 0
    assert dice(head_mask(Volume(image, np.diag([4.0, 4, 4, 1]))).data, labels > 0) > 0.93


def test_a_body_that_fills_the_field_of_view(rng):
    image = ndimage.gaussian_filter(rng.uniform(200, 900, SHAPE), 2).astype(np.float32)
    assert head_mask(Volume(image, np.eye(4))).data.all()


@pytest.mark.parametrize("shape", [(40, 44, 1), (40, 44, 3), (1, 40, 44)])
def test_stacks_of_few_slices(shape):
    labels = tissue((40, 44, 36))[:, :, 16 : 16 + shape[2]] if shape[0] > 1 else tissue((36, 40, 44))[18:19]
    found = head_mask(Volume(signal(labels, "T1w"), np.diag([4.0, 4, 5, 1]))).data
    assert dice(found, labels > 0) > 0.9


@pytest.mark.parametrize("orientation", ["LPS", "PSR", "AIL"])
def test_storage_order_does_not_matter(head, orientation):
    volume = head(shape=SHAPE)
    turned = head_mask(volume.reoriented(orientation))
    np.testing.assert_array_equal(turned.reoriented("RAS").data, head_mask(volume).data)


def test_integers_and_inputs_untouched(head):
    volume = head(shape=SHAPE)
    whole = volume.with_data(np.rint(volume.data).astype(np.uint16))
    before = whole.data.copy()
    assert dice(head_mask(whole).data, head_mask(volume).data) > 0.99
    np.testing.assert_array_equal(whole.data, before)


@pytest.mark.parametrize(
    ("fill", "words"), [(0, "all voxels are zero"), (7, "all voxels have the value 7"), (np.nan, "not finite")]
)
def test_images_without_signal(fill, words):
    with pytest.raises(IntensityError, match=f"sub-01 T1w: .*{words}"):
        require_signal(Volume(np.full((4, 4, 4), fill), np.eye(4)), "sub-01 T1w")


def test_one_bad_voxel_is_counted():
    data = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    data[1, 1, 1] = np.inf
    with pytest.raises(IntensityError, match="1 of 64 voxels"):
        head_mask(Volume(data, np.eye(4)))


def test_one_bright_voxel_is_enough():
    data = np.zeros((6, 6, 6), np.float32)
    data[3, 3, 3] = 1
    assert head_mask(Volume(data, np.eye(4))).data.sum() == 1


def test_holes_are_filled_slice_by_slice():
    cup = np.zeros((7, 7, 7), bool)
    cup[1:6, 1:6, 1:] = True
    cup[2:5, 2:5, 2:] = False  # open at the top: not a hole in space, but one in every slice
    assert fill_holes(cup)[3, 3, 4]
    assert not fill_holes(cup)[0, 0, 0]


@pytest.mark.parametrize("margin", [0, 1, 9])
def test_a_box_holds_the_mask_and_what_is_around_it(rng, margin):
    mask = np.zeros((9, 12, 15), bool)
    assert mask[bounding_box(mask, margin)].size == 0
    mask[3:5, 0:2, 14] = mask[4, 6, 11] = True
    sides = bounding_box(mask, margin)
    assert sides == (
        slice(max(0, 3 - margin), min(9, 5 + margin)), slice(0, min(12, 7 + margin)), slice(max(0, 11 - margin), 15),
    )  # fmt: skip
    assert bounding_box(np.asfortranarray(mask), margin) == sides


def test_holes_do_not_depend_on_the_air_around(rng):
    for _ in range(20):
        mask = rng.random((8, 9, 10)) < 0.6
        around = np.pad(mask, ((5, 0), (2, 7), (1, 1)))
        assert np.array_equal(fill_holes(around)[5:, 2:-7, 1:-1], fill_holes(mask))
        assert fill_holes(around).sum() == fill_holes(mask).sum() > mask.sum()
