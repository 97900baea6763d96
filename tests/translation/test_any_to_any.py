"""`translate` with a translator that makes several contrasts from whatever sources there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.translation.conftest import TORCH

from recontrast.errors import CheckpointError, ConfigError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume
from recontrast.models import MODELS
from recontrast.models.surroundings import Surroundings
from recontrast.preparation.bank import Bank
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.conformal import Calibration
from recontrast.translation.description import Member, TranslatorDescription, direction_name
from recontrast.translation.translator import load_translator, save_translator
from recontrast.translation.uncertainty import ErrorBars


def test_any_to_any_says_which_sources_were_used(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={label: Scale("fixed", 0.0, 1000.0) for label in ("T2w", "PDw")})
    run = save(sources=bank.sources, target="", bank=bank, model=Member(name="copy", options={"channel": 1}))
    given: dict[str, Any] = {"run": run, "input": data_set, **TORCH}
    with pytest.raises(ConfigError, match="makes T2w, PDw: say which"):
        translate(TranslateSettings(out=tmp_path / "none", **given))
    first = translate(TranslateSettings(out=tmp_path / "all", target="T2w", **given))
    assert not first.failed
    assert first.done[-1] == "no error bars: the translator was trained without them (loop.error_bars)"
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


def test_the_sidecar_says_how_a_source_was_acquired(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={"T2w": Scale("fixed", 0.0, 1000.0)})
    usual = {"T1w": {"InversionTime": (0.0, 0.5)}}
    run = save(  # the network copies the inversion time of the T1w: 2 images, 2 + 1 numbers, 5 of the T1w before it
        sources=bank.sources,
        target="",
        bank=bank,
        acquisition=usual,
        model=Member(name="copy", options={"channel": 10}),
    )
    for subject, content in (("01", {"InversionTime": float(np.exp(1.0))}), ("02", {"InversionTime": "long"})):
        write_sidecar(data_set / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", content)
    given = TranslateSettings(run=run, input=data_set, out=tmp_path / "out", target="T2w", **TORCH)
    assert not translate(given).failed
    made = {f"0{n}": tmp_path / f"out/sub-0{n}/anat/sub-0{n}_desc-synthetic_T2w.nii.gz" for n in (1, 2)}
    image = read_volume(made["01"]).data
    assert image.max() == image[image.shape[0] // 2, image.shape[1] // 2, image.shape[2] // 2] == pytest.approx(2000)
    assert not read_volume(made["02"]).data.any()
    told = {subject: read_sidecar(path)["Settings"]["acquisition"] for subject, path in made.items()}
    assert told == {"01": {"T1w": {"InversionTime": pytest.approx(np.e)}}, "02": {}}
    assert "finished before" in translate(given).done[0]
    write_sidecar(data_set / "sub-02/anat/sub-02_T1w.nii.gz", {"InversionTime": float(np.exp(0.5))})
    translate(given)
    assert read_volume(made["02"]).data.max() == pytest.approx(1000)


def test_a_sidecar_that_is_damaged_now_leaves_no_outdated_image(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run = save(
        sources=("T1w", "PDw"),
        target="",
        bank=Bank(sources=("T1w", "PDw"), targets={"T2w": Scale("fixed", 0.0, 1000.0)}),
        acquisition={"T1w": {"InversionTime": (0.0, 0.5)}},
    )
    given = TranslateSettings(run=run, input=data_set, out=tmp_path / "out", target="T2w", **TORCH)
    assert not translate(given).failed
    (data_set / "sub-02/anat/sub-02_T1w.json").write_text("{")
    summary = translate(given)
    assert "sub-02_T1w.json: not valid JSON" in summary.failed["sub-02"]
    assert not list((given.out / "sub-02").rglob("*.nii.gz"))
    assert not list((given.out / "sub-02").rglob("*.json"))
    assert "3 were finished before" in summary.done[0]


def test_a_scan_that_is_away_with_its_sidecar_costs_no_image(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run = save(
        sources=("T1w", "PDw"),
        target="",
        bank=Bank(sources=("T1w", "PDw"), targets={"T2w": Scale("fixed", 0.0, 1000.0)}),
        acquisition={"T1w": {"InversionTime": (0.0, 0.5)}},
    )
    given = TranslateSettings(run=run, input=data_set, out=tmp_path / "out", target="T2w", **TORCH)
    files = [data_set / f"sub-02/anat/sub-02_T1w{extension}" for extension in (".nii.gz", ".json")]
    files[1].write_text('{"InversionTime": 0.9}')
    away = data_set / "drive"
    away.mkdir()
    for file in files:  # as DataLad lays them
        file.rename(away / file.name)
        file.symlink_to(away / file.name)
    assert not translate(given).failed
    away.rename(data_set / "unplugged")
    assert "waits in .kept" in translate(given).failed["sub-02"]
    (data_set / "unplugged").rename(away)
    assert "4 were finished before" in translate(given).done[0]


def test_error_bars_are_those_of_the_sources_that_a_case_has(
    describe: Callable[..., TranslatorDescription], data_set: Path, tmp_path: Path
) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={label: Scale("fixed", 0.0, 1000.0) for label in ("T2w", "PDw")})
    about = describe(
        sources=bank.sources, target="", bank=bank, model=Member(name="copy", options={"channel": 1}),
        uncalibrated_directions={"T1w to T2w": "too few heads"},
    )  # fmt: skip
    network = MODELS.build("copy", {"in_channels": about.channels, "channel": 1})
    bars = {
        direction_name(sources, "T2w"): ErrorBars(
            Surroundings(channels=3 * (len(sources) + 1) + 3, width=24, hidden=2),
            Calibration(kind="subjects", subjects=("a",) * number, factor=factor),
        )
        for number, (sources, factor) in enumerate(((("T1w", "PDw"), 0.5), (("PDw",), 2.0)), start=1)
    }
    run = save_translator(tmp_path / "run" / "translator", network, about, bars).parent
    assert "2 of 4 directions have error bars" in (run / "translator" / "README.md").read_text()
    given: dict[str, Any] = {"run": run, "input": data_set, "target": "T2w", **TORCH}
    made = translate(TranslateSettings(out=tmp_path / "all", **given))
    assert not made.failed
    assert [line[:43] for line in made.done[-2:]] == [
        "T1w + PDw to T2w: error bars of 90 %, calib", "PDw to T2w: error bars of 90 %, calibrated ",
    ]  # fmt: skip
    told = {
        path.name.split("_desc")[0]: read_sidecar(path) for path in (tmp_path / "all").rglob("*_uncertainty.nii.gz")
    }
    assert {name: sidecar["CalibrationSubjects"] for name, sidecar in told.items()} == {
        "sub-01": 1, "sub-02": 1, "sub-03_ses-1": 2, "sub-03_ses-2": 1,
    }  # fmt: skip
    again = translate(TranslateSettings(out=tmp_path / "all", **given))
    assert again.done[0].endswith("4 were finished before")

    factors = {
        name: read_sidecar(tmp_path / "all" / f"{name}_desc-synthetic_T2w.nii.gz")["Settings"]["uncertainty"][1]
        for name in ("sub-01/anat/sub-01", "sub-03/ses-1/anat/sub-03_ses-1")
    }
    assert list(factors.values()) == [0.5, 2.0]
    for label, words in (("PDw", "error bars of 90 %, calibrated on 2 subjects"), ("T1w", "no error bars: too few")):
        one = TranslateSettings(
            run=run, input=data_set / f"sub-01/anat/sub-01_{label}.nii.gz", target="T2w",
            out=tmp_path / f"sub-01_desc-synthetic_from{label}_T2w.nii.gz", **TORCH,
        )  # fmt: skip
        assert translate(one).done[-1].startswith(words)

    alone = translate(TranslateSettings(out=tmp_path / "alone", source=("T1w",), **given))
    assert alone.done[-1] == "no error bars: too few heads"
    without = translate(TranslateSettings(out=tmp_path / "without", uncertainty=False, **given))
    assert not without.failed
    for folder in ("alone", "without"):
        assert list((tmp_path / folder).rglob("*_desc-synthetic_T2w.nii.gz"))
        assert not list((tmp_path / folder).rglob("*_uncertainty.nii.gz"))


def test_error_bars_of_what_it_cannot_make_are_refused(
    describe: Callable[..., TranslatorDescription], tmp_path: Path
) -> None:
    bank = Bank(sources=("T1w",), targets={"T2w": Scale("fixed", 0.0, 1000.0)})
    about = describe(target="", bank=bank)
    network = MODELS.build("copy", {"in_channels": about.channels})
    bars = ErrorBars(Surroundings(channels=9, width=24, hidden=2), Calibration(kind="slabs", subjects=("a",), factor=1))
    folder = save_translator(tmp_path / "translator", network, about, {"T2w to T1w": bars})
    with pytest.raises(CheckpointError, match="has error bars for T2w to T1w, which it cannot make"):
        load_translator(folder)
