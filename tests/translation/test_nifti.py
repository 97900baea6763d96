"""One case: what is written beside the image, and in which type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.translation.conftest import TORCH

from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_header, read_volume, write_volume
from recontrast.preparation.normalize import fit_scale
from recontrast.provenance import sha256_of
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import read_description
from recontrast.translation.nifti import windows_asked_for
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


def test_windows_decide_only_where_they_were_asked_for(tmp_path: Path) -> None:
    places = {"run": tmp_path, "input": tmp_path, "out": tmp_path}
    assert windows_asked_for(TranslateSettings(**places)) == {}
    asked = TranslateSettings(**places, window=32, overlap=0.5)
    assert windows_asked_for(asked) == {"window": 32, "overlap": 0.5}
