"""Images without a trace of where they come from: all arms of a case in one grid, one mask, one number format.

What tells an arm besides its picture: names, headers, number types, scales, gaps between grey levels (integers of the
scanner against numbers of a network), noise or exact zeros of air, sizes of compressed files, times of files. All
of these are made equal here; what is left is the picture.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from recontrast.errors import IntensityError, RecontrastWarning
from recontrast.io.nifti import read_volume
from recontrast.preparation.mask import head_mask, require_signal
from recontrast.preparation.resample import resample
from recontrast.volume import Volume, same_grid

LEVELS = 4096
"""Grey levels sent to the page (12 bits in 16)."""

WHITE = 2700
"""Level of the 99.5th percentile; brighter values keep their order up to 1.5 times of it."""

PERCENTILES = (0.5, 99.5)

DEPTH_MM = 15.0
"""The percentiles are those of what lies deeper in the head than this: fat of the scalp would leave the brain dark."""

_FEWEST_DEEP = 500

_MOST_UNIQUE = 4096

_SMALLEST_SHARE = 0.8


@dataclass(frozen=True)
class BlindCase:
    """The images of one case as the page gets them.

    Attributes:
        images: Arm to values, uint16 below 4096, axes RAS, shape (I, J, K).
        spacing: mm along each axis.
        affine: Voxel to world, RAS+ mm; stays with the key.
    """

    images: Mapping[str, NDArray[np.uint16]]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]


def blind_case(
    case: str,
    files: Mapping[str, Path],
    acquired: str,
    *,
    scale: Literal["own", "reference"] = "own",
    mask_background: bool = True,
    seed: int = 0,
) -> BlindCase:
    """Read the images of a case and make everything equal that is not the picture itself.

    The grid is that of the acquired image with axes along RAS; the head is what is head in all arms. Values between the
    0.5th and 99.5th percentile of the inner head become levels 0 to 2700. Before rounding, every arm gets the same
    noise: for each step between the grey levels of an arm, uniform noise as wide as that step. Noise of its own step
    closes the gaps in an arm's histogram evenly, and more noise opens none.

    Args:
        case: Name, for messages.
        files: Arm to image.
        acquired: The arm whose grid holds for all.
        scale: `own`: percentiles of each image; `reference`: those of the acquired one for all.
        mask_background: Level 0 outside the head.
        seed: Of the noise.

    Raises:
        FormatError: A file cannot be read.
        IntensityError: An image is constant or not finite.
    """
    reference = _read(case, acquired, files[acquired])
    volumes = {arm: _on(reference, _read(case, arm, path), f"case {case}, arm '{arm}'") for arm, path in files.items()}
    head = _common_head(case, volumes)
    inside = _deep(head, reference.spacing)
    ranges = {arm: np.percentile(volume.data[inside], PERCENTILES) for arm, volume in volumes.items()}
    scaled = {}
    for arm, volume in volumes.items():
        low, high = ranges[acquired if scale == "reference" else arm]
        if not high > low:
            raise IntensityError(f"case {case}, arm '{arm}': is constant inside the head ({files[arm]})")
        scaled[arm] = (np.asarray(volume.data, dtype=np.float64) - low) * (WHITE / (high - low))
    steps = {step for values in scaled.values() if (step := grey_step(values[head])) > 0}
    steps |= set() if max(steps, default=0) >= 1 else {1.0}  # the step of rounding
    images = {}
    for arm in sorted(scaled):
        digest = hashlib.sha256(f"{seed}/{case}/{arm}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        values = scaled[arm] + sum(step * generator.uniform(-0.5, 0.5, scaled[arm].shape) for step in sorted(steps))
        levels = np.clip(np.rint(values), 0, LEVELS - 1).astype(np.uint16)
        if mask_background:
            levels[~head] = 0
        images[arm] = levels
    return BlindCase(images, reference.spacing, reference.affine)


def grey_step(values: NDArray[np.float64]) -> float:
    """Usual distance between neighbouring grey levels; 0 for values that have none.

    >>> grey_step(np.arange(1000) % 10 * 3.0)
    3.0
    """
    levels = np.unique(np.round(values, 3))
    return 0.0 if levels.size > _MOST_UNIQUE or levels.size < 2 else float(np.median(np.diff(levels)))


def to_bytes(levels: NDArray[np.uint16]) -> bytes:
    """Values as the page gets them: 16 bits, low byte first, first axis fastest; the size depends on the grid only."""
    return levels.astype("<u2").tobytes(order="F")


def _common_head(case: str, volumes: Mapping[str, Volume]) -> NDArray[np.bool_]:
    """What is head in every arm: a mask that fits no arm better than another."""
    heads = {arm: np.asarray(head_mask(volume).data, dtype=bool) for arm, volume in volumes.items()}
    common = np.logical_and.reduce(list(heads.values()))
    if not common.any():
        raise IntensityError(f"case {case}: the images of {', '.join(heads)} have no voxel of the head in common")
    share = common.sum() / max(head.sum() for head in heads.values())
    if share < _SMALLEST_SHARE:
        warnings.warn(
            f"case {case}: only {share:.0%} of the largest head is head in every arm ({', '.join(heads)}); "
            "is one of them skull-stripped?",
            RecontrastWarning,
            stacklevel=3,
        )
    return common


def _deep(head: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The head without its outer `DEPTH_MM`; the whole head where little would be left."""
    padded = np.pad(head, 1)  # a head that is cut by the edge of the grid ends there
    deep = np.asarray(distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1] > DEPTH_MM)
    return deep if deep.sum() >= _FEWEST_DEEP else head


def _read(case: str, arm: str, path: Path) -> Volume:
    volume = read_volume(path).reoriented("RAS")
    require_signal(volume, f"case {case}, arm '{arm}': {path}")
    return volume


def _on(reference: Volume, volume: Volume, what: str) -> Volume:
    if same_grid(reference, volume):
        return volume
    warnings.warn(
        f"{what}: is resampled to the grid of the acquired image; the smoothing may tell the arm. "
        "Put all arms on one grid first (recontrast prepare)",
        RecontrastWarning,
        stacklevel=2,
    )
    return resample(volume, reference, interpolation="linear")
