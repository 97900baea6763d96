"""What a protocol does to the pair of images before it measures: crop, clip, mask, normalise slice by slice, quantise.

Steps are data (frozen dataclasses), so a protocol can be written down, compared and printed. Each takes a `Pair` and
gives a new one; arrays are never changed in place.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, FormatError

Array = NDArray[Any]

AXIAL = 2
"""Array axis across axial slices; images are scored with their axes along R, A, S."""

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Name of a plane to the array axis across its slices."""

WHOLE_IMAGE = "image"
"""Name of the region that is the whole field of view, background included."""

Which = Literal["reference", "estimate"]

_BOTH: tuple[Which, ...] = ("reference", "estimate")

_SLAB = re.compile(r"(sagittal|coronal|axial)\[(\d*)(%?):(\d*)(%?)\]")


@dataclass(frozen=True)
class Pair:
    """The images that are compared, with what belongs to them.

    Attributes:
        reference: Shape (I, J, K), axes along R, A, S.
        estimate: Same shape.
        masks: Region name to boolean array of that shape.
        usable: Axial slices that a step could not do (a divisor of zero) are False, shape (K,).
        undefined: Why nothing can be measured at all; "" when something can.
    """

    reference: Array
    estimate: Array
    masks: Mapping[str, Array]
    usable: Array
    undefined: str = ""

    def images(self, of: Iterable[Which]) -> dict[str, Array]:
        """The named images."""
        return {name: getattr(self, name) for name in of}

    def with_images(self, images: Mapping[str, Array]) -> Pair:
        """The same pair with other images, in the precision of the reference."""
        kind = self.reference.dtype
        new = {"reference": self.reference, "estimate": self.estimate, **images}
        cast = {name: image.astype(kind, copy=False) for name, image in new.items()}
        return replace(self, reference=cast["reference"], estimate=cast["estimate"])


class Step(ABC):
    """One operation on a pair."""

    @property
    def rescales(self) -> bool:
        """Whether differences between the images have another unit after this step."""
        return False

    @abstractmethod
    def apply(self, pair: Pair) -> Pair:
        """The pair after this step."""


@dataclass(frozen=True, kw_only=True)
class Linear(Step):
    """image x gain + offset, both images."""

    gain: float = 1.0
    offset: float = 0.0
    step: str = field(default="linear", init=False)

    @property
    def rescales(self) -> bool:
        """With any gain but 1."""
        return self.gain != 1

    def apply(self, pair: Pair) -> Pair:
        """Gain and offset applied."""
        return pair.with_images({n: image * self.gain + self.offset for n, image in pair.images(_BOTH).items()})


@dataclass(frozen=True, kw_only=True)
class Clip(Step):
    """Values outside [low, high] become its ends."""

    low: float
    high: float
    of: tuple[Which, ...] = _BOTH
    step: str = field(default="clip", init=False)

    def apply(self, pair: Pair) -> Pair:
        """Images clipped."""
        return pair.with_images({n: np.clip(i, self.low, self.high) for n, i in pair.images(self.of).items()})


@dataclass(frozen=True, kw_only=True)
class Magnitude(Step):
    """Negative values change their sign, both images."""

    step: str = field(default="magnitude", init=False)

    def apply(self, pair: Pair) -> Pair:
        """Absolute values."""
        return replace(pair, reference=np.abs(pair.reference), estimate=np.abs(pair.estimate))


@dataclass(frozen=True, kw_only=True)
class Quantise(Step):
    """Rounded to `levels` steps of the range 0 to 1, clipped to it: 255 is an 8-bit image divided by 255."""

    levels: int = 255
    step: str = field(default="quantise", init=False)

    def apply(self, pair: Pair) -> Pair:
        """Both images rounded."""
        done = {n: np.rint(np.clip(i, 0, 1) * self.levels) / self.levels for n, i in pair.images(_BOTH).items()}
        return pair.with_images(done)


@dataclass(frozen=True, kw_only=True)
class KeepRegion(Step):
    """Voxels outside a region become `fill` in both images; `region` may name alternatives ("brain|head")."""

    region: str = "brain|head"
    fill: float = 0.0
    step: str = field(default="keep_region", init=False)

    def apply(self, pair: Pair) -> Pair:
        """Both images masked; two images of nothing but `fill` are alike and say nothing, so they are undefined."""
        name, inside = find_region(self.region, pair.masks, pair.reference.shape)
        if inside is None:
            raise ConfigError(f"the protocol masks with region '{self.region}', but the case has no '{name}'")
        if not inside.any():
            why = f"region '{name}', outside of which the protocol removes everything, is empty"
            pair = replace(pair, usable=np.zeros_like(pair.usable), undefined=why)
        return pair.with_images({n: np.where(inside, i, self.fill) for n, i in pair.images(_BOTH).items()})


@dataclass(frozen=True, kw_only=True)
class CentreCrop(Step):
    """The middle of the image, cropped or padded with zeros to so many voxels along i, j, k; 0 leaves an axis.

    Padding and cropping an odd number of voxels puts the smaller part first, as numpy integer division does.
    """

    size: tuple[int, int, int]
    step: str = field(default="centre_crop", init=False)

    def apply(self, pair: Pair) -> Pair:
        """Both images and all masks."""
        usable = self._cut(pair.usable[None, None], keep=(1, 1, 0))[0, 0]
        return Pair(
            self._cut(pair.reference),
            self._cut(pair.estimate),
            {name: self._cut(mask) for name, mask in pair.masks.items()},
            usable,
            pair.undefined,
        )

    def _cut(self, values: Array, keep: tuple[int, int, int] = (0, 0, 0)) -> Array:
        for axis, size in enumerate(self.size):
            have = values.shape[axis]
            if size == 0 or size == have or keep[axis]:
                continue
            if size < have:
                start = (have - size) // 2
                values = np.take(values, np.arange(start, start + size), axis=axis)
            else:
                before = (size - have) // 2
                widths = [(before, size - have - before) if a == axis else (0, 0) for a in range(3)]
                values = np.pad(values, widths)
        return values


@dataclass(frozen=True, kw_only=True)
class Divide(Step):
    """Each image, or each of its axial slices, divided by its own or the reference's maximum, mean or range.

    A slice whose divisor is not positive stays as it is and counts as undefined.
    """

    statistic: Literal["max", "mean", "range"]
    of: Literal["own", "reference"] = "own"
    over: Literal["slice", "volume"] = "slice"
    step: str = field(default="divide", init=False)

    @property
    def rescales(self) -> bool:
        """Always."""
        return True

    def apply(self, pair: Pair) -> Pair:
        """Both images divided."""
        usable = pair.usable.copy()
        done = {}
        for name, image in pair.images(_BOTH).items():
            divisor = self._divisor(pair.reference if self.of == "reference" else image)
            usable &= np.broadcast_to(divisor > 0, usable.shape)
            done[name] = image / np.where(divisor > 0, divisor, 1)
        return replace(pair.with_images(done), usable=usable)

    def _divisor(self, image: Array) -> Array:
        axes = (0, 1) if self.over == "slice" else None
        if self.statistic == "mean":
            return np.asarray(image.mean(axis=axes, dtype=np.float64))
        top = np.asarray(image.max(axis=axes), dtype=np.float64)
        return top if self.statistic == "max" else np.asarray(top - image.min(axis=axes))


@dataclass(frozen=True, kw_only=True)
class PercentileScale(Step):
    """Percentiles of the whole reference, background included, become 0 and 1, and values beyond are clipped."""

    low: float | None = None
    """Percentile that becomes 0; None: intensity zero stays zero."""
    high: float = 99.5
    """Percentile that becomes 1."""
    scale: tuple[Which, ...] = _BOTH
    """Images that are put on this scale."""
    clip: tuple[Which, ...] = _BOTH
    """Images that are clipped to [0, 1]."""
    step: str = field(default="percentile_scale", init=False)

    @property
    def rescales(self) -> bool:
        """Always."""
        return True

    def apply(self, pair: Pair) -> Pair:
        """Images scaled and clipped; a negative lower percentile counts as zero."""
        values = np.asarray(pair.reference, dtype=np.float64)
        bottom = 0.0 if self.low is None else max(0.0, float(np.percentile(values, self.low)))
        width = float(np.percentile(values, self.high)) - bottom
        if not width > 0:
            return replace(pair, usable=np.zeros_like(pair.usable))
        done: dict[str, Array] = dict(pair.images(_BOTH))
        for name in self.scale:
            done[name] = (done[name] - bottom) / width
        for name in self.clip:
            done[name] = np.clip(done[name], 0, 1)
        return pair.with_images(done)


def read_step(content: Mapping[str, Any]) -> Step:
    """A step as it stands in `evaluation.json`.

    Raises:
        FormatError: There is no such step, or it has no such option.

    Example:
        >>> read_step({"step": "linear", "gain": 2.0})
        Linear(gain=2.0, offset=0.0, step='linear')
    """
    kinds: dict[str, Callable[..., Step]] = {str(getattr(kind, "step", "")): kind for kind in Step.__subclasses__()}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
    try:
        return kinds[str(given.pop("step", ""))](**given)
    except (KeyError, TypeError) as error:
        raise FormatError(f"{dict(content)} is no step of a protocol; install the version that evaluated") from error


def find_region(name: str, masks: Mapping[str, Array], shape: tuple[int, ...]) -> tuple[str, NDArray[np.bool_] | None]:
    """A region by name, with the name of what was found.

    Args:
        name: Name of a mask; "image" for all voxels; a range of slices, in voxels or percent of the image
            ("axial[40:60]", "coronal[25%:75%]"); alternatives, the first that is there counts ("brain|head"); or what
            several have in common ("brain&axial[40:60]").
        masks: Region name to boolean array.
        shape: Shape of the image.

    Returns:
        The name of the alternative that is there, and its voxels; the first alternative and None where there is none.

    Raises:
        ConfigError: A range of slices is empty.

    Example:
        >>> find_region("lesion|axial[:50%]", {}, (2, 2, 4))[1].sum()
        np.int64(8)
    """
    chosen = region_name(name, masks)
    return chosen, _intersection(chosen, masks, shape)


def region_name(name: str, masks: Mapping[str, Array]) -> str:
    """The first alternative of a region whose masks are there; the first of all where none is.

    Example:
        >>> region_name("brain|head", {"head": np.ones(3)})
        'head'
    """
    alternatives = name.split("|")
    for alternative in alternatives:
        parts = alternative.split("&")
        if all(part == WHOLE_IMAGE or part in masks or _SLAB.fullmatch(part) for part in parts):
            return alternative
    return alternatives[0]


def _intersection(name: str, masks: Mapping[str, Array], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    result: NDArray[np.bool_] | None = None
    for part in name.split("&"):
        slab = _SLAB.fullmatch(part)
        if part == WHOLE_IMAGE:
            inside = np.ones(shape, dtype=bool)
        elif slab:
            inside = _slab(slab, shape)
        elif part in masks:
            inside = np.asarray(masks[part], dtype=bool)
        else:
            return None
        result = inside if result is None else result & inside
    return result


def _slab(found: re.Match[str], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    axis = PLANES[found[1]]
    size = shape[axis]
    start, stop = (
        default if not number else round(int(number) * size / 100) if percent else int(number)
        for number, percent, default in ((found[2], found[3], 0), (found[4], found[5], size))
    )
    if not 0 <= start < min(stop, size):
        raise ConfigError(f"region '{found[0]}' holds no slice of an image with {size} {found[1]} slices")
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))] = True
    return inside
