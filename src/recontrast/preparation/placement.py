"""Where a prepared image came from, and the way back there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import FormatError
from recontrast.preparation.resample import Interpolation, resample
from recontrast.volume import Volume, same_grid


def inverse(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way back of a transform between worlds, 4x4.

    Example:
        >>> inverse(np.diag([2.0, 2.0, 2.0, 1.0]))[0, 0].item()
        0.5
    """
    return np.asarray(np.linalg.inv(transform), dtype=np.float64)


_STILL = 1e-9
"""Transforms that differ from none by less than this move nothing."""


@dataclass(frozen=True)
class Placement:
    """How a prepared grid lies to the grid of its raw image.

    Whatever a recipe did (turned axes, moved, stretched into a template, cut, resized) is in the affines of both grids
    and the transform between their worlds; nothing else is needed to go back.

    Attributes:
        shape: Voxels of the raw image.
        affine: Voxels of the raw image to its world (RAS+ mm, 4x4).
        transform: World of the prepared grid to world of the raw image (RAS+ mm, 4x4).

    Example:
        >>> image = Volume(np.zeros((3, 4, 5), np.float32), np.diag([-1.0, -1, 1, 1]))
        >>> Placement.of(image, np.eye(4)).to_source(image.reoriented("RAS")).orientation
        'LPS'
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    transform: NDArray[np.float64]

    @classmethod
    def of(cls, raw: Volume, transform: NDArray[np.float64]) -> Placement:
        """Placement of a raw image whose recipe gave this transform (`PlacedImage.transform`)."""
        return cls(raw.shape, raw.affine, np.asarray(transform, dtype=np.float64))

    @property
    def grid(self) -> Volume:
        """An empty volume on the grid of the raw image."""
        return Volume(np.zeros(self.shape, np.uint8), self.affine)

    def to_source(self, prepared: Volume, interpolation: Interpolation = "cubic") -> Volume:
        """An image on the prepared grid, brought to the grid of the raw image; zero where the prepared grid ends.

        Where the recipe only turned axes, voxels are turned back and none is interpolated: same bits.

        Args:
            prepared: Image (a synthetic one, or a mask) on the prepared grid.
            interpolation: nearest (for masks), linear or cubic.
        """
        turned = self._turned(prepared, self.grid, self.transform)
        return turned or resample(prepared, self.grid, inverse(self.transform), interpolation)

    def to_grid(self, raw: Volume, grid: Volume, interpolation: Interpolation = "cubic") -> Volume:
        """An image on the grid of the raw image, brought to the prepared grid; the other direction of `to_source`.

        Args:
            raw: Image on the grid of the raw image.
            grid: The prepared grid.
            interpolation: nearest (for masks), linear or cubic.
        """
        turned = self._turned(raw, grid, self.transform)
        return turned or resample(raw, grid, self.transform, interpolation)

    @staticmethod
    def _turned(volume: Volume, grid: Volume, transform: NDArray[np.float64]) -> Volume | None:
        if np.abs(transform - np.eye(4)).max() > _STILL:
            return None
        turned = volume.reoriented(grid.orientation)
        return Volume(turned.data, grid.affine) if same_grid(turned, grid) else None

    def to_dict(self) -> dict[str, Any]:
        """For sidecars: `{"Transform", "SourceGrid": {"Shape", "Affine"}}`."""
        return {
            "Transform": self.transform.tolist(),
            "SourceGrid": {"Shape": list(self.shape), "Affine": self.affine.tolist()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Placement:
        """Read the sidecar of a prepared image.

        Raises:
            FormatError: It does not say where the image came from.
        """
        try:
            i, j, k = (int(n) for n in content["SourceGrid"]["Shape"])
            affine, transform = (
                np.array(matrix, dtype=np.float64).reshape(4, 4)
                for matrix in (content["SourceGrid"]["Affine"], content["Transform"])
            )
            np.linalg.inv(affine @ transform)
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            raise FormatError(
                f"the sidecar does not say where the image came from (SourceGrid, Transform: {error!r}); prepare again"
            ) from error
        return cls((i, j, k), affine, transform)
