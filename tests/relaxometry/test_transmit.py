"""The transmit field of a head."""

from __future__ import annotations

import numpy as np

from recontrast.phantom.sequences import signal_at
from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.relaxometry.transmit import transmit_field

NAMES = ("GM", "WM", "CSF", "lesion")
SHAPE = (14, 16, 12)


def test_the_transmit_field_is_found_from_some_of_the_voxels(rng: np.random.Generator) -> None:
    tissue = Relaxation.of([tissues_at(3.0)[name] for name in NAMES])
    labels = rng.integers(0, 4, SHAPE)
    values = np.empty((*SHAPE, 8), np.complex64)
    x = np.linspace(0.9, 1.1, SHAPE[0])
    for number, sequence in enumerate(synthetic_mri_sequences()):
        each = [signal_at(sequence, tissue, float(b1)) for b1 in x]
        values[..., number] = np.stack([each[i][labels[i]] for i in range(SHAPE[0])]) * np.exp(0.4j)
    mask = np.ones(SHAPE, bool)
    mask[:, :3] = False
    field = transmit_field(values, synthetic_mri_sequences(), mask, (3.0, 3.0, 3.0))
    assert (field[~mask] == 0).all()
    assert (field[mask] > 0).all()  # also where nothing was fitted
    wanted = np.broadcast_to(x[:, None, None], SHAPE)
    assert np.abs(field - wanted)[mask].max() < 0.06  # smoothed over 20 mm, which flattens a slope at its ends
    assert np.abs(field - wanted)[6:8][mask[6:8]].max() < 0.015
