"""What is said of a finished training. (That translators are saved: test_command.py.)"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recontrast.training.loop import Job, Learned, State
from recontrast.training.outcome import lines_of
from recontrast.training.plan import LoopSettings


def of(kept_step: int, best_score: float | None, share: float | None, steps: int = 9, minutes: float = 2) -> list[str]:
    plan = SimpleNamespace(loop=LoopSettings(steps=steps, minutes=minutes))
    job = SimpleNamespace(run=Path("run"), description=SimpleNamespace(direction="T1w to FLAIR"), plan=plan)
    state = State(step=9, seconds=90.0, best_score=best_score, best_step=6)
    learned = Learned(
        state=state, kept_step=kept_step, reason="9 steps done", metric="psnr in brain", precision="fp32",
        parameters=1200, seconds_per_step=0.25, spacing_mm=(1, 1, 1), image_hashes=(), share=share,
    )  # fmt: skip
    return lines_of(cast(Job, cast(Any, job)), learned, ["no error bars"])


@pytest.mark.parametrize(
    ("kept_step", "best_score", "share", "middle"),
    [
        (6, 21.5, None, ["best validation at step 6: psnr in brain 21.5"]),
        (9, 21.5, None, ["weights of the last step; best validation at step 6: psnr in brain 21.5"]),
        (9, None, 0.5, ["kept of what the network adds to the control, by data it did not learn from: 50%"]),
    ],
)
def test_lines_say_whose_weights_are_kept(
    kept_step: int, best_score: float | None, share: float | None, middle: list[str]
) -> None:
    first = "T1w -> FLAIR: 9 steps done, 1.5 min (0.25 s a step, fp32, 1,200 parameters)"
    assert of(kept_step, best_score, share) == [first, *middle, "no error bars", "translator: run/translator"]


@pytest.mark.parametrize(
    ("steps", "minutes", "said"),
    [(9, 10, True), (9, 2.9, False), (9, 0, False), (0, 10, False), (20, 10, False)],
    ids=["a seventh of the time", "half of it", "no budget", "minutes alone", "ended otherwise"],
)
def test_steps_that_end_long_before_the_minutes_are_told(steps: int, minutes: float, said: bool) -> None:
    told = [line for line in of(9, None, None, steps, minutes) if "of the 10 minutes" in line]
    assert bool(told) == said
    if said:
        assert "that is 15% of the 10 minutes" in told[0]
        assert told[0].endswith("--set loop.steps=60")
