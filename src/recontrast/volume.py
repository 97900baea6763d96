"""A volume: voxel values together with the affine that puts them into the world.

World coordinates are RAS+ millimetres, arrays are (i, j, k). Nothing here reads or writes files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from recontrast.errors import GeometryError

AFFINE_TOLERANCE_MM = 1e-3
"""Two grids are the same when no corner voxel differs by more than this."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A three-dimensional image and its affine.

    Attributes:
        data: Voxel values, shape (I, J, K), any real dtype.
        affine: Voxel indices to RAS+ millimetres, shape (4, 4), float64.

    Raises:
        GeometryError: `data` is not three-dimensional, or `affine` is not an invertible 4x4 matrix.

    Example:
        >>> volume = Volume(np.zeros((4, 5, 6), np.float32), np.diag([2.0, 2, 3, 1]))
        >>> volume.spacing, volume.orientation
        ((2.0, 2.0, 3.0), 'RAS')
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check shape and affine."""
        affine = np.asarray(self.affine, dtype=np.float64)
        object.__setattr__(self, "affine", affine)
        if self.data.ndim != 3:
            raise GeometryError(f"a volume has 3 axes, got an array of shape {self.data.shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError(f"the affine must be an invertible 4x4 matrix, got {affine.tolist()}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j, k."""
        i, j, k = self.data.shape
        return (i, j, k)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along i, j, k in mm."""
        i, j, k = (float(s) for s in np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)))
        return (i, j, k)

    @property
    def origin(self) -> tuple[float, float, float]:
        """World position of voxel (0, 0, 0) in mm."""
        x, y, z = (float(v) for v in self.affine[:3, 3])
        return (x, y, z)

    @property
    def orientation(self) -> str:
        """Anatomical directions in which i, j, k run, for example 'RAS' or 'LPS'."""
        return "".join(nib.aff2axcodes(self.affine))

    def with_data(self, data: NDArray[Any]) -> Volume:
        """The same grid with other values.

        Raises:
            GeometryError: The shape differs.
        """
        if data.shape != self.data.shape:
            raise GeometryError(f"new values have shape {data.shape}, the grid has {self.data.shape}")
        return Volume(data, self.affine)

    def reoriented(self, orientation: str = "RAS") -> Volume:
        """The same image with axes permuted and flipped so that they run along `orientation`.

        No value is interpolated; world positions stay. `reoriented` back to the former orientation restores the array.
        """
        change = ornt_transform(io_orientation(self.affine), axcodes2ornt(tuple(orientation)))
        data = apply_orientation(self.data, change)
        return Volume(np.ascontiguousarray(data), self.affine @ inv_ornt_aff(change, self.data.shape))


def same_grid(first: Volume, second: Volume, tolerance_mm: float = AFFINE_TOLERANCE_MM) -> bool:
    """Whether two volumes have equal shapes and all corner voxels within `tolerance_mm` of each other."""
    if first.shape != second.shape:
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.shape], indexing="ij")).reshape(3, -1)
    homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
    distance = (first.affine - second.affine) @ homogeneous
    return bool(np.abs(distance[:3]).max() <= tolerance_mm)


def require_same_grid(first: Volume, second: Volume, what: str) -> None:
    """Raise `GeometryError` unless both volumes lie on one grid.

    Args:
        first: A volume.
        second: Another.
        what: What is compared, with subject or paths; stands at the start of the message.
    """
    if not same_grid(first, second):
        raise GeometryError(
            f"{what}: the grids differ (shape {first.shape} against {second.shape}, spacing "
            f"{_mm(first.spacing)} against {_mm(second.spacing)} mm, orientation {first.orientation} against "
            f"{second.orientation}, origin {_mm(first.origin)} against {_mm(second.origin)} mm); "
            "run `recontrast prepare`, which puts the images of a case on one grid"
        )


def _mm(values: tuple[float, float, float]) -> str:
    return "x".join(f"{value:.4g}" for value in values)
