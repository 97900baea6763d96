"""Score a network on whole validation subjects with a named protocol, the one that judges it in the end."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from recontrast.datasets.cases import CachedCase, slices_back
from recontrast.errors import IntensityError
from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE, Protocol
from recontrast.evaluation.scores import CaseScorer
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.engines.pytorch import device_of
from recontrast.translation.translator import Translator, TranslatorDescription
from recontrast.volume import Volume

_SHOWN = ("psnr", "mae", "ssim")
"""Metrics computed beside the one that decides, where the protocol has them."""


@dataclass(frozen=True)
class Validation:
    """Result of one validation.

    Attributes:
        values: (cases, metrics), nan where undefined.
        metrics: Metric to its mean over subjects; sessions are averaged within the subject first.
        score: The metric that decides.
    """

    values: NDArray[np.float64]
    metrics: dict[str, float]
    score: float


class Judge(typing.Protocol):
    """What validates networks on the same cases again and again, for one target or for several."""

    @property
    def labels(self) -> list[str]:
        """Metrics, the one that decides first."""

    @property
    def region(self) -> str:
        """Where they are computed."""

    @property
    def subjects(self) -> int:
        """Number of validation subjects."""

    def is_better(self, score: float, than: float | None) -> bool:
        """Whether a score beats another; None is beaten by any that is defined."""

    def score_cases(self, network: torch.nn.Module, precision: str, rank: int = 0, ranks: int = 1) -> torch.Tensor:
        """Values of this rank's cases, (cases, metrics), zero in the rows of other ranks.

        Args:
            network: The network as it is now.
            precision: "bf16": where it agrees with fp32, as in `translate`; "fp32".
            rank: Rank of this process.
            ranks: Number of processes that share the cases.
        """

    def summarise(self, values: NDArray[np.float64]) -> Validation:
        """Means over subjects of the values of all cases."""

    def table(self, validation: Validation, step: int) -> pd.DataFrame:
        """`validation.tsv`: one row a case and metric."""


class Validator:
    """Validates networks on the same cases again and again, exactly as the saved translator will be used.

    Args:
        cases: Prepared validation cases; at least one.
        cached: The same cases in the cache.
        protocol: Name of an evaluation protocol.
        description: What the translator will be.

    Raises:
        UnknownNameError: No such protocol.
        ConfigError: The protocol decides in a region that the cases do not have.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        cached: Sequence[CachedCase],
        protocol: str,
        description: TranslatorDescription,
    ) -> None:
        self.protocol: Protocol = PROTOCOLS.get(protocol)
        self.cached = tuple(cached)
        self.description = description
        self._prepared_scales = [case.scales[description.target] for case in cases]
        self._scales = [
            case.scales[description.target]
            if self.protocol.normaliser == description.scale_settings
            else fit_scale(read_volume(case.images[description.target]), self.protocol.normaliser)
            for case in cases
        ]
        names = {WHOLE_IMAGE, "head"} | ({"brain"} if all(case.has_brain for case in cached) else set())
        self.region = self.protocol.primary_region(names)
        labels = [use.label for use in self.protocol.metrics]
        decides = self.protocol.primary_metric
        self.labels = [decides, *(label for label in _SHOWN if label in labels and label != decides)]

    @property
    def subjects(self) -> int:
        """Number of validation subjects."""
        return len({case.subject for case in self.cached})

    def is_better(self, score: float, than: float | None) -> bool:
        """See `Judge.is_better`."""
        if not math.isfinite(score):
            return False
        if than is None:
            return True
        return score > than if self.protocol.higher_is_better(self.protocol.primary_metric) else score < than

    def score_cases(self, network: torch.nn.Module, precision: str, rank: int = 0, ranks: int = 1) -> torch.Tensor:
        """See `Judge.score_cases`."""
        device = device_of(network)
        settings = EngineSettings(
            engine="torch",
            precision="auto" if precision == "bf16" else "fp32",
            device="cuda" if device.type == "cuda" else "cpu",
        )
        translator = Translator(network, self.description, settings)
        values = torch.zeros(len(self.cached), len(self.labels), dtype=torch.float64)
        for number in range(rank, len(self.cached), ranks):
            values[number] = torch.tensor(self._score(number, translator), dtype=torch.float64)
        return values

    def summarise(self, values: NDArray[np.float64]) -> Validation:
        """Means over subjects of the values of all cases."""
        table = pd.DataFrame(values, columns=self.labels)
        means = table.groupby([case.subject for case in self.cached]).mean().mean()
        metrics = {label: float(means[label]) for label in self.labels}
        return Validation(values, metrics, metrics[self.protocol.primary_metric])

    def table(self, validation: Validation, step: int) -> pd.DataFrame:
        """`validation.tsv`: one row a case and metric."""
        rows = [
            {
                "case": case.key,
                "subject": case.subject,
                "region": self.region,
                "metric": label,
                "value": validation.values[number, column],
                "protocol": self.protocol.name,
                "step": step,
            }
            for number, case in enumerate(self.cached)
            for column, label in enumerate(self.labels)
        ]
        return pd.DataFrame(rows)

    def _score(self, number: int, translator: Translator) -> list[float]:
        case, everything = self.cached[number], slice(None)
        images = np.stack([case.read(n, everything, everything, everything) for n in range(len(case.images))], axis=1)
        volumes = [_upright(stack, case.plane) for stack in images]
        own = len(case.contrasts) - case.has_target  # what lies between the sources and the target is their context
        named = dict(zip(case.contrasts, (*volumes[:own], *volumes[len(volumes) - case.has_target :]), strict=True))
        sources = {label: named[label] for label in self.description.sources if label in named}
        if self.description.bank is not None:  # each is a target, too, and lies in the cache on its scale
            sources = self.description.levelled(sources)
        shown = translator.given(sources, case.acquired)
        estimate = shown.predict_scaled(sources, case.zeros)
        prepared, judged = self._prepared_scales[number], self._scales[number]
        reference = judged.apply(prepared.invert(named[self.description.target]))
        regions = {"head": _upright(np.asarray(case.regions[:, 0]), case.plane)}
        if case.has_brain:
            regions["brain"] = _upright(np.asarray(case.regions[:, 1]), case.plane)
        spacing = case.spacing_ras(case.plane)
        scorer = CaseScorer(self.protocol, reference, regions, spacing)
        try:
            records = scorer.score(self._on_scale(estimate, prepared, judged, spacing), self.labels)
        except IntensityError:  # an untrained network may give an image without any contrast
            return [math.nan] * len(self.labels)
        found = {record.metric: record.value for record in records if record.region == self.region}
        return [float(found.get(label, math.nan)) for label in self.labels]

    def _on_scale(
        self, estimate: NDArray[np.float32], prepared: Scale, judged: Scale, spacing: tuple[float, float, float]
    ) -> NDArray[np.float32]:
        """Network range to the protocol's scale, as `evaluate` will do it with the saved image.

        A scale of the protocol's name may have other percentiles: then the unit of the network is what the reference
        has between those of the preparation (see `recontrast.evaluation.scales.declared_scale`).
        """
        about, way = self.description, self.protocol.synthetic_scale
        if way == "declared" and about.scale_settings == self.protocol.normaliser:
            return estimate
        if way == "declared" and about.target_scale.name == self.protocol.normaliser.name:
            return judged.apply(prepared.invert(estimate))
        native = about.target_scale.invert(estimate)
        if way == "reference":
            return judged.apply(native)
        return fit_scale(Volume(native, np.diag([*spacing, 1.0])), self.protocol.normaliser).apply(native)


def _upright(stack: NDArray[Any], plane: str) -> NDArray[Any]:
    return np.ascontiguousarray(slices_back(stack, plane))
