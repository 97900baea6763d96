"""The cache holds what the prepared images hold, and is rebuilt when they change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.datasets.cases import CachedCase, cache_cases, slices_back, slices_first
from recontrast.datasets.settings import PLANES, DataSettings
from recontrast.errors import GeometryError, IntensityError
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.volume import Volume

MakeCase = Callable[..., PreparedCase]
ALL = slice(None)


def cached(case: PreparedCase, folder: Path, **settings: object) -> CachedCase:
    return cache_cases([case], ["T1w"], "T2w", DataSettings(**settings), folder)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("plane", PLANES)
def test_slices_are_the_scaled_image(make_case: MakeCase, tmp_path: Path, plane: str) -> None:
    case = make_case()
    stack = cached(case, tmp_path / "cache", plane=plane)
    for channel, label in enumerate(("T1w", "T2w")):
        scaled = case.scales[label].apply(read_volume(case.images[label]).data)
        found = np.stack([stack.read(n, ALL, ALL, ALL)[channel] for n in range(len(stack.images))])
        np.testing.assert_array_equal(slices_back(found, plane), scaled)
    assert stack.spacing_ras(plane) == pytest.approx((1.0, 1.5, 3.0))
    assert stack.spacing[0] == pytest.approx((1.0, 1.5, 3.0)[PLANES[plane]])


def test_uint16_is_close(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    exact, coarse = (cached(case, tmp_path / kind, cache_type=kind) for kind in ("float32", "uint16"))
    assert coarse.images.dtype == np.uint16
    for n in range(len(exact.images)):
        np.testing.assert_allclose(coarse.read(n, ALL, ALL, ALL), exact.read(n, ALL, ALL, ALL), atol=6 / 65535)


def test_air_is_native_zero(make_case: MakeCase, tmp_path: Path) -> None:
    np.testing.assert_allclose(cached(make_case(), tmp_path / "cache").air, [-0.5, 0.0])


@pytest.mark.parametrize("kind", ["float32", "uint16"])
def test_zeros_are_what_native_zero_reads_as(make_case: MakeCase, tmp_path: Path, kind: str) -> None:
    case = make_case()
    for label in ("T1w", "T2w"):
        image = read_volume(case.images[label])
        dark = image.data.copy()
        dark[0], dark[1] = 0, -7  # zero is not the lowest value
        write_volume(case.images[label], image.with_data(dark), np.float32)
    stack = cached(case, tmp_path / "cache", cache_type=kind, context_voxels=((2.0, 2.0, 2.0),))
    channels = np.stack([stack.read(n, ALL, ALL, ALL) for n in range(len(stack.images))], axis=1)
    first, last = (slices_back(channels[channel], "axial") for channel in (0, -1))
    assert set(stack.zeros) == {"T1w", "T2w"}
    for image, label in ((first, "T1w"), (last, "T2w")):
        assert (image[0] == stack.zeros[label]).all()
        assert stack.zeros[label] == pytest.approx(case.scales[label].zero, abs=1e-3)
        assert (image[1] < stack.zeros[label]).all()


def test_cache_is_reused_and_rebuilt_when_an_image_changes(make_case: MakeCase, tmp_path: Path) -> None:
    case, folder = make_case(), tmp_path / "cache"
    cached(case, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    cached(case, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    image = read_volume(case.images["T1w"])
    write_volume(case.images["T1w"], image.with_data(image.data + 1))
    stack = cached(case, folder)
    assert not set(before) & set(folder.iterdir())
    assert len(list(folder.iterdir())) == 3
    np.testing.assert_array_equal(
        slices_first(case.scales["T1w"].apply(image.data + 1), "axial")[0], stack.read(0, ALL, ALL, ALL)[0]
    )


def test_half_written_cache_is_written_again(make_case: MakeCase, tmp_path: Path) -> None:
    case, folder = make_case(), tmp_path / "cache"
    cached(case, folder)
    next(folder.glob("*.json")).unlink()
    next(folder.glob("*_images.npy")).write_bytes(b"cut off")
    assert cached(case, folder).images.shape == (7, 2, 10, 12)


def test_slices_with_head_or_brain_are_chosen(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    for choice, expected in {"all": range(7), "head": range(1, 6), "brain": range(2, 5)}.items():
        settings = DataSettings(slices=choice)
        assert cached(case, tmp_path / "cache").chosen_slices(settings).tolist() == list(expected)
    without = cached(make_case("02", brain=False), tmp_path / "other")
    assert without.chosen_slices(DataSettings(slices="brain")).tolist() == list(range(1, 6))


def test_head_box(make_case: MakeCase, tmp_path: Path) -> None:
    assert cached(make_case(), tmp_path / "cache").head_box() == (slice(2, 9), slice(3, 10))


def test_images_on_different_grids_are_refused(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    image = read_volume(case.images["T2w"])
    write_volume(case.images["T2w"], Volume(image.data, np.diag([2.0, 2, 2, 1])))
    with pytest.raises(GeometryError, match="sub-01: T1w and T2w"):
        cached(case, tmp_path / "cache")


def test_values_that_are_not_finite_are_refused(make_case: MakeCase, tmp_path: Path) -> None:
    case = make_case()
    image = read_volume(case.images["T1w"])
    image.data[3, 3, 3] = np.nan
    write_volume(case.images["T1w"], image)
    with pytest.raises(IntensityError, match="not finite"):
        cached(case, tmp_path / "cache")


def with_lesion(case: PreparedCase, folder: Path, name: str = "lesion") -> PreparedCase:
    image = read_volume(case.images["T1w"])
    mask = np.zeros(image.data.shape, np.uint8)
    mask[5, 6, 3] = 1
    path = folder / f"{case.key}_desc-{name}_mask.nii.gz"
    write_volume(path, image.with_data(mask), np.uint8)
    return dataclasses.replace(case, regions={**case.regions, name: path})


def test_lesions_are_cached_where_they_are_asked_for(make_case: MakeCase, tmp_path: Path) -> None:
    cases, settings = [with_lesion(make_case("01"), tmp_path), make_case("02")], DataSettings()
    ill, healthy = cache_cases(cases, ["T1w"], "T2w", settings, tmp_path / "cache", lesions=True)
    assert ill.has_lesions
    assert np.argwhere(ill.regions[:, 2]).tolist() == [[3, 5, 6]]
    assert healthy.has_lesions
    assert not healthy.regions[:, 2].any()
    plain, _ = cache_cases(cases, ["T1w"], "T2w", settings, tmp_path / "cache")
    assert not plain.has_lesions


def test_other_regions_can_be_lesions(make_case: MakeCase, tmp_path: Path) -> None:
    case, settings = with_lesion(make_case(), tmp_path, "tumour"), DataSettings(lesion_regions=("lesion", "tumour"))
    (cached,) = cache_cases([case], ["T1w"], "T2w", settings, tmp_path / "cache", lesions=True)
    assert cached.regions[:, 2].sum() == 1
