"""Standard intensity scale by landmarks (Nyúl, Udupa and Zhang, IEEE TMI 19:143, 2000).

Learned on a cohort, invertible. Percentiles of every image are sent to the same standard values; between these
landmarks the map is linear, beyond them it goes on with the slope of the outermost piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import write_json
from recontrast.errors import ConfigError, FormatError, IntensityError
from recontrast.preparation.mask import head_mask, require_signal
from recontrast.volume import Volume

PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
"""Percentiles of the foreground that are landmarks."""


@dataclass(frozen=True)
class NyulScale:
    """The map of one image: native values to standard values and back.

    Attributes:
        native: Landmarks of the image, strictly rising.
        standard: Where they go, strictly rising.
    """

    native: tuple[float, ...]
    standard: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse a map that cannot be inverted."""
        rising = all(np.all(np.diff(side) > 0) for side in (self.native, self.standard))
        if len(self.native) != len(self.standard) or len(self.native) < 2 or not rising:
            raise IntensityError(
                f"landmarks {self.native} to {self.standard} cannot be inverted: both must rise strictly, "
                "two or more of each"
            )

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Native values to standard values, float32."""
        return _piecewise(array, self.native, self.standard)

    def invert(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Standard values to native values, float32."""
        return _piecewise(array, self.standard, self.native)

    def to_dict(self) -> dict[str, Any]:
        """For sidecars: `{"name", "native", "standard"}`."""
        return {"name": "nyul", "native": list(self.native), "standard": list(self.standard)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> NyulScale:
        """Read what `to_dict` made.

        Raises:
            FormatError: A key is missing or is not a list of numbers.
        """
        try:
            return cls(tuple(float(v) for v in content["native"]), tuple(float(v) for v in content["standard"]))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"not a scale by landmarks (native, standard): {content!r}") from error


@dataclass(frozen=True)
class NyulStandard:
    """What was learned on a cohort: the standard value of each percentile.

    Attributes:
        percentiles: Which percentiles of the foreground are landmarks.
        values: Their standard values, rising; the first is 0 and the last 1.
    """

    percentiles: tuple[float, ...]
    values: tuple[float, ...]

    def fit(self, volume: Volume, mask: Volume | None = None) -> NyulScale:
        """The map of one image onto this standard.

        Args:
            volume: The image, native units.
            mask: Foreground; left out: `head_mask(volume)`.

        Raises:
            IntensityError: The image is all zero, constant, not finite, or has too few distinct values.
        """
        native = _landmarks(volume, mask, self.percentiles)
        kept = [0] + [i for i in range(1, len(native)) if native[i] > native[i - 1]]  # crushed images share landmarks
        if len(kept) < 2:
            raise IntensityError("scale by landmarks: the foreground has one value only; leave this image out")
        return NyulScale(tuple(native[i] for i in kept), tuple(self.values[i] for i in kept))

    def save(self, path: Path) -> None:
        """Write the standard as JSON."""
        write_json(path, {"percentiles": list(self.percentiles), "values": list(self.values)})

    @classmethod
    def load(cls, path: Path) -> NyulStandard:
        """Read what `save` wrote.

        Raises:
            FormatError: The file is absent or is no such standard.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            percentiles, values = (tuple(float(v) for v in content[key]) for key in ("percentiles", "values"))
            if len(percentiles) != len(values):
                raise ValueError("percentiles and values differ in number")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{path}: not a standard scale ({error}); make it with learn_standard") from error
        return cls(percentiles, values)


def learn_standard(
    images: Iterable[tuple[Volume, Volume | None]], percentiles: Sequence[float] = PERCENTILES
) -> NyulStandard:
    """Learn the standard scale of one contrast on a cohort of training images.

    Each image's landmarks are brought to 0 to 1 by the outermost two; the standard is their mean.

    Args:
        images: Image and foreground mask (None: `head_mask`) of each training subject.
        percentiles: Landmarks, strictly rising, within 0 to 100.

    Raises:
        ConfigError: There is no image, or the percentiles are out of order.
        IntensityError: An image is all zero, constant or not finite.

    Example:
        >>> ramp = Volume(np.linspace(0, 100, 1000, dtype=np.float32).reshape(10, 10, 10), np.eye(4))
        >>> everywhere = ramp.with_data(np.ones(ramp.shape, bool))
        >>> round(learn_standard([(ramp, everywhere)], (0, 50, 100)).values[1], 3)
        0.5
    """
    wanted = tuple(float(p) for p in percentiles)
    if len(wanted) < 2 or not np.all(np.diff(wanted) > 0) or wanted[0] < 0 or wanted[-1] > 100:
        raise ConfigError(f"percentiles {wanted} must rise strictly within 0 to 100, two or more")
    rows = []
    for volume, mask in images:
        native = np.array(_landmarks(volume, mask, wanted))
        if not native[-1] > native[0]:
            raise IntensityError("scale by landmarks: the foreground of an image has one value only; leave it out")
        rows.append((native - native[0]) / (native[-1] - native[0]))
    if not rows:
        raise ConfigError("a standard scale is learned on at least one image")
    return NyulStandard(wanted, tuple(float(v) for v in np.mean(rows, axis=0)))


def _landmarks(volume: Volume, mask: Volume | None, percentiles: Sequence[float]) -> tuple[float, ...]:
    require_signal(volume, "scale by landmarks")
    inside = (head_mask(volume) if mask is None else mask).data.astype(bool, copy=False)
    return tuple(float(v) for v in np.percentile(volume.data[inside], percentiles))


def _piecewise(array: NDArray[Any], source: Sequence[float], target: Sequence[float]) -> NDArray[np.float32]:
    values = np.asarray(array, dtype=np.float64)
    mapped = np.interp(values, source, target)
    for here, there, beyond in ((0, 1, values < source[0]), (-1, -2, values > source[-1])):
        slope = (target[here] - target[there]) / (source[here] - source[there])
        mapped = np.where(beyond, target[here] + (values - source[here]) * slope, mapped)
    return np.asarray(mapped, dtype=np.float32)
