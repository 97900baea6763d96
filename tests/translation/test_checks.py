"""What is asked of source images."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recontrast.errors import ConfigError, GeometryError, IntensityError, RecontrastWarning
from recontrast.preparation.cohort import Preparation, PreparedCohort
from recontrast.preparation.normalize import ScaleSettings
from recontrast.translation.checks import (
    fit_source,
    require_finite_images,
    require_one_grid,
    require_same_preparation,
    warn_of_spacing,
)
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


@pytest.fixture
def cohort(tmp_path: Path) -> Callable[..., PreparedCohort]:
    """A prepared folder without cases, made with these settings."""

    def make(**settings: Any) -> PreparedCohort:
        (tmp_path / "provenance.json").write_text(json.dumps({"stage": "prepare", "settings": settings}))
        return PreparedCohort(tmp_path, ScaleSettings(), (), {}, Preparation(**settings))

    return make


LEARNED = Preparation(recipe="t1-linear", grid="T1w", size=(128, 128, 128))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"recipe": "native", "size": ()},
            r"recipe is native, was t1-linear .*size is the recipe.s own, was 128",
        ),
        (
            {"size": (96, 96, 96)},
            r": size is 96 96 96, was 128 128 128 for the images that the translator",
        ),
    ],
)
def test_a_folder_of_another_preparation_is_refused(
    describe: Callable[..., TranslatorDescription],
    cohort: Callable[..., PreparedCohort],
    change: dict[str, Any],
    words: str,
) -> None:
    made = {**dataclasses.asdict(LEARNED), **change}
    with pytest.raises(ConfigError, match=words):
        require_same_preparation(cohort(**made), describe(preparation=LEARNED))


def test_a_folder_on_the_grid_of_another_contrast_is_doubtful(
    describe: Callable[..., TranslatorDescription], cohort: Callable[..., PreparedCohort]
) -> None:
    with pytest.warns(RecontrastWarning, match=r"lie on the grid of FLAIR, .* learned from on that of T1w"):
        require_same_preparation(
            cohort(**{**dataclasses.asdict(LEARNED), "grid": "FLAIR"}), describe(preparation=LEARNED)
        )


def test_who_does_not_say_how_images_were_prepared_is_believed(
    describe: Callable[..., TranslatorDescription], cohort: Callable[..., PreparedCohort]
) -> None:
    require_same_preparation(cohort(**dataclasses.asdict(LEARNED)), describe(preparation=LEARNED))
    require_same_preparation(cohort(recipe="brats", size=(32, 32)), describe())  # an older translator
    require_same_preparation(cohort(), describe(preparation=LEARNED))  # an older folder
