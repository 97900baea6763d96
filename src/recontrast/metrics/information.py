"""What one image tells about the other, whatever the mapping between their intensities."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from recontrast.errors import ConfigError
from recontrast.metrics import METRICS, Array, Undefined, as_float, metric, voxels_of

Normalisation = Literal["studholme", "arithmetic"]
"""`studholme`: (H(X) + H(Y)) / H(X, Y), 1 to 2. `arithmetic`: 2 I(X; Y) / (H(X) + H(Y)), 0 to 1."""


_ONE_BIN = "all voxels of the region fall into one bin of the histogram"


def nmi_map(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    low: float = 0.0,
    bins: int = 64,
) -> Array:
    """What each voxel contributes to NMI: 1 + log(p(a, b) / (p(a) p(b))) / H(X, Y) of its pair of intensities (a, b).

    Low where the pair is rarer than chance would have it: intensities that do not go together elsewhere. Arguments as
    for `nmi`; the histogram is that of the region.

    Returns:
        float64 array of the images' shape, nan outside the region; its mean inside is `nmi`.

    Raises:
        ConfigError: Fewer than two bins.
        Undefined: The region is empty or falls into one bin.

    Example:
        >>> nmi_map(np.array([0.0, 1.0]), np.array([1.0, 0.0]), data_range=1.0).tolist()
        [2.0, 2.0]
    """
    true, judged, joint = _joint(reference, estimate, mask, low, data_range, bins)
    together = _entropy(joint)
    if together == 0:
        raise Undefined(_ONE_BIN)
    chance = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    values = np.full(np.shape(reference), np.nan)
    inside = np.ones(values.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    values[inside] = 1 + np.log(joint[true, judged] / chance[true, judged]) / together
    return values


@METRICS.register("nmi")
@metric(best=2.0, higher_is_better=True, worst=0.0, title="NMI", map=nmi_map)
def nmi(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float,
    low: float = 0.0,
    bins: int = 64,
    normalisation: Normalisation = "studholme",
) -> float:
    """Normalised mutual information of the joint histogram (Studholme, Hill and Hawkes 1999, Pattern Recognit 32:71).

    Args:
        reference: The true image, any shape.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels.
        data_range: The histogram goes from `low` to `low + data_range`; values beyond fall into its end bins.
        low: Where the histogram starts.
        bins: Bins along each image. More bins give higher values: never compare across.
        normalisation: See `Normalisation`.

    Returns:
        1 (independent) to 2 (each intensity of one belongs to one of the other), or 0 to 1 for `arithmetic`; nan where
        all voxels fall into one bin. Small regions are biased upwards: a region of few voxels has few of each kind.

    Raises:
        ConfigError: Fewer than two bins, or another normalisation.

    Example:
        >>> nmi(np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0]), data_range=1.0)
        2.0
    """
    if normalisation not in get_args(Normalisation):
        raise ConfigError(f"nmi: normalisation '{normalisation}' must be studholme or arithmetic")
    _, _, joint = _joint(reference, estimate, mask, low, data_range, bins)
    together = _entropy(joint)
    if together == 0:
        raise Undefined(_ONE_BIN)
    apart = _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))
    return apart / together if normalisation == "studholme" else 2 * (apart - together) / apart


def _joint(
    reference: Array, estimate: Array, mask: Array | None, low: float, data_range: float, bins: int
) -> tuple[Array, Array, Array]:
    """Bin of each voxel of the region in both images, and the joint probabilities."""
    if bins < 2:
        raise ConfigError(f"nmi: bins {bins} must be at least 2")
    true = _binned(voxels_of(reference, mask), low, data_range, bins)
    judged = _binned(voxels_of(estimate, mask), low, data_range, bins)
    return true, judged, np.bincount(true * bins + judged, minlength=bins * bins).reshape(bins, bins) / true.size


def _binned(values: Array, low: float, data_range: float, bins: int) -> Array:
    position = (as_float(values).astype(np.float64) - low) * (bins / data_range)
    return np.clip(position, 0, bins - 1).astype(np.intp)


def _entropy(probabilities: Array) -> float:
    """In nats."""
    filled = probabilities[probabilities > 0]
    return float(max(0.0, -(filled * np.log(filled)).sum()))
