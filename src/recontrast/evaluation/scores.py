"""Score one image against its reference: every region and metric of a protocol, undefined values with their reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import GeometryError
from recontrast.evaluation.protocols import AXIAL, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.metrics import METRICS, Undefined, VoxelForm, check_images, no_constant

Array = NDArray[Any]

OK = "ok"
"""Status of a value that is defined."""

IDENTICAL = "infinite: estimate and reference are identical in the region"

BLOCK_MM = 10.0
"""Least thickness of the slabs of axial slices that intervals within one subject are taken over: on real heads the
errors of slices 10 mm apart hardly resemble each other (correlation 0.1)."""

BLOCKS = 8
"""At most this many slabs: fewer and thicker ones resemble each other less."""


@dataclass(frozen=True)
class Blocks:
    """What a value is made of, slab by slab, so that slabs can be resampled.

    Attributes:
        sums: Sum of the metric's map (or of the slice values) in each slab.
        counts: Number of voxels (or slices) in each slab.
        constant: Peak or divisor of the region; None where the sums are of finished slice values.
    """

    sums: tuple[float, ...]
    counts: tuple[int, ...]
    constant: float | None


@dataclass(frozen=True)
class Record:
    """One value of a protocol.

    Attributes:
        region: Where.
        metric: Label of the metric in the protocol.
        unit: `volume` or `slice`.
        value: The value; nan where it is undefined.
        status: "ok", or why there is no value.
        units: Number of units the value is the mean of: 1, or the number of slices.
        units_undefined: Slices without a value.
        blocks: The value's slabs; None for metrics that are not a mean over voxels.
    """

    region: str
    metric: str
    unit: str
    value: float
    status: str
    units: int = 1
    units_undefined: int = 0
    blocks: Blocks | None = None


@dataclass(frozen=True)
class _Region:
    """Voxels of a region as flat indices, in order; None for the whole image."""

    name: str
    index: NDArray[np.intp] | None
    slices: NDArray[np.intp] | None


class _Maps:
    """Maps of one estimate and their sums by region and slice, each computed once: MSE, RMSE and PSNR share theirs."""

    def __init__(self, reference: Array, estimate: Array, data_range: float) -> None:
        self.estimate = estimate
        self._reference = reference
        self._data_range = data_range
        self._maps: dict[Any, Array | Undefined] = {}
        self._sums: dict[Any, tuple[Array, Array]] = {}

    def slice_sums(self, form: VoxelForm, options: Mapping[str, Any], region: _Region) -> tuple[Array, Array]:
        """Sum of the metric's map, and number of voxels, in each axial slice of the region."""
        key = (form.map, tuple(sorted(options.items())))
        if key not in self._maps:
            try:
                self._maps[key] = form.map(self._reference, self.estimate, data_range=self._data_range, **options)
            except Undefined as reason:
                self._maps[key] = reason
        found = self._maps[key]
        if isinstance(found, Undefined):
            raise found
        if (*key, region.name) not in self._sums:
            self._sums[*key, region.name] = _slice_sums(found, region, form.margin(**options))
        return self._sums[*key, region.name]


class CaseScorer:
    """Scores several estimates of one reference; what they share is done once.

    Args:
        protocol: How to score.
        reference: The reference on the protocol's scale, shape (I, J, K), axes along R, A, S.
        regions: Region name to boolean array of that shape.
        spacing: Distance between voxels along i, j, k in mm.

    Raises:
        GeometryError: A region has another shape, or the reference is not three-dimensional.
        IntensityError: The reference has voxels that are not finite.

    Example:
        >>> from recontrast.evaluation.protocols import PROTOCOLS
        >>> reference = np.linspace(0, 1, 13 * 12 * 11).reshape(13, 12, 11)
        >>> scorer = CaseScorer(PROTOCOLS.get("recontrast"), reference, {"head": reference > 0.1})
        >>> [round(r.value, 3) for r in scorer.score(reference + 0.1) if r.metric in ("mae", "psnr")]
        [0.1, 20.0]
    """

    def __init__(
        self,
        protocol: Protocol,
        reference: Array,
        regions: Mapping[str, Array],
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        if np.ndim(reference) != 3:
            raise GeometryError(f"a volume of three axes is scored, got shape {np.shape(reference)}")
        check_images(reference, reference, data_range=protocol.data_range)
        for name, mask in regions.items():
            if np.shape(mask) != np.shape(reference):
                raise GeometryError(f"region '{name}' has shape {np.shape(mask)}, the reference {np.shape(reference)}")
        self.protocol = protocol
        self.spacing = spacing
        self._shape = np.shape(reference)
        wanted = protocol.regions or tuple(regions)
        self._absent = [name for name in wanted if name not in regions and name != WHOLE_IMAGE]
        masks = {n: np.asarray(regions[n], dtype=bool) for n in wanted if n in regions and n != WHOLE_IMAGE}
        self._box = _box(masks, protocol, self._shape, whole=WHOLE_IMAGE in wanted)
        self._reference = np.ascontiguousarray(reference[self._box])
        self._regions = [_region(name, mask[self._box]) for name, mask in masks.items()]
        if WHOLE_IMAGE in wanted:
            self._regions.insert(0, _Region(WHOLE_IMAGE, None, None))
        self._head_slices = _slices_with_head(reference, regions.get("head"))[self._box[AXIAL]]

    def score(self, estimate: Array, metrics: Iterable[str] | None = None) -> list[Record]:
        """All values of the protocol for one estimate.

        Args:
            estimate: On the protocol's scale, same shape as the reference.
            metrics: Labels of the metrics wanted; None for all of the protocol.

        Raises:
            GeometryError: The shape differs from the reference's.
            IntensityError: A voxel is not finite.
            UnknownNameError: The protocol has no metric of that label.
        """
        if np.shape(estimate) != self._shape:
            raise GeometryError(f"the estimate has shape {np.shape(estimate)}, the reference {self._shape}")
        check_images(estimate, estimate)
        uses = self.protocol.metrics if metrics is None else [self.protocol.use(label) for label in metrics]
        maps = _Maps(self._reference, np.ascontiguousarray(estimate[self._box]), self.protocol.data_range)
        records = [self._score(use, region, maps) for region in self._regions for use in uses]
        for name in self._absent:
            records += [_nothing(name, use, "the case has no such region") for use in uses]
        return records

    def _score(self, use: MetricUse, region: _Region, maps: _Maps) -> Record:
        form = METRICS.get(use.metric).form
        try:
            if form is None:
                return self._score_directly(use, region, maps.estimate)
            options, others = _split_options(form, use)
            sums, counts = maps.slice_sums(form, options, region)
            compute = self._by_slice if use.unit == "slice" else self._by_volume
            return compute(use, form, region, maps.estimate, others, sums, counts)
        except Undefined as reason:
            return _nothing(region.name, use, str(reason))

    def _by_volume(
        self, use: MetricUse, form: VoxelForm, region: _Region, judged: Array, options: Mapping[str, Any],
        sums: Array, counts: Array,
    ) -> Record:  # fmt: skip
        total = counts.sum()
        if total == 0:
            raise Undefined("the region is empty")
        constant = self._constant(form, region, judged, options)
        value = float(form.finish(sums.sum() / total, constant))
        blocks = _blocks(sums, counts, self.spacing[AXIAL], constant)
        if not np.isfinite(value):
            return Record(region.name, use.label, use.unit, float("nan"), IDENTICAL, 1, 1, blocks)
        return Record(region.name, use.label, use.unit, value, OK, blocks=blocks)

    def _by_slice(
        self, use: MetricUse, form: VoxelForm, region: _Region, judged: Array, options: Mapping[str, Any],
        sums: Array, counts: Array,
    ) -> Record:  # fmt: skip
        wanted = np.flatnonzero((counts > 0) & self._head_slices)
        if wanted.size == 0:
            raise Undefined("no slice of the region touches the head")
        values = np.full(len(sums), np.nan)
        for k in wanted:
            try:
                constant = self._constant(form, region, judged, options, int(k))
            except Undefined:
                continue
            values[k] = form.finish(sums[k] / counts[k], constant)
        defined = np.isfinite(values)
        missing = int(wanted.size - np.count_nonzero(defined))
        if not defined.any():
            return Record(
                region.name, use.label, use.unit, float("nan"), "undefined in every slice", int(wanted.size), missing
            )
        blocks = _blocks(np.where(defined, values, 0.0), defined.astype(int), self.spacing[AXIAL], None)
        mean = float(values[defined].mean())
        return Record(region.name, use.label, use.unit, mean, OK, int(wanted.size), missing, blocks)

    def _constant(
        self, form: VoxelForm, region: _Region, judged: Array, options: Mapping[str, Any], k: int | None = None
    ) -> float:
        if form.constant is no_constant:
            return 1.0  # spares taking the region's voxels out of both images
        images = (self._reference, judged) if k is None else (self._reference[..., k], judged[..., k])
        if region.index is None:
            true, estimate = (image.reshape(-1) for image in images)
        elif k is None:
            true, estimate = (image.reshape(-1)[region.index] for image in images)
        else:
            in_slice = region.index[region.slices == k] // self._reference.shape[AXIAL]
            true, estimate = (image.reshape(-1)[in_slice] for image in images)
        return form.constant(true, estimate, data_range=self.protocol.data_range, **options)

    def _score_directly(self, use: MetricUse, region: _Region, judged: Array) -> Record:
        if use.unit == "slice":
            raise Undefined(f"metric '{use.metric}' is not a mean over voxels and is not computed by slice")
        mask = None
        if region.index is not None:
            mask = np.zeros(self._reference.shape, dtype=bool)
            mask.reshape(-1)[region.index] = True
        value, reason = METRICS.get(use.metric).score(
            self._reference, judged, mask=mask, data_range=self.protocol.data_range, **use.options
        )
        if np.isinf(value):
            value, reason = float("nan"), IDENTICAL
        return Record(region.name, use.label, use.unit, value, reason or OK, 1, int(bool(reason)))


def score_volume(
    protocol: Protocol,
    reference: Array,
    estimate: Array,
    regions: Mapping[str, Array],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    metrics: Iterable[str] | None = None,
) -> list[Record]:
    """Score one estimate; see `CaseScorer`, which is quicker for several estimates of one reference.

    Args:
        protocol: How to score.
        reference: The reference on the protocol's scale, shape (I, J, K), axes along R, A, S.
        estimate: The estimate on the same scale, same shape.
        regions: Region name to boolean array of that shape.
        spacing: Distance between voxels along i, j, k in mm.
        metrics: Labels of the metrics wanted; None for all of the protocol.

    Returns:
        One record for each region and metric; undefined values are among them, with the reason.

    Example:
        >>> from recontrast.evaluation.protocols import PROTOCOLS
        >>> records = score_volume(PROTOCOLS.get("recontrast"), np.zeros((12, 12, 12)), np.zeros((12, 12, 12)), {})
        >>> records
        []
    """
    return CaseScorer(protocol, reference, regions, spacing).score(estimate, metrics)


def _split_options(form: VoxelForm, use: MetricUse) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options that change the map, and the others."""
    options = {key: value for key, value in use.options.items() if key in form.map_options}
    return options, {key: value for key, value in use.options.items() if key not in form.map_options}


def _nothing(region: str, use: MetricUse, reason: str) -> Record:
    return Record(region, use.label, use.unit, float("nan"), reason, 1, 1)


def _box(
    masks: Mapping[str, Array], protocol: Protocol, shape: tuple[int, ...], *, whole: bool
) -> tuple[slice, slice, slice]:
    """The part of the image that the regions depend on: their bounding box and the reach of the metrics' windows."""
    everything = (slice(None), slice(None), slice(None))
    if whole or not masks:
        return everything
    reach = np.zeros(3, dtype=int)
    for use in protocol.metrics:
        form = METRICS.get(use.metric).form
        if form is not None:
            reach = np.maximum(reach, form.margin(**_split_options(form, use)[0]))
    union = np.logical_or.reduce(list(masks.values()))
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


def _region(name: str, mask: Array) -> _Region:
    index = np.flatnonzero(mask)
    return _Region(name, index, index % mask.shape[AXIAL])


def _slice_sums(values: Array, region: _Region, margin: tuple[int, int, int]) -> tuple[Array, Array]:
    """Sum of the map and number of voxels in each axial slice of the region."""
    count = values.shape[AXIAL]
    if region.index is None or region.slices is None:
        inner = values[tuple(slice(m, n - m) for m, n in zip(margin, values.shape, strict=True))]
        sums, counts = np.zeros(count), np.zeros(count, dtype=int)
        within = slice(margin[AXIAL], count - margin[AXIAL])
        sums[within] = inner.sum(axis=(0, 1), dtype=np.float64)
        counts[within] = inner.shape[0] * inner.shape[1]
        return sums, counts
    inside = values.reshape(-1)[region.index]
    return np.bincount(region.slices, inside, minlength=count), np.bincount(region.slices, minlength=count)


def _blocks(sums: Array, counts: Array, spacing_mm: float, constant: float | None) -> Blocks:
    """Sums over contiguous slabs from the first to the last slice that counts."""
    used = np.flatnonzero(counts)
    extent = int(used[-1] - used[0]) + 1
    thickness = max(1, round(BLOCK_MM / spacing_mm), -(-extent // BLOCKS))
    starts = np.arange(used[0], used[-1] + 1, thickness)
    slab_sums = np.add.reduceat(sums[: used[-1] + 1], starts)
    slab_counts = np.add.reduceat(counts[: used[-1] + 1], starts)
    filled = slab_counts > 0
    return Blocks(
        tuple(float(s) for s in slab_sums[filled]), tuple(int(c) for c in slab_counts[filled]), constant
    )  # fmt: skip


def _slices_with_head(reference: Array, head: Array | None) -> NDArray[np.bool_]:
    """Axial slices that touch the head, or that are not constant where no head mask is given."""
    if head is not None:
        return np.asarray(np.asarray(head, dtype=bool).any(axis=(0, 1)))
    return np.asarray(reference.max(axis=(0, 1)) > reference.min(axis=(0, 1)))
