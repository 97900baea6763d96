"""What a run's log says of its learning: curves, whose weights were kept, and a reading in words by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.reporting.numbers import Measure

RULE = (
    "Rule: the validation metric's gain is its best value minus its first. Still improving: the best value lies in "
    "the last quarter of the steps and is better than the best before it by more than 5 % of the gain. "
    "Over-fitting: the best value lies before the last quarter, the last value is worse than the best by more than "
    "20 % of the gain, and the training loss (median of a quarter) still fell by more than 2 % from the quarter of "
    "the best value to the last quarter. Got worse: the same without that fall of the loss. Flat: none of these. No "
    "gain: the first validation is the best. Fewer than four validations are not read."
)

_PREFERRED = ("psnr", "ssim", "mae", "nrmse", "rmse", "mse")
_MAX_POINTS = 1500


@dataclass(frozen=True)
class Curves:
    """Curves of a run.

    Attributes:
        steps: Steps at which a loss was logged (thinned to at most 1500).
        loss: Training loss at these steps.
        validation_steps: Steps of the validations.
        metrics: Metric to its values at the validations, the metric that is read first.
        titles: Metric to its title with unit and direction.
        region: Region that was validated.
        protocol: Protocol of the validation.
        subjects: Number of validation subjects; None when not logged.
        best_step: Step whose weights became the translator, or would if the run ended now; None when not known.
        ended: Whether the log has the end of the run.
    """

    steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    validation_steps: NDArray[np.int64]
    metrics: Mapping[str, NDArray[np.float64]]
    titles: Mapping[str, str]
    region: str
    protocol: str
    subjects: int | None
    best_step: int | None
    ended: bool = True

    @property
    def kept(self) -> str:
        """Which step's weights were kept, in words; empty when not known."""
        if self.best_step is None:
            return ""
        return f"step {self.best_step}, " + ("whose weights were kept" if self.ended else "the best so far")

    def smooth_loss(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Running median of the loss over about a thirtieth of the run."""
        half = max(1, len(self.loss) // 60)
        smooth = [np.median(self.loss[max(0, n - half) : n + half + 1]) for n in range(len(self.loss))]
        return self.steps, np.array(smooth, dtype=float)

    def reading(self) -> str:
        """One sentence on how learning went, by `RULE`."""
        if not self.metrics or len(self.validation_steps) < 4:
            return f"Too few validations ({len(self.validation_steps)}) to read the curve."
        label, values = next(iter(self.metrics.items()))
        if not np.isfinite(values).any():
            return f"No validation gave a finite {Measure.of(label).name}, so the curve cannot be read."
        measure = Measure.of(label)
        signed = values if measure.higher_is_better else -values
        state, best, name = _state(signed, self), int(self.validation_steps[int(np.nanargmax(signed))]), measure.name
        kept = f"; the translator has the weights of step {self.best_step}" if self.ended and self.kept else ""
        return {
            "improving": f"Still improving: validation {name} was best near the end; a longer run may gain more.",
            "over-fitting": f"Over-fitting: validation {name} got worse after step {best} while the training loss "
            f"went on falling{kept}.",
            "none": f"No gain: validation {name} was never better than at the first validation; look at the learning "
            "rate, the data and the length of the run.",
            "worse": f"Got worse: validation {name} got worse after step {best}, and the training loss did not fall "
            f"either; look at the learning rate{kept}.",
            "unexplained": f"Got worse: validation {name} got worse after step {best}; too few losses were logged to "
            f"say more{kept}.",
            "flat": f"Flat: validation {name} ended near its best and gained little or nothing in the last quarter; "
            "this run does not show whether a longer one would gain.",
        }[state]


def read_curves(events: Sequence[Mapping[str, Any]]) -> Curves | None:
    """Curves from the events of a log; None when it holds neither losses nor validations.

    A resumed run may log a step twice: the later line counts. Where several regions were validated, the brain, else the
    first region, is shown.
    """
    counted = [e for e in events if isinstance(e.get("step"), int)]
    losses = {int(e["step"]): _number(e.get("loss")) for e in counted if e.get("event") == "step"}
    validations = [e for e in counted if e.get("event") == "validation" and isinstance(e.get("metrics"), Mapping)]
    if not losses and not validations:
        return None
    regions = list(dict.fromkeys(str(e.get("region", "")) for e in validations))
    region = "brain" if "brain" in regions else (regions[0] if regions else "")
    chosen = {int(e["step"]): e for e in validations if str(e.get("region", "")) == region}
    ordered = [chosen[step] for step in sorted(chosen)]
    names = list(dict.fromkeys(name for e in ordered for name in e["metrics"]))
    names.sort(key=lambda name: _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED))
    steps = np.array(sorted(losses), dtype=np.int64)
    if len(steps) > _MAX_POINTS:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, _MAX_POINTS).astype(int))]
    return Curves(
        steps=steps,
        loss=np.array([losses[int(step)] for step in steps], dtype=float),
        validation_steps=np.array(sorted(chosen), dtype=np.int64),
        metrics={n: np.array([_number(e["metrics"].get(n)) for e in ordered], dtype=float) for n in names},
        titles={n: Measure.of(n).title + (f", {region}" if region else "") for n in names},
        region=region,
        protocol=str(ordered[-1].get("protocol", "")) if ordered else "",
        subjects=int(ordered[-1]["subjects"]) if ordered and isinstance(ordered[-1].get("subjects"), int) else None,
        best_step=_best_step(events, ordered),
        ended=any(event.get("event") == "end" for event in events),
    )


def _best_step(events: Sequence[Mapping[str, Any]], ordered: Sequence[Mapping[str, Any]]) -> int | None:
    # In logs of older versions the best step of the end is the one that was kept.
    ends = [e.get("kept_step", e.get("best_step")) for e in events if e.get("event") == "end"]
    known = [step for step in ends if isinstance(step, int)]
    if known:
        return known[-1]
    marked = [int(e["step"]) for e in ordered if e.get("best")]
    return marked[-1] if marked else None


def _state(values: NDArray[np.float64], curves: Curves) -> str:
    values = np.where(np.isfinite(values), values, -np.inf)
    best = int(np.argmax(values))
    gain = values[best] - values[0]
    # By steps, not by validations: the last one may follow soon after the one before it.
    late = curves.validation_steps > 0.75 * curves.validation_steps[-1]
    late[0] = False
    if not gain > 0 or not np.isfinite(gain):
        return "none"
    if late[best]:
        return "improving" if values[best] - values[~late].max() > 0.05 * gain else "flat"
    fell = values[best] - values[-1] > 0.20 * gain
    if not fell:
        return "flat"
    learned = _loss_still_fell(curves, int(curves.validation_steps[best]))
    return "unexplained" if learned is None else "over-fitting" if learned else "worse"


def _loss_still_fell(curves: Curves, best_step: int) -> bool | None:
    """Whether the training loss fell after this step; None where too little of it was logged."""
    if len(curves.loss) < 8:
        return None
    quarter = (curves.steps[-1] - curves.steps[0]) / 4
    around = np.abs(curves.steps - best_step) <= quarter / 2
    late = curves.steps >= curves.steps[-1] - quarter
    then, now = (curves.loss[part & np.isfinite(curves.loss)] for part in (around, late))
    return bool(np.median(now) < 0.98 * np.median(then)) if then.size and now.size else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
