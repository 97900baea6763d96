"""Between a volume and the slices a network sees: axis order, neighbouring slices, empty slices."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy.ndimage import label

from recontrast.volume import Volume

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Array axis (of RAS-oriented data) along which the slices of a plane follow each other."""


class SliceStack:
    """The slices of one or several sources on one grid, as network input.

    Channels: for each source in order, the slices from `-neighbours` to `+neighbours`; beyond the edge of the volume
    the last slice is repeated. A slice shows its two axes in RAS order: (I, J) axial, (I, K) coronal, (J, K) sagittal.

    Args:
        sources: Arrays of shape (I, J, K), axes along R, A, S.
        plane: axial, coronal or sagittal.
        neighbours: Slices on either side that are further channels.
        further: Further channels on the same grid; they come after the sources and never say that a slice is empty.

    Example:
        >>> SliceStack([np.ones((4, 5, 6), np.float32)], "axial", neighbours=1).batch([0, 3]).shape
        (2, 3, 4, 5)
    """

    def __init__(
        self,
        sources: Sequence[NDArray[np.float32]],
        plane: str,
        neighbours: int = 0,
        further: Sequence[NDArray[np.float32]] = (),
    ) -> None:
        self._sources = [np.moveaxis(source, AXES[plane], 0) for source in sources]
        self._further = [np.moveaxis(channel, AXES[plane], 0) for channel in further]
        self._offsets = np.arange(-neighbours, neighbours + 1)
        self.axis = AXES[plane]
        self.shape = sources[0].shape

    def __len__(self) -> int:
        """Number of slices."""
        return int(self._sources[0].shape[0])

    def batch(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Network input of the slices at `indices`: (B, C, H, W), float32, contiguous."""
        window = np.clip(np.asarray(indices)[:, None] + self._offsets, 0, len(self) - 1)
        channels = [source[window] for source in (*self._sources, *self._further)]
        return np.ascontiguousarray(np.concatenate(channels, axis=1), dtype=np.float32)

    def with_signal(self) -> list[int]:
        """Indices of slices that show anything.

        A slice shows nothing when, in every source and over all its neighbours, it is one value throughout and that is
        the lowest of the volume (air that was set to zero).
        """
        shown = np.zeros(len(self), dtype=bool)
        for source in self._sources:
            lowest = source.min()
            shown |= np.array([bool((piece != lowest).any()) for piece in source])
        reach = int(self._offsets[-1])
        padded = np.pad(shown, reach)
        return [i for i in range(len(self)) if padded[i : i + 2 * reach + 1].any()]


def not_acquired(sources: Sequence[NDArray[np.float32]], zeros: Sequence[float] = ()) -> NDArray[np.bool_]:
    """Voxels of which nothing is known: all sources are exactly zero there, and from there to the edge of the volume.

    That is what is left outside a brain whose skull was removed, and beyond the field of view of a resampled image.
    Dark voxels within the head are not meant: between them and the edge lies the head.

    Args:
        sources: Images of one size.
        zeros: What intensity zero is in each of them, where they are not in native units.

    Example:
        >>> image = np.zeros((5, 5, 5), np.float32)
        >>> image[1:4, 1:4, 1:4] = 1
        >>> image[2, 2, 2] = 0
        >>> int(not_acquired([image]).sum())
        98
    """
    none = zeros or [0.0] * len(sources)
    parts, count = label(np.logical_and.reduce([image == zero for image, zero in zip(sources, none, strict=True)]))
    at_edge = np.zeros(count + 1, dtype=bool)
    for axis in range(parts.ndim):
        at_edge[parts.take((0, -1), axis=axis)] = True
    at_edge[0] = False
    return at_edge[parts]


def to_ras(volume: Volume) -> NDArray[np.float32]:
    """Values of a volume with axes along R, A, S, float32, contiguous."""
    return np.ascontiguousarray(volume.reoriented("RAS").data, dtype=np.float32)


def from_ras(data: NDArray[np.float32], grid: Volume) -> Volume:
    """Put RAS-oriented values back on a grid: its axis order, its very affine.

    Args:
        data: What `to_ras(grid)` gave, with other values.
        grid: The volume whose grid the result gets.
    """
    back = ornt_transform(axcodes2ornt(tuple("RAS")), io_orientation(grid.affine))
    return grid.with_data(np.ascontiguousarray(apply_orientation(data, back)))


def ras_spacing(volume: Volume) -> tuple[float, float, float]:
    """Voxel spacing along right, anterior, superior in mm."""
    order = nib.io_orientation(volume.affine)[:, 0].astype(int)
    spacing = np.empty(3)
    spacing[order] = volume.spacing
    return (float(spacing[0]), float(spacing[1]), float(spacing[2]))
