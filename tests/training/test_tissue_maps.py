"""Numbers of tissues from masks, or from our own segmentation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import DataError, MissingContrastError
from recontrast.io.bids import Case
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.normalize import Scale
from recontrast.training.tissue_maps import MAP, classes_of, with_tissue_map
from recontrast.volume import Volume

SHAPE = (24, 22, 20)


@pytest.fixture
def case(tmp_path: Path, oblique_affine: np.ndarray, rng: np.random.Generator) -> PreparedCase:
    """Shells of CSF, GM and WM around deep grey matter, with a lesion in white matter; T1w and FLAIR show them."""
    grid = np.meshgrid(*[np.linspace(-1, 1, size) for size in SHAPE], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in grid))
    masks = {
        "CSF": (radius < 0.95) & (radius >= 0.8), "GM": (radius < 0.8) & (radius >= 0.6),
        "WM": (radius < 0.6) & (radius >= 0.2), "deepGM": radius < 0.2, "brain": radius < 0.95, "head": radius < 1,
    }  # fmt: skip
    masks["lesion"] = (np.abs(grid[0] - 0.4) < 0.12) & (radius < 0.6) & (radius >= 0.2)
    signal = 200.0 * masks["CSF"] + 500 * masks["GM"] + 800 * masks["WM"] + 500 * masks["deepGM"]
    images = {}
    for label in ("T1w", "FLAIR"):
        images[label] = tmp_path / f"{label}.nii.gz"
        noisy = (signal + 20 * rng.standard_normal(SHAPE)).astype(np.float32)
        write_volume(images[label], Volume(noisy, oblique_affine))
    regions = {}
    for name, mask in masks.items():
        regions[name] = tmp_path / f"{name}.nii.gz"
        write_volume(regions[name], Volume(mask, oblique_affine), np.uint8)
    return PreparedCase(Case("01"), "train", images, dict.fromkeys(images, Scale("percentile", 0.0, 900.0)), regions)


def only(case: PreparedCase, *regions: str) -> PreparedCase:
    return dataclasses.replace(case, regions={name: case.regions[name] for name in regions})


def mask(case: PreparedCase, name: str) -> np.ndarray:
    return read_volume(case.regions[name], np.uint8).data > 0


def test_masks_become_numbers_and_lesions_win(case: PreparedCase, tmp_path: Path) -> None:
    classes = classes_of((case,))
    assert classes == ("other", "CSF", "GM", "WM", "lesion")
    told = with_tissue_map(case, classes, "FLAIR", tmp_path)
    assert set(told.images) == {"FLAIR", MAP}
    assert told.scales[MAP].apply(np.array([3.0])).item() == 3
    numbers = read_volume(told.images[MAP], np.uint8).data
    assert (numbers[mask(case, "lesion")] == 4).all()
    assert (numbers[mask(case, "deepGM")] == 2).all()
    assert (numbers[mask(case, "WM") & ~mask(case, "lesion")] == 3).all()
    assert (numbers[mask(case, "CSF")] == 1).all()
    assert (numbers[~mask(case, "brain")] == 0).all()


def test_without_masks_the_tissues_are_those_of_our_own_segmentation(case: PreparedCase, tmp_path: Path) -> None:
    bare = only(case, "head", "brain")
    assert classes_of((bare,)) == ("other", "CSF", "GM", "WM")
    numbers = read_volume(with_tissue_map(bare, classes_of((bare,)), "FLAIR", tmp_path).images[MAP], np.uint8).data
    truth = read_volume(with_tissue_map(case, classes_of((bare,)), "FLAIR", tmp_path).images[MAP], np.uint8).data
    brain = mask(case, "brain")
    assert np.mean(numbers[brain] == truth[brain]) > 0.9
    assert (numbers[~brain] == 0).all()


def test_lesions_are_added_to_our_own_segmentation(case: PreparedCase, tmp_path: Path) -> None:
    told = with_tissue_map(only(case, "head", "brain", "lesion"), classes_of((case,)), "FLAIR", tmp_path)
    numbers = read_volume(told.images[MAP], np.uint8).data
    assert np.array_equal(numbers == 4, mask(case, "lesion"))


def test_nothing_to_find_tissues_in_is_one_line(case: PreparedCase, tmp_path: Path) -> None:
    lone = dataclasses.replace(only(case, "head", "brain"), images={"FLAIR": case.images["FLAIR"]})
    with pytest.raises(MissingContrastError, match=r"sub-01: no masks of CSF, GM, WM, and no T1w or T2w"):
        with_tissue_map(lone, classes_of((lone,)), "FLAIR", tmp_path)
    with pytest.raises(DataError, match=r"sub-01: .* no brain mask .*--brain built-in"):
        with_tissue_map(only(case, "head"), classes_of(()), "FLAIR", tmp_path)
