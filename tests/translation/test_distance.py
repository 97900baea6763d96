"""What lies with the training scans is taken in silence, what does not gives one clear warning."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.errors import CheckpointError, RecontrastWarning
from recontrast.io.nifti import write_volume
from recontrast.preparation.normalize import Scale
from recontrast.translation.description import TranslatorDescription
from recontrast.translation.distance import (
    FILE,
    REGIONS,
    TrainingDistribution,
    describe,
    distribution_of,
    fit_distribution,
    load_distribution,
    save_distribution,
)
from recontrast.translation.translator import Translator, load_translator
from recontrast.volume import Volume

SPACING = (1.0, 1.5, 3.0)


def head(seed: int, shape: tuple[int, int, int] = (24, 28, 12)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt((i / 0.85) ** 2 + (j / 0.9) ** 2 + (k / 0.95) ** 2)
    values = np.where(radius < 0.6, 0.7, np.where(radius < 1, 0.4 + 0.02 * rng.random(), 0.0))
    return (values + (radius < 1) * 0.02 * rng.standard_normal(shape)).clip(0).astype(np.float32)


@pytest.fixture
def about(describe: Callable[..., TranslatorDescription]) -> TranslatorDescription:
    return describe()


def trained(about: TranslatorDescription, network: nn.Module | None = None, count: int = 8) -> TrainingDistribution:
    rows = [describe(about, {"T1w": head(n)}, SPACING, network) for n in range(count)]
    found = distribution_of(rows, [f"{n:02d}" for n in range(count)])
    assert found is not None
    return found


def test_another_scan_of_the_kind_is_within_and_changed_ones_are_beyond(about: TranslatorDescription) -> None:
    known = trained(about)
    assert not known.distance(describe(about, {"T1w": head(99)}, SPACING)).beyond
    rng = np.random.default_rng(1)
    plain = head(99)
    changed = {
        "noise": plain + 0.1 * np.abs(rng.standard_normal(plain.shape)).astype(np.float32),
        "gain": plain * 1.6,
        "inverted": np.where(plain > 0, 1 - plain, 0).astype(np.float32),
    }
    for name, image in changed.items():
        found = known.distance(describe(about, {"T1w": image}, SPACING))
        assert found.beyond, name
        assert found.what.split(", ")[0] in REGIONS


def test_the_region_that_differs_is_named(about: TranslatorDescription) -> None:
    known = trained(about)
    image = head(99)
    image[:, :, 9:] += (image[:, :, 9:] > 0) * 0.3
    found = known.distance(describe(about, {"T1w": image}, SPACING))
    assert found.what.startswith("upper third")
    assert found.regions["upper third"] > 2 * found.regions["lower third"]


def test_what_the_network_makes_of_it_counts(about: TranslatorDescription) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 1)).eval()
    row = describe(about, {"T1w": head(0)}, SPACING, network)
    assert [name for name in row if name.startswith("network")] == ["network / features / level 1"]
    assert trained(about, network).distance(row).regions.keys() == {*REGIONS, "network"}


def test_sessions_of_one_subject_are_held_out_together(about: TranslatorDescription) -> None:
    gains = np.random.default_rng(3).uniform(0.6, 1.4, 4).astype(np.float32)
    rows = [describe(about, {"T1w": head(n) * gains[n // 2]}, SPACING) for n in range(8)]
    apart = distribution_of(rows, [f"{n // 2}" for n in range(8)])
    each = distribution_of(rows, [str(n) for n in range(8)])
    assert apart is not None
    assert each is not None
    assert apart.subjects == 4
    assert apart.threshold > each.threshold  # a twin among the others would make every distance small


def test_too_few_subjects_set_no_threshold_and_air_is_not_described(about: TranslatorDescription) -> None:
    rows = [describe(about, {"T1w": head(n)}, SPACING) for n in range(3)]
    assert distribution_of(rows, ["1", "2", "3"]) is None
    assert distribution_of([], []) is None
    assert describe(about, {"T1w": np.zeros((8, 8, 8), np.float32)}, SPACING) == {}


def test_it_is_stored_and_damage_is_said(about: TranslatorDescription, tmp_path: Path) -> None:
    known = trained(about)
    assert load_distribution(tmp_path) is None
    save_distribution(tmp_path, known)
    again = load_distribution(tmp_path)
    assert again is not None
    row = describe(about, {"T1w": head(99)}, SPACING)
    assert again.distance(row) == known.distance(row)
    content = json.loads((tmp_path / FILE).read_text())
    for broken in ("[]", "{", json.dumps({**content, "format": 7}), json.dumps({**content, "numbers": {"a": [0, 0]}})):
        (tmp_path / FILE).write_text(broken)
        with pytest.raises(CheckpointError, match=r"distance\.json"):
            load_distribution(tmp_path)


def test_translate_warns_once_and_goes_on(save: Callable[..., Path], about: TranslatorDescription) -> None:
    run = save()
    known = trained(about)
    save_distribution(run / "translator", known)
    translator: Translator = load_translator(run)
    affine = np.diag([*SPACING, 1.0])
    scales = {"T1w": dataclasses.replace(about.target_scale)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = translator.run({"T1w": Volume(1000 * head(99), affine)}, scales=scales, where="sub-99")
    assert made.distance is not None
    assert not made.distance.beyond
    with pytest.warns(RecontrastWarning, match="sub-98: is unlike the scans the translator was trained on") as caught:
        odd = translator.run({"T1w": Volume(1700 * head(98), affine)}, scales=scales, where="sub-98")
    assert len(caught) == 1
    assert odd.volume.data.max() > 0
    translator.training = None
    assert translator.run({"T1w": Volume(1700 * head(98), affine)}, scales=scales).distance is None


@pytest.fixture
def cases(tmp_path: Path) -> list[Any]:
    """Five training cases on scales that make of one head what is twice as bright as another."""
    made = []
    for n in range(5):
        path = tmp_path / f"sub-{n}.nii.gz"
        write_volume(path, Volume(1000 * head(n), np.diag([*SPACING, 1.0])), np.float32)
        scales = {"T1w": Scale("percentile", 0.0, 1000.0 / (1 + n / 4))}
        case = SimpleNamespace(subject=str(n))
        made.append(SimpleNamespace(key=f"sub-{n}", case=case, images={"T1w": path}, scales=scales))
    return made


def test_what_the_translator_levels_is_no_distance(
    save: Callable[..., Path], describe: Callable[..., TranslatorDescription], cases: list[Any]
) -> None:
    levels = {"T1w": 0.5}
    known = fit_distribution(describe(source_levels=levels), cases)
    assert known is not None
    assert known.threshold < 6
    translator = load_translator(save(source_levels=levels))
    translator.training = known
    for gain in (0.4, 1.0, 2.5):
        scales = {"T1w": Scale("percentile", 0.0, 1000.0 / gain)}
        made = translator.run({"T1w": Volume(1000 * head(99), np.diag([*SPACING, 1.0]))}, scales=scales)
        assert made.distance is not None
        assert not made.distance.beyond, gain


def test_a_training_scan_that_cannot_be_read_is_named(about: TranslatorDescription, cases: list[Any]) -> None:
    cases[2].images["T1w"].write_bytes(b"")
    with pytest.warns(RecontrastWarning, match="sub-2: sets no threshold"):
        known = fit_distribution(about, cases)
    assert known is not None
    assert known.subjects == 4
