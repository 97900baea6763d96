"""How long steps, and what comes before them, take on this machine: measured on random numbers before the training."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recontrast.datasets.ahead import threads_ahead
from recontrast.datasets.augment import augment
from recontrast.datasets.patches import Batch
from recontrast.datasets.settings import PLANES
from recontrast.training.automatic import seen_size
from recontrast.training.fingerprint import Fingerprint
from recontrast.training.launch import on_gpu, precision_of
from recontrast.training.learner import Learner
from recontrast.training.loop import set_up_processor
from recontrast.training.memory import slices_of_a_control
from recontrast.training.plan import Plan

_WARM = 2
"""First steps that do not count: memory is still being taken."""

_FEWEST, _MOST, _ENOUGH_SECONDS = 5, 12, 2.0
"""Steps that are taken: as many as need two seconds, within these numbers."""

_VOXELS_OF_A_TRIAL = 100_000
"""Voxels from which a control is fitted to see how long that takes; of more voxels it takes longer in proportion."""


def seconds_between_steps(plan: Plan, model_options: dict[str, Any], size: Sequence[int]) -> float:
    """Wall-clock seconds from one step to the next: the step, and slices for it where no thread makes them beside it.

    Arguments and errors as for `seconds_of_step`.
    """
    step, making = seconds_of_step(plan, model_options, size), seconds_of_slices(plan, model_options, size)
    threads = threads_ahead("cuda" if on_gpu(plan.loop.accelerator) else "cpu", plan.loop.devices)
    return max(step, making / threads) if threads else step + making


def seconds_of_slices(plan: Plan, model_options: dict[str, Any], size: Sequence[int]) -> float:
    """Median wall-clock seconds in which the slices of a batch are turned, stretched and bent; 0 where they are not.

    Args:
        plan: The resolved preset.
        model_options: All options of the network, channels included.
        size: Spatial size of a slice.
    """
    changes = plan.data.augment
    if not changes.reshapes:
        return 0.0
    each, chance, times = dataclasses.replace(changes, reshape_share=1.0), np.random.default_rng(0), []
    source = chance.random((model_options["in_channels"], *size), np.float32)
    target = chance.random((1, *size), np.float32)
    for _ in range(_FEWEST):
        started = time.perf_counter()
        augment(source, target, target > 0, each, chance)
        times.append(time.perf_counter() - started)
    slices = changes.reshape_share * max(1, plan.data.batch // plan.loop.devices)
    return statistics.median(times[_WARM:]) * slices


def seconds_of_step(plan: Plan, model_options: dict[str, Any], size: Sequence[int]) -> float:
    """Median wall-clock seconds of a step of one process, after two that do not count.

    Of a recipe that learns in stages the last one is timed: all its networks take part.

    Args:
        plan: The resolved preset.
        model_options: All options of the network, channels included.
        size: Spatial size of what the network sees.

    Raises:
        ConfigError: An option of model or recipe does not exist or is out of range.
    """
    learner = _learner(plan, model_options)
    count = max(1, plan.data.batch // plan.loop.devices)
    source = torch.rand(count, model_options["in_channels"], *size)
    target = torch.rand(count, 1, *size)
    parts = source, target, torch.ones_like(target, dtype=torch.bool), torch.ones(count, len(size))
    batch = Batch(*(part.pin_memory() for part in parts) if on_gpu(plan.loop.accelerator) else parts)
    last_stage = getattr(learner.recipe, "last_stage", 0)
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _ENOUGH_SECONDS and len(times) < _MOST):
        started = time.perf_counter()
        learner.step(batch, last_stage + len(times))  # ends by reading the loss, so the device is done
        times.append(time.perf_counter() - started)
    if on_gpu(
        plan.loop.accelerator
    ):  # a recording and its memory would stay until they are collected, maybe while another is made
        del learner
        gc.collect()
        torch.cuda.empty_cache()
    return statistics.median(times[_WARM:])


def seconds_of_beginning(plan: Plan, model_options: dict[str, Any], about: Fingerprint, ways: int = 1) -> float:
    """Wall-clock seconds in which the network is fitted to the data before the first step; 0 where it is not.

    One fit to few voxels is timed; slices and voxels are counted as the training will.

    Args:
        plan: The resolved preset.
        model_options: All options of the network, channels included.
        about: What is known of the data.
        ways: Targets and sets of sources that are fitted, one after the other.
    """
    learner = _learner(plan, model_options)
    if not learner.starts_from_control:
        return 0.0
    size = seen_size(plan.data, about)
    voxels = about.voxels
    if plan.data.spatial_dims == 2:
        slices = about.head[PLANES[plan.data.learned_planes[0]]]
        voxels = voxels * min(slices * about.cases, slices_of_a_control(model_options["in_channels"], size)) // slices
    voxels = max(1, min(voxels, getattr(learner.network, "most_fitted", voxels)))
    count = -(-min(voxels, _VOXELS_OF_A_TRIAL) // int(np.prod(size)))
    one = torch.rand(1, model_options["in_channels"], *size)  # one way: all slices tell of the same sources and target
    source = one.repeat(count, *[1] * (one.ndim - 1))
    target = torch.rand(count, 1, *size)
    mask = torch.zeros(target.numel(), dtype=torch.bool)
    mask[: min(voxels, _VOXELS_OF_A_TRIAL)] = True
    started = time.perf_counter()
    learner.begin(Batch(source, target, mask.view_as(target)))
    return (time.perf_counter() - started) * max(1.0, voxels / _VOXELS_OF_A_TRIAL) * ways


def _learner(plan: Plan, model_options: dict[str, Any]) -> Learner:
    """What learns, in one process."""
    from lightning_fabric import Fabric

    set_up_processor(plan.loop.threads, plan.loop.devices)
    fabric = Fabric(accelerator="cuda" if on_gpu(plan.loop.accelerator) else "cpu", devices=1)
    return Learner(fabric, plan, model_options, _MOST, precision_of(plan.loop))
