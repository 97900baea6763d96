"""From simulated raw data to maps, as files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.phantom.sequences import SpoiledGradientEcho
from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.relaxometry.command import SynthesizeSettings, synthesize
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.relaxometry.files import find_map_files, read_maps
from recontrast.relaxometry.quantify import QuantifySettings, quantify
from recontrast.volume import Volume

NAMES = ("GM", "WM", "CSF", "lesion")
SHAPE = (14, 16, 12)


@pytest.fixture
def raw(tmp_path: Path, oblique_affine: np.ndarray) -> Path:
    """A block of four tissues in air, with noise and phase."""
    rng = np.random.default_rng(1)
    tissue = Relaxation.of([tissues_at(3.0)[name] for name in NAMES])
    labels = np.full(SHAPE, 4)
    labels[3:-3, 3:-3, 3:-3] = rng.integers(0, 4, (8, 10, 6))
    for number, sequence in enumerate(synthetic_mri_sequences()):
        values = np.append(sequence.signal(tissue), 0.0)[labels] * 1000 * np.exp(0.6j)
        values = values + 8 * (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
        for part, data in (("mag", np.abs(values)), ("phase", np.angle(values))):
            name = f"sub-01_acq-image{number}{'phase' if part == 'phase' else ''}_part-{part}_MESE.nii.gz"
            path = tmp_path / "raw" / "sub-01" / "anat" / name
            write_volume(path, Volume(data.astype(np.float32), oblique_affine))
            write_sidecar(path, sequence.sidecar())
    np.save(tmp_path / "labels.npy", labels)
    return tmp_path / "raw"


def test_maps_of_a_series(raw: Path, tmp_path: Path) -> None:
    summary = quantify(QuantifySettings(raw=raw, out=tmp_path / "maps", workers=1))
    assert summary.failed == {}
    assert summary.done[0].endswith("PD, R1, R2, T1, T2")
    labels = np.load(tmp_path / "labels.npy", allow_pickle=False)
    anat = tmp_path / "maps" / "sub-01" / "anat"
    for suffix, position in (("T1map", "t1_s"), ("T2map", "t2_s")):
        image = read_volume(anat / f"sub-01_{suffix}.nii.gz").data
        for number, name in enumerate(NAMES):
            expected = getattr(tissues_at(3.0)[name], position)
            assert np.median(image[labels == number]) == pytest.approx(expected, rel=0.06 if name == "CSF" else 0.02)
    assert read_sidecar(anat / "sub-01_T1map.nii.gz")["Units"] == "s"
    assert (anat / "sub-01_desc-error_R1map.nii.gz").is_file()
    (files,) = find_map_files(tmp_path / "maps")
    assert read_maps(files, ("T1", "T2", "PD"))[0].mask.sum() > 300


@pytest.mark.slow
def test_what_a_study_learns_from_is_put_beside_the_raw_images_when_asked(raw: Path, tmp_path: Path) -> None:
    summary = quantify(QuantifySettings(raw=raw, out=tmp_path / "maps", beside=True, workers=1))
    assert summary.failed == {}
    assert (raw / "sub-01" / "anat" / "sub-01_acq-suppressed_FLAIR.nii.gz").is_file()
    with pytest.raises(ConfigError, match="--beside"):
        quantify(QuantifySettings(raw=raw, out=tmp_path / "others", parts=True))


@pytest.mark.slow
def test_exchanged_files_fail_with_a_line_and_write_nothing(raw: Path, tmp_path: Path) -> None:
    anat = raw / "sub-01" / "anat"
    first, second = (anat / f"sub-01_acq-image{n}_part-mag_MESE.json" for n in (0, 4))
    one, two = first.read_text(), second.read_text()
    first.write_text(two)
    second.write_text(one)
    summary = quantify(QuantifySettings(raw=raw, out=tmp_path / "maps", workers=1))
    assert "order" in summary.failed["sub-01"] or "signal equation" in summary.failed["sub-01"]
    assert not (tmp_path / "maps" / "sub-01").exists()


@pytest.mark.slow
def test_a_transmit_field_in_a_part_of_the_image_is_not_taken_for_percent(raw: Path, tmp_path: Path) -> None:
    summary = quantify(QuantifySettings(raw=raw, out=tmp_path / "maps", fit_b1=True, workers=1))
    assert summary.failed == {}
    assert (tmp_path / "maps" / "sub-01" / "anat" / "sub-01_TB1map.nii.gz").is_file()


def test_seven_images_and_images_without_phase_fail_with_a_line(raw: Path, tmp_path: Path) -> None:
    anat = raw / "sub-01" / "anat"
    for path in anat.glob("*image7*"):
        path.unlink()
    summary = quantify(QuantifySettings(raw=raw, out=tmp_path / "maps", workers=1))
    assert "combinations are missing" in summary.failed["sub-01"]
    assert not (tmp_path / "maps" / "sub-01").exists()


def write_gradient_echoes(folder: Path, affine: np.ndarray, suffix: str, angles: tuple[float, ...]) -> None:
    """A block of four tissues in air, each angle with two echoes."""
    tissue = Relaxation.of([tissues_at(3.0)[name] for name in NAMES])
    labels = np.full(SHAPE, 4)
    labels[3:-3, 3:-3, 3:-3] = np.arange(8 * 10 * 6).reshape(8, 10, 6) % 4
    for angle in angles:
        for echo in (0.003, 0.012):
            sequence = SpoiledGradientEcho(0.03, echo, angle)
            values = np.append(sequence.signal(tissue), 0.0)[labels] * 1000
            name = f"sub-01_acq-angle{angle:g}echo{1000 * echo:g}_{suffix}.nii.gz"
            write_volume(folder / "sub-01" / "anat" / name, Volume(values.astype(np.float32), affine))
            write_sidecar(folder / "sub-01" / "anat" / name, sequence.sidecar())


def test_gradient_echoes_give_maps_of_t2_star_from_which_no_spin_echo_is_made(
    tmp_path: Path, oblique_affine: np.ndarray
) -> None:
    write_gradient_echoes(tmp_path / "raw", oblique_affine, "VFA", (5.0, 15.0, 40.0))
    summary = quantify(QuantifySettings(raw=tmp_path / "raw", out=tmp_path / "maps", workers=1))
    assert summary.done[0].endswith("PD, R1, R2star, T1, T2star")
    anat = tmp_path / "maps" / "sub-01" / "anat"
    assert (anat / "sub-01_desc-error_R2starmap.nii.gz").is_file()
    assert not [path.name for path in anat.iterdir() if "_T2map" in path.name or "_R2map" in path.name]
    made = synthesize(SynthesizeSettings(maps=tmp_path / "maps", out=tmp_path / "flair", workers=1))
    assert "no T2 map" in made.failed["sub-01"]
    write_gradient_echoes(tmp_path / "echoes", oblique_affine, "MEGRE", (15.0,))
    quantify(QuantifySettings(raw=tmp_path / "echoes", out=tmp_path / "more", workers=1))
    star = read_volume(tmp_path / "more" / "sub-01" / "anat" / "sub-01_T2starmap.nii.gz").data[3:-3, 3:-3, 3:-3]
    assert np.median(star.reshape(-1)[0::4]) == pytest.approx(tissues_at(3.0)["GM"].t2star_s, rel=0.01)


def test_variable_flip_angles_need_no_scanning_sequence_and_a_bad_sidecar_stops_nobody_else(
    tmp_path: Path, oblique_affine: np.ndarray
) -> None:
    write_gradient_echoes(tmp_path / "raw", oblique_affine, "VFA", (5.0, 15.0, 40.0))
    anat, other = (tmp_path / "raw" / f"sub-{n}" / "anat" for n in ("01", "02"))
    for path in anat.glob("*.json"):
        content = {key: value for key, value in json.loads(path.read_text()).items() if key != "ScanningSequence"}
        path.write_text(json.dumps(content))
    other.mkdir(parents=True)
    for path in anat.iterdir():
        shutil.copy(path, other / path.name.replace("sub-01", "sub-02"))
    next(other.glob("*.json")).write_text("{}")
    summary = quantify(QuantifySettings(raw=tmp_path / "raw", out=tmp_path / "maps", workers=1))
    assert list(summary.failed) == ["sub-02"]
    assert "has no number RepetitionTime" in summary.failed["sub-02"]
    star = read_volume(tmp_path / "maps" / "sub-01" / "anat" / "sub-01_T2starmap.nii.gz").data[3:-3, 3:-3, 3:-3]
    assert np.median(star.reshape(-1)[0::4]) == pytest.approx(tissues_at(3.0)["GM"].t2star_s, rel=0.01)
    assert not (tmp_path / "maps" / "sub-02").exists()


def test_a_case_that_fails_now_has_no_map_of_an_earlier_run(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    """Nor has one whose maps are called otherwise now: T2map of gradient echoes became images of spin echoes."""
    write_gradient_echoes(tmp_path / "raw", oblique_affine, "VFA", (5.0, 15.0, 40.0))
    settings = QuantifySettings(raw=tmp_path / "raw", out=tmp_path / "maps", workers=1)
    anat = tmp_path / "maps" / "sub-01" / "anat"
    quantify(settings)
    for name in ("T2map", "R2map", "desc-error_R2map"):  # as the version before gave them
        shutil.copy(anat / "sub-01_T2starmap.nii.gz", anat / f"sub-01_{name}.nii.gz")
        write_sidecar(anat / f"sub-01_{name}.nii.gz", {"Units": "s"})
    assert quantify(settings).failed == {}
    assert not [path.name for path in anat.iterdir() if "T2map" in path.name or "R2map" in path.name]
    raw = tmp_path / "raw" / "sub-01" / "anat"
    first, second = (raw / f"sub-01_acq-angle{n}echo3_VFA.nii.gz" for n in (5, 40))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert list(quantify(settings).failed) == ["sub-01"]
    assert list(anat.iterdir()) == []
    table = read_table(tmp_path / "maps" / "cases.tsv", text_columns=("subject",))
    assert table[["case", "subject", "status"]].to_numpy().tolist() == [["sub-01", "01", "failed"]]


def test_a_killed_run_can_be_started_again(
    tmp_path: Path, oblique_affine: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gradient_echoes(tmp_path / "raw", oblique_affine, "MEGRE", (15.0,))
    settings = QuantifySettings(raw=tmp_path / "raw", out=tmp_path / "maps", workers=1)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("recontrast.relaxometry.quantify.run_cases", killed)
        with pytest.raises(KeyboardInterrupt):
            quantify(settings)
    (tmp_path / "maps" / ".partial-1.x-sub-01_PDmap.nii.gz").write_bytes(b"half")
    assert quantify(settings).failed == {}
    assert not list((tmp_path / "maps").rglob(".partial-*"))
