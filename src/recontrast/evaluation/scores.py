"""Score one image against its reference: every region and metric of a protocol, undefined values with their reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import GeometryError
from recontrast.evaluation.protocols import AXIAL, WHOLE_IMAGE, MetricUse, Protocol, Step
from recontrast.evaluation.stages import Maps, Region, Stage, kind_of
from recontrast.evaluation.steps import PLANES, Pair, find_region, region_name
from recontrast.metrics import METRICS, Undefined, VoxelForm, check_images, no_constant

Array = NDArray[Any]

SYNTHETIC = "synthetic"
"""Name of the estimator that is judged; the others are controls."""

OK = "ok"
"""Status of a value that is defined."""

NO_REGION = "the case has no such region"

NOT_SCORED = "the control could not be scored in this case"

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
        units_sd: SD (of all, not of a sample) over the slices the value is the mean of; None in unit `volume`.
    """

    region: str
    metric: str
    unit: str
    value: float
    status: str
    units: int = 1
    units_undefined: int = 0
    blocks: Blocks | None = None
    units_sd: float | None = None


class CaseScorer:
    """Scores several estimates of one reference; what they share is done once.

    Args:
        protocol: How to score.
        reference: The reference on the protocol's scale, shape (I, J, K), axes along R, A, S.
        regions: Region name to boolean array of that shape.
        spacing: Distance between voxels along i, j, k in mm.
        also: Further regions to score, as `steps.find_region` names them ("brain&axial[40:60]").
        weights: Weights file of LPIPS; without it such a metric is undefined, with that reason.

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
        also: Sequence[str] = (),
        weights: Path | None = None,
    ) -> None:
        if np.ndim(reference) != 3:
            raise GeometryError(f"a volume of three axes is scored, got shape {np.shape(reference)}")
        check_images(reference, reference, data_range=protocol.data_range)
        for name, mask in regions.items():
            if np.shape(mask) != np.shape(reference):
                raise GeometryError(f"region '{name}' has shape {np.shape(mask)}, the reference {np.shape(reference)}")
        self.protocol = protocol
        self.spacing = spacing
        self._reference = reference
        self._masks = {name: np.asarray(mask, dtype=bool) for name, mask in regions.items()}
        self._names = list(dict.fromkeys([*(protocol.regions or self._masks), *also]))
        self._weights = weights
        self._stages: dict[bool, Stage] = {}

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
        shape = np.shape(self._reference)
        if np.shape(estimate) != shape:
            raise GeometryError(f"the estimate has shape {np.shape(estimate)}, the reference {shape}")
        check_images(estimate, estimate)
        uses = self.protocol.metrics if metrics is None else [self.protocol.use(label) for label in metrics]
        maps = self._prepared(estimate, uses)
        found = {name: region_name(name, self._masks) for name in self._names}
        records = []
        for name in self._names:
            for use in uses:
                work = maps[kind_of(use)]
                region = work.stage.regions.get(found[name])
                records.append(
                    _nothing(found[name], use, NO_REGION) if region is None else self._score(use, region, work)
                )
        return records

    def _prepared(self, estimate: Array, uses: Sequence[MetricUse]) -> dict[Any, Maps]:
        """Stages and maps by what is done before measuring."""
        start = Pair(self._reference, estimate, self._masks, np.ones(np.shape(estimate)[AXIAL], dtype=bool))
        for step in self.protocol.steps:
            start = step.apply(start)
        maps: dict[Any, Maps] = {}
        for kind in dict.fromkeys(kind_of(use) for use in uses):
            steps, needs_image = kind
            pair = start
            for step in steps:
                pair = step.apply(pair)
            # Without steps the reference is the same for every estimate, and so is all that is made of it.
            shared = not (self.protocol.steps or steps)
            stage = self._stages.get(needs_image) if shared else None
            if stage is None:
                stage = self._stage(pair, needs_image, steps)
            if shared:
                self._stages[needs_image] = stage
            maps[kind] = Maps(stage, pair.estimate, self.protocol.data_range)
        return maps

    def _stage(self, pair: Pair, needs_image: bool, steps: tuple[Step, ...]) -> Stage:
        shape = pair.reference.shape
        uses = [use for use in self.protocol.metrics if kind_of(use) == (steps, needs_image)]
        names = dict.fromkeys([*self._names, *(use.constant_region for use in uses if use.constant_region)])
        found = dict(find_region(name, pair.masks, shape) for name in names)
        regions = {n: None if n == WHOLE_IMAGE else mask for n, mask in found.items() if mask is not None}
        return Stage(pair, regions, self.protocol, uses)

    def _score(self, use: MetricUse, region: Region, maps: Maps) -> Record:
        form = METRICS.get(use.metric).form
        try:
            if not maps.stage.usable.any():
                raise Undefined(maps.stage.undefined or "the reference cannot be normalised as the protocol asks")
            if form is None:
                return self._score_directly(use, region, maps)
            sums, counts = maps.slice_sums(form, use, region)
            compute = self._by_slice if use.unit == "slice" else self._by_volume
            return compute(use, form, region, maps, sums, counts)
        except Undefined as reason:
            return _nothing(region.name, use, str(reason))

    def _by_volume(
        self, use: MetricUse, form: VoxelForm, region: Region, maps: Maps, sums: Array, counts: Array
    ) -> Record:
        total = counts.sum()
        if total == 0:
            raise Undefined("the region is empty")
        constant = self._constant(form, use, region, maps)
        value = float(form.finish(sums.sum() / total, constant))
        blocks = _blocks(sums, counts, self.spacing[PLANES[use.plane]], constant)
        if not np.isfinite(value):
            return Record(region.name, use.label, use.unit, float("nan"), IDENTICAL, 1, 1, blocks)
        return Record(region.name, use.label, use.unit, value, OK, blocks=blocks)

    def _by_slice(
        self, use: MetricUse, form: VoxelForm, region: Region, maps: Maps, sums: Array, counts: Array
    ) -> Record:
        def value(k: int) -> float:
            return float(form.finish(sums[k] / counts[k], self._constant(form, use, region, maps, k)))

        return self._over_slices(use, region, maps, counts, value)

    def _over_slices(
        self, use: MetricUse, region: Region, maps: Maps, counts: Array, value: Callable[[int], float]
    ) -> Record:
        """Mean of a value over the slices that count."""
        axis = PLANES[use.plane]
        wanted = np.flatnonzero((counts > 0) & maps.stage.wanted[axis, use.slices or self.protocol.slices])
        if wanted.size == 0:
            raise Undefined("no slice of the region touches the head")
        values = np.full(len(counts), np.nan)
        reason = ""
        for k in wanted:
            if axis == AXIAL and not maps.stage.usable[k]:
                reason = "the slice cannot be normalised as the protocol asks"
                continue
            try:
                values[k] = value(int(k))
            except Undefined as why:
                reason = str(why)
        defined = np.isfinite(values)
        missing = int(wanted.size - np.count_nonzero(defined))
        if not defined.any():
            status = f"undefined in every slice{': ' if reason else ''}{reason}"
            return Record(region.name, use.label, use.unit, float("nan"), status, int(wanted.size), missing)
        blocks = _blocks(np.where(defined, values, 0.0), defined.astype(int), self.spacing[axis], None)
        mean, spread = float(values[defined].mean()), float(values[defined].std())
        return Record(region.name, use.label, use.unit, mean, OK, int(wanted.size), missing, blocks, spread)

    def _constant(self, form: VoxelForm, use: MetricUse, region: Region, maps: Maps, k: int | None = None) -> float:
        if form.constant is no_constant:
            return 1.0  # spares taking the region's voxels out of both images
        stage, axis = maps.stage, PLANES[use.plane]
        if use.constant_region:
            name = region_name(use.constant_region, self._masks)
            if name not in stage.regions:
                raise Undefined(f"the divisor is taken in region '{name}', which the case does not have")
            region = stage.regions[name]
        images: tuple[Array, ...] = (stage.reference, maps.estimate)
        if region.index is not None:
            index = region.index if k is None else region.index[region.slices(axis) == k]
            images = tuple(image.reshape(-1)[index] for image in images)
        elif k is not None:
            images = tuple(np.take(image, k, axis=axis).reshape(-1) for image in images)
        else:
            images = tuple(image.reshape(-1) for image in images)
        if images[0].size == 0:
            raise Undefined("the region of the divisor is empty")
        options = {n: v for n, v in use.options.items() if n not in form.map_options and n != "whole"}
        return form.constant(*images, data_range=self.protocol.data_range, **options)

    def _score_directly(self, use: MetricUse, region: Region, maps: Maps) -> Record:
        """Metrics that are no mean over voxels; by slice they are called with two-dimensional images."""
        metric, stage, axis = METRICS.get(use.metric), maps.stage, PLANES[use.plane]
        options = dict(use.options)
        if "weights" in metric.options:
            options.setdefault("weights", self._weights)
        mask = None
        if region.index is not None:
            mask = np.zeros(stage.reference.shape, dtype=bool)
            mask.reshape(-1)[region.index] = True

        def value(k: int | None) -> float:
            arrays = (stage.reference, maps.estimate, mask)
            cut = arrays if k is None else tuple(None if a is None else np.take(a, k, axis=axis) for a in arrays)
            if "spacing" in metric.options:
                options["spacing"] = tuple(mm for a, mm in enumerate(self.spacing) if k is None or a != axis)
            number, reason = metric.score(
                cut[0], cut[1], mask=cut[2], data_range=self.protocol.data_range, **options
            )  # fmt: skip
            if reason:
                raise Undefined(reason)
            return float(number)

        if use.unit == "slice":
            others = tuple(a for a in range(3) if a != axis)
            size = stage.reference.size // stage.reference.shape[axis]
            counts = np.full(stage.reference.shape[axis], size) if mask is None else mask.sum(axis=others)
            record = self._over_slices(use, region, maps, counts, value)
            return replace(record, blocks=None)
        number = value(None)
        if np.isinf(number):
            return Record(region.name, use.label, use.unit, float("nan"), IDENTICAL, 1, 1)
        return Record(region.name, use.label, use.unit, number, OK)


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


def with_every_region(
    cases: Mapping[str, Mapping[str, Sequence[Record]]], names: Sequence[str]
) -> dict[str, dict[str, list[Record]]]:
    """The records of all cases, with an undefined one for each region and metric that only other cases have.

    Without them a case that lacks a mask would be missing from that region's numbers and from no count.

    Args:
        cases: Case key to estimator to its values.
        names: Regions as they were asked for ("brain|head": the first that a case has).

    Example:
        >>> mae = Record("brain", "mae", "volume", 0.1, OK)
        >>> found = with_every_region({"sub-01": {SYNTHETIC: [mae]}, "sub-02": {SYNTHETIC: []}}, ())
        >>> found["sub-02"][SYNTHETIC][0].status
        'the case has no such region'
    """
    every = [record for estimators in cases.values() for records in estimators.values() for record in records]
    units = {(record.region, record.metric): record.unit for record in every}
    complete: dict[str, dict[str, list[Record]]] = {}
    for key, estimators in cases.items():
        here = {record.region for records in estimators.values() for record in records}
        why = {region: _why_absent(region, here, names) for region, _ in units}
        complete[key] = {}
        for name, records in estimators.items():
            there = {(record.region, record.metric) for record in records}
            absent = [
                Record(region, metric, unit, float("nan"), why[region], 1, 1)
                for (region, metric), unit in units.items()
                if (region, metric) not in there
            ]
            complete[key][name] = [*records, *absent]
    return complete


def with_every_estimator(cases: Mapping[str, Mapping[str, Sequence[Record]]]) -> dict[str, dict[str, list[Record]]]:
    """The records of all cases, with undefined ones for each estimator that only other cases have.

    Example:
        >>> mae = Record("brain", "mae", "volume", 0.1, OK)
        >>> found = with_every_estimator({"sub-01": {SYNTHETIC: [mae], "bloch": [mae]}, "sub-02": {SYNTHETIC: [mae]}})
        >>> found["sub-02"]["bloch"][0].status
        'the control could not be scored in this case'
    """
    names = dict.fromkeys(name for estimators in cases.values() for name in estimators)
    complete: dict[str, dict[str, list[Record]]] = {}
    for key, estimators in cases.items():
        like = next(iter(estimators.values()), ())
        absent = [Record(r.region, r.metric, r.unit, float("nan"), NOT_SCORED, 1, 1) for r in like]
        complete[key] = {name: list(estimators.get(name, absent)) for name in names}
    return complete


def _why_absent(region: str, here: set[str], names: Sequence[str]) -> str:
    for alternatives in (name.split("|") for name in names):
        taken = next((name for name in alternatives if name in here), "")
        if taken and region in alternatives:
            return f"the case was scored in {taken} instead"
    return NO_REGION


def _nothing(region: str, use: MetricUse, reason: str) -> Record:
    return Record(region, use.label, use.unit, float("nan"), reason, 1, 1)


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
