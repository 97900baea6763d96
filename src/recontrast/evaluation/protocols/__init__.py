"""Protocols: everything that must be fixed before a number means anything, as data. One file per protocol.

A PSNR without its scale, region, data range and unit cannot be compared with any other. Results of two protocols are
never put in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.evaluation.steps import AXIAL, WHOLE_IMAGE, Step
from recontrast.metrics import METRICS
from recontrast.preparation.normalize import ScaleSettings
from recontrast.registry import Registry

__all__ = [
    "AXIAL",
    "NATIVE",
    "PROTOCOLS",
    "WHOLE_IMAGE",
    "MetricUse",
    "Protocol",
    "Step",
    "SyntheticScale",
    "require_one_protocol",
]

SyntheticScale = Literal["declared", "reference", "own"]

NATIVE = ScaleSettings(name="fixed", fixed_offset=0.0, fixed_factor=1.0)
"""The images' own units: nothing is scaled."""


@dataclass(frozen=True, kw_only=True)
class MetricUse:
    """One column of results: a metric with its options and the unit it is computed in.

    Attributes:
        label: Name in the tables ("ssim_axial").
        metric: Name of the metric ("ssim").
        options: Its options ("window", "axis", "divisor", …). `whole`: in the region "image" the border counts too.
        unit: `volume`: one value from all voxels of the region. `slice`: one value per slice that `Protocol.slices`
            chooses, then the mean over slices.
        plane: Which slices: axial, coronal or sagittal (unit `slice`).
        slices: Slices that count, where they are not those of `Protocol.slices`.
        steps: What is done to both images for this metric only, after the protocol's steps.
        constant_region: Region whose voxels give the peak or divisor; "" for the region that is scored.
    """

    label: str
    metric: str
    options: Mapping[str, Any] = field(default_factory=dict)
    unit: Literal["volume", "slice"] = "volume"
    plane: Literal["sagittal", "coronal", "axial"] = "axial"
    slices: str = ""
    steps: tuple[Step, ...] = ()
    constant_region: str = ""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How images are scored.

    Attributes:
        name: Name on the command line and in every table.
        normaliser: Scale fitted on the reference, image by image; all numbers are on this scale.
        synthetic_scale: How the synthetic image is put on that scale. `declared`: by the scale in its own sidecar (what
            the translator says its units are), so that a wrong brightness counts; `reference`: by the scale of the
            reference, for tools that write the target's native units; `own`: by a scale fitted on itself, so that a
            wrong brightness is forgiven.
        steps: What is done to both images before anything is measured, in this order.
        data_range: Full scale of PSNR and SSIM, on the scale the steps leave.
        regions: The regions that are scored, as `find_region` names them ("brain|head": the first a case has); empty:
            every region the case has.
        primary: The region that decides; the first of these that a case has.
        metrics: What is computed.
        primary_metric: Label of the metric that decides.
        slices: Slices that count in unit `slice`: those that touch a region ("brain|head"), all of them ("image"),
            those in which the reference is not constant ("varying"), or the N in the middle of one of these
            ("head:64").
        aggregation: In words: how values become one number per subject and then per cohort.
        description: One line for lists.
        citation: Where it comes from.
    """

    name: str
    normaliser: ScaleSettings
    synthetic_scale: SyntheticScale
    steps: tuple[Step, ...] = ()
    data_range: float
    regions: tuple[str, ...]
    primary: tuple[str, ...]
    metrics: tuple[MetricUse, ...]
    primary_metric: str
    slices: str = "head"
    aggregation: str
    description: str
    citation: str = ""

    def __post_init__(self) -> None:
        """Refuse a protocol that contradicts itself."""
        labels = [use.label for use in self.metrics]
        if len(set(labels)) != len(labels):
            raise ConfigError(f"protocol '{self.name}': two metrics have the same label ({', '.join(labels)})")
        if self.primary_metric not in labels:
            raise UnknownNameError.among(f"primary metric of protocol '{self.name}':", self.primary_metric, labels)
        for found in (METRICS.get(use.metric) for use in self.metrics):
            if found.two_sided:
                raise ConfigError(
                    f"protocol '{self.name}': '{found.name}' is best at {found.best:g} and worse on both sides of it, "
                    f"so nothing could be called better; use '{found.name.removesuffix('_ratio')}_distance'"
                )

    def use(self, label: str) -> MetricUse:
        """The metric called `label`.

        Raises:
            UnknownNameError: The protocol has no such metric.
        """
        for use in self.metrics:
            if use.label == label:
                return use
        raise UnknownNameError.among(f"metric of protocol '{self.name}':", label, [u.label for u in self.metrics])

    def higher_is_better(self, label: str) -> bool:
        """Direction of the metric called `label`."""
        return METRICS.get(self.use(label).metric).higher_is_better

    def primary_region(self, regions: Iterable[str]) -> str:
        """The region that decides, among those a case has.

        Raises:
            ConfigError: None of the protocol's primary regions is there.
        """
        present = set(regions)
        for name in self.primary:
            if name in present:
                return name
        raise ConfigError(
            f"protocol '{self.name}' decides in {' or '.join(self.primary)}, but there is only "
            f"{', '.join(sorted(present)) or 'no region'}; give a mask, or prepare with regions"
        )


PROTOCOLS: Registry[Protocol] = Registry("protocol", "recontrast.evaluation.protocols")


def require_one_protocol(names: Iterable[str], where: str) -> str:
    """The one protocol of a table.

    Raises:
        ConfigError: There are several, or none.

    Example:
        >>> require_one_protocol(["recontrast", "recontrast"], "scores.tsv")
        'recontrast'
    """
    found = sorted(set(names))
    if len(found) != 1:
        raise ConfigError(
            f"{where}: results of {len(found)} protocols ({', '.join(found) or 'none'}) cannot stand in one table, "
            "their numbers are not comparable; evaluate both with the same --protocol"
        )
    return found[0]
