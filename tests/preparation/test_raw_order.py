"""Exchanged raw images are found out by the signal equation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recontrast.errors import LayoutError
from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.preparation.raw_order import check_raw_order
from recontrast.relaxometry.design import synthetic_mri_sequences


@pytest.fixture(scope="module")
def head() -> list[np.ndarray]:
    """Magnitudes of four tissues with some spread, an uneven transmit field, and noise."""
    rng = np.random.default_rng(3)
    kinds = [tissues_at(3.0)[name] for name in ("WM", "GM", "CSF", "lesion") for _ in range(60)]
    spread = rng.normal(1, 0.05, (2, len(kinds)))
    tissue = Relaxation.of(kinds)
    tissue = Relaxation(tissue.t1_s * spread[0], tissue.t2_s * spread[1], tissue.t2star_s, tissue.pd)
    signals = [sequence.signal(tissue) for sequence in synthetic_mri_sequences()]
    noise = [rng.normal(0, 0.01, (2, len(kinds))) for _ in signals]
    return [np.hypot(signal + real, imaginary) for signal, (real, imaginary) in zip(signals, noise, strict=True)]


def test_the_declared_order_passes(head: list[np.ndarray]) -> None:
    check_raw_order(head, "sub-01")


def test_single_voxels_that_follow_no_curve_do_not_hide_the_order(head: list[np.ndarray]) -> None:
    # Their second echo is, by noise or movement, a little above the first.
    odd = [
        np.concatenate([image, 1.2 * head[number // 2 * 2][:12] * (1.03 if number % 2 else 1.0)])
        for number, image in enumerate(head)
    ]
    check_raw_order(odd, "sub-01")


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(range(8), 2)))
def test_every_exchange_of_two_images_is_refused(first: int, second: int, head: list[np.ndarray]) -> None:
    images = list(head)
    images[first], images[second] = images[second], images[first]
    with pytest.raises(LayoutError, match="sub-01: the raw images are not in order"):
        check_raw_order(images, "sub-01")


def test_the_right_order_is_named(head: list[np.ndarray]) -> None:
    delay_fastest = [head[2 * delay + echo] for echo in (0, 1) for delay in range(4)]
    with pytest.raises(LayoutError, match="in the order 1, 5, 2, 6, 3, 7, 4, 8"):
        check_raw_order(delay_fastest, "sub-01")


def test_what_does_not_tell_is_refused(head: list[np.ndarray]) -> None:
    with pytest.raises(LayoutError, match="cannot be checked"):
        check_raw_order([head[0] * 0 + 1.0] * 8, "sub-01")
    with pytest.raises(LayoutError, match="only 0 voxels"):
        check_raw_order([image * 0 for image in head], "sub-01")
    with pytest.raises(LayoutError, match=r"cannot be checked|not in order"):
        check_raw_order([*head[:6], head[6] * 0, head[7]], "sub-01")
