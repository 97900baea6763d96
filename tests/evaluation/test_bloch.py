"""The signal equation by hand, and where its parameters come from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.evaluation.bloch import bloch_signal, target_sequence
from recontrast.phantom.sequences import InversionPreparedGradientEcho, SpoiledGradientEcho, TurboSpinEcho

MAPS = {"T1map": np.array([0.8, 4.3, 0.0]), "T2map": np.array([0.08, 2.0, 0.0]), "PDmap": np.array([0.7, 1.0, 0.9])}


def test_flair_of_the_paper_by_hand() -> None:
    """Synthetic FLAIR of Hagiwara 2019: PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)."""
    sequence, words = target_sequence({"RepetitionTime": 15.0, "EchoTime": 0.1, "InversionTime": 3.0}, "FLAIR")
    assert words == "turbo spin echo TR 15 s, TE 0.1 s, TI 3 s (sidecar; a spin echo by its echo time)"
    made = bloch_signal(MAPS, sequence)
    for n in (0, 1):
        t1, t2, pd = (MAPS[name][n] for name in ("T1map", "T2map", "PDmap"))
        expected = pd * abs(1 - 2 * math.exp(-3 / t1) + math.exp(-15 / t1)) * math.exp(-0.1 / t2)
        assert made[n] == pytest.approx(expected, rel=1e-5)
    assert made[2] == 0  # no value in the maps


@pytest.mark.parametrize("said", ["GR", ["GR"], None])
def test_gradient_echoes_decay_with_t2star_where_it_is_known(said) -> None:
    sidecar = {"RepetitionTime": 0.02, "EchoTime": 0.005, "FlipAngle": 30, "ScanningSequence": said}
    sequence, words = target_sequence(sidecar, "T1w")
    kind = "sidecar" if said else "sidecar; a gradient echo by its flip angle"
    assert words == f"spoiled gradient echo TR 0.02 s, TE 0.005 s, flip angle 30 degrees ({kind})"
    e1, angle = math.exp(-0.02 / 0.8), math.radians(30)
    steady = 0.7 * math.sin(angle) * (1 - e1) / (1 - math.cos(angle) * e1)
    assert bloch_signal(MAPS, sequence)[0] == pytest.approx(steady * math.exp(-0.005 / 0.08), rel=1e-5)
    faster = bloch_signal({**MAPS, "T2starmap": np.array([0.02, 1.0, 0.0])}, sequence)
    assert faster[0] == pytest.approx(steady * math.exp(-0.005 / 0.02), rel=1e-5)


def test_without_parameters_the_usual_sequence_of_the_contrast_is_taken() -> None:
    assert "virtual scanner's FLAIR" in target_sequence({}, "FLAIR")[1]
    with pytest.raises(ConfigError, match="no RepetitionTime and EchoTime, and no usual sequence"):
        target_sequence({}, "SWI")
    with pytest.raises(ConfigError, match="no numbers"):
        target_sequence({"RepetitionTime": "long", "EchoTime": 0.1}, "T2w")


@pytest.mark.parametrize("said", [["GR", "IR"], "GR\\IR", "GR_IR", "RM", "IR", None])
@pytest.mark.parametrize("angle", [9, None])
def test_an_inversion_before_gradient_echoes_is_no_turbo_spin_echo(said, angle) -> None:
    """MPRAGE, also where the sidecar names no kind (prepared folders of older versions) or none that decides."""
    train = {
        "RepetitionTime": 2.3,
        "EchoTime": 0.003,
        "InversionTime": 0.9,
        "FlipAngle": angle,
        "ScanningSequence": said,
    }
    sequence, words = target_sequence(train, "T1w")
    assert isinstance(sequence, InversionPreparedGradientEcho)
    assert words.startswith("the virtual scanner's T1w (")
    for other in ("FLAIR", "acq-other_T1w"):
        with pytest.raises(ConfigError, match="no usual sequence of gradient echoes after an inversion"):
            target_sequence(train, other)


@pytest.mark.parametrize("more", [{}, {"FlipAngle": 90}, {"InversionTime": 0.9, "FlipAngle": 180}, {"EchoTime": 0}])
def test_a_short_echo_of_an_unknown_kind_has_no_signal(more) -> None:
    fast = {"RepetitionTime": 2.0, "EchoTime": 0.003, **more}
    with pytest.raises(ConfigError, match="cannot be told; add ScanningSequence"):
        target_sequence(fast, "T1w")
    assert isinstance(target_sequence({**fast, "ScanningSequence": "SE"}, "T1w")[0], TurboSpinEcho)


def test_without_a_named_kind_flip_angle_and_echo_time_decide() -> None:
    t2star = {"RepetitionTime": 0.65, "EchoTime": 0.02, "FlipAngle": 20, "InversionTime": 0}
    assert isinstance(target_sequence(t2star, "T2starw")[0], SpoiledGradientEcho)
    for flip in (90, 120, 180):  # vendors give the angle of the refocusing pulses
        sequence, words = target_sequence({"RepetitionTime": 5.0, "EchoTime": 0.096, "FlipAngle": flip}, "T2w")
        assert isinstance(sequence, TurboSpinEcho)
        assert "a spin echo by its echo time" in words
    delayed = {"RepetitionTime": 4.0, "EchoTime": 0.003, "SaturationDelay": 0.5}
    assert target_sequence(delayed, "MESE")[1].startswith("saturation recovery TR 4 s")
