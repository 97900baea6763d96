"""Numbers on arrays; one file per metric family.

A metric is called `metric(reference, estimate, mask=…, data_range=…, **options)` and gives one float. It never changes
its inputs, and a value that cannot be computed (an empty region, a divisor of zero) is `nan`: `Metric.score` says why.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, GeometryError, IntensityError
from recontrast.registry import Registry

P = ParamSpec("P")
Array = NDArray[Any]


_CALL = frozenset(("reference", "estimate", "mask", "data_range"))
"""What every metric is called with; the other parameters are its options."""


class Undefined(Exception):
    """Raised inside a metric when its value does not exist (no error); `Metric` turns it into `nan` and a reason."""


@dataclass(frozen=True)
class VoxelForm:
    """How a metric comes from the mean of a map: value = finish(mean of map over the region, constant).

    Metrics that have this form are computed for many regions, slices or blocks from one map.

    Attributes:
        map: `(reference, estimate, *, data_range, **map options) -> array` of the images' shape.
        finish: `(mean, constant) -> value`; elementwise on arrays.
        constant: `(reference values, estimate values, *, data_range, **other options) -> float`: what else is needed of
            the region (a peak, a divisor). May raise `Undefined`.
        margin: `(**map options) -> (i, j, k)`: how far along each axis a voxel of the map looks; the value of the whole
            image leaves out a border of that width.
        map_options: Names of the metric's options that change the map.
    """

    map: Callable[..., Array]
    finish: Callable[[Any, float], Any]
    constant: Callable[..., float]
    margin: Callable[..., tuple[int, int, int]]
    map_options: tuple[str, ...] = ()


class Metric(Generic[P]):
    """A metric function with what is known of it. Call it like the function.

    Attributes:
        name: Name of the function.
        best: Value for identical images.
        higher_is_better: Direction.
        worst: The other end of the values there can be; None where they have no end.
        title: Name for tables and reports.
        unit: What the value is measured in ("scaled intensity", "dB", "").
        form: The metric as mean of a map, where it is one.
        map: One value a voxel, to look at: `(reference, estimate, *, data_range, **options) -> array` of the images'
            shape; that of `form` where there is one. None where a voxel has no value of its own (Dice).
        two_sided: Whether values on both sides of `best` are worse (a ratio); then the direction means nothing and no
            protocol can use the metric, for better and worse could not be told apart.
        needs_image: Whether voxels outside the region have a say although there is no `form` that says how far away.

    Example:
        >>> METRICS.get("psnr").best
        inf
    """

    def __init__(
        self,
        function: Callable[P, float],
        *,
        best: float,
        higher_is_better: bool,
        worst: float | None,
        title: str,
        unit: str,
        form: VoxelForm | None,
        map: Callable[..., Array] | None,
        two_sided: bool,
        needs_image: bool,
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.name = function.__name__
        self.best = best
        self.higher_is_better = higher_is_better
        self.worst = worst
        self.title = title
        self.unit = unit
        self.form = form
        self.map = map if map is not None or form is None else form.map
        self.two_sided = two_sided
        self.needs_image = needs_image
        self.options = frozenset(inspect.signature(function).parameters) - _CALL

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that images can have; infinite where there is no end.

        >>> METRICS.get("dice").bounds, METRICS.get("mae").bounds
        ((0.0, 1.0), (0.0, inf))
        """
        if self.two_sided:
            return -math.inf, math.inf
        if self.higher_is_better:
            return -math.inf if self.worst is None else self.worst, self.best
        return self.best, math.inf if self.worst is None else self.worst

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> float:
        """The value; `nan` where it is undefined."""
        return self.score(*args, **kwargs)[0]

    def score(self, *args: P.args, **kwargs: P.kwargs) -> tuple[float, str]:
        """The value and why it is undefined ("" when it is defined).

        Raises:
            GeometryError: Shapes of reference, estimate and mask differ.
            IntensityError: A voxel is not finite.
            ConfigError: The data range is not a positive number, or an option has a value it cannot have.
        """
        reference, estimate, *_ = args
        check_images(reference, estimate, kwargs.get("mask"), kwargs.get("data_range"))
        try:
            return float(self._function(*args, **kwargs)), ""
        except Undefined as reason:
            return float("nan"), str(reason)

    def __reduce__(self) -> str:
        """Pickled as the name under which its module holds it."""
        return self.name


def metric(
    *,
    best: float,
    higher_is_better: bool,
    worst: float | None = None,
    title: str,
    unit: str = "",
    form: VoxelForm | None = None,
    map: Callable[..., Array] | None = None,
    two_sided: bool = False,
    needs_image: bool = False,
) -> Callable[[Callable[P, float]], Metric[P]]:
    """Decorator: declare best value, direction, worst value and unit of a metric function; see `Metric`."""

    def declare(function: Callable[P, float]) -> Metric[P]:
        return Metric(
            function, best=best, higher_is_better=higher_is_better, worst=worst, title=title, unit=unit, form=form,
            map=map, two_sided=two_sided, needs_image=needs_image,
        )  # fmt: skip

    return declare


METRICS: Registry[Metric[Any]] = Registry("metric", "recontrast.metrics")


def check_images(reference: Any, estimate: Any, mask: Any = None, data_range: Any = None) -> None:
    """Refuse what no metric can use.

    Args:
        reference: The true image, any shape.
        estimate: The image that is judged, same shape.
        mask: Region, same shape; None for all voxels.
        data_range: Width of the intensity range that counts as full scale; None where it is not needed.

    Raises:
        GeometryError: Shapes differ.
        IntensityError: A voxel is not finite.
        ConfigError: The data range is not positive and finite.
    """
    shape = np.shape(reference)
    for name, other in (("estimate", estimate), ("mask", mask)):
        if other is not None and np.shape(other) != shape:
            raise GeometryError(
                f"{name} has shape {np.shape(other)}, the reference {shape}; put both on one grid first"
            )
    for name, image in (("reference", reference), ("estimate", estimate)):
        bad = count_not_finite(np.asarray(image))
        if bad:
            raise IntensityError(f"{name}: {bad} voxels are NaN or infinite; mend the image, no metric can use it")
    if data_range is not None and not (np.isfinite(data_range) and data_range > 0):
        raise ConfigError(f"data_range is {data_range}; give the positive width of the intensity scale, for example 1")


def cut_at(low: float, high: float, bounds: tuple[float, float]) -> tuple[float, float, str]:
    """Ends of an interval without what lies beyond the values there can be, and words for where it was cut, or "".

    No true value is out there: what is left holds it as often as the whole.

    Args:
        low: Lower end, finite.
        high: Upper end, finite.
        bounds: Lowest and highest value there can be.

    Example:
        >>> cut_at(0.8, 1.1, (0.0, 1.0))
        (0.8, 1.0, ', cut at 1')
    """
    least, most = (float(np.clip(end, *bounds)) for end in (low, high))
    cut = [f"{end:g}" for end, before in ((least, low), (most, high)) if not math.isclose(end, before, abs_tol=1e-12)]
    return least, most, f", cut at {' and '.join(cut)}" if cut else ""


def count_not_finite(image: Array) -> int:
    """Number of NaN and infinite voxels; zero for integer types."""
    if not np.issubdtype(image.dtype, np.floating):
        return 0
    # The sum of finite float32 values cannot overflow float64: a finite sum proves that all voxels are finite.
    if image.dtype == np.float32 and np.isfinite(image.sum(dtype=np.float64)):
        return 0
    return int(image.size - np.count_nonzero(np.isfinite(image)))


def voxels_of(image: Array, mask: Array | None) -> Array:
    """Values inside the mask as a flat array.

    Raises:
        Undefined: The region holds no voxel.
    """
    values = np.asarray(image).reshape(-1) if mask is None else np.asarray(image)[np.asarray(mask, dtype=bool)]
    if values.size == 0:
        raise Undefined("the region is empty")
    return values


def as_float(image: Array) -> Array:
    """The image as floating point: float32 stays, integers (which would wrap around) and others become float64."""
    image = np.asarray(image)
    return image if image.dtype == np.float32 else image.astype(np.float64)


def no_constant(reference: Array, estimate: Array, *, data_range: float | None = None) -> float:
    """`VoxelForm.constant` of metrics that need none."""
    return 1.0


def no_margin() -> tuple[int, int, int]:
    """`VoxelForm.margin` of metrics that use all voxels."""
    return (0, 0, 0)
