from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from recontrast.io.dicom.find import find_series
from recontrast.io.dicom.headers import ENHANCED_MR as ENHANCED
from recontrast.io.dicom.pixels import read_stack
from recontrast.io.dicom.stacks import Stack

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def stacks(folder: Path) -> list[Stack]:
    (series,) = find_series(folder).series
    return list(series.stacks)


def test_a_plain_series_is_one_stack_sorted_by_position(make_series: Callable[..., Path]) -> None:
    (stack,) = stacks(make_series())
    assert (stack.traits, stack.problem, stack.name) == ({}, "", "")
    assert [frame.sop_uid for frame in stack.frames] == [f"1.2.3.4.1.{k + 1}" for k in range(5)]


def test_a_localizer_of_three_planes_becomes_three_images(make_series: Callable[..., Path]) -> None:
    for n, orientation in enumerate((AXIAL, CORONAL, SAGITTAL)):
        folder = make_series(count=3, prefix=f"{n}", ImageOrientationPatient=list(orientation))
    found = stacks(folder)
    assert sorted(stack.traits["plane"] for stack in found) == ["axial", "coronal", "sagittal"]
    assert [len(stack.frames) for stack in found] == [3, 3, 3]


def test_echoes_and_parts_are_told_apart(make_series: Callable[..., Path]) -> None:
    for n, (te, kind) in enumerate([(10.0, "M"), (20.0, "M"), (10.0, "P"), (20.0, "P")]):
        folder = make_series(count=3, prefix=f"{n}", EchoTime=te, ImageType=["ORIGINAL", "PRIMARY", kind])
    names = {(stack.traits["part"], stack.traits["echo"]): stack.frames[0].echo_time_ms for stack in stacks(folder)}
    assert names == {("mag", "1"): 10, ("mag", "2"): 20, ("phase", "1"): 10, ("phase", "2"): 20}


def test_time_points_are_told_apart_by_their_tag(make_series: Callable[..., Path]) -> None:
    for n in (2, 10, 1):
        folder = make_series(count=3, prefix=f"{n}", TemporalPositionIdentifier=n)
    found = stacks(folder)
    assert [stack.traits["time"] for stack in found] == ["1", "2", "3"]
    assert [dict(stack.frames[0].tells)["TemporalPositionIdentifier"] for stack in found] == ["1", "2", "10"]


def test_time_points_without_a_tag_follow_their_instance_numbers_and_say_so(make_series: Callable[..., Path]) -> None:
    rng = np.random.default_rng(4)
    for n in (0, 1):
        values = rng.integers(0, 99, (6, 8, 3)).astype(np.uint16)
        folder = make_series(values=values, prefix=f"{n}", each=lambda k, n=n: {"InstanceNumber": 3 * n + k + 1})
    found = stacks(folder)
    assert [{frame.instance for frame in stack.frames} for stack in found] == [{1, 2, 3}, {4, 5, 6}]
    assert "told apart by their instance numbers only" in found[0].notes[0]


def test_times_of_single_slices_tell_no_repeats_apart(make_series: Callable[..., Path]) -> None:
    """Each slice of a 2D scan has its own time: that must not make one stack of every slice."""
    rng = np.random.default_rng(4)
    for n in (0, 1):
        values = rng.integers(1, 99, (6, 8, 3)).astype(np.uint16)
        times = [f"10000{3 * n + k}" for k in range(3)]
        folder = make_series(
            values=values, prefix=f"{n}",
            each=lambda k, n=n, times=times: {"InstanceNumber": 3 * n + k + 1, "AcquisitionTime": times[k]},
        )  # fmt: skip
    found = stacks(folder)
    assert [[frame.instance for frame in stack.frames] for stack in found] == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("told_by", ["InstanceNumber", "FrameAcquisitionDateTime", "FrameAcquisitionNumber"])
def test_enhanced_files_of_several_times_are_not_mixed(
    save_image: Callable[..., Path], save_object: Callable[..., Path], tmp_path: Path, told_by: str
) -> None:
    """One file a time, of three frames each; their names sort the other way."""
    for time, name in ((1, "b"), (2, "a")):
        data = pydicom.dcmread(save_image(np.full((6, 8), 1, np.uint16), tmp_path / "one"))
        data.SOPClassUID, data.SOPInstanceUID, data.NumberOfFrames = ENHANCED, f"1.2.3.4.{time}", 3
        data.InstanceNumber = time if told_by == "InstanceNumber" else 1
        frames = []
        for k in range(3):
            place, content, frame = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [12.0, -7.5, 3.0 * k]
            content.StackID = "1"
            if told_by != "InstanceNumber":
                setattr(content, told_by, f"2020010110000{time}" if told_by.endswith("Time") else time)
            frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
            frames.append(frame)
        data.PerFrameFunctionalGroupsSequence = frames
        data.ImageOrientationPatient = list(AXIAL)
        data.PixelData = np.full((3, 6, 8), time, "<u2").tobytes()
        save_object(data, tmp_path / "scans" / name)
    found = stacks(tmp_path / "scans")
    assert [stack.traits["time"] for stack in found] == ["1", "2"]
    assert [np.unique(read_stack(stack).data).tolist() for stack in found] == [[1], [2]]
    assert any("instance numbers" in note for note in found[0].notes) == (told_by == "InstanceNumber")


def test_one_repeated_slice_does_not_shatter_a_series(make_series: Callable[..., Path]) -> None:
    values = np.random.default_rng(4).integers(1, 99, (6, 8, 3)).astype(np.uint16)
    make_series(values=values, each=lambda k: {"AcquisitionTime": f"10000{k}"})
    folder = make_series(values=values + 1, prefix="b", where=[1], each=lambda k: {"AcquisitionTime": "100009"})
    (stack,) = stacks(folder)
    assert "nothing in the headers tells them apart" in stack.problem


def test_images_without_a_position_are_a_stack_of_another_name(make_series: Callable[..., Path]) -> None:
    folder = make_series(each=lambda k: {"ImagePositionPatient": None} if k == 4 else {})
    assert {stack.name: len(stack.frames) for stack in stacks(folder)} == {"": 4, "position-none": 1}


def test_copies_are_left_out_and_counted(make_series: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_series()
    shutil.copytree(folder, folder / "again")
    (stack,) = stacks(folder)
    assert len(stack.frames) == 5
    assert "5 copies" in stack.notes[0]


def test_images_that_share_one_identifier_are_kept(make_series: Callable[..., Path]) -> None:
    """As a de-identifier leaves them that gives every image one UID."""
    folder = make_series(SOPInstanceUID="1.2.3")
    shutil.copytree(folder, folder / "again")
    (stack,) = stacks(folder)
    assert (len(stack.frames), stack.problem) == (5, "")
    assert stack.notes[-2:] == (
        "5 copies of images that are there already were left out",
        "5 images share their SOP Instance UID and differ in their headers: taken as different images",
    )


@pytest.mark.parametrize(
    "told_by", ["TemporalPositionIdentifier", "EchoTime", "InstanceNumber", "ImageOrientationPatient"]
)
def test_images_at_one_place_that_share_one_identifier_are_kept(told_by: str, make_series: Callable[..., Path]) -> None:
    values = np.random.default_rng(4).integers(0, 99, (2, 6, 8, 3)).astype(np.uint16)
    for n in (1, 2):
        own = {"InstanceNumber": 3 * n if told_by == "InstanceNumber" else 1}
        if told_by == "ImageOrientationPatient":
            own[told_by] = list(AXIAL if n == 1 else CORONAL)  # type: ignore[assignment]
        elif told_by != "InstanceNumber":
            own[told_by] = n
        folder = make_series(values=values[n - 1], prefix=f"{n}", each=lambda k, own=own: own, SOPInstanceUID="1.2.3")
    assert [len(stack.frames) for stack in stacks(folder)] == [3, 3]


def test_copies_under_new_identifiers_are_left_out(make_series: Callable[..., Path]) -> None:
    values = np.random.default_rng(4).integers(0, 99, (6, 8, 3)).astype(np.uint16)
    for n in (0, 1):
        folder = make_series(values=values, prefix=f"{n}")
    (stack,) = stacks(folder)
    assert len(stack.frames) == 3
    assert "3 images were there twice" in stack.notes[-1]


def test_a_repeated_slice_that_nothing_explains_is_a_problem(make_series: Callable[..., Path]) -> None:
    values = np.random.default_rng(4).integers(0, 99, (6, 8, 3)).astype(np.uint16)
    make_series(values=values)
    folder = make_series(values=values + 1, prefix="b", where=[1])
    (stack,) = stacks(folder)
    assert "nothing in the headers tells them apart" in stack.problem


def test_a_flipped_slice_is_found(make_series: Callable[..., Path]) -> None:
    folder = make_series(count=4)
    for path in sorted(folder.iterdir())[:1]:
        data = pydicom.dcmread(path)
        data.ImageOrientationPatient = [-float(v) for v in data.ImageOrientationPatient[:3]] + list(
            data.ImageOrientationPatient[3:]
        )
        data.save_as(path)
    assert {stack.traits["plane"] for stack in stacks(folder)} == {"axial", "axialflipped"}


def test_missing_positions_and_missing_slices_are_told(make_series: Callable[..., Path]) -> None:
    (lost,) = stacks(make_series(each=lambda k: {"ImagePositionPatient": None}))
    assert "does not say where the image lies" in lost.problem


def test_a_gap_is_noted(make_series: Callable[..., Path]) -> None:
    (stack,) = stacks(make_series(where=[0, 1, 3, 4]))
    assert stack.grid is not None
    assert stack.grid.missing == (2,)
    assert "1 of 5 slices are missing (number 3" in stack.notes[0]


def test_a_mosaic_is_a_problem(make_series: Callable[..., Path]) -> None:
    (stack,) = stacks(make_series(count=1, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]))
    assert stack.grid is None
    assert "several slices in one picture" in stack.problem
