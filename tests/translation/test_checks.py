"""What is asked of source images."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.errors import GeometryError, IntensityError, RecontrastWarning
from recontrast.translation.checks import fit_source, require_finite_images, require_one_grid, warn_of_spacing
from recontrast.translation.description import TranslatorDescription
from recontrast.volume import Volume


def image(*spacing: float) -> Volume:
    data = np.random.default_rng(0).uniform(1, 100, (6, 7, 5)).astype(np.float32)
    return Volume(data, np.diag([*spacing, 1.0]))


def test_voxels_that_are_no_numbers_are_counted() -> None:
    broken = image(1, 1, 1)
    require_finite_images({"T1w": broken}, "sub-01")
    broken.data[0, 0, :2] = np.nan, np.inf
    with pytest.raises(IntensityError, match=r"^sub-01: T2w holds NaN or infinity in 2 voxels; replace them"):
        require_finite_images({"T1w": image(1, 1, 1), "T2w": broken}, "sub-01")


def test_images_on_two_grids_are_named() -> None:
    require_one_grid({"T1w": image(1, 1, 1), "T2w": image(1, 1, 1)}, "sub-01")
    with pytest.raises(GeometryError, match="sub-01: T1w and FLAIR"):
        require_one_grid({"T1w": image(1, 1, 1), "T2w": image(1, 1, 1), "FLAIR": image(1, 1, 2)}, "sub-01")


def test_a_scale_that_cannot_be_fitted_names_the_source(describe: Callable[..., TranslatorDescription]) -> None:
    assert fit_source(image(1, 1, 1), describe(), "T1w", "sub-01").factor > 0
    with pytest.raises(IntensityError, match=r"^sub-01: T1w: "):
        fit_source(image(1, 1, 1).with_data(np.zeros((6, 7, 5), np.float32)), describe(), "T1w", "sub-01")


@pytest.mark.parametrize(("slices", "warned"), [(3.0, False), (4.4, False), (4.6, True), (2.1, False), (1.9, True)])
def test_voxels_of_another_size_than_in_training_are_warned_of(
    describe: Callable[..., TranslatorDescription], slices: float, warned: bool
) -> None:
    about = describe(spacing_mm=(1.0, 1.5, 3.0))
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        warn_of_spacing(image(1.0, 1.5, slices), about, "sub-01")
    assert [str(warning.message).startswith("sub-01: voxels of 1x1.5x") for warning in given] == [True] * warned
    assert all(warning.category is RecontrastWarning for warning in given)
