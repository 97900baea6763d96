"""What one pair of images becomes before it is measured: regions found, cut to what metrics can see, maps kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.protocols import AXIAL, MetricUse, Protocol, Step
from recontrast.evaluation.steps import PLANES, KeepRegion, Pair, find_region, region_name
from recontrast.metrics import METRICS, Undefined, VoxelForm

Array = NDArray[Any]


class Region:
    """Voxels of a region as flat indices, in order; None for the whole image."""

    def __init__(self, name: str, mask: Array | None) -> None:
        self.name = name
        self.index = None if mask is None else np.flatnonzero(mask)
        self._shape = () if mask is None else mask.shape
        self._slices: dict[int, Array] = {}

    def slices(self, axis: int) -> Array:
        """Number of the slice across `axis` that each voxel lies in."""
        if axis not in self._slices and self.index is not None:
            after = math.prod(self._shape[axis + 1 :])
            self._slices[axis] = self.index // after % self._shape[axis]
        return self._slices[axis]


class Stage:
    """The reference and its regions after a protocol's steps, cut to what the metrics can see."""

    def __init__(self, pair: Pair, regions: Mapping[str, Array | None], protocol: Protocol, uses: Sequence[MetricUse]):
        shape = pair.reference.shape
        self.box = _box(regions, uses, shape)
        self.reference = np.ascontiguousarray(pair.reference[self.box])
        self.regions = {n: Region(n, None if mask is None else mask[self.box]) for n, mask in regions.items()}
        self.usable = pair.usable[self.box[AXIAL]]
        self.undefined = pair.undefined
        rules = {(PLANES[use.plane], use.slices or protocol.slices) for use in uses if use.unit == "slice"}
        self.wanted = {(axis, rule): _chosen_slices(pair, rule, axis)[self.box[axis]] for axis, rule in rules}


class Maps:
    """Maps of one estimate and their sums by region and slice, each computed once: MSE, RMSE and PSNR share theirs."""

    def __init__(self, stage: Stage, estimate: Array, data_range: float) -> None:
        self.estimate = np.ascontiguousarray(estimate[stage.box])
        self.stage = stage
        self._data_range = data_range
        self._maps: dict[Any, Array | Undefined] = {}
        self._sums: dict[Any, tuple[Array, Array]] = {}

    def slice_sums(self, form: VoxelForm, use: MetricUse, region: Region) -> tuple[Array, Array]:
        """Sum of the metric's map, and number of voxels, in each slice of the region."""
        options = {key: value for key, value in use.options.items() if key in form.map_options}
        key = (form.map, tuple(sorted(options.items())))
        if key not in self._maps:
            try:
                reference = self.stage.reference
                self._maps[key] = form.map(reference, self.estimate, data_range=self._data_range, **options)
            except Undefined as reason:
                self._maps[key] = reason
        found = self._maps[key]
        if isinstance(found, Undefined):
            raise found
        axis = PLANES[use.plane]
        margin = (0, 0, 0) if use.options.get("whole") else form.margin(**options)
        where = (*key, region.name, axis, margin)
        if where not in self._sums:
            self._sums[where] = _slice_sums(found, region, margin, axis)
        return self._sums[where]


def regions_taken(protocol: Protocol, masks: Mapping[str, Array]) -> dict[str, str]:
    """Which alternative ("brain|head") the masks, choices of slices and divisors of a protocol take in a case.

    Regions that are scored are left out: their records have the name of the alternative.

    Example:
        >>> from recontrast.evaluation.protocols import PROTOCOLS
        >>> regions_taken(PROTOCOLS.get("selfrdb"), {"head": np.ones((2, 2, 2))})
        {'brain|head': 'head'}
    """
    steps = [*protocol.steps, *(step for use in protocol.metrics for step in use.steps)]
    names = [step.region for step in steps if isinstance(step, KeepRegion)]
    for use in protocol.metrics:
        names.append(use.constant_region)
        if use.unit == "slice":
            names.append((use.slices or protocol.slices).partition(":")[0])
    return {name: region_name(name, masks) for name in names if "|" in name}


def kind_of(use: MetricUse) -> tuple[tuple[Step, ...], bool]:
    """What must be the same for metrics to share a stage."""
    return use.steps, METRICS.get(use.metric).needs_image


def _box(
    regions: Mapping[str, Array | None], uses: Sequence[MetricUse], shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    """The part of the image that the regions depend on: their bounding box and the reach of the metrics' windows."""
    everything = (slice(None), slice(None), slice(None))
    masks = [mask for mask in regions.values() if mask is not None]
    if len(masks) < len(regions) or not masks or any(METRICS.get(use.metric).needs_image for use in uses):
        return everything
    reach = np.zeros(3, dtype=int)
    for use in uses:
        form = METRICS.get(use.metric).form
        if form is not None:
            options = {key: value for key, value in use.options.items() if key in form.map_options}
            reach = np.maximum(reach, form.margin(**options))
    union = np.logical_or.reduce(masks)
    sides = []
    for axis in range(3):
        inside = np.flatnonzero(union.any(axis=tuple(a for a in range(3) if a != axis)))
        if inside.size == 0:
            return everything
        low, high = max(0, int(inside[0]) - reach[axis]), min(shape[axis], int(inside[-1]) + 1 + reach[axis])
        # A box narrower than the window would look like an image that is too small for it.
        width = min(shape[axis], 2 * int(reach[axis]) + 1)
        low = max(0, min(low, high - width))
        sides.append(slice(low, max(high, low + width)))
    return (sides[0], sides[1], sides[2])


def _slice_sums(values: Array, region: Region, margin: tuple[int, int, int], axis: int) -> tuple[Array, Array]:
    """Sum of the map and number of voxels in each slice of the region across `axis`."""
    count = values.shape[axis]
    if region.index is None:
        inner = values[tuple(slice(m, n - m) for m, n in zip(margin, values.shape, strict=True))]
        sums, counts = np.zeros(count), np.zeros(count, dtype=int)
        within = slice(margin[axis], count - margin[axis])
        sums[within] = inner.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        counts[within] = inner.size // max(1, inner.shape[axis])
        return sums, counts
    inside = values.reshape(-1)[region.index]
    slices = region.slices(axis)
    return np.bincount(slices, inside, minlength=count), np.bincount(slices, minlength=count)


def _chosen_slices(pair: Pair, rule: str, axis: int) -> NDArray[np.bool_]:
    """Slices across `axis` that count, by `Protocol.slices`; without such a mask those that are not constant."""
    name, _, middle = rule.partition(":")
    others = tuple(a for a in range(3) if a != axis)
    _, inside = find_region(name, pair.masks, pair.reference.shape) if name != "varying" else ("", None)
    if inside is not None:
        chosen = np.asarray(inside.any(axis=others))
    else:
        chosen = np.asarray(pair.reference.max(axis=others) > pair.reference.min(axis=others))
    if middle and chosen.any():
        touched = np.flatnonzero(chosen)
        start = max(0, (int(touched[0]) + int(touched[-1]) + 1) // 2 - int(middle) // 2)
        chosen = chosen & (np.arange(chosen.size) >= start) & (np.arange(chosen.size) < start + int(middle))
    return chosen
