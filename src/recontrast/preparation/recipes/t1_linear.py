"""Bias field, affine to MNI space, cut: the steps of t1-linear (Clinica), used by Bottani 2024."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recontrast.contrasts import Contrast
from recontrast.preparation.align import AlignSettings, align
from recontrast.preparation.bias import BiasSettings, correct_bias
from recontrast.preparation.mask import find_head
from recontrast.preparation.normalize import ScaleSettings
from recontrast.preparation.recipes import PlacedImage, RecipeOptions, Traits, preparation
from recontrast.preparation.regrid import resized
from recontrast.preparation.resample import resample
from recontrast.preparation.template import TemplateSettings, register_to_template
from recontrast.volume import Volume

SHAPE = (169, 208, 179)
"""Voxels of the box, 1 mm each."""

ORIGIN_MM = (-84.0, -119.0, -78.0)
"""MNI position of its first voxel: voxel 12, 13, 0 of the MNI152NLin2009cSym grid."""

KNOTS_MM = {"FLAIR": 100.0}
"""Distance of the bias field's knots by contrast, mm."""

KNOTS_ELSE_MM = 600.0


@preparation("t1-linear", Traits(scale=ScaleSettings(name="minmax"), sized=True))
def t1_linear(images: Mapping[str, Volume], options: RecipeOptions, what: str) -> dict[str, PlacedImage]:
    """N4, affine to MNI space, 169 x 208 x 179 voxels of 1 mm (or `size` over the same box), one cubic interpolation.

    The grid contrast is registered to the template; the other contrasts are aligned rigidly to it and carried along, so
    that a pair fits. With `align=False` each contrast is registered to the template on its own, as in the paper.

    Args:
        images: Contrast label to raw image.
        options: See `RecipeOptions`; `size=(128, 128, 128)` for networks that want cubes.
        what: Key of the case, for messages.

    Raises:
        GeometryError: Registration failed.
        ConfigError: A wrong size.
        DependencyError: The template is not installed.
    """
    box = grid_of(options.size)
    order = [options.grid, *(label for label in images if label != options.grid)]
    corrected: dict[str, _Corrected] = {}
    transforms: dict[str, NDArray[np.float64]] = {}
    moved_mm = dict.fromkeys(order, 0.0)
    registration = TemplateSettings(seed=options.seed)
    for label in order:
        image = corrected[label] = _Corrected(images[label], label, f"{what} {label}")
        if label == options.grid or not options.align:
            transforms[label] = register_to_template(
                image.volume, registration, f"{what} {label}", (image.head, image.bare)
            ).transform
        else:
            first = corrected[options.grid]
            pair = f"{what} {label} to {options.grid}"
            found = align(image.volume, first.volume, AlignSettings(seed=options.seed), pair, (image.head, first.head))
            transforms[label], moved_mm[label] = found.transform @ transforms[options.grid], found.moved_mm
    placed = {label: corrected[label].placed(transforms[label], box, moved_mm[label]) for label in images}
    return {
        label: image if label == options.grid else _looked_at_again(image, placed[options.grid], options, what, label)
        for label, image in placed.items()
    }


def grid_of(size: tuple[int, ...] = ()) -> Volume:
    """The box in MNI space, empty; with `size`, that many voxels over the same box.

    Raises:
        ConfigError: Not three positive numbers.

    Example:
        >>> tuple(round(step, 2) for step in grid_of((128, 128, 128)).spacing)
        (1.32, 1.62, 1.4)
    """
    affine = np.eye(4)
    affine[:3, 3] = ORIGIN_MM
    box = Volume(np.zeros(SHAPE, np.uint8), affine)
    return resized(box, size) if size else box


class _Corrected:
    """A raw image without its bias field, and its head."""

    def __init__(self, raw: Volume, label: str, what: str) -> None:
        turned = raw.reoriented("RAS")
        self.head, self.bare = find_head(turned)
        self.knots_mm = KNOTS_MM.get(Contrast.parse(label).suffix, KNOTS_ELSE_MM)
        self.volume = correct_bias(turned, BiasSettings(distance_mm=self.knots_mm), self.head, what).volume

    def placed(self, transform: NDArray[np.float64], grid: Volume, moved_mm: float) -> PlacedImage:
        everywhere = self.volume.with_data(np.ones(self.volume.shape, bool))
        return PlacedImage(
            resample(self.volume, grid, transform, "cubic"),
            Volume(resample(self.head, grid, transform, "nearest").data.astype(bool), grid.affine),
            self.bare,
            transform,
            True,
            moved_mm,
            None,
            resample(everywhere, grid, transform, "nearest").data.astype(bool),
            (f"N4 bias field, knots {self.knots_mm:g} mm", "affine to MNI space"),
        )


def _looked_at_again(
    image: PlacedImage, first: PlacedImage, options: RecipeOptions, what: str, label: str
) -> PlacedImage:
    """With the movement that a second look still finds between both prepared images."""
    look = AlignSettings(levels_mm=(2.0,), samples=30_000, search_samples=0, seed=options.seed)
    pair = f"{what} {label} to {options.grid}, second look"
    return replace(image, residual=align(image.volume, first.volume, look, pair, (image.head, first.head)).transform)
