"""Label maps made elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import DataError, GeometryError
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.labels import Labels, read_labels
from recontrast.io.nifti import write_volume
from recontrast.volume import Volume


@pytest.fixture
def image(oblique_affine: np.ndarray) -> Volume:
    return Volume(np.ones((6, 5, 4), np.float32), oblique_affine)


def labels_of(image: Volume) -> Volume:
    data = np.zeros(image.shape, np.int16)
    data[0, 0, 0], data[1], data[2] = 17, 1005, 3
    return image.with_data(data)


def test_freesurfer_numbers_are_known(image: Volume, tmp_path: Path) -> None:
    path = tmp_path / "sub-01_dseg.nii.gz"
    write_volume(path, labels_of(image), np.int16)
    found = Labels().segment(SegmentationInput(image, "T1w", labels=path))
    assert found.structures == {"Left-Cerebral-Cortex": (3, 1005), "Left-Hippocampus": (17,)}
    assert found.mask("Left-Cerebral-Cortex").sum() == 40
    assert found.mask("Left-Hippocampus")[0, 0, 0]


def test_axes_stored_otherwise_are_turned(image: Volume, tmp_path: Path) -> None:
    path = tmp_path / "sub-01_dseg.nii.gz"
    write_volume(path, labels_of(image).reoriented("LPS"), np.int16)
    assert read_labels(path, image, "sub-01").mask("Left-Hippocampus")[0, 0, 0]


def test_names_beside_the_map_win(image: Volume, tmp_path: Path) -> None:
    path = tmp_path / "sub-01_dseg.nii.gz"
    write_volume(path, labels_of(image), np.int16)
    (tmp_path / "sub-01_dseg.tsv").write_text("index\tname\n0\tbackground\n3\tcortex\n1005\tcortex\n")
    assert read_labels(path, image, "sub-01").structures == {"cortex": (3, 1005)}


def test_maps_that_cannot_be_used(image: Volume, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--labels FOLDER"):
        Labels().segment(SegmentationInput(image, "T1w"))
    path = tmp_path / "sub-01_dseg.nii.gz"
    write_volume(path, image.with_data(np.full(image.shape, 900, np.int16)), np.int16)
    with pytest.raises(DataError, match="FreeSurfer number"):
        read_labels(path, image, "sub-01")
    with pytest.raises(GeometryError, match="label map"):
        read_labels(path, Volume(np.ones((6, 5, 5), np.float32), image.affine), "sub-01")
