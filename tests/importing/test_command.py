from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from recontrast import cli
from recontrast.atomic import PARTIAL
from recontrast.errors import ConfigError, FormatError, LayoutError, OutputError
from recontrast.importing.command import ImportSettings, import_dicom
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table


def bring(folder: Path, out: Path, **changes: object) -> dict[str, str]:
    return dict(import_dicom(ImportSettings(dicom=folder, out=out, workers=1, **changes)).failed)  # type: ignore[arg-type]


@pytest.fixture
def scans(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    """Two patients: T1w and a doubtful series, a localizer of three planes; a report of another kind, a stranger."""
    root = tmp_path / "scans"
    rng = np.random.default_rng(5)
    make_series(root / "a", rng.integers(1, 900, (6, 8, 5)).astype(np.uint16))
    make_series(root / "a", SeriesInstanceUID="1.2.3.5", SeriesNumber=5, SeriesDescription="t2 Roe", prefix="b")
    planes = [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)]
    for n, plane in enumerate(planes):
        make_series(root / "b", count=3, prefix=f"l{n}", SeriesInstanceUID="1.2.4.1", StudyInstanceUID="1.2.4",
                    PatientID="PAT-78", PatientName="Doe^John", SeriesDescription="localizer", SeriesNumber=1,
                    ImageOrientationPatient=list(plane), ScanningSequence="GR", InversionTime=None, RepetitionTime=5,
                    EchoTime=2, FlipAngle=20)  # fmt: skip
    make_series(root / "b", count=1, prefix="sr", SeriesInstanceUID="1.2.4.2", StudyInstanceUID="1.2.4",
                PatientID="PAT-78", PatientName="Doe^John", Modality="SR",
                SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")  # fmt: skip
    (root / "readme.txt").write_text("a note")
    return root


def test_series_become_a_valid_data_set_without_identifiers(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "bids"
    assert bring(scans, out) == {}
    table = read_table(out / "series.tsv", text_columns=("number", "contrast"))
    assert table["outcome"].tolist() == ["imported", "unnamed", "imported", "imported", "imported", "skipped"]
    assert table["contrast"].dropna().tolist() == ["T1w"] + ["acq-localizer_T1w"] * 3
    images = sorted(out.rglob("*.nii.gz"))
    assert len(images) == 4
    t1w = next(path for path in images if "acq" not in path.name)
    assert read_volume(t1w).shape == (8, 6, 5)
    assert read_sidecar(t1w)["RepetitionTime"] == 2.3
    for path in out.rglob("*"):
        if path.is_file() and path.suffix != ".gz":
            text = path.read_text().lower()
            for identifier in ("pat-77", "roe", "jane", "doe", "19700101", "acc123", "1.2.3.4"):
                assert identifier not in text, f"{identifier} in {path}"


@pytest.mark.slow
def test_the_bids_validator_finds_no_error(scans: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed (extra `test`)")
    bring(scans, tmp_path / "bids")
    ran = subprocess.run(
        [program, tmp_path / "bids", "--format", "json"], capture_output=True, text=True, check=False, timeout=120
    )
    if not ran.stdout.startswith("{"):
        pytest.skip(f"bids-validator-deno does not run here: {ran.stderr[:200]}")
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue.get("severity") == "error"] == []


def test_started_again_finished_images_are_kept_and_names_can_be_added(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "bids"
    bring(scans, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    summary = import_dicom(ImportSettings(dicom=scans, out=out, contrast=("5=T2w",), workers=1))
    assert "5 images" in summary.done[0]
    assert "4 of them were there before" in summary.done[0]
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert len(after) == 5
    assert all(after[path] == time for path, time in before.items())


def test_other_settings_and_lost_images_are_refused(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "bids"
    bring(scans, out, contrast=("5=T2w",))
    with pytest.raises(ConfigError, match="missing was 'refuse', is now 'fill'"):
        bring(scans, out, missing="fill")
    with pytest.raises(ConfigError, match="holds 1 images that this import would not make"):
        bring(scans, out)


@pytest.mark.parametrize(("patient", "name"), [
    ("NULL", "Roe^Jane"), ("P1", "Import^Test"), ("P1", "Roe^False"), ("042", "Settings^A"), ("P1", "Auto^Refuse"),
])  # fmt: skip
def test_patients_who_are_called_like_a_word_of_ours_break_nothing(
    make_series: Callable[..., Path], tmp_path: Path, patient: str, name: str
) -> None:
    folder = make_series(tmp_path / name, PatientID=patient, PatientName=name)
    for _ in range(2):
        assert bring(folder, tmp_path / "bids") == {}
    content = json.loads((tmp_path / "bids" / "provenance.json").read_text())
    assert (content["stage"], content["settings"]["mixed_patients"]) == ("import", False)
    assert content["settings"]["dicom"].endswith("/XXX")


def test_a_series_that_fails_is_listed_and_the_rest_goes_on(scans: Path, tmp_path: Path) -> None:
    broken = next(path for path in (scans / "a").iterdir() if path.name.endswith("_0") and path.name.startswith("x"))
    broken.write_bytes(broken.read_bytes()[:-60])
    (scans / "x.dcm").write_text("no image")
    failed = bring(scans, tmp_path / "bids")
    assert any("truncated" in reason for reason in failed.values())
    assert failed[str(scans / "x.dcm")] == "is called .dcm and is not DICOM"
    assert len(list((tmp_path / "bids").rglob("*.nii.gz"))) == 3
    outcomes = read_table(tmp_path / "bids" / "series.tsv")["outcome"].tolist()
    assert outcomes.count("failed") == 3  # the series, which now lacks its first slice, and the two files


def test_a_folder_without_images_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "x.dcm").write_text("no image")
    with pytest.raises(LayoutError, match=r"no usable MR image in it \(1 files, 1 of them not DICOM"):
        bring(tmp_path / "scans", tmp_path / "bids")
    with pytest.raises(FormatError, match="no such file"):
        bring(tmp_path / "nowhere", tmp_path / "bids")
    assert not (tmp_path / "bids").exists()


def test_patients_side_by_side_are_refused_unless_asked(
    scans: Path, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    make_series(scans / "a", SeriesInstanceUID="1.5.1", StudyInstanceUID="1.5", PatientID="PAT-80", prefix="z")
    with pytest.raises(LayoutError, match="2 patients side by side"):
        bring(scans, tmp_path / "bids")
    assert not (tmp_path / "bids").exists()
    assert bring(scans, tmp_path / "bids", mixed_patients=True) == {}
    assert len(list((tmp_path / "bids").glob("sub-*"))) == 3


def test_patients_who_share_a_study_stay_apart(make_series: Callable[..., Path], tmp_path: Path) -> None:
    """Badly de-identified: two patients, one Study Instance UID."""
    rng = np.random.default_rng(5)
    heads = [rng.integers(1, 900, (6, 8, 5)).astype(np.uint16) for _ in range(2)]
    make_series(tmp_path / "scans" / "one", heads[0])
    make_series(tmp_path / "scans" / "two", heads[1], SeriesInstanceUID="1.2.3.9", PatientID="PAT-78")
    with pytest.raises(LayoutError, match="--mixed-patients"):
        bring(tmp_path / "scans", tmp_path / "bids")
    assert bring(tmp_path / "scans", tmp_path / "bids", mixed_patients=True) == {}
    images = sorted((tmp_path / "bids").glob("sub-*/anat/*.nii.gz"))
    assert len(images) == len({path.parents[1] for path in images}) == 2
    sums = {int(read_volume(path).data.sum()) for path in images}
    assert sums == {int(head.sum()) for head in heads}


def test_one_patient_id_with_two_birth_dates_is_refused_unless_asked(
    make_series: Callable[..., Path], tmp_path: Path
) -> None:
    make_series(tmp_path / "scans" / "one")
    make_series(tmp_path / "scans" / "two", SeriesInstanceUID="1.4.1", StudyInstanceUID="1.4",
                PatientBirthDate="19800202")  # fmt: skip
    with pytest.raises(LayoutError, match="2 birth dates"):
        bring(tmp_path / "scans", tmp_path / "bids")
    assert not (tmp_path / "bids").exists()
    assert bring(tmp_path / "scans", tmp_path / "bids", mixed_patients=True) == {}
    assert len(list((tmp_path / "bids").glob("sub-*/ses-*"))) == 2


def test_a_series_that_can_no_longer_be_read_leaves_no_former_image(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "bids"
    bring(scans, out)
    names = {path.name for path in out.rglob("*.nii.gz")}
    for path in (scans / "a").iterdir():
        if path.name.startswith("x"):
            data = pydicom.dcmread(path)
            data.PixelData = data.PixelData[:-2] if path.name.endswith("_0") else data.PixelData
            data.save_as(path)
    failed = bring(scans, out)
    assert len(failed) == 1
    left = {path.name for path in out.rglob("*.nii.gz")}
    assert len(names - left) == 1
    table = read_table(out / "series.tsv")
    assert set(table["file"].dropna().map(lambda name: Path(name).name)) == left


def test_out_must_be_free_and_apart(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must not lie in each other"):
        bring(scans, scans / "bids")
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="holds other files"):
        bring(scans, tmp_path / "bids")


def test_a_second_visit_takes_no_image_away(make_series: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "bids"
    bring(make_series(tmp_path / "one"), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    second = make_series(tmp_path / "two", SeriesInstanceUID="1.9.1", StudyInstanceUID="1.9", StudyDate="20210101")
    with pytest.raises(
        ConfigError, match=r"bids: holds 1 images of series that are not in .*two \(sub-.*_T1w.nii.gz\)"
    ):
        bring(second, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    bring(make_series(tmp_path / "three", SeriesInstanceUID="1.9.2", ScanningSequence="SE", RepetitionTime=5000,
                      StudyInstanceUID="1.9", EchoTime=90, InversionTime=None, SeriesDescription="t2"),
          tmp_path / "other")  # fmt: skip
    (out / "series.tsv").unlink()  # as where an import was killed
    with pytest.raises(ConfigError, match="holds 1 images of series that are not in"):
        bring(tmp_path / "three", out)


def test_runs_may_be_numbered_anew(make_series: Callable[..., Path], tmp_path: Path) -> None:
    """Another series of the same input takes the first number, as one that could not be named before."""
    out = tmp_path / "bids"
    for number, uid in ((4, "1.3.1"), (6, "1.3.2")):
        make_series(SeriesInstanceUID=uid, SeriesNumber=number, prefix=f"s{number}")
    folder = make_series(SeriesInstanceUID="1.3.3", SeriesNumber=2, SeriesDescription="t2", prefix="s2")
    bring(folder, out)
    assert bring(folder, out, contrast=("2=T1w",)) == {}
    images = sorted(out.rglob("*.nii.gz"))
    assert [read_sidecar(path)["SeriesNumber"] for path in images] == [2, 4, 6]


def test_an_import_that_was_killed_leaves_no_image_beside_that_of_another_choice(
    make_series: Callable[..., Path], tmp_path: Path
) -> None:
    """The table is written at the end: a killed import has images, and none."""
    folder, out = make_series(), tmp_path / "bids"
    bring(folder, out, contrast=("4=PDw",))
    (out / "series.tsv").unlink()
    with pytest.raises(ConfigError, match=r"holds 1 images that this import would not make \(sub-.*_PDw.nii.gz\)"):
        bring(folder, out)
    (image,) = out.rglob("*.nii.gz")
    mask = image.with_name(image.name.replace("_PDw", "_label-L_mask"))
    mask.write_bytes(image.read_bytes())  # not ours: it stays, and hinders nothing
    assert bring(folder, out, contrast=("4=PDw",)) == {}
    assert sorted(out.rglob("*.nii.gz")) == sorted([image, mask])


def test_the_sidecar_is_written_first_and_does_not_stay_alone(
    make_series: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two files: an image without the word where it is from would be taken for a stranger's."""
    out, seen = tmp_path / "bids", []

    def fail(image: Path, *arguments: object, **more: object) -> None:
        seen.append(read_sidecar(image)["SourceImages"])
        raise OutputError("the disk is full")

    monkeypatch.setattr("recontrast.importing.command.write_volume", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        bring(make_series(), out)
    assert seen == [5]
    assert not list(out.rglob("anat/*"))


def test_a_series_without_positions_is_listed_by_name(make_series: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_series(each=lambda k: {"ImagePositionPatient": None})
    failed = bring(folder, tmp_path / "bids")
    ((name, reason),) = failed.items()
    assert "'t1_mprage_tra'" in name
    assert "does not say where the image lies" in reason
    assert list((tmp_path / "bids").rglob("*.nii.gz")) == []


def test_a_full_disk_is_one_line_and_a_second_start_finishes(
    scans: Path, tmp_path: Path, disk_of_one_image: Callable[..., Any]
) -> None:
    out = tmp_path / "bids"
    with disk_of_one_image(), pytest.raises(OutputError, match=r"cannot write .*bids.*: the disk is full"):
        bring(scans, out)
    assert len(list(out.rglob("*.nii.gz"))) == 1
    assert not list(out.rglob(f"{PARTIAL}*"))
    assert bring(scans, out) == {}
    assert bring(scans, tmp_path / "undisturbed") == {}
    assert len(list(out.rglob("*.nii.gz"))) == len(list((tmp_path / "undisturbed").rglob("*.nii.gz"))) > 1


def test_names_that_are_not_utf8_break_nothing(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / os.fsdecode(b"scan\xe9"), tmp_path / os.fsdecode(b"bids\xe9")
    try:
        scans.rename(folder)
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    (folder / os.fsdecode(b"\xe9.dcm")).write_text("no image")
    for kept in (False, True):
        assert cli.run(["import", str(folder), str(out), "--workers", "1"]) == cli.PARTLY
        told = capsys.readouterr()
        assert ("4 of them were there before" in told.out) is kept
        assert r"bids\udce9" in told.out
        assert "is called .dcm and is not DICOM" in told.err
    assert read_table(out / "series.tsv")["outcome"].tolist().count("failed") == 1
