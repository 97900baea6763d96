"""Series taken apart into T1-weightings and echo times."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.phantom.sequences import SaturationRecovery, SpinEcho, SpoiledGradientEcho
from recontrast.relaxometry.design import read_design, synthetic_mri_sequences


def test_the_papers_series_runs_with_the_echo_fastest() -> None:
    series = synthetic_mri_sequences()
    assert [s.delay_s for s in series] == [0.146, 0.146, 0.546, 0.546, 1.879, 1.879, 3.879, 3.879]
    assert [s.echo_time_s for s in series[:2]] == [0.0169, 0.0845]
    assert {s.repetition_time_s for s in series} == {4.0}


def test_any_order_is_found() -> None:
    series = synthetic_mri_sequences()
    shuffled = [series[n] for n in (7, 2, 0, 5, 3, 1, 4, 6)]
    design = read_design(shuffled)
    for (echo, weighting), number in np.ndenumerate(design.order):
        assert shuffled[number].echo_time_s == design.echo_times_s[echo]
        assert shuffled[number].delay_s == design.weightings[weighting].delay_s


def test_curve_is_the_signal_without_decay_and_b1_scales_the_angles() -> None:
    design = read_design(synthetic_mri_sequences())
    t1 = 1.33
    plain = design.curve(np.array([[np.log(t1)]]))[0]
    for value, delay in zip(plain, (0.146, 0.546, 1.879, 3.879), strict=True):
        expected = 1 - 1.5 * np.exp(-delay / t1) + 0.5 * np.exp(-4 / t1)  # cos 120 = -1/2, cos 90 = 0
        assert value == pytest.approx(expected)
    weaker = design.curve(np.array([[np.log(t1), 0.75]]))[0]
    b, a, e1 = 0.0, np.deg2rad(67.5), np.exp(-4 / t1)  # 120 x 0.75 = 90
    expected = np.sin(a) * (1 - np.exp(-0.146 / t1)) / (1 - b * np.cos(a) * e1)
    assert weaker[0] == pytest.approx(expected)


def test_missing_combinations_are_refused() -> None:
    with pytest.raises(ConfigError, match="combinations are missing"):
        read_design(synthetic_mri_sequences()[:7])


def test_the_same_sequence_twice_is_refused() -> None:
    series = [*synthetic_mri_sequences(), SaturationRecovery(4.0, 0.146, 0.0169)]
    with pytest.raises(ConfigError, match="images 1 and 9 have the same sequence"):
        read_design(series)


def test_nothing_and_one_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least two images"):
        read_design([])
    with pytest.raises(ConfigError, match="one image"):
        read_design([SpoiledGradientEcho(0.004, 0.002, 5)])


def test_single_spin_echoes_of_several_echo_times_do_not_fall_apart() -> None:
    with pytest.raises(ConfigError, match="TurboSpinEcho"):
        read_design([SpinEcho(2.0, 0.02), SpinEcho(2.0, 0.08)])
