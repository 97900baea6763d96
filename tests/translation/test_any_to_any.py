"""`translate` with a translator that makes several contrasts from whatever sources there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.translation.conftest import TORCH

from recontrast.errors import ConfigError
from recontrast.io.bids import read_sidecar
from recontrast.io.dicom.find import Inventory
from recontrast.io.nifti import read_volume
from recontrast.preparation.bank import Bank
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import Member, read_description
from recontrast.translation.dicom import find_dicom_cases


def test_any_to_any_says_which_sources_were_used(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={label: Scale("fixed", 0.0, 1000.0) for label in ("T2w", "PDw")})
    run = save(sources=bank.sources, target="", bank=bank, model=Member(name="copy", options={"channel": 1}))
    given: dict[str, Any] = {"run": run, "input": data_set, **TORCH}
    with pytest.raises(ConfigError, match="makes T2w, PDw: say which"):
        translate(TranslateSettings(out=tmp_path / "none", **given))
    first = translate(TranslateSettings(out=tmp_path / "all", target="T2w", **given))
    assert not first.failed
    assert first.done[-1] == "no error bars: translators of any contrast have none yet"
    assert not translate(TranslateSettings(out=tmp_path / "one", target="T2w", source=("PDw",), **given)).failed
    with pytest.raises(ConfigError, match="target was 'T2w', is now 'PDw'"):
        translate(TranslateSettings(out=tmp_path / "all", target="PDw", **given))
    name = "sub-01/anat/sub-01_desc-synthetic_T2w.nii.gz"
    all_of_it, one = (read_sidecar(tmp_path / folder / name) for folder in ("all", "one"))
    assert (all_of_it["SourceContrasts"], one["SourceContrasts"]) == (["T1w", "PDw"], ["PDw"])
    assert list(one["SourceScales"]) == ["PDw"]
    # the network copies PDw: it is the same in both, and is what went in
    images = [read_volume(tmp_path / folder / name).data for folder in ("all", "one")]
    source = read_volume(data_set / "sub-01/anat/sub-01_PDw.nii.gz")
    assert np.array_equal(*images)
    np.testing.assert_allclose(images[0], 1000 * fit_scale(source).apply(source.data), rtol=1e-5, atol=1e-3)
    made = translate(TranslateSettings(out=tmp_path / "PDw", target="PDw", **given))
    assert list(made.failed) == ["sub-03_ses-1"]
    absent = read_volume(tmp_path / "PDw/sub-01/anat/sub-01_desc-synthetic_PDw.nii.gz")
    assert not absent.data.any()  # the target is never given: the channel that is copied holds zeros


def test_any_to_any_does_not_take_dicom(save: Callable[..., Path], tmp_path: Path) -> None:
    bank = Bank(sources=("T1w",), targets={"T2w": Scale("fixed", 0.0, 1000.0)})
    about = read_description(save(target="", bank=bank)).making("")
    with pytest.raises(ConfigError, match="does not take DICOM"):
        find_dicom_cases(Inventory(()), about, (), tmp_path)
