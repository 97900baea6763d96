"""One case: what is written beside the image, and in which type."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.translation.conftest import TORCH

from recontrast.errors import OutputError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_header, read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.preparation.cohort import Preparation
from recontrast.preparation.normalize import fit_scale
from recontrast.provenance import sha256_of
from recontrast.relaxometry.coverage import fit_coverage
from recontrast.translation.cases import TranslationCase
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import read_description
from recontrast.translation.distance import TrainingDistribution, save_distribution
from recontrast.translation.maps import rarity_path
from recontrast.translation.nifti import _is_raw, windows_asked_for
from recontrast.translation.support import save_training_signals
from recontrast.translation.translator import load_translator
from recontrast.volume import Volume


def test_the_sidecar_says_from_what_by_what_and_how(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    run, out = save(), tmp_path / "out"
    translate(TranslateSettings(run=run, input=data_set, out=out, subjects=("01",), **TORCH))
    sidecar = read_sidecar(out / "sub-01/anat/sub-01_desc-synthetic_T2w.nii.gz")
    source = data_set / "sub-01/anat/sub-01_T1w.nii.gz"
    assert (out / sidecar["Sources"][0]).resolve() == source
    assert sidecar["SourcesSHA256"] == [sha256_of(source)]
    assert sidecar["Translator"]["weights_sha256"] == read_description(run).weights_sha256
    assert read_description(out / sidecar["Translator"]["folder"]).target == "T2w"
    assert sidecar["Scale"] == {"name": "percentile", "offset": 0.0, "factor": 1000.0}
    assert sidecar["ScaleSettings"]["high"] == 99.9
    assert sidecar["SourceScales"]["T1w"]["factor"] == pytest.approx(fit_scale(read_volume(source)).factor)
    assert sidecar["Synthetic"] is True
    assert "Not for diagnosis" in sidecar["SyntheticStatement"]
    assert (sidecar["Engine"], sidecar["Precision"], sidecar["DifferenceFromFp32"]["rms"]) == ("torch", "fp32", 0)
    assert sidecar["SkullStripped"] is False


def test_a_name_that_is_not_utf8_breaks_nothing(
    save: Callable[..., Path], make_volume: Callable[..., Volume], tmp_path: Path
) -> None:
    run, out = save(), tmp_path / "out"
    try:
        write_volume(tmp_path / "in" / os.fsdecode(b"scan\xe9.nii.gz"), make_volume())
    except (OSError, OutputError):
        pytest.skip("this file system has names of UTF-8 only")
    settings = TranslateSettings(run=run, input=tmp_path / "in", out=out, **TORCH)
    assert dict(translate(settings).failed) == {}
    assert "1 were finished before" in "; ".join(translate(settings).done)
    assert len(read_table(out / "cases.tsv")) == 1


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_the_sources_type_is_stored_with_half_a_step_accuracy(
    save: Callable[..., Path], tmp_path: Path, make_volume: Callable[..., Volume], dtype: str
) -> None:
    run = save()
    source = tmp_path / "head.nii.gz"
    write_volume(source, make_volume(), dtype)
    exact, stored = tmp_path / "a_synthetic.nii.gz", tmp_path / "b_synthetic.nii.gz"
    for path, kind in ((exact, "float32"), (stored, "source")):
        translate(TranslateSettings(run=run, input=source, out=path, dtype=kind, **TORCH))  # type: ignore[arg-type]
    assert read_header(stored).dtype == np.dtype("uint16" if dtype == "uint8" else dtype)  # 256 steps are too few
    assert read_header(exact).dtype == np.float32
    step = float(nib.load(stored).dataobj.slope) if dtype != "float32" else 0.0
    error = np.abs(read_volume(stored, np.float64).data - read_volume(exact, np.float64).data).max()
    assert error <= step / 2 + 1e-3


def test_an_image_without_what_is_wanted_beside_it_is_not_finished(
    save: Callable[..., Path], tmp_path: Path, make_volume: Callable[..., Volume], rng: np.random.Generator
) -> None:
    """With --no-rarity first and without it then, the map was never made; a scan too small to measure is one try."""
    run, source = save(), tmp_path / "scans" / "sub-01_T1w.nii.gz"
    save_training_signals(run / "translator", fit_coverage(rng.uniform(0.2, 1, (4000, 1)), gaussians=2))
    known = TrainingDistribution(("whole / all / share with signal",), np.array([0.5]), np.array([1.0]), 9.0, 4)
    save_distribution(run / "translator", known)
    small = np.zeros((16, 18, 10), np.float32)
    small[5:11, 5:11, 3:7] = 100 * rng.uniform(1, 2, (6, 6, 4))
    for number, volume in enumerate((make_volume(), Volume(small, np.diag([1.0, 1.5, 3.0, 1.0])))):
        write_volume(source, volume)
        plain = TranslateSettings(run=run, input=source.parent, out=tmp_path / f"out{number}", **TORCH)
        image = plain.out / "sub-01_desc-synthetic_T2w.nii.gz"
        asked = [
            dataclasses.replace(plain, rarity=False, distance=False),
            dataclasses.replace(plain, rarity=False),
            plain,
        ]
        for settings in asked:
            assert "finished before" not in translate(settings).done[0]
            assert ("DistanceFromTraining" in read_sidecar(image)) == settings.distance
            assert rarity_path(image).is_file() == settings.rarity
            assert "1 were finished before" in translate(settings).done[0]
        assert (read_sidecar(image)["DistanceFromTraining"] is None) == (number == 1)


@pytest.mark.parametrize(
    ("sidecar", "raw"),
    [
        ({}, True),
        ({"SourceGrid": {}, "Recipe": "fixed-scale"}, False),
        ({"SourceGrid": {}}, False),  # an older version did not name the recipe
        ({"SourceGrid": {}, "Recipe": "native"}, True),
    ],
)
def test_an_image_of_another_recipe_is_prepared_again(
    save: Callable[..., Path], tmp_path: Path, sidecar: dict[str, object], raw: bool
) -> None:
    source = tmp_path / "sub-01_desc-prepared_T1w.nii.gz"
    write_sidecar(source, sidecar)
    case = TranslationCase(key="sub-01", output=Path("x.nii.gz"), sources={"T1w": source})
    translator = load_translator(save(preparation=Preparation(recipe="fixed-scale", grid="T1w")))
    assert _is_raw(case, translator) == raw


def test_windows_decide_only_where_they_were_asked_for(tmp_path: Path) -> None:
    places = {"run": tmp_path, "input": tmp_path, "out": tmp_path}
    assert windows_asked_for(TranslateSettings(**places)) == {}
    asked = TranslateSettings(**places, window=32, overlap=0.5)
    assert windows_asked_for(asked) == {"window": 32, "overlap": 0.5}
