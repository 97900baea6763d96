"""The transmit field of a head, from raw images whose signals tell it."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.phantom.sequences import Sequence
from recontrast.relaxometry.fitting import fit_maps
from recontrast.relaxometry.maps import Array, smooth_b1

_B1_EVERY_MM = 6.0
"""Distance of the voxels that the transmit field is fitted to."""


def transmit_field(
    images: NDArray[Any], sequences: Many[Sequence], mask: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Array:
    """The transmit field of a head, from the shape of its signals: fitted to voxels some millimetres apart, smoothed.

    It varies slowly, so that it need not be fitted everywhere; where it is asked for and no signal tells, it is 1.

    Args:
        images: Signals, (I, J, K, N).
        sequences: Sequence of each image.
        mask: The head, (I, J, K).
        spacing: Voxel size in mm.

    Returns:
        Field relative to nominal, (I, J, K); 0 outside the mask.

    Raises:
        ConfigError: The images do not tell B1.

    Example:
        >>> field = transmit_field(images, sequences, head, (2.0, 2.0, 5.0))  # doctest: +SKIP
    """
    lattice = np.zeros(mask.shape, bool)
    lattice[tuple(slice(None, None, max(1, round(_B1_EVERY_MM / step))) for step in spacing)] = True
    chosen = mask & lattice if (mask & lattice).any() else mask
    field = smooth_b1(fit_maps(images, sequences, mask=chosen, b1="fit"), spacing, mask=mask)
    return np.where(mask & (field == 0), np.float32(1), field)
