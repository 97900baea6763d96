"""Validation scores a network as the saved translator will be scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.datasets.cases import cache_cases
from recontrast.datasets.settings import DataSettings
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import score_volume
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.training.validation import Validator
from recontrast.translation.description import Member, TranslatorDescription

MakePrepared = Callable[..., Path]


class Half(torch.nn.Module):
    """Half the source: a network whose score can be computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return source[:, :1] * self.factor


def make(
    prepared: Path, folder: Path, protocol: str = "recontrast", plane: str = "axial", *, clip: bool = True
) -> Validator:
    cohort = read_cohort(prepared)
    cases = cohort.split("validation")
    description = TranslatorDescription(
        preset="test",
        sources=("T1w",),
        target="T2w",
        model=Member(name="unet"),
        recipe=Member(name="supervised"),
        target_scale=cases[0].scales["T2w"],
        scale_settings=cohort.scale_settings,
        spacing_mm=(1, 1, 1),
        plane=plane,  # type: ignore[arg-type]
        clip_output=clip,
    )
    cached = cache_cases(cases, ["T1w"], "T2w", DataSettings(plane=plane), folder)  # type: ignore[arg-type]
    return Validator(cases, cached, protocol, description)


@pytest.mark.slow
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_scores_are_those_of_the_protocol(make_prepared: MakePrepared, tmp_path: Path, plane: str) -> None:
    prepared = make_prepared()
    validator = make(prepared, tmp_path / "cache", plane=plane)
    result = validator.summarise(validator.score_cases(Half(), "fp32").numpy())
    (case,) = read_cohort(prepared).split("validation")
    source, target = (case.scales[label].apply(read_volume(case.images[label]).data) for label in ("T1w", "T2w"))
    brain = read_volume(case.regions["brain"], np.uint8).data > 0
    estimate = np.clip(source / 2, 0, 1)
    records = score_volume(PROTOCOLS.get("recontrast"), target, estimate, {"brain": brain, "head": brain})
    expected = {record.metric: record.value for record in records if record.region == "brain"}
    assert validator.region == "brain"
    assert result.score == result.metrics["psnr"]
    for label, value in result.metrics.items():
        assert value == pytest.approx(expected[label], rel=1e-5), label


def test_the_truth_scores_best_on_a_scale_of_other_percentiles(make_prepared: MakePrepared, tmp_path: Path) -> None:
    """The scale's name is that of the protocol, its percentile is not: its unit means something else."""
    prepared, settings = make_prepared(), ScaleSettings(high=60.0)
    (case,) = read_cohort(prepared).split("validation")
    image = read_volume(case.images["T1w"])
    write_volume(case.images["T2w"], image, np.float32)  # the target is the source: half of it is known to be wrong
    for label in ("T1w", "T2w"):
        path = case.images[label]
        write_sidecar(path, {**read_sidecar(path), "Scale": fit_scale(image, settings).to_dict()})
    (prepared / "provenance.json").write_text(json.dumps({"stage": "prepare", "settings": {"scale": {"high": 60.0}}}))
    validator = make(prepared, tmp_path / "cache", clip=False)
    network = Half()
    scores = {}
    for factor in (0.99, 0.8, 0.6, 0.5):
        network.factor.data.fill_(factor)
        scores[factor] = validator.summarise(validator.score_cases(network, "fp32").numpy()).score
    assert scores[0.99] > 40
    assert scores[0.99] > scores[0.8] > scores[0.6] > scores[0.5]


def test_what_was_not_acquired_is_scored_as_it_is_delivered(make_prepared: MakePrepared, tmp_path: Path) -> None:
    """A network that paints everywhere: half of the head was not acquired, and nothing is delivered there."""

    class Grey(Half):
        def forward(self, source: torch.Tensor) -> torch.Tensor:
            return 0 * source[:, :1] + self.factor

    prepared = make_prepared()
    (case,) = read_cohort(prepared).split("validation")
    image = read_volume(case.images["T1w"])
    cut = image.data.copy()
    cut[:9] = 0
    write_volume(case.images["T1w"], image.with_data(cut), np.float32)
    validator = make(prepared, tmp_path / "cache")
    found = validator.summarise(validator.score_cases(Grey(), "fp32").numpy())
    (case,) = read_cohort(prepared).split("validation")
    target = case.scales["T2w"].apply(read_volume(case.images["T2w"]).data)
    estimate = np.full_like(target, 0.5)
    estimate[:9] = 0
    brain = read_volume(case.regions["brain"], np.uint8).data > 0
    records = score_volume(PROTOCOLS.get("recontrast"), target, estimate, {"brain": brain, "head": brain})
    expected = {record.metric: record.value for record in records if record.region == "brain"}
    assert found.metrics["mae"] == pytest.approx(expected["mae"], rel=1e-5)
    assert found.score == pytest.approx(expected["psnr"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS.names())
def test_every_protocol_can_validate(make_prepared: MakePrepared, tmp_path: Path, protocol: str) -> None:
    validator = make(make_prepared(), tmp_path / "cache", protocol)
    result = validator.summarise(validator.score_cases(Half(), "fp32").numpy())
    assert np.isfinite(result.score)
    table = validator.table(result, 5)
    assert list(table["case"].unique()) == ["sub-03"]
    assert set(table["metric"]) == set(validator.labels)


def test_without_brain_the_head_decides(make_prepared: MakePrepared, tmp_path: Path) -> None:
    assert make(make_prepared(brain=False), tmp_path / "cache").region == "head"


def test_ranks_fill_their_own_rows(make_prepared: MakePrepared, tmp_path: Path) -> None:
    prepared = make_prepared({"01": "validation", "02": "validation", "03": "validation"})
    validator = make(prepared, tmp_path / "cache")
    whole = validator.score_cases(Half(), "fp32")
    parts = [validator.score_cases(Half(), "fp32", rank, 2) for rank in range(2)]
    assert torch.equal(whole, parts[0] + parts[1])
    assert validator.subjects == 3
    assert (parts[0][1] == 0).all()


def test_better_follows_the_direction_of_the_metric(make_prepared: MakePrepared, tmp_path: Path) -> None:
    validator = make(make_prepared(), tmp_path / "cache")
    assert validator.is_better(20.0, None)
    assert validator.is_better(20.1, 20.0)
    assert not validator.is_better(20.0, 20.0)
    assert not validator.is_better(float("nan"), None)


def test_unknown_protocol(make_prepared: MakePrepared, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="recontrast"):
        make(make_prepared(), tmp_path / "cache", "recontrsat")
    assert issubclass(UnknownNameError, ConfigError)
