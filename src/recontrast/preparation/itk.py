"""The only place where volumes become SimpleITK images: RAS+ and (i, j, k) here, LPS and (z, y, x) there."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from recontrast.volume import Volume

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS to LPS, and back."""


def to_itk(volume: Volume) -> Any:
    """A SimpleITK image of the same voxels at the same places; booleans become uint8, float16 becomes float32."""
    data = volume.data
    if data.dtype == np.bool_:
        data = data.view(np.uint8)
    elif data.dtype == np.float16:
        data = data.astype(np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0).astype(data.dtype.newbyteorder("="))))
    affine = _FLIP @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / np.asarray(volume.spacing)).ravel().tolist())
    return image


def to_volume(image: Any) -> Volume:
    """The volume of a SimpleITK image."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0)), _FLIP @ affine)


def to_itk_transform(matrix: NDArray[np.float64]) -> Any:
    """A 4x4 matrix between RAS+ worlds as an ITK affine transform (points of the fixed to points of the moving)."""
    itk_matrix = _FLIP @ matrix @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(itk_matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(itk_matrix[:3, 3].tolist())
    return transform


def to_matrix(transform: Any) -> NDArray[np.float64]:
    """The 4x4 matrix between RAS+ worlds of a linear ITK transform with a centre of rotation."""
    linear = np.reshape(transform.GetMatrix(), (3, 3))
    centre = np.asarray(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.asarray(transform.GetTranslation()) + centre - linear @ centre
    return np.asarray(_FLIP @ matrix @ _FLIP, dtype=np.float64)
