"""Which parts of the prepared cases are learned from, and how they are batched: the section `data` of a preset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from recontrast.datasets.augment import AugmentSettings
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.preparation.context import channel_count, images_of_each

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane of the slices to the axis (of RAS arrays) they are stacked along."""

VOLUME = "volume"
"""In place of a plane: whole volumes, or three-dimensional patches of them."""

VOLUMES_LIE = "axial"
"""Volumes are cached as stacks along this plane."""

STORED = {"float32": np.float32, "uint16": np.uint16}
"""Number types of the cache."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which parts of the prepared cases are learned from, and how they are batched."""

    batch: int = 32
    """Slices in a batch, over all ranks."""

    paired: bool = True
    """Learn from the same slices of source and target; false: from slices of both that are drawn independently."""

    plane: Literal["axial", "coronal", "sagittal", "volume"] = "axial"
    """What is translated: slices (axial, coronal or sagittal), or volume: three-dimensional images, by a 3D network."""

    planes: tuple[Literal["axial", "coronal", "sagittal"], ...] = ()
    """Planes whose slices are mixed in training (axial coronal sagittal); left out: `plane` alone."""

    context_voxels: tuple[tuple[float, float, float], ...] = ()
    """Further channels: each source blurred to these widths along right, anterior, superior (standard deviations, in
    voxels), and the place in the head. Empty: none."""

    context_steep: int = 0
    """Further channels: how steep each source is at the first so many of these widths (all, where there are fewer)."""

    neighbours: int = 0
    """Slices above and below that are given as further source channels (2.5D)."""

    acquisition: bool = False
    """Tell a network of several contrasts TR, TE, TI and flip angle of each source, as far as its sidecar says them."""

    level_sources: bool = False
    """Bring the median of what shows signal in each source to that of the training images, before the network."""

    held_out: float = 0.0
    """Part of each training case, an axial slab, whose target is not learned from: it says in the end how much of what
    the network adds to its control is kept (for networks that start from one). Needs a masked loss."""

    air: float = 0.0
    """Part of the voxels outside the head, drawn anew for each slice, that a masked loss counts as if they were inside.
    With 0 such a loss teaches a network nothing of air, and it may lay a haze there."""

    lesion_regions: tuple[str, ...] = ("lesion",)
    """Regions of the cases that are lesions, for a loss that weighs them (recipe.options.terms.lesions)."""

    size: tuple[int, int] | None = None
    """In-plane voxels of training slices, cut or filled up with air; left out: the largest head of the cohort."""

    patch: tuple[int, int, int] | None = None
    """With plane volume: voxels of training patches along right, anterior, superior; left out: whole heads."""

    patches: int = 1
    """With plane volume: patches of each case in an epoch."""

    margin_mm: float = 8.0
    """Air kept around the head when `size` is left out, in mm."""

    slices: str = "head"
    """Slices learned from: head, brain (head where the brain is not known), all."""

    minimum_area: float = 0.01
    """A slice counts when brain or head cover more than this fraction of its largest extent in the case."""

    clip_target: bool = True
    """Clip target intensities to [0, 1], the range of networks that end in tanh or sigmoid."""

    cache_type: str = "float32"
    """Number type of the cache: float32, or uint16 (half the space, steps of the intensity range / 65535)."""

    keep_cache: bool = False
    """Keep the cache folder when training is finished."""

    augment: AugmentSettings = field(default_factory=AugmentSettings)
    """Random changes of the slices."""

    def __post_init__(self) -> None:
        """Check names and ranges."""
        for plane in self.learned_planes:
            if plane not in PLANES:
                raise UnknownNameError.among("plane (data.plane, data.planes)", str(plane), (*PLANES, VOLUME))
        if len(set(self.planes)) < len(self.planes):
            raise ConfigError(f"data.planes names a plane twice: {' '.join(self.planes)}")
        self._check_context()
        if not 0 <= self.held_out <= 0.5:
            raise ConfigError(f"data.held_out is {self.held_out}, it must be 0 to 0.5")
        if not 0 <= self.air <= 1:
            raise ConfigError(f"data.air is {self.air}, it must be 0 to 1")
        if self.held_out and self.plane not in ("axial", VOLUME):
            raise ConfigError(f"data.held_out is for data.plane axial or volume, not {self.plane}: leave it out")
        if self.slices not in ("brain", "head", "all"):
            raise UnknownNameError.among("choice of slices (data.slices)", self.slices, ("brain", "head", "all"))
        if self.cache_type not in STORED:
            raise UnknownNameError.among("number type (data.cache_type)", self.cache_type, STORED)
        self._check_volumes()
        if self.batch < 1 or self.neighbours < 0 or (self.size is not None and min(self.size) < 1):
            raise ConfigError("data: batch and size must be at least 1, neighbours at least 0")

    def _check_context(self) -> None:
        if any(min(widths) < 0 for widths in self.context_voxels):
            raise ConfigError("data.context_voxels: widths must not be negative")
        if self.context_steep < 0:
            raise ConfigError(f"data.context_steep is {self.context_steep}, it must not be negative")
        if self.context_voxels and (self.plane == VOLUME or not self.paired):
            raise ConfigError("data.context_voxels is for paired slices: leave it out")
        changed = self.augment
        if self.context_voxels and max(changed.source_gain, changed.source_gamma, changed.source_noise) > 0:
            raise ConfigError(
                "data.augment: source_gain, source_gamma and source_noise would change the context of a source apart "
                "from the source, and the place in the head; leave them at 0, or leave out data.context_voxels"
            )

    def _check_volumes(self) -> None:
        if self.patches < 1 or (self.patch is not None and min(self.patch) < 1):
            raise ConfigError("data: patch and patches must be at least 1")
        if self.plane != VOLUME:
            if self.patch is not None or self.patches != 1:
                raise ConfigError("data.patch and data.patches are for volumes: set data.plane=volume")
            return
        for name, given in (("planes", self.planes), ("neighbours", self.neighbours), ("size", self.size)):
            if given:
                raise ConfigError(f"data.{name} is for slices; with data.plane=volume leave it out (see data.patch)")
        if self.augment.reshapes:
            raise ConfigError(
                "data.augment: rotate_degrees, stretch and bend_mm are for slices: leave them out of volumes, or set "
                "data.augment.reshape_share=0"
            )
        if not self.paired:
            raise ConfigError("data.plane=volume learns from paired images: set data.paired=true")

    @property
    def spatial_dims(self) -> int:
        """Axes of what the network sees: 2 (slices) or 3 (volumes)."""
        return 3 if self.plane == VOLUME else 2

    def channels(self, contrasts: int) -> int:
        """Channels of a source: contrasts and their context, times slices."""
        return channel_count(contrasts, self.context_images) * (2 * self.neighbours + 1)

    @property
    def context_images(self) -> int:
        """Images of its surroundings that the network sees of each source (see `images_of_each`)."""
        return images_of_each(self.context_voxels, self.context_steep)

    @property
    def shown_plane(self) -> str:
        """Plane along which the cached cases that are translated are stacked."""
        return VOLUMES_LIE if self.plane == VOLUME else self.plane

    @property
    def learned_planes(self) -> tuple[str, ...]:
        """Planes whose slices are learned from."""
        return self.planes or (self.shown_plane,)
