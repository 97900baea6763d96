"""Intensity scales: native units to about [0, 1] and back, linear and invertible.

scaled = (value - offset) / factor
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, FormatError, IntensityError, UnknownNameError
from recontrast.preparation.mask import head_mask, require_signal
from recontrast.preparation.whitestripe import white_stripe
from recontrast.volume import Volume


@dataclass(frozen=True)
class Scale:
    """A fitted linear intensity scale.

    Attributes:
        name: How it was fitted ("percentile", "minmax", …).
        offset: Native value that becomes 0.
        factor: Native range that becomes 1; positive.

    Example:
        >>> Scale("percentile", 0.0, 200.0).apply(np.array([0.0, 100.0])).tolist()
        [0.0, 0.5]
    """

    name: str
    offset: float
    factor: float

    def __post_init__(self) -> None:
        """Refuse a scale that cannot be inverted."""
        if not (np.isfinite(self.offset) and np.isfinite(self.factor) and self.factor > 0):
            raise IntensityError(
                f"scale '{self.name}': offset {self.offset:g}, factor {self.factor:g} cannot be inverted; "
                "the factor must be positive and both finite"
            )

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Native values to scaled values, float32; the input is untouched and nothing is clipped."""
        scaled = (np.asarray(array, dtype=np.float32) - np.float32(self.offset)) / np.float32(self.factor)
        return np.asarray(scaled, dtype=np.float32)

    def invert(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Scaled values to native values, float32."""
        native = np.asarray(array, dtype=np.float32) * np.float32(self.factor) + np.float32(self.offset)
        return np.asarray(native, dtype=np.float32)

    @property
    def zero(self) -> float:
        """What native zero becomes, as `apply` gives it: a scaled voxel of no signal equals it.

        >>> Scale("zscore", 50.0, 100.0).zero
        -0.5
        """
        return float(self.apply(np.zeros(1))[0])

    def to_dict(self) -> dict[str, Any]:
        """For sidecars: `{"name", "offset", "factor"}`."""
        return {"name": self.name, "offset": self.offset, "factor": self.factor}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Scale:
        """Read what `to_dict` made.

        Raises:
            FormatError: A key is missing or is not a number.
        """
        try:
            return cls(str(content["name"]), float(content["offset"]), float(content["factor"]))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"not an intensity scale (name, offset, factor): {content!r}") from error


@dataclass(frozen=True, kw_only=True)
class ScaleSettings:
    """How the intensity scale of an image is fitted."""

    name: str = "percentile"
    """percentile (of the head), minmax (whole image), zscore (of the head), whitestripe, fixed (given numbers)."""

    low: float | None = None
    """percentile: percentile of the head that becomes 0; left out: intensity zero stays zero."""

    high: float = 99.9
    """percentile: percentile of the head that becomes 1."""

    fixed_offset: float = 0.0
    """fixed: native value that becomes 0."""

    fixed_factor: float | None = None
    """fixed: native range that becomes 1; needed for fixed, or `contrasts`."""

    contrasts: tuple[str, ...] = ()
    """fixed: numbers of single contrasts, T1w=1200 (range) or T1w=10:1200 (offset and range)."""


Fit = Callable[[Volume, ScaleSettings, Volume | None, str], tuple[float, float]]

SCALES: dict[str, Fit] = {}
"""Ways to fit a scale, by name; each gives (offset, factor)."""


def _known_as(name: str) -> Callable[[Fit], Fit]:
    def keep(fit: Fit) -> Fit:
        SCALES[name] = fit
        return fit

    return keep


def fit_scale(
    volume: Volume, settings: ScaleSettings | None = None, head: Volume | None = None, contrast: str = ""
) -> Scale:
    """Fit the intensity scale of one image.

    The same image gives the same scale however its axes are stored, so raw and prepared input agree.

    Args:
        volume: The image in native units.
        settings: Which scale; default: zero to the 99.9th percentile of the head.
        head: `head_mask(volume)` where it is known already; left out, it is found here when the scale needs it.
        contrast: Label of the contrast; `fixed` and `whitestripe` may depend on it.

    Raises:
        IntensityError: The image is all zero, constant, not finite, or the scale would not be positive.
        UnknownNameError: There is no such scale.
        ConfigError: The percentiles are not 0 <= low < high <= 100, or numbers of `fixed` are missing.

    Example:
        >>> ramp = Volume(np.linspace(0, 100, 1000, dtype=np.float32).reshape(10, 10, 10), np.eye(4))
        >>> fit_scale(ramp, ScaleSettings(name="minmax")).factor
        100.0
    """
    settings = settings or ScaleSettings()
    if settings.name not in SCALES:
        raise UnknownNameError.among("intensity scale", settings.name, SCALES)
    require_signal(volume, f"scale '{settings.name}'")
    offset, factor = SCALES[settings.name](volume, settings, head, contrast)
    if not factor > 0:
        raise IntensityError(
            f"scale '{settings.name}': fitted range {factor:g} is not positive (offset {offset:g}); "
            "the image is nearly constant or mostly negative: try scale.name minmax, or set scale.low"
        )
    return Scale(settings.name, offset, factor)


@_known_as("percentile")
def _percentile(volume: Volume, settings: ScaleSettings, head: Volume | None, contrast: str) -> tuple[float, float]:
    low = 0.0 if settings.low is None else settings.low
    if not 0 <= low < settings.high <= 100:
        raise ConfigError(
            f"scale.low {low:g} and scale.high {settings.high:g} must be 0 <= low < high <= 100 (percent)"
        )
    values = _inside(volume, head)
    bottom, top = (float(value) for value in np.percentile(values, (low, settings.high)))
    offset = 0.0 if settings.low is None else bottom
    return offset, top - offset


@_known_as("minmax")
def _minmax(volume: Volume, settings: ScaleSettings, head: Volume | None, contrast: str) -> tuple[float, float]:
    low, high = float(volume.data.min()), float(volume.data.max())
    return low, high - low


@_known_as("zscore")
def _zscore(volume: Volume, settings: ScaleSettings, head: Volume | None, contrast: str) -> tuple[float, float]:
    values = _inside(volume, head).astype(np.float64)
    return float(values.mean()), float(values.std())


@_known_as("whitestripe")
def _whitestripe(volume: Volume, settings: ScaleSettings, head: Volume | None, contrast: str) -> tuple[float, float]:
    return white_stripe(volume, head_mask(volume) if head is None else head, contrast)


@_known_as("fixed")
def _fixed(volume: Volume, settings: ScaleSettings, head: Volume | None, contrast: str) -> tuple[float, float]:
    numbers = fixed_numbers(settings)
    if contrast in numbers:
        return numbers[contrast]
    if settings.fixed_factor is None:
        known = f"; there are numbers for {', '.join(numbers)}" if numbers else ""
        raise ConfigError(
            f"scale 'fixed' of {contrast or 'an image of unknown contrast'} needs scale.fixed_factor (the native range "
            f"that becomes 1), or scale.contrasts {contrast or 'T1w'}=RANGE{known}"
        )
    return settings.fixed_offset, settings.fixed_factor


def fixed_numbers(settings: ScaleSettings) -> dict[str, tuple[float, float]]:
    """Contrast label to (offset, factor), from `ScaleSettings.contrasts`.

    Raises:
        ConfigError: An entry is not CONTRAST=RANGE or CONTRAST=OFFSET:RANGE.

    Example:
        >>> fixed_numbers(ScaleSettings(name="fixed", contrasts=("T1w=1200", "FLAIR=5:800")))
        {'T1w': (0.0, 1200.0), 'FLAIR': (5.0, 800.0)}
    """
    numbers = {}
    for entry in settings.contrasts:
        label, _, text = entry.partition("=")
        offset, colon, factor = text.partition(":")
        try:
            numbers[Contrast.parse(label).label] = (float(offset), float(factor)) if colon else (0.0, float(offset))
        except ValueError:
            raise ConfigError(
                f"scale.contrasts '{entry}': write T1w=1200 (range) or T1w=10:1200 (offset and range)"
            ) from None
    return numbers


def _inside(volume: Volume, head: Volume | None) -> NDArray[Any]:
    mask = head_mask(volume) if head is None else head
    return np.asarray(volume.data[mask.data.astype(bool, copy=False)])
