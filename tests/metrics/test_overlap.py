"""Dice by hand."""

from __future__ import annotations

import math

import numpy as np

from recontrast.metrics.overlap import dice


def test_half_overlap() -> None:
    assert dice(np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0])) == 0.5
    assert dice(np.array([1, 1, 0]), np.array([0, 0, 1])) == 0.0


def test_labels_above_127_and_one_label_of_many() -> None:
    reference, estimate = np.array([200, 200, 17, 0], np.uint8), np.array([200, 17, 17, 0], np.int32)
    assert dice(reference, estimate, label=200) == 2 / 3
    assert dice(reference, estimate, label=17) == 2 / 3
    assert dice(reference, estimate) == 1.0


def test_two_empty_regions_are_undefined() -> None:
    value, reason = dice.score(np.zeros(4), np.zeros(4))
    assert math.isnan(value)
    assert "empty in both" in reason
