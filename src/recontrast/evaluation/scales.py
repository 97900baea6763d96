"""The scale that a synthetic image declares in its sidecar, brought to the scale that it is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from recontrast.errors import FormatError
from recontrast.preparation.normalize import Scale, ScaleSettings, fit_scale
from recontrast.volume import Volume

OTHER_PERCENTILES = (
    "the sidecar declares a percentile scale whose offset is not zero, so it was fitted between other percentiles than "
    "those that are needed: its brightness counts as it is"
)
"""What is said of an image that does not state its percentiles, but cannot have those that are needed."""


@dataclass(frozen=True)
class Declared:
    """What the scale that a sidecar declares is worth.

    Attributes:
        scale: The scale by which the image is judged; None where the sidecar declares none that could be used.
        remark: What is to be said of it, or why there is none; "" when nothing.
        converted: Whether it is the declared one brought to other settings.
    """

    scale: Scale | None
    remark: str = ""
    converted: bool = False


def declared_scale(
    sidecar: Mapping[str, Any], wanted: ScaleSettings, reference: tuple[Volume, Scale] | None, contrast: str = ""
) -> Declared:
    """The scale by which an image is judged, where its sidecar declares one, and what is to be said of it.

    A declared scale is taken as it is when it was fitted with the settings that are wanted. One of other percentiles
    (`ScaleSettings` in the sidecar) is taken through native units: the declared unit is what the reference has between
    the declared percentiles. Images that do not state their percentiles are taken at their word.

    Args:
        sidecar: Content of the sidecar.
        wanted: How the scale of the reference was fitted.
        reference: The reference in native units and its scale; None where there is none.
        contrast: Label of the contrast.

    Raises:
        FormatError: The scale in the sidecar is damaged.
        IntensityError: The reference has no scale between the declared percentiles.

    Example:
        >>> sidecar = {"Scale": {"name": "minmax", "offset": 0, "factor": 9}}
        >>> declared_scale(sidecar, ScaleSettings(name="minmax"), None).scale
        Scale(name='minmax', offset=0.0, factor=9.0)
    """
    declared = sidecar.get("Scale")
    if not isinstance(declared, Mapping):
        return Declared(None, "the synthetic image declares no scale in its sidecar")
    scale = Scale.from_dict(declared)
    if scale.name != wanted.name:
        return Declared(None, f"the sidecar declares a '{scale.name}' scale, '{wanted.name}' is needed")
    settings = _stated(sidecar, wanted)
    if scale.name == "percentile" and settings is None:
        return Declared(scale, OTHER_PERCENTILES if wanted.low is None and scale.offset != 0 else "")
    fixed = scale.name == "fixed"
    if not fixed and (settings is None or settings == wanted):
        return Declared(scale)
    if reference is None:
        return Declared(
            None, "the sidecar declares a scale of other settings, and there is no reference to tell what it means"
        )
    volume, to = reference
    here = scale if fixed or settings is None else fit_scale(volume, settings, contrast=contrast)
    if fixed and (here.offset, here.factor) == (to.offset, to.factor):
        return Declared(scale)
    offset = scale.offset - scale.factor * (here.offset - to.offset) / here.factor
    words = f"{_words(here, settings)}, {_words(to, wanted)} is needed"
    return Declared(
        Scale(scale.name, offset, scale.factor * to.factor / here.factor),
        f"the sidecar declares {words}: brought there through the units of the reference",
        converted=True,
    )


def _stated(sidecar: Mapping[str, Any], wanted: ScaleSettings) -> ScaleSettings | None:
    """The wanted settings with the percentiles that the sidecar states; None where it states none."""
    stated = sidecar.get("ScaleSettings")
    if not isinstance(stated, Mapping) or stated.get("name") != "percentile":
        return None
    low, high = stated.get("low"), stated.get("high", ScaleSettings().high)
    try:
        return replace(wanted, low=None if low is None else float(low), high=float(high))
    except (TypeError, ValueError) as error:
        raise FormatError(f"not settings of an intensity scale (name, low, high): {dict(stated)}") from error


def _words(scale: Scale, settings: ScaleSettings | None) -> str:
    if scale.name == "fixed" or settings is None:
        return f"a fixed scale ({scale.offset:g} is 0, {scale.offset + scale.factor:g} is 1)"
    bottom = "zero" if settings.low is None else f"percentile {settings.low:g}"
    return f"a scale from {bottom} to percentile {settings.high:g}"
