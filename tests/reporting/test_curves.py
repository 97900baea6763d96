from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recontrast.reporting.curves import read_curves


def events(values: list[float], loss: Any = lambda s: 1.0 / s, metric: str = "psnr") -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = [{"event": "start"}]
    for step in range(1, 10 * len(values) + 1):
        log.append({"event": "step", "step": step, "loss": loss(step)})
        if step % 10 == 0:
            value = values[step // 10 - 1]
            log.append({"event": "validation", "step": step, "region": "brain", "protocol": "recontrast",
                        "metrics": {metric: value}, "subjects": 2, "best": value == max(values)})  # fmt: skip
    return log


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([20, 21, 22, 23, 24, 25, 26, 27], "Still improving"),
        ([20, 24, 26, 27, 26, 25, 24, 23], "Over-fitting"),
        ([20, 24, 25, 25.01, 25, 25.01, 25, 25.02], "Flat"),
        ([27, 24, 25, 25, 25, 25, 25, 25], "No gain"),
        ([20, 21, 22], "Too few"),
        ([float("nan")] * 6, "No validation gave a finite"),
    ],
)
def test_curves_are_read_by_the_stated_rule(values: list[float], word: str) -> None:
    curves = read_curves(events(values))
    assert curves is not None
    assert curves.reading().startswith(word)


def test_a_last_validation_soon_after_the_one_before_hides_no_gain() -> None:
    steps, values = (100, 200, 300, 400, 403), (21.0, 22.8, 24.6, 25.6, 25.62)
    log = [{"event": "step", "step": step, "loss": 1 / step} for step in range(1, 404)]
    log += [{"event": "validation", "step": s, "region": "brain", "metrics": {"psnr": v}, "best": True}
            for s, v in zip(steps, values, strict=True)]  # fmt: skip
    curves = read_curves(log)
    assert curves is not None
    assert curves.reading().startswith("Still improving")


def test_over_fitting_says_whose_weights_were_kept() -> None:
    log = [*events([20, 24, 26, 27, 26, 25, 24, 23]), {"event": "end", "step": 80, "best_step": 80}]  # loop.keep = last
    curves = read_curves(log)
    assert curves is not None
    assert curves.reading().endswith("got worse after step 40 while the training loss went on falling; the translator "
                                     "has the weights of step 80.")  # fmt: skip


def test_a_falling_validation_without_a_falling_loss_is_not_called_over_fitting() -> None:
    curves = read_curves(events([20, 24, 26, 27, 26, 25, 24, 23], loss=lambda s: 1.0))
    assert curves is not None
    assert curves.reading().startswith("Got worse: validation PSNR got worse after step 40, and the training loss did")


@pytest.mark.parametrize("loss", [float("nan"), None])
def test_of_a_loss_that_was_not_logged_nothing_is_said(loss: float | None) -> None:
    log = events([0.5, 0.3, 0.2, 0.1, 0.2, 0.3, 0.4, 0.4], loss=lambda s: loss, metric="mae")
    curves = read_curves(log if loss is not None else [event for event in log if event["event"] != "step"])
    assert curves is not None
    assert curves.reading() == (
        "Got worse: validation MAE got worse after step 40; too few losses were logged to say more."
    )


def test_lower_is_better_for_errors() -> None:
    curves = read_curves(events([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], metric="mae"))
    assert curves is not None
    assert curves.reading().startswith("Still improving: validation MAE")


def test_a_resumed_log_counts_the_later_line() -> None:
    log = [*events([20, 21, 22, 23]), {"event": "step", "step": 5, "loss": 99.0}]
    curves = read_curves(log)
    assert curves is not None
    assert curves.loss[4] == 99.0
    assert len(curves.steps) == 40


def test_best_step_comes_from_the_end_else_from_the_marks() -> None:
    log = events([20, 24, 23, 22])
    older, last = {"event": "end", "best_step": 30}, {"event": "end", "kept_step": 40, "best_step": 20}
    found = [read_curves(events) for events in (log, [*log, older], [*log, last], [*log, {**last, "best_step": None}])]
    assert [curves.best_step for curves in found if curves is not None] == [20, 30, 40, 40]


def test_long_logs_are_thinned_and_empty_ones_give_nothing() -> None:
    curves = read_curves([{"event": "step", "step": s, "loss": 1.0} for s in range(1, 5001)])
    assert curves is not None
    assert len(curves.steps) <= 1500
    assert curves.steps[-1] == 5000
    assert np.isfinite(curves.smooth_loss()[1]).all()
    assert read_curves([{"event": "start"}]) is None


def test_damaged_events_are_passed_over() -> None:
    log = [*events([20, 21]), {"event": "step", "step": "x"}, {"event": "validation", "step": 7, "metrics": None}]
    curves = read_curves(log)
    assert curves is not None
    assert list(curves.validation_steps) == [10, 20]
