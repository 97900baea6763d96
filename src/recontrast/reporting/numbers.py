"""How numbers and metrics are written in the report: digits, minus signs, units, which direction is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recontrast.errors import FormatError
from recontrast.evaluation.protocols import NATIVE
from recontrast.evaluation.steps import read_step
from recontrast.metrics import METRICS

ABSENT = "—"
"""Stands where a value does not exist."""


@dataclass(frozen=True)
class Measure:
    """A column of results: its label in the tables, and the metric behind it, which knows title, unit and direction.

    A metric that is not installed here (tables of another version) has no unit and counts as an error measure.

    Attributes:
        label: Name in the tables ("ssim_axial").
        metric: Name of the metric ("ssim").
        native: Whether the protocol measures the images in their own units, not on a scale.
    """

    label: str
    metric: str
    native: bool = False

    @classmethod
    def of(cls, label: str, protocol: Mapping[str, Any] | None = None) -> Measure:
        """The measure called `label`.

        Args:
            label: Name in the tables.
            protocol: The protocol's fields as `evaluation.json` has them; without it the label's first word counts.

        >>> Measure.of("ssim_axial").metric
        'ssim'
        """
        uses = (protocol or {}).get("metrics", ())
        named = [u for u in uses if isinstance(u, Mapping) and u.get("label") == label and "metric" in u]
        metric = str(named[0]["metric"]) if named else label.partition("_")[0]
        return cls(label, metric, _is_native(protocol or {}, named[0] if named else {}))

    @property
    def known(self) -> bool:
        """Whether the metric is installed here, so that its direction and unit are known."""
        return self.metric in METRICS.names()

    @property
    def higher_is_better(self) -> bool:
        """Direction, as the metric declares it."""
        return self.known and bool(METRICS.get(self.metric).higher_is_better)

    @property
    def unit(self) -> str:
        """Unit; empty where there is none."""
        unit = METRICS.get(self.metric).unit if self.known else ""
        return unit.replace("scaled intensity", "native units") if self.native else unit

    @property
    def name(self) -> str:
        """Name for text and tables: `SSIM`, `SSIM axial`; `nrmse (NMAE)` where a paper calls our NMAE so."""
        if not self.known:
            return self.label
        if not self.label.startswith(self.metric):  # a paper's name for another metric of ours
            return f"{self.label.replace('_', ' ')} ({METRICS.get(self.metric).title})"
        variant = self.label.removeprefix(self.metric).strip("_").replace("_", " ")
        return f"{METRICS.get(self.metric).title} {variant}".strip()

    @property
    def arrow(self) -> str:
        """↑ where higher is better, ↓ where lower is; empty where it is not known."""
        return ("↑" if self.higher_is_better else "↓") if self.known else ""

    @property
    def title(self) -> str:
        """Name, unit and direction: `PSNR (dB) ↑`."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name}{unit} {self.arrow}".strip()

    def amount(self, value: float, decimals: int, *, signed: bool = False) -> str:
        """A value with unit and name: `2.1 dB PSNR`."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{number(value, decimals, signed=signed)}{unit} {self.name}"


def _is_native(protocol: Mapping[str, Any], use: Mapping[str, Any]) -> bool:
    """Whether a metric sees the images in their own units: nothing fitted, and no step that rescales."""
    scale = protocol.get("normaliser")
    own = {"name": NATIVE.name, "fixed_offset": NATIVE.fixed_offset, "fixed_factor": NATIVE.fixed_factor}
    if not isinstance(scale, Mapping) or {key: scale.get(key) for key in own} != own:
        return False
    try:
        steps = [read_step(step) for step in (*(protocol.get("steps") or ()), *(use.get("steps") or ()))]
    except (FormatError, TypeError):
        return False  # a step of another version
    return not any(step.rescales for step in steps)


def decimals_for(values: Iterable[Any], significant: int = 4) -> int:
    """Decimals that give the largest of `values` so many significant digits; the same for a whole column.

    >>> decimals_for([31.2, 8.0]), decimals_for([0.93])
    (2, 4)
    """
    finite = [abs(float(v)) for v in values if is_number(v) and float(v) != 0]
    if not finite:
        return 2
    return int(min(8, max(0, significant - 1 - math.floor(math.log10(max(finite))))))


def is_number(value: Any) -> bool:
    """Whether a table's entry is a finite number."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def number(value: Any, decimals: int, *, signed: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none.

    >>> number(-2.125, 1), number(None, 1), number(2.0, 1, signed=True)
    ('−2.1', '—', '+2.0')
    """
    if not is_number(value):
        return ABSENT
    text = f"{float(value):{'+' if signed else ''}.{decimals}f}"
    return text.replace("-", "−")


def interval(low: Any, high: Any, decimals: int, *, signed: bool = False) -> str:
    """An interval in square brackets; a dash where there is none.

    >>> interval(1.0, 2.5, 1)
    '[1.0, 2.5]'
    """
    if not (is_number(low) and is_number(high)):
        return ABSENT
    return f"[{number(low, decimals, signed=signed)}, {number(high, decimals, signed=signed)}]"


def p_value(value: Any) -> str:
    """A p value to three decimals.

    >>> p_value(0.00002), p_value(0.0412)
    ('p < 0.001', 'p = 0.041')
    """
    if not is_number(value):
        return ""
    return "p < 0.001" if float(value) < 0.001 else f"p = {float(value):.3f}"


def count(amount: int, singular: str, plural: str = "") -> str:
    """An amount with its noun.

    >>> count(1, "subject"), count(3, "subject")
    ('1 subject', '3 subjects')
    """
    return f"{amount} {singular if amount == 1 else plural or singular + 's'}"
