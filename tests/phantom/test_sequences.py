"""Signal equations against their analytic limits."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.phantom.sequences import (
    InversionPreparedGradientEcho,
    SaturationRecovery,
    SpinEcho,
    SpoiledGradientEcho,
    TurboSpinEcho,
    VariableFlipTurboSpinEcho,
    ernst_angle_deg,
    nulling_inversion_time_s,
    signal_at,
)
from recontrast.phantom.tissues import Relaxation


def tissue(t1: float = 1.0, t2: float = 0.08, t2star: float = 0.05, pd: float = 0.8) -> Relaxation:
    return Relaxation(*(np.array([float(v)]) for v in (t1, t2, t2star, pd)))


WM, CSF = tissue(0.84, 0.074, 0.053, 0.7), tissue(4.3, 1.8, 0.7, 1.0)

ALL = [
    SpoiledGradientEcho(0.01, 0.003, 10),
    InversionPreparedGradientEcho(2.3, 0.9, 0.003, 9, 0.007, 176),
    SpinEcho(0.5, 0.012),
    TurboSpinEcho(5.0, 0.1, 0.01, 16),
    TurboSpinEcho(9.0, 0.12, 0.01, 16, inversion_time_s=2.5),
    VariableFlipTurboSpinEcho(3.2, 0.28, 0.0035, 190),
    SaturationRecovery(4.0, 0.146, 0.0169),
]


@pytest.mark.parametrize("sequence", ALL, ids=lambda s: type(s).__name__)
def test_signal_is_proportional_to_proton_density_and_below_it(sequence):
    one, half = sequence.signal(tissue(pd=1.0)), sequence.signal(tissue(pd=0.5))
    np.testing.assert_allclose(half, one / 2)
    assert np.abs(one).max() <= 1
    several = Relaxation(*(np.array([1.0, 2.0]) for _ in range(4)))
    assert sequence.signal(several).shape == (2,)


@pytest.mark.parametrize("sequence", ALL, ids=lambda s: type(s).__name__)
def test_sidecar_has_times_in_seconds(sequence):
    sidecar = sequence.sidecar()
    assert 0 < sidecar["EchoTime"] < 1
    assert 0 < sidecar["RepetitionTime"] < 20
    assert {"PulseSequenceType", "ScanningSequence", "FlipAngle"} <= set(sidecar)


def test_spoiled_gradient_echo_is_largest_at_the_ernst_angle():
    best = ernst_angle_deg(0.02, 0.84)
    signals = [SpoiledGradientEcho(0.02, 0.0, angle).signal(WM)[0] for angle in (best - 1, best, best + 1)]
    assert signals[1] == max(signals)
    # There it is PD sqrt((1 - E1)/(1 + E1)).
    e1 = np.exp(-0.02 / 0.84)
    assert signals[1] == pytest.approx(0.7 * np.sqrt((1 - e1) / (1 + e1)))


def test_spoiled_gradient_echo_of_long_tr_sees_all_of_the_magnetisation():
    assert SpoiledGradientEcho(100.0, 0.0, 90).signal(WM)[0] == pytest.approx(0.7)
    assert SpoiledGradientEcho(100.0, 0.053, 90).signal(WM)[0] == pytest.approx(0.7 / np.e)


def test_mprage_matches_a_step_by_step_simulation():
    sequence = InversionPreparedGradientEcho(2.3, 0.9, 0.003, 9, 0.007, 176, 0.9)
    angle, t1, m = np.deg2rad(9), 0.84, 1.0
    for _ in range(20):
        m *= -0.9
        m = 1 + (m - 1) * np.exp(-(0.9 - 88 * 0.007) / t1)
        for pulse in range(176):
            if pulse == 88:
                centre = m
            m = 1 + (m * np.cos(angle) - 1) * np.exp(-0.007 / t1)
        m = 1 + (m - 1) * np.exp(-(2.3 - 0.9 - 88 * 0.007) / t1)
    expected = 0.7 * np.sin(angle) * centre * np.exp(-0.003 / 0.053)
    assert sequence.signal(WM)[0] == pytest.approx(expected, rel=1e-9)


def test_mprage_with_tiny_pulses_is_inversion_recovery():
    angle = 0.01
    sequence = InversionPreparedGradientEcho(3.0, 1.0, 0.0, angle, 0.001, 2, 1.0)
    e = np.exp
    mz = 1 - 2 * e(-1.0 / 0.84) / (1 + e(-3.0 / 0.84))
    # Steady state of perfect inversions every TR: 1 - 2 exp(-TI/T1) / (1 + exp(-TR/T1)).
    assert sequence.signal(WM)[0] / (0.7 * np.sin(np.deg2rad(angle))) == pytest.approx(mz, rel=1e-3)


def test_mprage_whose_train_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="does not fit"):
        InversionPreparedGradientEcho(2.3, 0.3, 0.003, 9, 0.007, 176)


def test_spin_echo_limits():
    assert SpinEcho(100.0, 0.074).signal(WM)[0] == pytest.approx(0.7 / np.e)
    # TE to zero: saturation recovery.
    assert SpinEcho(0.5, 0.0).signal(WM)[0] == pytest.approx(0.7 * (1 - np.exp(-0.5 / 0.84)))


def test_turbo_spin_echo_with_one_short_echo_is_saturation_recovery():
    signal = TurboSpinEcho(0.5, 0.0, 0.0, 1).signal(WM)[0]
    assert signal == pytest.approx(0.7 * (1 - np.exp(-0.5 / 0.84)))
    assert TurboSpinEcho(50.0, 0.074, 0.01, 16).signal(WM)[0] == pytest.approx(0.7 / np.e)


def test_flair_is_the_textbook_equation_and_nulls_csf():
    sequence = TurboSpinEcho(9.0, 0.124, 0.0, 1, inversion_time_s=2.472)
    expected = 0.7 * (1 - 2 * np.exp(-2.472 / 0.84) + np.exp(-9 / 0.84)) * np.exp(-0.124 / 0.074)
    assert sequence.signal(WM)[0] == pytest.approx(expected)
    null = nulling_inversion_time_s(4.3, 9.0)
    assert TurboSpinEcho(9.0, 0.124, 0.0, 1, inversion_time_s=null).signal(CSF)[0] == pytest.approx(0, abs=1e-12)
    short, long = (TurboSpinEcho(9.0, 0.1, 0.0, 1, inversion_time_s=t).signal(CSF)[0] for t in (null - 1, null + 1))
    assert short < 0 < long


def test_turbo_spin_echo_that_does_not_fit_into_tr_is_refused():
    with pytest.raises(ConfigError, match="do not fit"):
        TurboSpinEcho(0.1, 0.05, 0.01, 16)


def test_space_becomes_turbo_spin_echo_when_all_time_is_transverse():
    space = VariableFlipTurboSpinEcho(3.2, 0.1, 0.0035, 190, transverse_share=1.0)
    np.testing.assert_allclose(space.signal(WM), TurboSpinEcho(3.2, 0.1, 0.0035, 190).signal(WM))
    stored = VariableFlipTurboSpinEcho(3.2, 0.1, 0.0035, 190, transverse_share=0.0)
    expected = 0.7 * (1 - np.exp(-(3.2 - 190 * 0.0035) / 0.84)) * np.exp(-0.1 / 0.84)
    assert stored.signal(WM)[0] == pytest.approx(expected)


# T1/T2 in ms and 1 - I5/I7, 1 - I8/I7: nominal values worked out for Hagiwara 2019, saturation 120 degrees.
NOMINAL = [(750, 70, 0.115, 0.619), (1300, 85, 0.293, 0.549), (1500, 130, 0.342, 0.405), (4300, 1600, 0.612, 0.041)]


@pytest.mark.parametrize(("t1_ms", "t2_ms", "recovery", "decay"), NOMINAL)
def test_saturation_recovery_gives_the_nominal_ratios(t1_ms, t2_ms, recovery, decay):
    voxel = tissue(t1_ms / 1000, t2_ms / 1000)
    fifth, seventh, eighth = (
        SaturationRecovery(4.0, delay, echo).signal(voxel)[0]
        for delay, echo in ((1.879, 0.0169), (3.879, 0.0169), (3.879, 0.0845))
    )
    assert 1 - fifth / seventh == pytest.approx(recovery, abs=6e-4)
    assert 1 - eighth / seventh == pytest.approx(decay, abs=6e-4)


def test_saturation_recovery_limits():
    # A 90 degree saturation and a long delay leave saturation recovery; 180 degrees inversion recovery.
    plain = SaturationRecovery(4.0, 1.0, 0.0, saturation_angle_deg=90).signal(tissue(1.0, pd=1))[0]
    assert plain == pytest.approx(1 - np.exp(-1))
    inverted = SaturationRecovery(1000.0, 0.5, 0.0, saturation_angle_deg=180).signal(tissue(1.0, pd=1))[0]
    assert inverted == pytest.approx(1 - 2 * np.exp(-0.5))


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_impossible_times_are_refused(value):
    with pytest.raises(ConfigError, match="echo_time_s must be a number of at least 0"):
        SpoiledGradientEcho(0.01, value, 10)


@pytest.mark.parametrize("sequence", ALL, ids=lambda s: type(s).__name__)
def test_a_nominal_transmit_field_changes_nothing(sequence):
    assert (signal_at(sequence, WM, 1.0) == sequence.signal(WM)).all()


def test_a_weak_transmit_field_turns_less():
    weak, kept = 0.8, np.sin(np.deg2rad(72))
    turbo, recovery = TurboSpinEcho(5.0, 0.1, 0.01, 16), SaturationRecovery(4.0, 0.146, 0.0169)
    assert signal_at(turbo, WM, weak) == pytest.approx(turbo.signal(WM) * kept**2)
    assert signal_at(SpinEcho(0.5, 0.012), WM, weak) == pytest.approx(SpinEcho(0.5, 0.012).signal(WM) * kept**3)
    turned = SaturationRecovery(4.0, 0.146, 0.0169, saturation_angle_deg=96.0, flip_angle_deg=72.0)
    assert signal_at(recovery, WM, weak) == pytest.approx(turned.signal(WM) * kept)
