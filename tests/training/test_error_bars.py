"""Error bars of a translator that has just been trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.datasets.cases import held_slices
from recontrast.datasets.settings import DataSettings
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.models import MODELS
from recontrast.models.surroundings import Surroundings
from recontrast.preparation.bank import Bank
from recontrast.preparation.cohort import PreparedCase, read_cohort
from recontrast.preparation.normalize import Scale
from recontrast.training import error_bars
from recontrast.training.command import TrainSettings, train
from recontrast.training.error_bars import fit_error_bars
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.conformal import Calibration
from recontrast.translation.description import Member, TranslatorDescription, read_description, subject_hash
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.maps import uncertainty_path
from recontrast.translation.translator import Translator
from recontrast.translation.uncertainty import ErrorBars

MakePrepared = Callable[..., Path]


class Through(nn.Module):
    """Gives back its source."""

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, spatial_dims: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(out_channels, in_channels, 1, 1))

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return source * self.weight[0]


@pytest.fixture
def translator(monkeypatch: pytest.MonkeyPatch) -> Translator:
    MODELS.names()
    monkeypatch.setitem(MODELS._members, "through", Through)
    about = TranslatorDescription(
        preset="test", sources=("T1w",), target="FLAIR", model=Member(name="through"), recipe=Member(name="supervised"),
        target_scale=Scale("percentile", 0.0, 1000.0), spacing_mm=(1, 1, 1),
    )  # fmt: skip
    return Translator(Through().eval(), about, EngineSettings(engine="torch", precision="fp32", device="cpu"))


@pytest.fixture
def splits(make_prepared: MakePrepared) -> dict[str, tuple[PreparedCase, ...]]:
    cohort = read_cohort(make_prepared({"01": "train", "02": "train", "03": "validation", "04": "validation"}))
    return {name: cohort.split(name) for name in ("train", "validation")}


def test_validation_subjects_calibrate_and_are_named(
    translator: Translator, splits: dict[str, tuple[PreparedCase, ...]]
) -> None:
    bars, reason = fit_error_bars(translator, splits["train"], splits["validation"], DataSettings(held_out=0.2))
    assert reason == ""
    assert bars is not None
    calibration = bars.calibration
    assert (calibration.kind, calibration.level) == ("subjects", 0.9)
    assert set(calibration.subjects) == {subject_hash("03"), subject_hash("04")}
    assert len(calibration.left_out) == 2
    case = splits["validation"][0]
    scaled = {n: case.scales[n].apply(read_volume(case.images[n]).data) for n in ("T1w", "FLAIR")}
    head = read_volume(case.regions["head"]).data > 0
    estimate = translator.predict_scaled(scaled, {})
    half = bars.half_widths([scaled["T1w"]], estimate, read_volume(case.images["T1w"]).spacing)
    covered = (np.abs(scaled["FLAIR"] - estimate) <= half)[head].mean()
    assert 0.8 < covered < 0.98


@pytest.mark.slow
def test_without_validation_the_slabs_calibrate_and_only_they(
    translator: Translator, splits: dict[str, tuple[PreparedCase, ...]]
) -> None:
    """Targets that are off by 3 of the range in the slab alone must make intervals that reach as far."""
    data = DataSettings(held_out=0.3)
    bars, _ = fit_error_bars(translator, splits["train"], (), data)
    assert bars is not None
    assert bars.calibration.kind == "slabs"
    assert bars.calibration.guaranteed == 0
    assert set(bars.calibration.subjects) == {subject_hash("01"), subject_hash("02")}
    for case in splits["train"]:
        volume, head = read_volume(case.images["FLAIR"]), read_volume(case.regions["head"]).data > 0
        volume.data[..., held_slices(head.any(axis=(0, 1)), data)] += 3 * case.scales["FLAIR"].factor
        write_volume(case.images["FLAIR"], volume)
    ruined, _ = fit_error_bars(translator, splits["train"], (), data)
    assert ruined is not None
    assert ruined.calibration.factor > 4 * bars.calibration.factor
    none, reason = fit_error_bars(translator, splits["train"], (), DataSettings())
    assert none is None
    assert "held out" in reason


def test_cases_without_the_target_give_none(
    translator: Translator, splits: dict[str, tuple[PreparedCase, ...]]
) -> None:
    bare = [dataclasses.replace(case, images={"T1w": case.images["T1w"]}) for case in splits["train"]]
    bars, reason = fit_error_bars(translator, bare, splits["validation"], DataSettings(held_out=0.2))
    assert bars is None
    assert "no training case" in reason


def test_a_perfect_translator_gets_narrow_ones(
    splits: dict[str, tuple[PreparedCase, ...]], translator: Translator
) -> None:
    """The source itself as target: the error is zero, the interval is the least there is."""
    same = {
        name: [dataclasses.replace(c, images={**c.images, "FLAIR": c.images["T1w"]},
                                   scales={**c.scales, "FLAIR": c.scales["T1w"]}) for c in cases]
        for name, cases in splits.items()
    }  # fmt: skip
    bars, _ = fit_error_bars(translator, same["train"], same["validation"], DataSettings())
    assert bars is not None
    case = splits["validation"][0]
    scaled = case.scales["T1w"].apply(read_volume(case.images["T1w"]).data)
    assert np.median(bars.half_widths([scaled], scaled, (1.0, 1.0, 1.0))) == pytest.approx(1e-3, rel=0.2)


@pytest.mark.parametrize(("many", "asked"), [(13, 13), (12, 10), (9, 3)])
def test_directions_without_error_bars_have_their_reason(
    monkeypatch: pytest.MonkeyPatch, splits: dict[str, tuple[PreparedCase, ...]], many: int, asked: int
) -> None:
    scale = Scale("fixed", 0.0, 1.0)
    bank = Bank(sources=("T1w", "T2w", "PDw"), targets={"FLAIR": scale, "T1w": scale, "PDw": scale})
    about = TranslatorDescription(
        preset="t", sources=bank.sources, target="", bank=bank, model=Member(name="copy"), spacing_mm=(1, 1, 1),
        recipe=Member(name="supervised"), target_scale=scale,
    )  # fmt: skip
    seen: list[TranslatorDescription] = []
    able = True

    def fit(translator: Translator, *rest: object) -> tuple[ErrorBars | None, str]:
        seen.append(translator.description)
        if able and translator.description.target == "FLAIR":
            kind = "slabs" if len(translator.description.sources) == 1 else "subjects"
            return ErrorBars(Surroundings(channels=9), Calibration(kind=kind, subjects=("a",), factor=1.0)), ""
        return None, f"no {translator.description.target}"

    monkeypatch.setattr(error_bars, "fit_error_bars", fit)
    monkeypatch.setattr(error_bars, "MANY_DIRECTIONS", many)
    found, complete, said = error_bars.with_error_bars(nn.Identity(), about, splits["train"], (), DataSettings())
    assert len({(a.sources, a.target) for a in seen}) == len(seen) == asked
    assert len(found) == {13: 7, 12: 4, 9: 1}[many]
    assert "T2w + PDw to T1w has none: no T1w" in said
    if many > 9:
        assert said.startswith(f"{len(found)} of 13 directions have error bars; of these PDw to FLAIR promises least: ")
        assert "calibrated on slabs" in said
        assert complete.making("T1w", ("PDw",)).why_uncalibrated == "no T1w"
    kept = {13: "", 12: "all sources or from one", 9: "all sources"}[many]
    left_out = f"of 13 directions only those from {kept} are calibrated" if kept else ""
    assert complete.making("FLAIR", ("T1w", "PDw")).why_uncalibrated == left_out
    able = False
    found, complete, said = error_bars.with_error_bars(nn.Identity(), about, splits["train"], (), DataSettings())
    assert (found, said) == ({}, "no error bars: no FLAIR; no T1w; no PDw")
    assert complete.making("FLAIR").why_uncalibrated == "no FLAIR; no T1w; no PDw"


@pytest.mark.slow
def test_from_training_to_a_map(make_prepared: MakePrepared, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    prepared = make_prepared({"01": "train", "02": "train", "03": "validation", "04": "test"})
    settings = TrainSettings(
        prepared=prepared, run=tmp_path / "run", source=("T1w",), target="FLAIR", preset="osman2022",
        set=(*tiny, "loop.steps=2", "loop.epochs=0", "loop.error_bars=true"),
    )  # fmt: skip
    summary = train(settings)
    assert any(line.startswith("error bars of 90 %, calibrated on 1 subject") for line in summary.done)
    calibration = read_description(settings.run).calibration
    assert calibration is not None
    translate(TranslateSettings(run=settings.run, input=prepared, out=tmp_path / "out", split="test"))
    (image,) = (tmp_path / "out").rglob("*_desc-synthetic_FLAIR.nii.gz")
    assert (read_volume(uncertainty_path(image)).data > 0).all()
    assert read_sidecar(uncertainty_path(image))["CalibrationSubjectHashes"] == [subject_hash("03")]
