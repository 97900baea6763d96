"""Segmentations of references that several evaluations share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.evaluation.conftest import AFFINE, SHAPE

from recontrast.errors import DataError
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.kept_labels import segment_once
from recontrast.evaluation.segmentation import UNKNOWN_VERSION, Segmentation, SegmentationInput, Segmenter
from recontrast.io.bids import BidsName, Case
from recontrast.volume import Volume

CASE = Case("01")


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


def volume(seed: int, affine: NDArray[Any] = AFFINE) -> Volume:
    return Volume(np.random.default_rng(seed).random(SHAPE, np.float32), affine)


GIVEN = SegmentationInput(volume(0), "T1w", np.ones(SHAPE, np.bool_), {"FLAIR": volume(1)})


def test_a_kept_segmentation_is_the_same_one(tmp_path: Path) -> None:
    segmenter = Counting()
    made, kept = (segment_once(segmenter, "c", GIVEN, CASE, tmp_path / "kept") for _ in range(2))
    assert segmenter.asked == 1
    assert np.array_equal(made.labels.data, kept.labels.data)
    assert kept.mask("bright").any()
    assert (dict(kept.structures), kept.notes) == ({"bright": (70_001, 5), "none": ()}, "a note")
    assert segment_once(segmenter, "c", GIVEN, CASE, None).notes == "a note"
    assert segmenter.asked == 2  # no folder: nothing is kept
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(names) == 2
    assert BidsName.parse(names[1]).case == CASE


@pytest.mark.parametrize(
    "changed",
    [
        {"image": volume(2)},
        {"image": volume(0, np.diag([2.0, 2.0, 3.0, 1.0]))},
        {"contrast": "T2w"},
        {"brain": None},
        {"brain": np.zeros(SHAPE, np.bool_)},
        {"context": {}},
        {"context": {"T2w": volume(1)}},
        {"context": {"FLAIR": volume(3)}},
    ],
    ids=str,
)
def test_what_is_seen_decides(tmp_path: Path, changed: dict[str, Any]) -> None:
    segmenter, other = Counting(), dataclasses.replace(GIVEN, **changed)
    for number, given in enumerate((GIVEN, other, GIVEN, other), start=1):
        segment_once(segmenter, "c", given, CASE, tmp_path)
        assert segmenter.asked == min(number, 2)


@pytest.mark.parametrize("damage", ["version", "name", "cut off", "no map", "half a text", "less is told"])
def test_what_no_longer_fits_is_made_anew(tmp_path: Path, damage: str) -> None:
    segmenter, name = Counting(), "c"
    segment_once(segmenter, name, GIVEN, CASE, tmp_path)
    [labels], [about] = tmp_path.glob("*.nii.gz"), tmp_path.glob("*.json")
    if damage == "version":
        segmenter.number = "2"
    elif damage == "name":
        name = "d"
    elif damage == "cut off":
        labels.write_bytes(labels.read_bytes()[:-20])
    elif damage == "no map":
        labels.unlink()
    elif damage == "half a text":
        about.write_text('{"stamp": ')
    else:
        told = json.loads(about.read_text())
        about.write_text(json.dumps({"stamp": told["stamp"], "labels": told["labels"]}))
    for _ in range(2):
        segment_once(segmenter, name, GIVEN, CASE, tmp_path)
    assert segmenter.asked == 2


def test_a_program_without_a_version_is_asked_each_time(tmp_path: Path) -> None:
    segmenter = Counting()
    segmenter.number = UNKNOWN_VERSION
    for _ in range(2):
        segment_once(segmenter, "c", GIVEN, CASE, tmp_path / "kept")
    assert segmenter.asked == 2
    assert not (tmp_path / "kept").exists()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    empty = dataclasses.replace(GIVEN, image=volume(0).with_data(np.zeros(SHAPE, np.float32)))
    with pytest.raises(DataError, match="empty"):
        segment_once(Counting(), "c", empty, CASE, tmp_path / "kept")
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
