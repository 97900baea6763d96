from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from recontrast.errors import FormatError
from recontrast.io.dicom.find import find_series, holds_dicom, match_series
from recontrast.io.dicom.headers import FileHeader, read_header


def test_mixed_nested_renamed_files(make_series: Callable[..., Path], tmp_path: Path) -> None:
    root = tmp_path / "export"
    make_series(root / "a" / "b")
    make_series(root / "a" / "b", prefix="other", SeriesInstanceUID="1.2.3.5", SeriesNumber=7, SeriesDescription="t2")
    make_series(root / "c", prefix="ct", SeriesInstanceUID="1.2.3.6", Modality="CT",
                SOPClassUID="1.2.840.10008.5.1.4.1.1.2")  # fmt: skip
    (root / "notes.txt").write_text("hello")
    (root / "image.dcm").write_text("hello, this is not an image at all")
    found = find_series(root)
    assert [(series.number, series.description) for series in found.series] == [("4", "t1_mprage_tra"), ("7", "t2")]
    assert [(other.modality, other.files) for other in found.others] == [("CT", 5)]
    assert (found.files, found.strangers) == (17, 2)
    assert found.problems == {root / "image.dcm": "is called .dcm and is not DICOM"}


def test_a_damaged_file_is_listed_and_the_rest_is_found(make_series: Callable[..., Path]) -> None:
    folder = make_series()
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:400])
    found = find_series(folder)
    assert list(found.problems) == [path]
    assert len(found.series[0].stacks[0].frames) == 4


def test_links_that_lead_out_are_not_followed(make_series: Callable[..., Path], tmp_path: Path) -> None:
    outside = make_series(tmp_path / "outside")
    inside = make_series(tmp_path / "inside", SeriesInstanceUID="1.2.3.5")
    (inside / "link").symlink_to(sorted(outside.iterdir())[0])
    (inside / "folder").symlink_to(outside)
    found = find_series(inside)
    assert [series.uid for series in found.series] == ["1.2.3.5"]
    assert set(found.problems) == {inside / "link", inside / "folder"}


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "C:\\scans\\x", "A\\..\\..\\x"])
def test_a_dicomdir_that_leads_out_is_listed(
    name: str, make_series: Callable[..., Path], save_object: Callable[..., Path]
) -> None:
    folder = make_series()
    with pydicom.config.disable_value_validation():
        record = pydicom.Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = name if ":" in name or name.startswith("/") else name.replace("\\", "/").split("/")
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.1.3.10", "1.2.9"
        data.DirectoryRecordSequence = [record]
        save_object(data, folder / "DICOMDIR")
    found = find_series(folder)
    assert "outside its folder; not followed" in found.problems[folder / "DICOMDIR"]
    assert len(found.series) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder; the error path is tested below")
def test_an_unreadable_folder_is_listed(make_series: Callable[..., Path]) -> None:
    folder = make_series()
    closed = folder / "closed"
    closed.mkdir(mode=0)
    assert "cannot be read" in find_series(folder).problems[closed]


def test_a_folder_the_system_refuses_is_listed(
    make_series: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_series()
    (folder / "closed").mkdir()
    listing = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_series(folder).problems == {folder / "closed": "the folder cannot be read (Permission denied)"}


@pytest.mark.parametrize(
    ("stated", "where", "noted"),
    [(7, None, True), (5, None, False), (10, None, False), (2, None, False), (None, None, False), ("", None, False),
     (7, [0, 1, 3, 4, 6], False), (8, [0, 1, 3, 4, 6], True)],
)  # fmt: skip
def test_fewer_images_than_the_header_says_are_noted(
    stated: int | str | None, where: list[int] | None, noted: bool, make_series: Callable[..., Path]
) -> None:
    """At the end of a stack positions do not show it; twice as many may lie in two series, as parts do."""
    values = np.ones((6, 8, 7 if where else 5), np.uint16)
    (series,) = find_series(make_series(values=values, where=where, ImagesInAcquisition=stated)).series
    notes = [note for note in series.stacks[0].notes if "Images in Acquisition" in note]
    there = "5 images" if where is None else "7 images, missing ones counted"
    note = f"the series has {there}, its header says {stated} (Images in Acquisition): slices may be lost at an end"
    assert notes == [f"{note}, unless the scanner counts otherwise"] * noted


def test_the_stacks_of_a_series_are_counted_together(make_series: Callable[..., Path]) -> None:
    for n, stated in ((1, 6), (2, 7)):
        for echo in (1, 2):
            root = make_series(count=3, prefix=f"{n}{echo}", EchoTime=10 * echo, SeriesInstanceUID=f"1.2.{n}",
                               ImagesInAcquisition=stated)  # fmt: skip
    notes = [[stack.notes for stack in series.stacks] for series in find_series(root).series]
    assert notes[0] == [(), ()]
    assert ["the series has 6 images, its header says 7" in found[0] for found in notes[1]] == [True, True]


def test_a_header_that_is_too_large_for_the_memory_is_listed(
    make_series: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_series()
    path = sorted(folder.iterdir())[1]

    def read(file: Path) -> FileHeader:
        if file == path:
            raise MemoryError
        return read_header(file)

    monkeypatch.setattr("recontrast.io.dicom.find.read_header", read)
    assert find_series(folder).problems == {
        path: "its header needs more memory than there is: it is damaged, or this machine is too small"
    }


def test_series_are_found_by_uid_number_and_description(make_series: Callable[..., Path]) -> None:
    make_series()
    folder = make_series(prefix="b", SeriesInstanceUID="1.2.3.5", SeriesNumber=7, SeriesDescription="T2_tse_tra")
    series = find_series(folder).series
    for wanted in ("1.2.3.5", "7", "t2_tse*"):
        assert [one.number for one in match_series(series, wanted)] == ["7"]
    assert match_series(series, "flair") == []


def test_a_folder_is_known_to_hold_dicom(make_series: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x").write_text("no")
    assert not holds_dicom(tmp_path / "empty")
    assert holds_dicom(make_series(tmp_path / "scans" / "deep").parent)


def test_an_absent_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file or folder"):
        find_series(tmp_path / "nowhere")


def test_an_image_without_number_or_patient_is_still_found(tmp_path: Path, save_image: Callable[..., Path]) -> None:
    save_image(np.ones((4, 4), np.uint16), tmp_path / "scan" / "x", PatientID=None, SeriesNumber=None)
    (series,) = find_series(tmp_path / "scan").series
    assert (series.patient, series.number) == ("", "")
