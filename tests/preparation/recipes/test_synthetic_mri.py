"""Eight raw images in their order."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.recipes.test_recipe_contract import inputs

from recontrast.errors import GeometryError, IntensityError, LayoutError, MissingContrastError
from recontrast.preparation.recipes.synthetic_mri import raw_order, synthetic_mri
from recontrast.volume import Volume


@pytest.fixture(scope="module")
def raw():
    images, options = inputs("synthetic-mri")
    return {label: image for label, image in images.items() if "MESE" in label}, options


def test_raw_images_are_only_turned(raw):
    images, options = raw
    placed = synthetic_mri(images, options, "sub-01")
    for label, image in images.items():
        np.testing.assert_array_equal(placed[label].volume.data, image.reoriented("RAS").data)
        np.testing.assert_array_equal(placed[label].transform, np.eye(4))


def test_the_order_comes_from_delay_and_echo(raw):
    labels = list(raw[0])
    assert raw_order(labels[::-1], "sub-01") == labels
    plain = [f"acq-raw{letter}_MESE" for letter in "hgfedcba"]
    assert raw_order(plain, "sub-01") == plain  # names that say nothing keep the order given


def test_images_in_a_wrong_order_are_noticed(raw):
    images, options = raw
    swapped = dict(zip(images, list(images.values())[::-1], strict=True))
    with pytest.raises(LayoutError, match="sub-01: the raw images are not in order"):
        synthetic_mri(swapped, options, "sub-01")


def test_seven_images_and_different_grids_are_refused(raw):
    images, options = raw
    first, *others = images
    with pytest.raises(MissingContrastError, match=r"needs 8 raw images .* there are 7"):
        synthetic_mri({label: images[label] for label in others}, options, "sub-01")
    shifted = Volume(images[first].data, images[first].affine @ np.diag([1.0, 1, 1.1, 1]))
    with pytest.raises(GeometryError, match="the grids differ"):
        synthetic_mri({**images, first: shifted}, options, "sub-01")


def test_parts_lie_where_their_magnitudes_lie(raw):
    images, options = raw
    phase = {f"{label.removesuffix('_MESE')}phase_MESE": image.with_data(image.data * 0 - 1.5) for label, image in
             images.items()}  # fmt: skip
    placed = synthetic_mri({**images, **phase}, options, "sub-01")
    assert len(placed) == 16
    for label in phase:
        assert placed[label].volume.orientation == "RAS"
        assert (placed[label].volume.data == -1.5).all()
    assert raw_order([*phase, *images], "sub-01") == list(images)
    first = next(iter(phase))
    scanner_units = {**phase, first: phase[first].with_data(phase[first].data + 4095)}
    with pytest.raises(IntensityError, match=r"sub-01 acq-\w+phase_MESE: phases reach .*radians are needed"):
        synthetic_mri({**images, **scanner_units}, options, "sub-01")
