"""Coverage and width of error bars: known answers, planted faults, infinite width."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recontrast.errors import FormatError, GeometryError, IntensityError
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.intervals import (
    COLUMNS,
    TABLE,
    Intervals,
    IntervalScore,
    case_intervals,
    interval_means,
    interval_words,
    intervals_table,
    made_regions,
    score_intervals,
    verdict_of,
)
from recontrast.io.bids import Case, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.preparation.normalize import Scale
from recontrast.translation.conformal import calibrate
from recontrast.translation.description import subject_hash
from recontrast.translation.maps import uncertainty_path
from recontrast.volume import Volume

NOISE = 0.03
"""Standard deviation of the error of the synthetic images of the fixtures, in parts of full scale."""


def test_known_errors_are_covered_as_the_normal_distribution_says() -> None:
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((40, 40, 40))
    regions = {"head": np.ones((40, 40, 40), bool), "none": np.zeros((40, 40, 40), bool)}
    (score,) = score_intervals(reference, np.zeros_like(reference), np.full(reference.shape, 1.645), regions)
    assert score.coverage == pytest.approx(0.9, abs=0.005)
    assert score.width == pytest.approx(3.29)
    assert score.even_width == pytest.approx(3.29, rel=0.01)
    assert (score.unbounded, score.voxels) == (0.0, 64000)


def test_one_width_for_all_needs_more_where_errors_differ() -> None:
    rng = np.random.default_rng(0)
    sd = np.where(np.arange(40)[:, None, None] < 36, 0.1, 2.0) * np.ones((40, 40, 40))
    reference = sd * rng.standard_normal(sd.shape)
    head = {"head": np.ones(sd.shape, bool)}
    (fitting,) = score_intervals(reference, np.zeros_like(sd), 1.645 * sd, head)
    assert fitting.coverage == pytest.approx(0.9, abs=0.005)
    assert fitting.even_width < fitting.width < 1.2  # the loud tenth can be left out altogether: even is not honest
    loud = {"loud": sd > 1}
    (there,) = score_intervals(reference, np.zeros_like(sd), 1.645 * sd, loud)
    (even,) = score_intervals(reference, np.zeros_like(sd), np.full(sd.shape, fitting.even_width / 2), loud)
    assert there.coverage == pytest.approx(0.9, abs=0.01)
    assert even.coverage < 0.2


def test_infinite_width_covers_all_and_is_seen() -> None:
    zeros, head = np.zeros((3, 3, 3)), {"head": np.ones((3, 3, 3), bool)}
    half = np.full((3, 3, 3), 0.1)
    half[0] = np.inf
    (score,) = score_intervals(zeros + 1, zeros, half, head)
    assert (score.coverage, score.width) == (pytest.approx(1 / 3), math.inf)
    assert score.unbounded == pytest.approx(1 / 3)
    found = {Case("01"): Intervals(0.9, "subjects", (), (score,))}
    table = intervals_table(found, "recontrast", "passed")
    assert "infinitely wide" in interval_words(table)[0]
    assert IntervalScore.from_json(json.loads(json.dumps(score.to_json()))) == score


def test_edges_are_the_steepest_tenth_of_the_head() -> None:
    reference = np.zeros((20, 20, 20))
    reference[:10] = 1.0
    head = np.zeros(reference.shape, bool)
    head[2:18, 2:18, 2:18] = True
    made = made_regions(reference, head, (1.0, 1.0, 1.0))
    assert set(np.flatnonzero(made["edges"].any(axis=(1, 2)))) <= {9, 10}
    assert (made["outside"] == ~head).all()
    assert set(made_regions(reference, np.zeros_like(head), (1.0, 1.0, 1.0))) == {"outside"}


def rows(coverages: dict[str, float], region: str = "head", width: float = 0.2) -> pd.DataFrame:
    return pd.concat([
        intervals_table({Case(subject): Intervals(0.9, "subjects", (subject_hash("99"),), (
            IntervalScore(region, coverage, width, 0.3, 0.0, 10),
        ))}, "recontrast", "passed") for subject, coverage in coverages.items()
    ])  # fmt: skip


def test_words_judge_the_mean_over_subjects_and_name_those_calibrated_on() -> None:
    assert interval_words(rows({"01": 0.88, "02": 0.92}))[0].endswith("as promised")
    (narrow,) = interval_words(rows({"01": 0.71, "02": 0.75}))
    assert narrow == (
        "error bars of 90 % cover 73.0 % of the voxels of the head (71.0 % to 75.0 % over 2 subjects), mean width 0.2 "
        "(one width for all would need 0.3): too narrow"
    )
    wide = interval_words(pd.concat([rows({"01": 0.9}), rows({"01": 0.99}, "GM"), rows({"01": 0.5}, "lesion")]))
    assert wide[1:] == ["error bars are too narrow in lesion 50.0 %", "error bars are too wide in GM 99.0 %"]
    assert "calibrated on sub-99: their coverage is no test" in interval_words(rows({"99": 0.9}))[-1]
    assert interval_words(pd.DataFrame(columns=list(COLUMNS))) == []


def test_sessions_of_a_subject_are_averaged_first() -> None:
    found = {
        Case(subject, session): Intervals(0.9, "subjects", (), (IntervalScore("head", c, 0.1, 0.1, 0.0, 5),))
        for subject, session, c in (("01", "1", 0.8), ("01", "2", 1.0), ("02", None, 0.5))
    }
    (row,) = interval_means(intervals_table(found, "recontrast", "passed")).to_dict("records")
    assert (row["coverage"], row["lowest"], row["highest"]) == (pytest.approx(0.7), 0.5, pytest.approx(0.9))
    assert row["subjects"] == 2


def test_verdicts() -> None:
    assert verdict_of(0.886, 0.9, 0.1) == "as promised"
    assert verdict_of(0.88, 0.9, 0.1) == "too narrow"
    assert verdict_of(0.95, 0.9, math.inf) == "infinitely wide"


@pytest.fixture
def settings(prepared: Path, write_synthetic: Callable[..., Path], tmp_path: Path) -> EvaluateSettings:
    """Synthetic images whose error is known, with error bars that hold 90 % of it."""
    calibration = calibrate({subject_hash("03"): np.arange(1.0, 11.0)}, "subjects")
    for subject in ("04", "05", "06"):
        path = write_synthetic(subject)
        half = read_volume(path).with_data(np.full(read_volume(path).shape, 1.645 * NOISE * 2000, np.float32))
        write_volume(uncertainty_path(path), half)
        write_sidecar(uncertainty_path(path), calibration.to_sidecar())
    return EvaluateSettings(
        synthetic=tmp_path / "synthetic", reference=prepared, out=tmp_path / "evaluation", workers=1, controls=(),
    )  # fmt: skip


def test_evaluate_writes_them_beside_the_scores(settings: EvaluateSettings) -> None:
    summary = evaluate(settings)
    assert summary.failed == {}
    table = read_table(settings.out / TABLE, ("subject", "session"))
    assert tuple(table.columns) == COLUMNS
    assert set(table["region"]) == {"head", "brain", "lesion", "edges", "outside"}
    head = table[table["region"] == "head"]
    assert head["coverage"].mean() == pytest.approx(0.9, abs=0.015)
    assert head["width"].mean() == pytest.approx(2 * 1.645 * NOISE, rel=1e-3)
    assert set(table["kind"]) == {"subjects"}
    assert not table["calibrated_on_it"].any()
    assert any(line.startswith("error bars of 90 % cover") and line.endswith("as promised") for line in summary.done)
    assert json.loads((settings.out / "evaluation.json").read_text())["error_bars"][0].endswith("as promised")


def test_planted_narrow_error_bars_are_found(settings: EvaluateSettings) -> None:
    for path in settings.synthetic.rglob("*_uncertainty.nii.gz"):
        half = read_volume(path)
        write_volume(path, half.with_data(half.data / 2))
    lines = evaluate(settings).done
    assert any(line.startswith("error bars of 90 % cover 5") and line.endswith("too narrow") for line in lines)
    table = read_table(settings.out / TABLE)
    covered = table.loc[table["region"] == "head", "coverage"].mean()
    assert covered == pytest.approx(0.589, abs=0.015)  # of a normal distribution within 0.82 standard deviations


def test_without_maps_nothing_is_said_of_them(settings: EvaluateSettings) -> None:
    for path in settings.synthetic.rglob("*_uncertainty.*"):
        path.unlink()
    # An earlier evaluation of the same settings left its table.
    settings.out.mkdir()
    (settings.out / TABLE).write_text("case\n")
    lines = evaluate(settings).done
    assert not (settings.out / TABLE).exists()
    assert not any("error bars" in line for line in lines)


def test_maps_that_cannot_be_are_refused(write_synthetic: Callable[..., Path]) -> None:
    image = write_synthetic("04")
    volume, path = read_volume(image), uncertainty_path(image)
    arguments = (image, (volume, volume.data, volume.data), Scale("percentile", 0.0, 1.0), {"head": volume.data > 0})
    assert case_intervals(*arguments) is None
    write_volume(path, volume.with_data(np.full(volume.shape, -1, np.float32)))
    with pytest.raises(FormatError, match="no Level"):
        case_intervals(*arguments)
    write_sidecar(path, {"Level": 0.9})
    with pytest.raises(IntensityError, match="negative or not a number"):
        case_intervals(*arguments)
    write_volume(path, Volume(np.ones((3, 3, 3), np.float32), volume.affine))
    with pytest.raises(GeometryError, match="error bars"):
        case_intervals(*arguments)


def test_a_finished_case_is_taken_over_with_its_intervals(
    settings: EvaluateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recontrast.evaluation import command

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(settings)
    evaluate(settings)
    once = read_table(settings.out / TABLE)
    fresh = dataclasses.replace(settings, out=settings.out.with_name("fresh"))
    evaluate(fresh)
    pd.testing.assert_frame_equal(once, read_table(fresh.out / TABLE))
