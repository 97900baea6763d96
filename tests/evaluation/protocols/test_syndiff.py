"""SynDiff's test code in plain numpy: own maximum, padding to 256, crop of 256 x 152, peak of the generated slice."""

from __future__ import annotations

import numpy as np
import pytest


def reference_psnr(real: np.ndarray, fake: np.ndarray) -> float:
    """One slice, axes front to back and left to right, as in the released data."""
    out = []
    for image in (real, fake):
        rows, columns = ((256 - n) // 2 for n in image.shape)
        padded = np.zeros((256, 256))
        padded[rows : rows + image.shape[0], columns : columns + image.shape[1]] = image / image.max()
        out.append(padded[:, 52 : 52 + 152])
    return float(20 * np.log10(out[1].max() / np.sqrt(((out[1] - out[0]) ** 2).mean())))


def test_equals_the_released_formula(pair, regions, score) -> None:
    found = score("syndiff", *pair)
    kept = np.flatnonzero(regions["brain"].any(axis=(0, 1)))
    expected = np.mean([reference_psnr(pair[0][..., k].T, pair[1][..., k].T) for k in kept])
    assert found["psnr"] == pytest.approx(expected, abs=1e-6)


def test_wide_images_are_cropped(rng: np.random.Generator, score) -> None:
    real, fake = rng.random((180, 40, 2)), rng.random((180, 40, 2))
    expected = np.mean([reference_psnr_wide(real[..., k], fake[..., k]) for k in range(2)])
    assert score("syndiff", real, fake, masks={"head": np.ones(real.shape, bool)})["psnr"] == pytest.approx(expected)


def reference_psnr_wide(real: np.ndarray, fake: np.ndarray) -> float:
    """180 voxels across: 14 are cut on either side; 216 rows of zeros are added front and back."""
    a, b = (image[14:-14] / image.max() for image in (real, fake))
    return float(20 * np.log10(b.max() / np.sqrt(((b - a) ** 2).sum() / (152 * 256))))


def test_a_gain_error_is_forgiven(pair, score) -> None:
    """A trap of this convention, not a virtue: half the brightness costs nothing."""
    assert score("syndiff", pair[0], 0.5 * pair[1])["psnr"] == pytest.approx(score("syndiff", *pair)["psnr"])
