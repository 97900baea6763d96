"""Maps of error bars beside synthetic images, through the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.io.bids import read_sidecar, sidecar_path
from recontrast.io.nifti import read_volume, write_volume
from recontrast.models import MODELS
from recontrast.models.surroundings import Surroundings
from recontrast.preparation.placement import Placement
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.conformal import Calibration
from recontrast.translation.description import TranslatorDescription
from recontrast.translation.maps import error_bar_words, rounded_up, uncertainty_path
from recontrast.translation.raw import _widths_of_source
from recontrast.translation.translator import save_translator
from recontrast.translation.uncertainty import ONLY, ErrorBars
from recontrast.volume import Volume, same_grid

CALIBRATION = Calibration(kind="subjects", subjects=("a", "b"), factor=0.05, left_out=(0.88, 0.93))


@pytest.fixture
def run(tmp_path: Path, describe: Callable[..., TranslatorDescription]) -> Path:
    """A translator whose intervals all reach 0.05 of the range of 1000: its spread says nothing."""
    bars = ErrorBars(Surroundings(channels=9, width=24, hidden=2), CALIBRATION)
    save_translator(tmp_path / "run" / "translator", MODELS.build("copy", {}), describe(), {ONLY: bars})
    return tmp_path / "run"


def test_each_image_has_its_map_and_what_it_promises(run: Path, data_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = translate(TranslateSettings(run=run, input=data_set, out=out))
    assert any("calibrated on 2 subjects" in line and "at least 60 %" in line for line in summary.done)
    image = out / "sub-01" / "anat" / "sub-01_desc-synthetic_T2w.nii.gz"
    path = uncertainty_path(image)
    there = read_volume(path)
    assert same_grid(there, read_volume(image), 0)
    assert np.allclose(there.data, 50, rtol=1e-3)
    assert (there.data >= 50 * (1 - 1e-6)).all()
    facts = read_sidecar(path)
    assert (facts["Level"], facts["CalibratedOn"], facts["CalibrationSubjects"]) == (0.9, "subjects", 2)
    assert facts["CoverageOfSubjectsLeftOut"] == [0.88, 0.93]
    assert facts["GuaranteedMeanCoverage"] == pytest.approx(0.6)
    assert facts["Scale"]["factor"] == 1000
    assert "*_uncertainty.*" in (out / ".bidsignore").read_text()


def test_switched_off_nothing_is_left_and_switched_on_it_is_made_anew(
    run: Path, data_set: Path, tmp_path: Path
) -> None:
    source = data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    with_map, image = tmp_path / "one_synthetic.nii.gz", uncertainty_path(tmp_path / "one_synthetic.nii.gz")
    on = TranslateSettings(run=run, input=source, out=with_map)
    translate(on)
    assert image.name == "one_synthetic_uncertainty.nii.gz"
    assert image.is_file()
    assert "kept" in translate(on).done[0]
    image.unlink()
    assert "wrote" in translate(on).done[0]  # a map that is gone is made again
    off = translate(TranslateSettings(run=run, input=source, out=with_map, uncertainty=False))
    assert len(off.done) == 1
    assert not image.exists()
    assert not sidecar_path(image).exists()


def test_a_translator_without_them_says_why(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    source = data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    plain = save()
    summary = translate(TranslateSettings(run=plain, input=source, out=tmp_path / "a_synthetic.nii.gz"))
    assert summary.done[-1] == "no error bars: the translator was trained without them (loop.error_bars)"
    tried = save(tmp_path / "tried", uncalibrated="no validation subject")
    summary = translate(TranslateSettings(run=tried, input=source, out=tmp_path / "b_synthetic.nii.gz"))
    assert summary.done[-1] == "no error bars: no validation subject"
    assert not list(tmp_path.rglob("*uncertainty.nii.gz"))


def test_words_only_where_they_are_wanted(describe: Callable[..., TranslatorDescription]) -> None:
    assert error_bar_words([describe(calibration=CALIBRATION)], wanted=False) == []
    assert error_bar_words([describe(calibration=CALIBRATION)] * 2, wanted=True) == [CALIBRATION.words()]


def test_beyond_the_prepared_grid_nothing_is_known(tmp_path: Path) -> None:
    prepared = Volume(np.full((4, 4, 4), 7, np.float32), np.eye(4))
    raw = Volume(np.zeros((6, 4, 4), np.float32), np.eye(4))
    back = _widths_of_source(prepared, Placement.of(raw, np.eye(4)))
    assert back.shape == (6, 4, 4)
    assert (back.data[:4] == 7).all()
    assert np.isinf(back.data[4:]).all()
    write_volume(tmp_path / "x.nii.gz", back)
    assert np.isinf(read_volume(tmp_path / "x.nii.gz").data[4:]).all()


def test_half_widths_are_rounded_up_and_hardly(rng: np.random.Generator) -> None:
    half = np.concatenate([[0, np.inf], 10 ** rng.uniform(-6, 6, 10_000)]).astype(np.float32)
    rounded = rounded_up(half)
    assert (rounded >= half).all()
    np.testing.assert_allclose(rounded, half, rtol=1e-3)
    np.testing.assert_array_equal(rounded_up(rounded), rounded)
    assert len(np.unique(rounded.view(np.uint32) % 2**13)) == 1
