from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recontrast.errors import GeometryError, LayoutError
from recontrast.evaluation.doubts import RESAMPLED
from recontrast.io.nifti import read_volume, write_volume
from recontrast.reporting.cases import CaseFiles, cut_case, find_regions
from recontrast.volume import Volume

SCALE = (0.0, 1000.0)


def files_of(paths: dict[str, Path], **changes: Any) -> CaseFiles:
    content: dict[str, Any] = {
        "key": "sub-01", "sources": {"T1w": paths["source"]}, "synthetic": paths["synthetic"],
        "reference": paths["reference"], "reference_scale": SCALE, "synthetic_scale": SCALE,
    }  # fmt: skip
    return CaseFiles(**{**content, **changes})


def test_a_row_of_cases_names_files_and_scales(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> None:
    paths = make_case(tmp_path, "sub-01")
    row = {
        "case": "sub-01", "synthetic": "synthetic/sub-01/anat/sub-01_desc-synthetic_T2w.nii.gz",
        "reference": "prepared/sub-01/anat/sub-01_desc-prepared_T2w.nii.gz",
        "source": "prepared/sub-01/anat/sub-01_desc-prepared_T1w.nii.gz;gone.nii.gz",
        "reference_offset": 5.0, "reference_factor": 50.0, "synthetic_offset": float("nan"), "synthetic_factor": 2.0,
    }  # fmt: skip
    files = CaseFiles.from_row(row, tmp_path)
    assert files.reference == paths["reference"]
    assert list(files.sources) == ["T1w"]
    assert (files.reference_scale, files.synthetic_scale) == ((5.0, 50.0), (0.0, 1.0))


@pytest.mark.parametrize("missing", ["synthetic", "reference"])
def test_images_that_are_gone_are_named(tmp_path: Path, missing: str) -> None:
    with pytest.raises(LayoutError, match="the synthetic image is not at away"):
        CaseFiles.from_row({"case": "sub-01", "synthetic": "away.nii.gz", "reference": "r.nii.gz"}, tmp_path)
    with pytest.raises(LayoutError, match="the synthetic image is not named"):
        CaseFiles.from_row({"case": "sub-01", "synthetic": float("nan")}, tmp_path)


def test_pictures_are_in_scored_units_with_one_window(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]]
) -> None:
    paths = make_case(tmp_path, "sub-01", error=50.0)
    pictures = cut_case(files_of(paths))
    axial = pictures.planes[0]
    assert 0.85 < axial.reference.max() < 1.0
    assert pictures.window[0] == 0.0
    assert 0.85 < pictures.window[1] < 1.0
    np.testing.assert_allclose(axial.difference, axial.synthetic - axial.reference)
    assert axial.ssim.max() <= 1.0
    assert pictures.region == "brain"
    assert pictures.spacing_mm == pytest.approx((1.0, 1.5, 3.0))
    assert pictures.difference_limit == pytest.approx(0.13, abs=0.03)


def test_identical_images_have_no_difference_and_full_similarity(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]]
) -> None:
    pictures = cut_case(files_of(make_case(tmp_path, "sub-01")))
    for plane in pictures.planes:
        assert not plane.difference.any()
        assert plane.ssim.min() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("orientation", ["LPS", "ASR", "LIP"])
def test_pictures_do_not_depend_on_how_axes_are_stored(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]], orientation: str
) -> None:
    paths = make_case(tmp_path, "sub-01", error=50.0)
    before = cut_case(files_of(paths))
    for path in paths.values():
        write_volume(path, read_volume(path).reoriented(orientation))
    after = cut_case(files_of(paths))
    for one, other in zip(before.planes, after.planes, strict=True):
        np.testing.assert_allclose(one.synthetic, other.synthetic, atol=1e-6)
        assert one.where.position_mm == pytest.approx(other.where.position_mm, abs=1e-3)
        assert one.where.label == other.where.label


def test_a_lesion_decides_the_slices(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> None:
    paths = make_case(tmp_path, "sub-01")
    grid = read_volume(paths["reference"])
    lesion = np.zeros(grid.shape, np.uint8)
    lesion[12:15, 8:10, 11] = 1
    write_volume(paths["reference"].with_name("sub-01_desc-lesion_mask.nii.gz"), grid.with_data(lesion), np.uint8)
    pictures = cut_case(files_of(paths))
    assert pictures.region == "lesion"
    assert pictures.planes[0].region.sum() == 6


def test_masks_of_others_or_of_other_grids_are_not_taken(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]]
) -> None:
    paths = make_case(tmp_path, "sub-01")
    grid = read_volume(paths["reference"])
    folder = paths["reference"].parent
    write_volume(folder / "sub-02_desc-lesion_mask.nii.gz", grid.with_data(np.ones(grid.shape, np.uint8)), np.uint8)
    other = Volume(np.ones((5, 5, 5), np.uint8), np.eye(4))
    write_volume(folder / "sub-01_desc-lesion_mask.nii.gz", other, np.uint8)
    (folder / "sub-01_desc-GM_mask.nii.gz").write_bytes(b"no image")
    assert list(find_regions(paths["reference"], grid)) == ["brain", "head"]


def test_a_source_on_another_grid_is_resampled_and_that_is_said(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]]
) -> None:
    paths = make_case(tmp_path, "sub-01")
    source = read_volume(paths["source"])
    thick = Volume(source.data[:, :, ::2], source.affine @ np.diag([1, 1, 2, 1.0]))
    write_volume(paths["source"], thick)
    pictures = cut_case(files_of(paths))
    assert pictures.planes[0].sources["T1w"].shape == pictures.planes[0].reference.shape
    assert "resampled" in pictures.notes[0]


def test_sources_that_are_gone_or_too_many_are_told(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> None:
    paths = make_case(tmp_path, "sub-01")
    assert "not drawn" in cut_case(files_of(paths, sources={})).notes[0]
    many = {f"T{n}w": paths["source"] for n in range(8)}
    pictures = cut_case(files_of(paths, sources=many))
    assert pictures.notes == ("3 of 8 sources are drawn",)
    assert len(pictures.source_windows) == 3


def test_images_too_small_for_the_window_have_no_map(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> None:
    pictures = cut_case(files_of(make_case(tmp_path, "sub-01", shape=(20, 24, 6))))
    assert "no SSIM map" in pictures.notes[-1]
    assert np.isnan(pictures.planes[0].ssim).all()


def test_different_grids_are_an_error(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> None:
    paths = make_case(tmp_path, "sub-01")
    write_volume(paths["synthetic"], Volume(np.ones((4, 4, 4), np.float32), np.eye(4)))
    with pytest.raises(GeometryError, match="sub-01"):
        cut_case(files_of(paths))


def test_a_synthetic_image_whose_axes_run_the_other_way_is_drawn(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]]
) -> None:
    paths = make_case(tmp_path, "sub-01", error=50.0)
    before = cut_case(files_of(paths))
    write_volume(paths["synthetic"], read_volume(paths["synthetic"]).reoriented("LAS"))
    after = cut_case(files_of(paths))
    for one, other in zip(before.planes, after.planes, strict=True):
        np.testing.assert_allclose(one.synthetic, other.synthetic, atol=1e-6)
        np.testing.assert_allclose(one.reference, other.reference, atol=1e-6)


def test_an_image_that_was_scored_resampled_is_drawn_so_and_that_is_said(
    tmp_path: Path, make_case: Callable[..., dict[str, Path]]
) -> None:
    paths = make_case(tmp_path, "sub-01")
    image = read_volume(paths["synthetic"])
    shorter = Volume(image.data[..., :-1].copy(), image.affine)
    write_volume(paths["synthetic"], shorter)
    row = {
        "case": "sub-01", "synthetic": paths["synthetic"].as_posix(), "reference": paths["reference"].as_posix(),
        "message": f"{RESAMPLED}; something else", **{f"{w}_offset": 0.0 for w in ("synthetic", "reference")},
        **{f"{w}_factor": 1000.0 for w in ("synthetic", "reference")},
    }  # fmt: skip
    files = CaseFiles.from_row(row, tmp_path)
    pictures = cut_case(files)
    assert pictures.notes[0] == RESAMPLED
    assert pictures.planes[0].synthetic.shape == pictures.planes[0].reference.shape
    assert np.abs(pictures.planes[0].difference).max() < 0.01  # an axial slice that was not cut off
    with pytest.raises(GeometryError, match="grids differ"):
        cut_case(CaseFiles.from_row({**row, "message": ""}, tmp_path))
