"""Maps and synthetic contrasts beside raw images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recontrast.errors import LayoutError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.phantom.sequences import SpoiledGradientEcho
from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.relaxometry.derived import MAPS, SUPPRESSED, SYNTHETIC, SYNTHETIC_T1W, add_synthetic
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.volume import Volume

NAMES = ("GM", "WM", "CSF", "lesion")
SHAPE = (12, 14, 10)


def write_raw(folder: Path, affine: np.ndarray, subjects: tuple[str, ...] = ("01",)) -> np.ndarray:
    """Blocks of four tissues in air, eight complex images each; returns the number of the tissue of each voxel."""
    tissue = Relaxation.of([tissues_at(3.0)[name] for name in NAMES])
    labels = np.full(SHAPE, 4)
    labels[2:-2, 2:-2, 2:-2] = np.arange(8 * 10 * 6).reshape(8, 10, 6) % 4
    for subject in subjects:
        for number, sequence in enumerate(synthetic_mri_sequences()):
            values = np.append(sequence.signal(tissue), 0.0)[labels] * 1000 * np.exp(0.6j)
            for part, data in (("mag", np.abs(values)), ("phase", np.angle(values))):
                acquisition = f"image{number}{'phase' if part == 'phase' else ''}"
                name = f"sub-{subject}_acq-{acquisition}_part-{part}_MESE.nii.gz"
                path = folder / f"sub-{subject}" / "anat" / name
                write_volume(path, Volume(data.astype(np.float32), affine))
                write_sidecar(path, sequence.sidecar())
    return labels


def test_they_are_the_formula_and_say_what_they_are(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    labels = write_raw(tmp_path, oblique_affine)
    assert add_synthetic(tmp_path, workers=1).failed == {}
    anat = tmp_path / "sub-01" / "anat"
    flair, suppressed = (read_volume(anat / f"sub-01_{label}.nii.gz").data for label in (SYNTHETIC, SUPPRESSED))
    for number, name in enumerate(NAMES):
        t = tissues_at(3.0)[name]
        wanted = 1000 * t.pd * abs(1 - 2 * np.exp(-3 / t.t1_s) + np.exp(-15 / t.t1_s)) * np.exp(-0.1 / t.t2_s)
        assert np.median(flair[labels == number]) == pytest.approx(wanted, rel=0.01, abs=1)
        kept = 0.0 if name == "CSF" else wanted
        assert np.median(suppressed[labels == number]) == pytest.approx(kept, rel=0.01)
    for label in (*MAPS, SYNTHETIC, SUPPRESSED, SYNTHETIC_T1W):
        sidecar = read_sidecar(anat / f"sub-01_{label}.nii.gz")
        assert sidecar["Synthetic"] is (label not in MAPS)
        assert len(sidecar["Sources"]) == 16


@pytest.mark.slow
def test_real_and_imaginary_parts_and_the_printed_rule(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    labels = write_raw(tmp_path, oblique_affine)
    add_synthetic(tmp_path, workers=1, literal=True, parts=True)
    anat = tmp_path / "sub-01" / "anat"
    names = ("image6_part-mag", "image6phase_part-phase", "image6real_part-real", "image6imag_part-imag")
    size, phase, real, imaginary = (read_volume(anat / f"sub-01_acq-{name}_MESE.nii.gz").data for name in names)
    np.testing.assert_allclose(real + 1j * imaginary, size * np.exp(1j * phase), rtol=1e-5, atol=1e-2)
    assert read_sidecar(anat / "sub-01_acq-image6real_part-real_MESE.nii.gz")["EchoTime"] == pytest.approx(0.0169)
    flair, kept = (read_volume(anat / f"sub-01_{label}.nii.gz").data for label in (SYNTHETIC, SUPPRESSED))
    np.testing.assert_array_equal(kept[labels == NAMES.index("CSF")], flair[labels == NAMES.index("CSF")])
    add_synthetic(tmp_path, workers=1)  # the other rule: what is there is not kept
    assert read_sidecar(anat / f"sub-01_{SUPPRESSED}.nii.gz")["CsfRule"] == "corrected"
    corrected = read_volume(anat / f"sub-01_{SUPPRESSED}.nii.gz").data
    assert np.median(corrected[labels == NAMES.index("CSF")]) == 0
    for path in anat.glob("*phase*"):
        path.unlink()
    for path in anat.glob("*real*"):
        path.unlink()
    assert "need phase images" in add_synthetic(tmp_path, workers=1, parts=True).failed["sub-01"]


@pytest.mark.slow
def test_what_is_there_is_kept_and_a_bad_case_fails_alone(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    write_raw(tmp_path, oblique_affine, ("01", "02"))
    bad = tmp_path / "sub-02" / "anat"
    first, second = (bad / f"sub-02_acq-image{n}_part-mag_MESE.json" for n in (0, 4))
    one, two = first.read_text(), second.read_text()
    first.write_text(two)
    second.write_text(one)
    summary = add_synthetic(tmp_path, workers=1)
    assert set(summary.failed) == {"sub-02"}
    assert not list(bad.glob("*FLAIR*")) + list(bad.glob("*map*"))
    kept = tmp_path / "sub-01" / "anat" / f"sub-01_{SUPPRESSED}.nii.gz"
    stamp = kept.stat().st_mtime_ns
    add_synthetic(tmp_path, workers=1)
    assert kept.stat().st_mtime_ns == stamp


def test_a_folder_without_raw_series_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no raw series"):
        add_synthetic(tmp_path)


@pytest.mark.slow
def test_killed_while_the_rule_changes_is_not_finished(
    tmp_path: Path, oblique_affine: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = write_raw(tmp_path, oblique_affine)
    add_synthetic(tmp_path, workers=1)

    def killed(path: Path, *arguments: Any, **options: Any) -> None:
        if SUPPRESSED in path.name:
            raise KeyboardInterrupt
        write_volume(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr("recontrast.relaxometry.derived.write_volume", killed)
        with pytest.raises(KeyboardInterrupt):
            add_synthetic(tmp_path, workers=1, literal=True)
    add_synthetic(tmp_path, workers=1, literal=True)
    kept = read_volume(tmp_path / "sub-01" / "anat" / f"sub-01_{SUPPRESSED}.nii.gz").data
    assert np.median(kept[labels == NAMES.index("CSF")]) > 0  # the printed rule finds none


def test_gradient_echoes_are_refused(tmp_path: Path, oblique_affine: np.ndarray) -> None:
    for number, angle in enumerate((5.0, 15.0)):
        path = tmp_path / "sub-01" / "anat" / f"sub-01_flip-{number}_VFA.nii.gz"
        write_volume(path, Volume(np.ones(SHAPE, np.float32), oblique_affine))
        write_sidecar(path, SpoiledGradientEcho(0.03, 0.003, angle).sidecar())
    assert "tell T2*" in add_synthetic(tmp_path, workers=1).failed["sub-01"]
