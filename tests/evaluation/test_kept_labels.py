"""Segmentations of references that several evaluations share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.conftest import AFFINE, SHAPE

from recontrast.errors import DataError
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.kept_labels import segment_once
from recontrast.evaluation.segmentation import Segmentation, SegmentationInput, Segmenter
from recontrast.io.bids import Case
from recontrast.io.nifti import write_volume
from recontrast.volume import Volume

CASE = Case("01", "")


class Counting(Segmenter):
    """Counts how often it is asked; labels are far above what eight bits hold."""

    title = "counting"
    asked = 0
    number = "1"

    def version(self) -> str:
        return self.number

    def segment(self, given: SegmentationInput) -> Segmentation:
        self.asked += 1
        if not np.any(given.image.data):
            raise DataError("empty")
        labels = np.where(given.image.data > 0.5, 70_001, 0).astype(np.int32)
        return Segmentation(given.image.with_data(labels), {"bright": (70_001, 5), "none": ()}, "a note")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_volume(tmp_path / "t1.nii.gz", Volume(np.random.default_rng(0).random(SHAPE, np.float32), AFFINE))
    return tmp_path / "t1.nii.gz"


def given(seed: int = 0) -> SegmentationInput:
    return SegmentationInput(Volume(np.random.default_rng(seed).random(SHAPE, np.float32), AFFINE), "T1w")


def test_a_kept_segmentation_is_the_same_one(image: Path, tmp_path: Path) -> None:
    segmenter = Counting()
    made, kept = (segment_once(segmenter, "c", given(), CASE, [image], tmp_path / "kept") for _ in range(2))
    assert segmenter.asked == 1
    assert np.array_equal(made.labels.data, kept.labels.data)
    assert kept.mask("bright").any()
    assert (dict(kept.structures), kept.notes) == ({"bright": (70_001, 5), "none": ()}, "a note")
    assert segment_once(segmenter, "c", given(), CASE, [image], None).notes == "a note"
    assert segmenter.asked == 2  # no folder: nothing is kept
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("what", ["image", "version", "cut off", "not described", "name"])
def test_what_no_longer_fits_is_made_anew(image: Path, tmp_path: Path, what: str) -> None:
    segmenter, folder = Counting(), tmp_path / "kept"
    segment_once(segmenter, "c", given(), CASE, [image], folder)
    [labels], [about] = folder.glob("*.nii.gz"), folder.glob("*.json")
    if what == "image":
        write_volume(image, given(1).image)
    elif what == "version":
        segmenter.number = "2"
    elif what == "cut off":
        labels.write_bytes(labels.read_bytes()[:-20])
    elif what == "not described":
        about.write_text('{"stamp": ')
    segment_once(segmenter, "d" if what == "name" else "c", given(), CASE, [image], folder)
    assert segmenter.asked == 2
    segment_once(segmenter, "d" if what == "name" else "c", given(), CASE, [image], folder)
    assert segmenter.asked == 2


def test_a_failure_leaves_nothing(image: Path, tmp_path: Path) -> None:
    empty = SegmentationInput(Volume(np.zeros(SHAPE, np.float32), AFFINE), "T1w")
    with pytest.raises(DataError, match="empty"):
        segment_once(Counting(), "c", empty, CASE, [image], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_second_evaluation_segments_no_reference_and_says_the_same(
    prepared: Path, write_synthetic: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recontrast.evaluation.segmentation.tissue import Tissue

    for subject in ("04", "05", "06"):
        write_synthetic(subject)
    settings = EvaluateSettings(
        synthetic=tmp_path / "synthetic", reference=prepared, out=tmp_path / "first", workers=1, controls=(),
        segmenter=("tissue",),
    )  # fmt: skip
    asked: list[str] = []
    original = Tissue.segment
    monkeypatch.setattr(Tissue, "segment", lambda self, given: (asked.append(given.what), original(self, given))[1])
    evaluate(settings)
    for name in ("second", "third"):
        asked.clear()
        evaluate(dataclasses.replace(settings, out=tmp_path / name, keep_labels=tmp_path / "kept"))
        assert (tmp_path / name / "volumes.tsv").read_bytes() == (tmp_path / "first" / "volumes.tsv").read_bytes()
    assert asked == [f"sub-{subject}: synthetic T2w" for subject in ("04", "05", "06")]
