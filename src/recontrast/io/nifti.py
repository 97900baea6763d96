"""NIfTI files to volumes and back."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from recontrast.atomic import atomic_file
from recontrast.errors import FormatError, GeometryError, RecontrastWarning
from recontrast.volume import AFFINE_TOLERANCE_MM, Volume

EXTENSIONS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Header:
    """What a NIfTI file says of itself, read without its voxels.

    Attributes:
        shape: Number of voxels along each axis, as stored.
        affine: Voxel indices to RAS+ millimetres.
        dtype: Stored data type.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]


def is_nifti(path: Path) -> bool:
    """Whether the name of `path` ends like a NIfTI file's."""
    return path.name.lower().endswith(EXTENSIONS)


def read_header(path: Path) -> Header:
    """Read shape, affine and stored type of a NIfTI file.

    Raises:
        FormatError: Not a readable NIfTI file.
    """
    image = _open(path)
    return Header(tuple(int(n) for n in image.shape), _affine(path, image), np.dtype(image.get_data_dtype()))


def read_volume(path: Path, dtype: DTypeLike = np.float32) -> Volume:
    """Read a three-dimensional NIfTI image.

    Stored slope and intercept are applied. A fourth axis of length one is dropped.

    Args:
        path: A `.nii` or `.nii.gz` file.
        dtype: Type of the values returned. Use an integer type for labels and masks.

    Raises:
        FormatError: The file is absent, truncated or not NIfTI, or has several volumes.

    Example:
        >>> read_volume(Path("sub-01_T1w.nii.gz")).spacing  # doctest: +SKIP
        (1.0, 1.0, 1.0)
    """
    image = _open(path)
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise FormatError(
            f"{path}: has {len(shape)} axes (shape {shape}), one 3D image is needed; "
            "split the series first and give the volume that is meant"
        )
    try:
        values = np.asanyarray(image.dataobj)
    except (OSError, EOFError, zlib.error, ValueError, HeaderDataError) as error:
        raise FormatError(
            f"{path}: the file is truncated or damaged ({error}); copy it again from its source"
        ) from error
    if np.issubdtype(values.dtype, np.complexfloating):
        raise FormatError(
            f"{path}: holds complex values; store magnitude and phase (or real and imaginary) as two files"
        )
    data = values.reshape(shape)
    if np.issubdtype(np.dtype(dtype), np.integer) and not np.issubdtype(data.dtype, np.integer):
        data = np.rint(data)
    return Volume(np.ascontiguousarray(data.astype(dtype, copy=False)), _affine(path, image))


def write_volume(
    path: Path, volume: Volume, dtype: DTypeLike = np.float32, *, like: Path | None = None, description: str = ""
) -> None:
    """Write a volume as NIfTI, atomically and with reproducible bytes.

    Floating-point values written as integers get the slope and intercept that use the whole range of the type.

    Args:
        path: A `.nii` or `.nii.gz` file to make.
        volume: What to write.
        dtype: Type to store.
        like: A NIfTI file of the same grid whose space codes and units are kept.
        description: Up to 79 characters for the header.

    Raises:
        OutputError: It cannot be written.
    """
    data = volume.data.astype(np.uint8) if volume.data.dtype == np.bool_ else volume.data
    image = nib.Nifti1Image(data, None, dtype=np.uint8 if np.dtype(dtype) == np.bool_ else np.dtype(dtype))
    code = 1
    if like is not None:
        template = _open(like).header
        code = int(template["sform_code"]) or int(template["qform_code"]) or 1
    image.set_sform(volume.affine, code)
    image.set_qform(volume.affine, code)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    with atomic_file(path) as partial:
        nib.save(image, partial)


def _open(path: Path) -> nib.Nifti1Image:
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    if not is_nifti(path):
        raise FormatError(f"{path}: not a NIfTI file by its name (.nii or .nii.gz)")
    try:
        image = nib.load(path)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError) as error:
        raise FormatError(f"{path}: cannot be read as NIfTI ({error})") from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise FormatError(f"{path}: is {type(image).__name__}, not NIfTI")
    return image


def _affine(path: Path, image: nib.Nifti1Image) -> NDArray[np.float64]:
    header = image.header
    sform, sform_code = image.get_sform(coded=True)
    try:
        qform, qform_code = image.get_qform(coded=True)
    except (HeaderDataError, ValueError):
        qform, qform_code = None, 0
    if not sform_code and not qform_code:
        warnings.warn(
            f"{path}: the header gives no orientation; left and right are assumed as stored (RAS)",
            RecontrastWarning,
            stacklevel=3,
        )
    if sform_code and qform_code and qform is not None:
        last = np.array([*(n - 1 for n in (*image.shape, 1, 1, 1)[:3]), 1.0])
        apart = max(np.abs((sform - qform)[:3] @ corner).max() for corner in (last, np.array([0, 0, 0, 1.0])))
        if apart > max(0.1, AFFINE_TOLERANCE_MM):
            warnings.warn(
                f"{path}: qform and sform differ by up to {apart:.1f} mm; the sform is used",
                RecontrastWarning,
                stacklevel=3,
            )
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise GeometryError(
            f"{path}: the header's affine is not invertible ({header['srow_x']} …); mend the header first"
        )
    return affine
