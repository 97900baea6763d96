from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

from recontrast.atomic import PARTIAL  # noqa: E402
from recontrast.errors import ConfigError, LayoutError, OutputError, RecontrastWarning  # noqa: E402
from recontrast.io.bids import read_sidecar  # noqa: E402
from recontrast.io.dicom.find import find_series  # noqa: E402
from recontrast.io.dicom.pixels import read_stack  # noqa: E402
from recontrast.io.tables import read_table  # noqa: E402
from recontrast.preparation.bank import Bank  # noqa: E402
from recontrast.preparation.normalize import Scale  # noqa: E402
from recontrast.translation.command import TranslateSettings, translate  # noqa: E402
from recontrast.translation.description import Member  # noqa: E402
from recontrast.translation.dicom import reads_dicom  # noqa: E402
from recontrast.translation.distance import TrainingDistribution, save_distribution  # noqa: E402
from recontrast.volume import Volume, same_grid  # noqa: E402

_PATH = Path(__file__).parents[1] / "io" / "dicom" / "conftest.py"
_spec = importlib.util.spec_from_file_location("dicom_series", _PATH)
assert _spec is not None
assert _spec.loader is not None
_series = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_series)
make_series, validate = _series.make_series, _series.validate


@pytest.fixture
def head(make_volume: Callable[..., Volume]) -> np.ndarray:
    """A head as (row, column, slice) integers."""
    return np.rint(make_volume().data).astype(np.uint16).transpose(1, 0, 2)


def settings(run: Path, source: Path, out: Path, **changes: object) -> TranslateSettings:
    plain = {"engine": "torch", "precision": "fp32"}
    return TranslateSettings(run=run, input=source, out=out, **{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_identity_translator_gives_the_series_back(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path,
    validate: Callable[[Path], list[str]],
) -> None:  # fmt: skip
    folder = make_series(values=head)
    summary = translate(settings(save(), folder, tmp_path / "out"))
    assert dict(summary.failed) == {}
    (source,) = find_series(folder).series
    (made,) = find_series(tmp_path / "out").series
    assert (made.study, made.patient) == (source.study, source.patient)
    assert made.description == "SYNTHETIC T2w of t1_mprage_tra"
    before, after = read_stack(source.stacks[0]), read_stack(made.stacks[0])
    assert same_grid(before, after)
    # the copying network returns scaled values; the target's scale has the factor 1000, the source's its own
    factor = float(after.data.max()) / float(before.data.max())
    step = made.stacks[0].frames[0].slope
    assert np.abs(after.data - before.data * factor).max() <= step / 2 + 1e-3 * step + 1e-4 * 1000
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert validate(path) == []
        data = pydicom.dcmread(path)
        assert (data.WindowCenter, data.WindowWidth) == (500, 1000)
    sidecar = read_sidecar(made.stacks[0].frames[0].path.parent)  # says what that of a NIfTI file says
    assert sidecar["ScaleSettings"]["name"] == "percentile"
    assert sidecar["DifferenceFromFp32"]["slices"] > 0
    assert sidecar["Images"] == len(list((tmp_path / "out").rglob("*.dcm")))


@pytest.mark.slow
def test_started_again_it_is_kept(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    folder, run = make_series(values=head), save()
    translate(settings(run, folder, tmp_path / "out"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.dcm")}
    assert "1 were finished before" in translate(settings(run, folder, tmp_path / "out")).done[0]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.dcm")} == before
    next(iter(before)).unlink()
    translate(settings(run, folder, tmp_path / "out"))
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == len(before)


def test_a_series_made_without_the_distance_is_made_again_with_it(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    folder, run = make_series(values=head), save()
    known = TrainingDistribution(("whole / all / share with signal",), np.array([0.5]), np.array([1.0]), 9.0, 4)
    save_distribution(run / "translator", known)
    for distance in (False, True):
        translate(settings(run, folder, tmp_path / "out", distance=distance))
        (sidecar,) = (path for path in (tmp_path / "out").rglob("series-*.json"))
        assert ("DistanceFromTraining" in sidecar.read_text()) == distance
    assert "1 were finished before" in translate(settings(run, folder, tmp_path / "out")).done[0]


@pytest.mark.slow
def test_the_series_is_chosen_by_its_headers(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    make_series(values=head)
    folder = make_series(values=head, SeriesInstanceUID="1.2.3.5", SeriesNumber=5, SeriesDescription="t2", prefix="b",
                         ScanningSequence="SE", InversionTime=None, RepetitionTime=5000, EchoTime=90)  # fmt: skip
    (tmp_path / "scans" / "x.dcm").write_text("no image")
    summary = translate(settings(save(), folder, tmp_path / "out"))
    assert list(summary.failed.values()) == ["is called .dcm and is not DICOM"]
    table = read_table(tmp_path / "out" / "cases.tsv")
    assert table["status"].value_counts().to_dict() == {"ok": 1, "skipped": 1}
    (made,) = find_series(tmp_path / "out").series
    assert made.number == "90004"
    other = translate(settings(save(), folder, tmp_path / "other", contrast=("5=T1w", "4=PDw")))
    assert "1 synthetic T2w series" in other.done[0]
    assert find_series(tmp_path / "other").series[0].number == "90005"


@pytest.mark.slow
def test_several_sources_come_from_one_study_and_all_are_referenced(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    make_series(values=head)
    folder = make_series(values=head // 2, SeriesInstanceUID="1.2.3.5", SeriesNumber=5, SeriesDescription="pd",
                         prefix="b", ScanningSequence="SE", InversionTime=None, RepetitionTime=5000,
                         EchoTime=15)  # fmt: skip
    run = save(sources=("T1w", "PDw"), model=Member(name="copy", options={"channel": 1}))
    assert dict(translate(settings(run, folder, tmp_path / "out")).failed) == {}
    path = next((tmp_path / "out").rglob("*.dcm"))
    references = [item.ReferencedSOPInstanceUID for item in pydicom.dcmread(path).SourceImageSequence]
    assert [uid.rsplit(".", 2)[0] for uid in references] == ["1.2.3.4", "1.2.3.5"]


@pytest.fixture
def any_run(save: Callable[..., Path]) -> Path:
    """A translator of T2w and FLAIR from T1w, PDw and T2w; it copies the PDw, or what stands in its place."""
    targets = {label: Scale("percentile", 0.0, 1000.0) for label in ("T2w", "FLAIR")}
    bank = Bank(sources=("T1w", "PDw", "T2w"), targets=targets)
    return save(sources=bank.sources, target="", bank=bank, model=Member(name="copy", options={"channel": 1}))


PD: dict[str, Any] = {
    "SeriesDescription": "pd", "ScanningSequence": "SE", "InversionTime": None, "RepetitionTime": 5000, "EchoTime": 15,
}  # fmt: skip


def test_any_to_any_takes_the_sources_that_a_study_has(
    make_series: Callable[..., Path], any_run: Path, head: np.ndarray, tmp_path: Path,
    validate: Callable[[Path], list[str]],
) -> None:  # fmt: skip
    scans, out = tmp_path / "scans", tmp_path / "out"
    one = make_series(scans / "one", values=head)
    make_series(one, values=head // 2, SeriesInstanceUID="1.2.3.5", SeriesNumber=5, prefix="b", **PD)
    make_series(scans / "two", values=head // 2, StudyInstanceUID="1.2.4", SeriesInstanceUID="1.2.4.1",
                PatientID="PAT-78", **PD)  # fmt: skip
    flair = {"ScanningSequence": ["SE", "IR"], "InversionTime": 2500, "RepetitionTime": 9000, "EchoTime": 120}
    make_series(scans / "three", values=head, StudyInstanceUID="1.2.5", SeriesInstanceUID="1.2.5.1", PatientID="PAT-79",
                SeriesDescription="t2_flair", **flair)  # fmt: skip
    with pytest.raises(ConfigError, match="makes T2w, FLAIR: say which"):
        translate(settings(any_run, scans, out))
    summary = translate(settings(any_run, scans, out, target="T2w"))
    assert dict(summary.failed) == {}
    assert summary.done[0].endswith("see cases.tsv; 1 of the studies had no T1w and no PDw")
    made = {series.study: series for series in find_series(out).series}
    assert {study: series.description for study, series in made.items()} == {
        "1.2.3": "SYNTHETIC T2w from T1w + PDw of t1_mprage_tra", "1.2.4": "SYNTHETIC T2w from PDw of pd",
    }  # fmt: skip
    for study, sources in (("1.2.3", ["T1w", "PDw"]), ("1.2.4", ["PDw"])):
        path = made[study].stacks[0].frames[0].path
        data = pydicom.dcmread(path)
        assert validate(path) == []
        assert data.DerivationDescription.startswith(f"T2w computed from {' and '.join(sources)} by a neural network")
        assert len(data.SourceImageSequence) == len(sources)
        sidecar = read_sidecar(path.parent)
        assert (sidecar["Contrast"], sidecar["SourceContrasts"]) == ("T2w", sources)
        assert list(sidecar["SourceScales"]) == sources
    assert read_stack(made["1.2.4"].stacks[0]).data.any()
    assert "2 were finished before" in translate(settings(any_run, scans, out, target="T2w")).done[0]
    with pytest.raises(ConfigError, match="target was 'T2w', is now 'FLAIR'"):
        translate(settings(any_run, scans, out, target="FLAIR"))
    alone = translate(replace(settings(any_run, scans, tmp_path / "alone", target="T2w"), source=("T1w",)))
    assert "1 synthetic T2w series" in alone.done[0]
    (series,) = find_series(tmp_path / "alone").series
    assert series.description == "SYNTHETIC T2w from T1w of t1_mprage_tra"
    assert not read_stack(series.stacks[0]).data.any()  # the PDw that the network copies was not given


def test_a_series_is_not_written_into_a_nifti_file(
    make_series: Callable[..., Path], save: Callable[..., Path], tmp_path: Path
) -> None:
    image = min(path for path in make_series().rglob("*") if path.is_file())
    with pytest.raises(ConfigError, match="is one file, the result of DICOM input"):
        translate(settings(save(), image, tmp_path / "x_synthetic.nii.gz"))
    assert not (tmp_path / "x_synthetic.nii.gz").exists()


def test_the_headers_say_how_a_source_was_acquired(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={"T2w": Scale("percentile", 0.0, 1000.0)})
    usual = {"T1w": {"InversionTime": (0.0, 0.5), "RepetitionTime": (0.0, 1.0)}}
    copied = {"sources": bank.sources, "target": "", "bank": bank, "acquisition": usual}
    run = save(model=Member(name="copy", options={"channel": 10}), **copied)
    folder = make_series(values=head, InversionTime=1000 * float(np.exp(0.5)))
    assert dict(translate(settings(run, folder, tmp_path / "out", target="T2w")).failed) == {}
    (made,) = find_series(tmp_path / "out").series
    assert read_stack(made.stacks[0]).data.max() == pytest.approx(1000, rel=1e-4)
    told = read_sidecar(made.stacks[0].frames[0].path.parent)["Acquisition"]
    assert told == {"T1w": {"RepetitionTime": 2.3, "InversionTime": pytest.approx(np.exp(0.5))}}


def test_any_to_any_refuses_what_it_cannot_choose_or_make(
    make_series: Callable[..., Path], any_run: Path, head: np.ndarray, tmp_path: Path
) -> None:
    scans = make_series(tmp_path / "scans", values=head)
    make_series(scans, values=head, SeriesInstanceUID="1.2.3.5", SeriesNumber=5, prefix="b")
    (reason,) = translate(settings(any_run, scans, tmp_path / "out", target="T2w")).failed.values()
    assert reason == ("the study has 2 T1w, 0 PDw; one of each is taken: say which with --contrast SERIES=CONTRAST")
    named = translate(settings(any_run, scans, tmp_path / "named", target="T2w", contrast=("5=PDw",)))
    assert dict(named.failed) == {}
    (made,) = find_series(tmp_path / "named").series
    assert made.description == "SYNTHETIC T2w from T1w + PDw of t1_mprage_tra"
    t2w = make_series(tmp_path / "t2w", values=head, **{**PD, "SeriesDescription": "t2", "EchoTime": 90})
    with pytest.raises(LayoutError, match=r"no series is T1w or PDw \(4 't2': is T2w by its headers\); say which is"):
        translate(settings(any_run, t2w, tmp_path / "none", target="T2w"))
    assert not (tmp_path / "none").exists()
    assert dict(translate(settings(any_run, t2w, tmp_path / "flair", target="FLAIR")).failed) == {}


def test_a_single_series_of_another_name_is_taken_with_a_warning(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    folder = make_series(values=head, SeriesDescription="t2", ScanningSequence="SE", InversionTime=None,
                         RepetitionTime=5000, EchoTime=90)  # fmt: skip
    with pytest.warns(RecontrastWarning, match="is T2w by its headers, the translator learned from T1w"):
        translate(settings(save(), folder, tmp_path / "out"))


def test_a_single_series_that_is_no_anatomical_scan_is_not_translated(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    folder = make_series(values=head, SeriesDescription="SYNTHETIC T1w of x")
    summary = translate(settings(save(), folder, tmp_path / "out"))
    (reason,) = summary.failed.values()
    assert "made by Recontrast: a synthetic image" in reason
    key = reason.rpartition("--contrast ")[2].rpartition("=")[0]
    assert not list((tmp_path / "out").rglob("*.dcm"))
    asked = settings(save(), folder, tmp_path / "asked", contrast=(f"{key}=T1w",))
    assert dict(translate(asked).failed) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "several slices in one picture"),
     ({"SeriesDescription": "SpinEchoFieldMap_AP"}, "parameter map"),
     ({"SeriesDescription": "se_AP"}, "echo-planar spin echo")],
)  # fmt: skip
def test_mosaics_and_echo_planar_spin_echoes_are_not_translated(
    changes: dict[str, Any], message: str, make_series: Callable[..., Path], save: Callable[..., Path],
    head: np.ndarray, tmp_path: Path,
) -> None:  # fmt: skip
    planar = {"ScanningSequence": ["EP", "SE"], "InversionTime": None, "RepetitionTime": 8000, "EchoTime": 66}
    folder, run = make_series(values=head, **{**planar, **changes}), save(sources=("T2w",), target="T1w")
    (reason,) = translate(settings(run, folder, tmp_path / "out")).failed.values()
    assert message in reason
    named = translate(settings(run, folder, tmp_path / "named", contrast=("4=T2w",)))
    assert bool(named.failed) == ("mosaic" in reason)
    make_series(folder, values=head, SeriesInstanceUID="1.2.3.5", SeriesNumber=5, SeriesDescription="t1", prefix="b")
    with pytest.raises(LayoutError, match="no series is T2w"):
        translate(settings(run, folder, tmp_path / "several"))


def test_patients_with_the_same_uids_are_not_mixed(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    make_series(tmp_path / "scans" / "one", values=head)
    make_series(tmp_path / "scans" / "two", values=head // 2, PatientID="PAT-78")
    summary = translate(settings(save(), tmp_path / "scans", tmp_path / "out"))
    assert "another patient's images have the same study and series UIDs" in next(iter(summary.failed.values()))
    assert read_table(tmp_path / "out" / "cases.tsv")["status"].tolist() == ["failed", "failed"]


def test_names_that_are_not_utf8_break_nothing(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    folder, run = tmp_path / os.fsdecode(b"scan\xe9"), save()
    try:
        make_series(values=head).rename(folder)
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    assert dict(translate(settings(run, folder, tmp_path / "out")).failed) == {}
    assert "1 were finished before" in translate(settings(run, folder, tmp_path / "out")).done[0]
    assert len(read_table(tmp_path / "out" / "cases.tsv")) == 1


def test_an_image_without_a_position_fails_alone(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    """It was told to be another patient's, and the series it lies in lost its earlier result."""
    last = head.shape[2] - 1
    folder = make_series(values=head, each=lambda k: {"ImagePositionPatient": None} if k == last else {})
    summary = translate(settings(save(), folder, tmp_path / "out"))
    (reason,) = summary.failed.values()
    assert "the header does not say where the image lies" in reason
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == last
    table = read_table(tmp_path / "out" / "cases.tsv")
    assert sorted(table["status"]) == ["failed", "ok"]
    assert table["case"].nunique() == 2


@pytest.mark.parametrize(
    ("name", "value"), [("subjects", ("01",)), ("dtype", "source"), ("scheduler", "x.json"), ("memory_gb", 2.0)]
)
def test_settings_that_mean_nothing_for_dicom_are_refused(
    make_series: Callable[..., Path],
    save: Callable[..., Path],
    head: np.ndarray,
    tmp_path: Path,
    name: str,
    value: object,
) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: not for DICOM input"):
        translate(settings(save(), make_series(values=head), tmp_path / "out", **{name: value}))


def test_missing_slices_stay_missing(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    there = [k for k in range(head.shape[2]) if k != 4]
    folder = make_series(values=head, where=there)
    with pytest.warns(RecontrastWarning, match="1 of 18 slices are missing"):
        translate(settings(save(), folder, tmp_path / "out"))
    (made,) = find_series(tmp_path / "out").series
    assert made.stacks[0].grid is not None
    assert made.stacks[0].grid.missing == (4,)


def test_no_series_of_the_contrast_is_one_line(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path
) -> None:
    make_series(values=head)
    folder = make_series(values=head, SeriesInstanceUID="1.2.3.5", SeriesNumber=5, prefix="b")
    run = save(sources=("FLAIR",), target_scale=Scale("percentile", 0.0, 10.0))
    with pytest.raises(LayoutError, match=r"no series is FLAIR \(4 't1_mprage_tra': is T1w.*--contrast SERIES=FLAIR"):
        translate(settings(run, folder, tmp_path / "out"))
    with pytest.raises(ConfigError, match="no series is called '9'"):
        translate(settings(run, folder, tmp_path / "out", contrast=("9=FLAIR",)))
    assert not (tmp_path / "out").exists()


def test_which_inputs_are_dicom(make_series: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    folder = make_series()
    assert reads_dicom(folder)
    assert reads_dicom(sorted(folder.iterdir())[0])
    assert not reads_dicom(data_set)
    assert not reads_dicom(next(data_set.rglob("*.nii.gz")))
    assert not reads_dicom(tmp_path / "nowhere")


def test_folders_of_patients_may_be_called_as_those_of_a_data_set(
    make_series: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    make_series(tmp_path / "patients" / "sub-01" / "T1")
    assert reads_dicom(tmp_path / "patients")
    make_series(data_set / "sub-04" / "T1")
    assert not reads_dicom(data_set)
    (tmp_path / "empty" / "sub-01").mkdir(parents=True)
    assert not reads_dicom(tmp_path / "empty")


def test_a_full_disk_leaves_no_half_series(
    make_series: Callable[..., Path], save: Callable[..., Path], head: np.ndarray, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder, run, out = make_series(values=head), save(), tmp_path / "out"
    write, room = pydicom.Dataset.save_as, iter([True, True])

    def disk_of_two_slices(data: pydicom.Dataset, *where: object, **how: object) -> None:
        if not next(room, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(data, *where, **how)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pydicom.Dataset, "save_as", disk_of_two_slices)
        with pytest.raises(OutputError, match="the disk is full"):
            translate(settings(run, folder, out))
    assert not list(out.rglob("*.dcm"))
    assert not list(out.rglob(f"{PARTIAL}*"))
    assert dict(translate(settings(run, folder, out)).failed) == {}
    assert len(list(out.rglob("*.dcm"))) == head.shape[2]
