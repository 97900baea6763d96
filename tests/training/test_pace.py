"""The pace of a step."""

from __future__ import annotations

from recontrast.training.pace import seconds_of_step
from recontrast.training.plan import read_plan
from recontrast.training.planning import model_options


def test_a_step_of_any_recipe_can_be_timed() -> None:
    small = ("model.options.width=4", "loop.accelerator=cpu", "loop.precision=fp32", "data.batch=1")
    for preset, options in (("auto", ("model.options.blocks=[1,1]",)), ("osman2022", ("model.options.depth=2",))):
        overrides = (*small, *options, *(("model.options.dropout=[0.1]",) if preset == "osman2022" else ()))
        plan = read_plan(preset, "cpu", overrides)
        assert 0 < seconds_of_step(plan, model_options(plan, 1), (32, 32)) < 600
