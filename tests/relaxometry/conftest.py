"""Tissues and raw signals for tests of relaxometry."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.relaxometry.design import synthetic_mri_sequences

TISSUES = ("GM", "WM", "CSF", "lesion", "deepGM", "fat")


@pytest.fixture
def tissue() -> Relaxation:
    """Six tissues at 3 T, in the order of `TISSUES`."""
    return Relaxation.of([tissues_at(3.0)[name] for name in TISSUES])


@pytest.fixture
def raw(tissue: Relaxation) -> np.ndarray:
    """The eight signed signals of the six tissues, (6, 8)."""
    return np.stack([sequence.signal(tissue) for sequence in synthetic_mri_sequences()], axis=-1)
