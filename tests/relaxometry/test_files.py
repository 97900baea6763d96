"""Maps and raw series as files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import (
    DataError,
    FormatError,
    IntensityError,
    LayoutError,
    MissingContrastError,
    RecontrastWarning,
)
from recontrast.io.bids import write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.phantom.sequences import SaturationRecovery, SpoiledGradientEcho, TurboSpinEcho
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.relaxometry.files import (
    find_map_files,
    find_series,
    kinds_of,
    read_maps,
    read_series,
    sequence_of,
    times_of,
)
from recontrast.volume import Volume

SHAPE = (4, 5, 3)


def write(path: Path, values: float | np.ndarray, affine: np.ndarray, units: str = "") -> None:
    data = np.broadcast_to(np.asarray(values, np.float32), SHAPE).copy()
    write_volume(path, Volume(data, affine))
    if units:
        write_sidecar(path, {"Units": units})


@pytest.fixture
def folder(tmp_path: Path, oblique_affine: np.ndarray) -> Path:
    anat = tmp_path / "maps" / "sub-01" / "anat"
    t1 = np.full(SHAPE, 1330.0)
    t1[0] = 0
    write(anat / "sub-01_T1map.nii.gz", t1, oblique_affine, "ms")
    write(anat / "sub-01_R2map.nii.gz", 10.0, oblique_affine, "1/s")
    write(anat / "sub-01_PDmap.nii.gz", 0.82, oblique_affine, "arbitrary")
    write(anat / "sub-01_desc-error_R2map.nii.gz", 0.1, oblique_affine, "1/s")
    return tmp_path / "maps"


def test_times_and_rates_in_any_unit(folder: Path) -> None:
    (files,) = find_map_files(folder)
    maps, grid = read_maps(files, ("T1", "T2", "PD"))
    assert maps.t1_s[2, 2, 2] == pytest.approx(1.33)
    assert maps.t2_s[2, 2, 2] == pytest.approx(0.1)
    assert not maps.mask[0].any()
    assert maps.mask[1:].all()
    assert grid.shape == SHAPE


def test_without_units_milliseconds_are_recognised_with_a_warning(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    write(tmp_path / "sub-02_T1map.nii.gz", 900.0, oblique_affine)
    write(tmp_path / "sub-02_PDmap.nii.gz", 1.0, oblique_affine)
    (files,) = find_map_files(tmp_path)
    with pytest.warns(RecontrastWarning, match="taken as ms"):
        maps, _ = read_maps(files, ("T1", "PD"))
    assert maps.t1_s[0, 0, 0] == pytest.approx(0.9)


def test_times_of_a_map_in_any_unit(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    path = tmp_path / "sub-02_T2starmap.nii.gz"
    values = np.array([50.0, 0.0, 100.0])
    write(path, 50.0, oblique_affine)
    times, guessed = times_of(values, path, "T2")
    assert times == pytest.approx([0.05, 0, 0.1])
    assert guessed
    write(path, 50.0, oblique_affine, "ms")
    assert times_of(values, path, "T2")[1] is False
    rates = tmp_path / "sub-02_R1map.nii.gz"
    write(rates, 2.0, oblique_affine)
    assert times_of(np.array([2.0, 0.0]), rates, "T1")[0] == pytest.approx([0.5, 0])


@pytest.mark.parametrize(
    ("values", "units", "problem"),
    [
        (-0.5, "s", "negative"),
        (np.nan, "s", "NaN"),
        (900.0, "s", "no tissue relaxes so slowly"),
        (0.0, "s", "no voxel"),
    ],
)
def test_maps_with_values_that_no_matter_has_are_refused(
    folder: Path, oblique_affine: np.ndarray, values: float, units: str, problem: str
) -> None:
    write(folder / "sub-01" / "anat" / "sub-01_T1map.nii.gz", values, oblique_affine, units)
    (files,) = find_map_files(folder)
    with pytest.raises(IntensityError, match=problem):
        read_maps(files, ("T1", "T2", "PD"))


def test_missing_maps_units_and_folders_are_refused(folder: Path, oblique_affine: np.ndarray, tmp_path: Path) -> None:
    (folder / "sub-01" / "anat" / "sub-01_R2map.nii.gz").unlink()
    (files,) = find_map_files(folder)
    with pytest.raises(MissingContrastError, match="no T2 map"):
        read_maps(files, ("T1", "T2", "PD"))
    write(folder / "sub-01" / "anat" / "sub-01_T1map.nii.gz", 1.0, oblique_affine, "minutes")
    with pytest.raises(FormatError, match="unit 'minutes'"):
        read_maps(files, ("T1", "PD"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LayoutError):
        find_map_files(empty)


def test_two_maps_of_one_kind_are_refused(folder: Path, oblique_affine: np.ndarray) -> None:
    write(folder / "sub-01" / "anat" / "sub-01_run-2_T1map.nii.gz", 1.0, oblique_affine, "s")
    with pytest.raises(LayoutError, match="several T1 maps"):
        find_map_files(folder)


@pytest.fixture
def raw_folder(tmp_path: Path, oblique_affine: np.ndarray) -> Path:
    """Eight images with phase, names that do not sort in their order."""
    anat = tmp_path / "raw" / "sub-01" / "anat"
    for number, sequence in enumerate(synthetic_mri_sequences()):
        stem = f"delay{round(1000 * sequence.delay_s)}echo{1 + number % 2}"
        for acq, part, value in ((stem, "mag", 1.0 + number), (f"{stem}phase", "phase", 0.1 * number)):
            path = anat / f"sub-01_acq-{acq}_echo-{1 + number % 2}_part-{part}_MESE.nii.gz"
            write(path, value, oblique_affine)
            write_sidecar(path, sequence.sidecar())
    return tmp_path / "raw"


def test_series_are_put_in_the_order_of_delay_and_echo(raw_folder: Path) -> None:
    (series,) = find_series(raw_folder)
    assert series.sequences == synthetic_mri_sequences()
    images, _ = read_series(series)
    np.testing.assert_allclose(np.abs(images[0, 0, 0]), np.arange(1, 9), rtol=1e-5)
    np.testing.assert_allclose(np.angle(images[0, 0, 0]), 0.1 * np.arange(8), atol=1e-5)


def test_a_missing_phase_is_refused_and_none_is_fine(raw_folder: Path) -> None:
    phases = sorted(raw_folder.rglob("*phase*_MESE.nii.gz"))
    phases[3].unlink()
    (series,) = find_series(raw_folder)
    with pytest.raises(DataError, match=r"^7 of 8 raw images have a phase image"):
        read_series(series)
    for path in phases:
        path.unlink(missing_ok=True)
    (series,) = find_series(raw_folder)
    assert read_series(series)[0].dtype == np.float32


def test_phases_in_other_units_are_refused(raw_folder: Path, oblique_affine: np.ndarray) -> None:
    path = sorted(raw_folder.rglob("*phase*_MESE.nii.gz"))[0]
    write(path, 4095.0, oblique_affine)
    (series,) = find_series(raw_folder)
    with pytest.raises(IntensityError, match="radians"):
        read_series(series)


@pytest.mark.parametrize(
    "sequence",
    [SaturationRecovery(4.0, 0.146, 0.0169), SpoiledGradientEcho(0.004, 0.002, 5.0),
     TurboSpinEcho(8.0, 0.1, 0.0, 1, inversion_time_s=2.5), TurboSpinEcho(3.0, 0.1, 0.0, 1)],
    ids=lambda s: type(s).__name__,
)  # fmt: skip
def test_a_sidecar_gives_the_sequence_back(sequence) -> None:
    assert sequence_of(sequence.sidecar(), "x.nii.gz") == sequence


@pytest.mark.parametrize("said", ["SE_GR", "se\\gr", ["SE", "GR"], ["GR SE"]])
def test_kinds_of_sequences_however_they_are_written(said) -> None:
    assert kinds_of({"ScanningSequence": said}) == {"SE", "GR"}
    assert kinds_of({"ScanningSequence": None}) == kinds_of({"ScanningSequence": [5]}) == kinds_of({}) == set()


@pytest.mark.parametrize("said", [{}, {"ScanningSequence": "RM"}, {"ScanningSequence": 5}, {"InversionTime": 0}])
def test_suffixes_of_gradient_echoes_need_no_other_word(said) -> None:
    sidecar = {"RepetitionTime": 0.005, "EchoTime": 0.002, "FlipAngle": 20, **said}
    for suffix in ("VFA", "MEGRE"):
        assert sequence_of(sidecar, "x", suffix) == SpoiledGradientEcho(0.005, 0.002, 20)
    assert isinstance(sequence_of(sidecar, "x", "MESE"), TurboSpinEcho)


@pytest.mark.parametrize("sidecar", ["{", '{"RepetitionTime": 4}', '{"RepetitionTime": -1, "EchoTime": 0.1}'])
def test_a_bad_sidecar_is_a_problem_of_its_case_alone(raw_folder: Path, sidecar: str) -> None:
    shutil.copytree(raw_folder / "sub-01", raw_folder / "sub-02")
    for path in sorted((raw_folder / "sub-02" / "anat").iterdir()):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-02")))
    sorted((raw_folder / "sub-02").rglob("*part-mag*.json"))[0].write_text(sidecar)
    good, bad = find_series(raw_folder)
    assert (good.problem, good.sequences) == ("", synthetic_mri_sequences())
    with pytest.raises(DataError):
        read_series(bad)


def test_a_sidecar_without_times_is_refused() -> None:
    with pytest.raises(FormatError, match="no number EchoTime"):
        sequence_of({"RepetitionTime": 1.0}, "x.nii.gz")
