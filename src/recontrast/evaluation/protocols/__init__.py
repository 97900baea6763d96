"""Protocols: everything that must be fixed before a number means anything, as data. One file per protocol.

A PSNR without its scale, region, data range and unit cannot be compared with any other. Results of two protocols are
never put in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.metrics import METRICS
from recontrast.preparation.normalize import ScaleSettings
from recontrast.registry import Registry

AXIAL = 2
"""Array axis across axial slices; images are scored with their axes along R, A, S."""

WHOLE_IMAGE = "image"
"""Name of the region that is the whole field of view, background included."""

SyntheticScale = Literal["declared", "reference", "own"]


@dataclass(frozen=True, kw_only=True)
class MetricUse:
    """One column of results: a metric with its options and the unit it is computed in.

    Attributes:
        label: Name in the tables ("ssim_axial").
        metric: Name of the metric ("ssim").
        options: Its options ("window", "axis", "divisor", …).
        unit: `volume`: one value from all voxels of the region. `slice`: one value per axial slice that touches the
            head, then the mean over slices.
    """

    label: str
    metric: str
    options: Mapping[str, Any] = field(default_factory=dict)
    unit: Literal["volume", "slice"] = "volume"


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
        data_range: Full scale of PSNR and SSIM, on the normalised scale.
        regions: Names of the regions that are scored; empty: every region the case has.
        primary: The region that decides; the first of these that a case has.
        metrics: What is computed.
        primary_metric: Label of the metric that decides.
        aggregation: In words: how values become one number per subject and then per cohort.
        description: One line for lists.
        citation: Where it comes from.
    """

    name: str
    normaliser: ScaleSettings
    synthetic_scale: SyntheticScale
    data_range: float
    regions: tuple[str, ...]
    primary: tuple[str, ...]
    metrics: tuple[MetricUse, ...]
    primary_metric: str
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
