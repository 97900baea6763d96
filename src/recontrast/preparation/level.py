"""How bright the tissue of an image is, from the image alone: no mask is needed, so any scan can be asked.

A scale that hangs on the brightest voxels (the 99.9th percentile) follows vessels and fat. After gadolinium the vessels
are the brightest, and brain of one subject is a third darker on that scale than brain of the next. The median of what
shows signal hardly moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_AIR = 0.05
"""Voxels below this part of the 99th percentile of the positive voxels are taken for air."""


def signal_level(values: NDArray[Any]) -> float:
    """Median of the voxels that show signal, 0 where none does.

    Args:
        values: Intensities with zero for no signal, any shape.

    Example:
        >>> signal_level(np.array([0.0, 0.0, 0.0, 2.0, 3.0, 4.0]))
        3.0
    """
    seen = values[values > 0]
    if not seen.size:
        return 0.0
    return float(np.median(seen[seen > _AIR * np.percentile(seen, 99)]))


def at_level(values: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """The values times the factor that brings their `signal_level` to `level`; as they are where nothing shows signal.

    Example:
        >>> at_level(np.array([0.0, 2.0, 3.0, 4.0], np.float32), 6.0).tolist()
        [0.0, 4.0, 6.0, 8.0]
    """
    own = signal_level(values)
    return values * np.float32(level / own) if own > 0 else values
