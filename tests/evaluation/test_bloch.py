"""The signal equation by hand, and where its parameters come from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.evaluation.bloch import bloch_signal, target_sequence

MAPS = {"T1map": np.array([0.8, 4.3, 0.0]), "T2map": np.array([0.08, 2.0, 0.0]), "PDmap": np.array([0.7, 1.0, 0.9])}


def test_flair_of_the_paper_by_hand() -> None:
    """Synthetic FLAIR of Hagiwara 2019: PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)."""
    sequence, words = target_sequence({"RepetitionTime": 15.0, "EchoTime": 0.1, "InversionTime": 3.0}, "FLAIR")
    assert "TI 3 s (sidecar)" in words
    made = bloch_signal(MAPS, sequence)
    for n in (0, 1):
        t1, t2, pd = (MAPS[name][n] for name in ("T1map", "T2map", "PDmap"))
        expected = pd * abs(1 - 2 * math.exp(-3 / t1) + math.exp(-15 / t1)) * math.exp(-0.1 / t2)
        assert made[n] == pytest.approx(expected, rel=1e-5)
    assert made[2] == 0  # no value in the maps


def test_gradient_echoes_decay_with_t2star_where_it_is_known() -> None:
    sidecar = {"RepetitionTime": 0.02, "EchoTime": 0.005, "FlipAngle": 30, "ScanningSequence": "GR"}
    sequence, words = target_sequence(sidecar, "T1w")
    assert "gradient echo" in words
    e1, angle = math.exp(-0.02 / 0.8), math.radians(30)
    steady = 0.7 * math.sin(angle) * (1 - e1) / (1 - math.cos(angle) * e1)
    assert bloch_signal(MAPS, sequence)[0] == pytest.approx(steady * math.exp(-0.005 / 0.08), rel=1e-5)
    faster = bloch_signal({**MAPS, "T2starmap": np.array([0.02, 1.0, 0.0])}, sequence)
    assert faster[0] == pytest.approx(steady * math.exp(-0.005 / 0.02), rel=1e-5)


def test_without_parameters_the_usual_sequence_of_the_contrast_is_taken() -> None:
    assert "virtual scanner's FLAIR" in target_sequence({}, "FLAIR")[1]
    train = {"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9, "ScanningSequence": ["GR", "IR"]}
    assert "virtual scanner's T1w" in target_sequence(train, "T1w")[1]
    with pytest.raises(ConfigError, match="no usual sequence"):
        target_sequence({}, "SWI")
    with pytest.raises(ConfigError, match="no numbers"):
        target_sequence({"RepetitionTime": "long", "EchoTime": 0.1}, "T2w")
