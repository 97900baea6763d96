"""The CSF rule of Hagiwara 2019: where the synthetic FLAIR is set to zero before it is learned from.

The paper sets it to zero where 1 - I5/I7 > 0.3 and 1 - I8/I7 > 0.7, I5 … I8 being the fifth to eighth raw image. As
printed the second test keeps only T2 below 56 ms, which no CSF has. With I8/I7 in its place (T2 above 190 ms) the rule
picks CSF and spares grey and white matter and lesions; that is the default here, and the printed rule is `literal`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, GeometryError

_IMAGES = 8


def csf_like(
    images: NDArray[Any], *, recovery: float = 0.3, decay: float = 0.7, literal: bool = False
) -> NDArray[np.bool_]:
    """Voxels that the rule calls CSF.

    Args:
        images: The eight raw images in the paper's order (echo fastest, then delay), (..., 8); magnitudes are used.
        recovery: Smallest 1 - I5/I7: long T1.
        decay: Smallest I8/I7: long T2.
        literal: The rule as printed: smallest 1 - I8/I7.

    Returns:
        (...), False where I7 is zero or not finite.

    Raises:
        ConfigError: There are not eight images.

    Example:
        >>> csf = [0.25, 0.24, 0.12, 0.12, 0.23, 0.22, 0.59, 0.57]
        >>> bool(csf_like(np.array(csf))), bool(csf_like(np.array(csf), literal=True))
        (True, False)
    """
    if images.shape[-1] != _IMAGES:
        raise ConfigError(
            f"the CSF rule needs the {_IMAGES} raw images (two echoes of four delays), got {images.shape[-1]} channels"
        )
    fifth, seventh, eighth = (np.abs(images[..., number]).astype(np.float64) for number in (4, 6, 7))
    usable = (seventh > 0) & np.isfinite(seventh)
    divisor = np.where(usable, seventh, 1.0)
    late = 1.0 - fifth / divisor
    kept = eighth / divisor
    return np.asarray(usable & (late > recovery) & ((1.0 - kept if literal else kept) > decay))


def suppress_csf(
    flair: NDArray[Any],
    images: NDArray[Any],
    *,
    recovery: float = 0.3,
    decay: float = 0.7,
    literal: bool = False,
) -> NDArray[np.float32]:
    """A synthetic FLAIR with zero where the rule finds CSF: the target of the first training stage.

    Args:
        flair: Synthetic FLAIR, (...).
        images: The eight raw images, (..., 8).
        recovery: See `csf_like`.
        decay: See `csf_like`.
        literal: See `csf_like`.

    Raises:
        ConfigError: There are not eight images.
        GeometryError: FLAIR and images differ in shape.

    Example:
        >>> csf = np.array([[0.25, 0.24, 0.12, 0.12, 0.23, 0.22, 0.59, 0.57]])
        >>> suppress_csf(np.array([0.3]), csf).tolist()
        [0.0]
    """
    if flair.shape != images.shape[:-1]:
        raise GeometryError(f"synthetic FLAIR has shape {flair.shape}, the raw images {images.shape[:-1]}")
    found = csf_like(images, recovery=recovery, decay=decay, literal=literal)
    return np.where(found, 0.0, flair).astype(np.float32)
