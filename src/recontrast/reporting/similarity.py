"""The map of local SSIM in a montage: as the protocol computes it, on the images that its steps leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, FormatError
from recontrast.evaluation.steps import AXIAL, Pair, Step, read_step
from recontrast.metrics import METRICS, Undefined
from recontrast.metrics.structure import ssim_map
from recontrast.reporting.numbers import is_number


@dataclass(frozen=True)
class MapSettings:
    """How the map is made.

    Attributes:
        data_range: Full scale, on the scale that the steps leave.
        options: Options of `metrics.structure.ssim_map` (window, axis, …). An axis counts on the grid turned to R, A,
            S, as protocols have it.
        steps: What is done to both images before.
        absent: Why there is no map; "" where there is one.
    """

    data_range: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    absent: str = ""


def map_settings(fields: Mapping[str, Any]) -> MapSettings:
    """The settings of a protocol's first SSIM.

    Args:
        fields: The protocol as `evaluation.json` has it; empty where it has none.

    Example:
        >>> map_settings({"data_range": 1.0, "metrics": [{"metric": "psnr"}]}).absent
        'the protocol has no local SSIM'
    """
    if not fields or not is_number(fields.get("data_range")):
        return MapSettings(absent="evaluation.json does not say how the images were scored")
    uses = [use for use in fields.get("metrics", ()) if isinstance(use, Mapping) and use.get("metric") == "ssim"]
    if not uses:
        return MapSettings(absent="the protocol has no local SSIM")
    form = METRICS.get("ssim").form
    known = form.map_options if form is not None else ()
    options = {name: value for name, value in uses[0].get("options", {}).items() if name in known}
    try:
        steps = tuple(read_step(step) for step in (*fields.get("steps", ()), *uses[0].get("steps", ())))
    except FormatError as error:
        return MapSettings(absent=str(error))
    return MapSettings(float(fields["data_range"]), options, steps)


def similarity_map(
    reference: NDArray[Any], synthetic: NDArray[Any], masks: Mapping[str, NDArray[Any]], settings: MapSettings
) -> tuple[NDArray[Any], str]:
    """The map, shape of the images, and why it is not a number where it should be one; "" where nothing is to be said.

    Args:
        reference: On the protocol's scale, axes along R, A, S.
        synthetic: On the same scale, same shape.
        masks: Region name to boolean array of that shape; steps may ask for them.
        settings: How the map is made.

    Example:
        >>> zeros = np.zeros((12, 12, 12), np.float32)
        >>> float(similarity_map(zeros, zeros, {}, MapSettings())[0].min())
        1.0
    """
    nothing = np.full(reference.shape, np.nan, dtype=np.float32)
    if settings.absent:
        return nothing, settings.absent
    pair = Pair(reference, synthetic, masks, np.ones(reference.shape[AXIAL], dtype=bool))
    try:
        for step in settings.steps:
            pair = step.apply(pair)
        if pair.reference.shape != reference.shape:
            return nothing, "the protocol crops the images before it compares them"
        if not pair.usable.any():
            return nothing, pair.undefined or "the reference cannot be normalised as the protocol asks"
        found = ssim_map(pair.reference, pair.estimate, data_range=settings.data_range, **settings.options)
    except (Undefined, ConfigError) as reason:
        return nothing, str(reason)
    found[..., ~pair.usable] = np.nan
    return found, ""
