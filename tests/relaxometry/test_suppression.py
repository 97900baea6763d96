"""The CSF rule, corrected and as printed."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, GeometryError
from recontrast.phantom.tissues import Relaxation
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.relaxometry.suppression import csf_like, suppress_csf

T1 = np.array([0.75, 1.3, 1.5, 4.3])
T2 = np.array([0.07, 0.085, 0.13, 1.6])


@pytest.fixture
def nominal() -> np.ndarray:
    """White matter, grey matter, MS lesion, CSF at nominal times."""
    tissue = Relaxation(T1, T2, T2, np.ones(4))
    return np.stack([s.signal(tissue) for s in synthetic_mri_sequences()], axis=-1)


def test_ratios_of_nominal_tissues(nominal: np.ndarray) -> None:
    np.testing.assert_allclose(1 - nominal[:, 4] / nominal[:, 6], [0.115, 0.293, 0.342, 0.612], atol=5e-4)
    np.testing.assert_allclose(nominal[:, 7] / nominal[:, 6], [0.381, 0.451, 0.595, 0.959], atol=5e-4)


def test_the_corrected_rule_finds_csf_and_spares_the_rest(nominal: np.ndarray) -> None:
    assert csf_like(nominal).tolist() == [False, False, False, True]
    assert csf_like(nominal * np.exp(1j)).tolist() == [False, False, False, True]


def test_the_printed_rule_finds_no_csf(nominal: np.ndarray) -> None:
    assert not csf_like(nominal, literal=True).any()


def test_an_all_csf_slice_becomes_zero_and_zero_denominators_stay(nominal: np.ndarray) -> None:
    slice_ = np.tile(nominal[3], (5, 6, 1))
    assert not suppress_csf(np.ones((5, 6)), slice_).any()
    dead = np.zeros((5, 6, 8))
    assert suppress_csf(np.ones((5, 6)), dead).all()


@pytest.mark.parametrize("count", [7, 9])
def test_other_numbers_of_channels_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"got {count} channels"):
        csf_like(np.ones((2, count)))


def test_shapes_must_agree(nominal: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="shape"):
        suppress_csf(np.ones(3), nominal)
