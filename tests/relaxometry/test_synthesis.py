"""Contrasts from maps against their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, IntensityError, UnknownNameError
from recontrast.relaxometry.maps import ParameterMaps
from recontrast.relaxometry.synthesis import SEQUENCES, required_maps, spin_echo_sequence, synthesize

T1, T2, PD = 1.33, 0.1, 0.82


@pytest.fixture
def grey() -> ParameterMaps:
    one = np.ones((2, 3, 4), np.float32)
    mask = one > 0
    mask[0, 0, 0] = False
    return ParameterMaps(pd=PD * one, mask=mask, r1=one / np.float32(T1), r2=one / np.float32(T2))


def test_flair_is_the_papers_formula(grey: ParameterMaps) -> None:
    image = synthesize(grey, spin_echo_sequence("FLAIR"))
    expected = PD * abs(1 - 2 * np.exp(-3.0 / T1) + np.exp(-15.0 / T1)) * np.exp(-0.1 / T2)
    np.testing.assert_allclose(image[grey.mask], expected, rtol=1e-5)
    assert image[0, 0, 0] == 0


def test_t1w_is_saturation_recovery(grey: ParameterMaps) -> None:
    image = synthesize(grey, spin_echo_sequence("T1w"))
    np.testing.assert_allclose(image[grey.mask], PD * (1 - np.exp(-0.5 / T1)) * np.exp(-0.01 / T2), rtol=1e-5)


def test_an_inverted_signal_becomes_positive(grey: ParameterMaps) -> None:
    assert synthesize(grey, spin_echo_sequence("FLAIR", ti_ms=100.0)).min() >= 0


def test_contrasts_are_ordered_as_radiologists_know_them() -> None:
    times = {"WM": (0.84, 0.074, 0.70), "GM": (1.33, 0.1, 0.82), "CSF": (4.3, 1.8, 1.0)}
    one = np.ones(1, np.float32)

    def value(tissue: str, contrast: str) -> float:
        t1, t2, pd = times[tissue]
        maps = ParameterMaps(pd=pd * one, mask=one > 0, r1=one / t1, r2=one / t2)
        return float(synthesize(maps, spin_echo_sequence(contrast))[0])

    assert value("WM", "T1w") > value("GM", "T1w") > value("CSF", "T1w")
    assert value("CSF", "T2w") > value("GM", "T2w") > value("WM", "T2w")
    assert value("GM", "FLAIR") > value("WM", "FLAIR") > value("CSF", "FLAIR")
    assert value("GM", "PDw") > value("WM", "PDw")


def test_every_named_contrast_can_be_built_and_says_what_it_is() -> None:
    for name, named in SEQUENCES.items():
        assert spin_echo_sequence(name).repetition_time_s == pytest.approx(named.repetition_time_ms / 1000)
        assert "ms" in named.summary


def test_impossible_times_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="FLAIR"):
        spin_echo_sequence("FLAR")
    with pytest.raises(ConfigError, match="times are in ms"):
        spin_echo_sequence("FLAIR", tr_ms=15.0)
    with pytest.raises(ConfigError, match="not negative"):
        spin_echo_sequence("T2w", te_ms=-1.0)
    with pytest.raises(ConfigError, match="do not fit"):
        spin_echo_sequence("FLAIR", ti_ms=16000.0)


def test_maps_without_numbers_are_refused(grey: ParameterMaps) -> None:
    class Broken:
        def signal(self, tissue):
            return np.full(tissue.pd.shape, np.nan)

    with pytest.raises(IntensityError, match="no finite signal"):
        synthesize(grey, Broken())  # type: ignore[arg-type]


def test_which_maps_are_needed() -> None:
    assert required_maps(spin_echo_sequence("FLAIR")) == ("T1", "T2", "PD")
    assert required_maps(spin_echo_sequence("T1w", te_ms=0.0)) == ("T1", "PD")
