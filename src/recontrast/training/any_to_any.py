"""One network for several targets: when it is chosen, what it cannot be combined with, how it is validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from recontrast.datasets.cases import CachedCase
from recontrast.errors import ConfigError
from recontrast.preparation.bank import makeable
from recontrast.preparation.cohort import PreparedCase
from recontrast.training.plan import Plan
from recontrast.training.validation import Judge, Validation, Validator
from recontrast.translation.description import TranslatorDescription


def require_bank_plan(plan: Plan) -> None:
    """Refuse settings that a network for several targets does not know.

    Raises:
        ConfigError: There is one.
    """
    data, changed = plan.data, plan.data.augment
    problems = {
        "data.plane=volume": data.spatial_dims == 3,
        "data.paired=false": not data.paired,
        "data.augment.source_gain, source_gamma and source_noise": max(
            changed.source_gain, changed.source_gamma, changed.source_noise
        )
        > 0,
    }
    for setting, found in problems.items():
        if found:
            raise ConfigError(
                f"model {plan.model.name} learns several contrasts from slices, each of them source and target in "
                f"turn; it does not know {setting}: leave it out"
            )


def build_validator(
    cases: Sequence[PreparedCase], cached: Sequence[CachedCase], protocol: str, description: TranslatorDescription
) -> Judge:
    """What validates the networks of a training; arguments as for `Validator`.

    Where the network makes several targets, each is validated on the cases that have it beside a source.
    """
    bank = description.bank
    if bank is None:
        return Validator(cases, cached, protocol, description)
    parts: dict[str, Validator] = {}
    for target in bank.targets:
        chosen = [n for n, case in enumerate(cases) if makeable(description.sources, (target,), case.images)]
        if chosen:
            own = ([cases[n] for n in chosen], [cached[n] for n in chosen])
            parts[target] = Validator(*own, protocol, description.making(target))
    return BankValidator(parts)


class BankValidator:
    """Validates a network that makes several targets: each target from all sources that a case has.

    Every target counts the same.

    Args:
        parts: Target to what validates it; at least one.
    """

    def __init__(self, parts: Mapping[str, Validator]) -> None:
        self.parts = dict(parts)
        first = next(iter(self.parts.values()))
        self.labels, self.is_better = first.labels, first.is_better
        self.region = " / ".join(sorted({part.region for part in self.parts.values()}))

    @property
    def subjects(self) -> int:
        """Number of validation subjects."""
        return len({case.subject for part in self.parts.values() for case in part.cached})

    def score_cases(self, network: torch.nn.Module, precision: str, rank: int = 0, ranks: int = 1) -> torch.Tensor:
        """See `Judge.score_cases`; the rows of one target after those of the other."""
        return torch.cat([part.score_cases(network, precision, rank, ranks) for part in self.parts.values()])

    def summarise(self, values: NDArray[np.float64]) -> Validation:
        """Means over targets of the means over subjects."""
        parts = [part.summarise(rows) for part, rows in zip(self.parts.values(), self._apart(values), strict=True)]
        metrics = {label: float(np.mean([part.metrics[label] for part in parts])) for label in self.labels}
        return Validation(values, metrics, metrics[self.labels[0]])

    def table(self, validation: Validation, step: int) -> pd.DataFrame:
        """`validation.tsv`: one row a target, case and metric."""
        rows = zip(self.parts.items(), self._apart(validation.values), strict=True)
        tables = [part.table(part.summarise(own), step).assign(target=target) for (target, part), own in rows]
        return pd.concat(tables, ignore_index=True)

    def _apart(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return np.split(values, np.cumsum([len(part.cached) for part in self.parts.values()])[:-1])
