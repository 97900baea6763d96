"""The preset that configures itself: what it decides, that it is kept, edited and used again."""

from __future__ import annotations

import dataclasses

import pytest

from recontrast.errors import ConfigError
from recontrast.training.automatic import decide, fit_memory, fit_steps, slice_size
from recontrast.training.fingerprint import Fingerprint
from recontrast.training.plan import Plan, read_plan

HEADS = Fingerprint(
    subjects=2, cases=2, validation_subjects=0, sources=1, spacing_mm=(1.0, 1.0, 1.0), head=(140, 176, 140),
    voxels=1_200_000, cores=2, memory_gb=16.0, accelerator="cpu", minutes=3.0,
)  # fmt: skip


def plan_for(about: Fingerprint) -> Plan:
    return read_plan("auto", "cpu", (), decide(about).values)


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [((1, 1, 1), "axial"), ((0.7, 0.7, 4.0), "axial"), ((4.0, 0.7, 0.7), "sagittal"), ((1, 3.0, 1), "coronal")],
)
def test_thick_slices_are_taken_as_they_were_acquired(spacing: tuple[float, float, float], plane: str) -> None:
    plan = plan_for(dataclasses.replace(HEADS, spacing_mm=spacing))
    assert plan.data.plane == plane
    assert plan.data.context_voxels[0] == pytest.approx([1 / mm for mm in spacing], abs=1e-3)
    assert plan.data.held_out == (0.06 if plane == "axial" else 0)


def test_a_plane_that_was_set_is_planned_for() -> None:
    long = dataclasses.replace(HEADS, head=(60, 300, 60))
    plan = read_plan("auto", "cpu", ("data.plane=coronal",), decide(long, "coronal").values)
    assert (plan.data.plane, plan.data.held_out) == ("coronal", 0.0)
    assert plan.data.batch == 64_000 // (80 * 80) > plan_for(long).data.batch
    thick = dataclasses.replace(HEADS, spacing_mm=(4.0, 0.7, 0.7))
    assert decide(thick, "axial").values["data"]["held_out"] == 0.06


def test_more_time_and_cores_give_a_wider_network() -> None:
    widths = [
        plan_for(dataclasses.replace(HEADS, minutes=minutes, cores=cores, accelerator=kind)).model.options["width"]
        for minutes, cores, kind in ((2, 2, "cpu"), (30, 2, "cpu"), (30, 16, "cpu"), (10, 2, "cuda"))
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[1] < widths[2]


def test_nothing_is_held_out_with_validation_subjects_and_many_sources_have_no_table() -> None:
    assert plan_for(dataclasses.replace(HEADS, validation_subjects=3)).data.held_out == 0
    assert plan_for(dataclasses.replace(HEADS, sources=3)).model.options["start"] == "context"
    assert plan_for(dataclasses.replace(HEADS, sources=4)).model.options["start"] == "none"


@pytest.mark.slow
def test_the_batch_gives_way_to_memory_and_then_there_is_a_line() -> None:
    plan = plan_for(dataclasses.replace(HEADS, accelerator="cuda"))
    assert plan.data.batch > 8
    smaller, reason = fit_memory(plan, dataclasses.replace(HEADS, memory_gb=1.5))
    assert 1 <= smaller.data.batch < plan.data.batch
    assert "GB" in reason
    assert fit_memory(smaller, HEADS) == (smaller, "")
    with pytest.raises(ConfigError, match=r"takes .* GB, there are 0\.3 GB"):
        fit_memory(
            dataclasses.replace(plan, data=dataclasses.replace(plan.data, batch=2)),
            dataclasses.replace(HEADS, memory_gb=0.3),
        )


def test_steps_fit_into_the_time() -> None:
    plan, reason = fit_steps(plan_for(HEADS), 3.0, False, 0.5)
    assert plan.loop.steps == 324
    assert (plan.loop.minutes, plan.loop.validate_every, plan.loop.epochs) == (3.0, 81, 0)
    assert "0.5 s" in reason
    with_validation, _ = fit_steps(plan, 3.0, True, 0.5)
    assert with_validation.loop.steps < plan.loop.steps
    after_controls, reason = fit_steps(plan, 3.0, False, 0.5, before=60.0)
    assert after_controls.loop.steps == 204
    assert reason.endswith("204 fit into 3 minutes, after 60 s in which the controls are fitted")
    few, reason = fit_steps(plan, 3.0, False, 60.0)
    assert few.loop.steps == 2
    assert "too few to learn much" in reason
    asked = dataclasses.replace(
        plan, loop=dataclasses.replace(plan.loop, patience=7, warmup_steps=90, validate_every=5)
    )
    kept, _ = fit_steps(asked, 3.0, True, 0.5, {"patience", "warmup_steps", "validate_every", "seed"})
    assert (kept.loop.patience, kept.loop.warmup_steps, kept.loop.validate_every) == (7, 90, 5)
    given_way, _ = fit_steps(asked, 3.0, True, 0.5)
    assert (given_way.loop.patience, given_way.loop.warmup_steps, given_way.loop.validate_every) == (0, 27, 68)
    with pytest.raises(ConfigError, match="give it some"):
        decide(dataclasses.replace(HEADS, minutes=0.0))


def test_slices_have_the_size_the_batches_will_have() -> None:
    assert slice_size(plan_for(HEADS).data, HEADS) == (160, 192)
