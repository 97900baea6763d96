"""NIfTI files to volumes and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from recontrast.atomic import atomic_file
from recontrast.errors import FormatError, IntensityError
from recontrast.io.nifti_header import EXTENSIONS, FileHeader, affine_of, opened, read_file_header, require_memory
from recontrast.volume import Volume

__all__ = ["EXTENSIONS", "Header", "is_nifti", "read_header", "read_volume", "write_volume"]

_CHUNK = 2**22

_MOST_PADDING = 2**26
"""Bytes after the voxels that are read to reach the checksum of a compressed file; more is not looked at."""

_GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
"""Header fields that put voxels into the world."""


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
        FormatError: Not a readable NIfTI file, or its header promises more than the file can hold.
        GeometryError: Its affine is not invertible.
    """
    header = read_file_header(path)
    return Header(header.stored_shape, affine_of(path, header), header.dtype)


def read_volume(path: Path, dtype: DTypeLike = np.float32, *, index: int | None = None) -> Volume:
    """Read a three-dimensional NIfTI image.

    Stored slope and intercept are applied. A fourth axis of length one is dropped; a single slice becomes a volume of
    one slice. Sizes are checked before memory is taken, and a compressed file is read to its checksum.

    Args:
        path: A `.nii` or `.nii.gz` file, NIfTI-1 or NIfTI-2, of any byte order and real type.
        dtype: Type of the values returned. Use an integer type for labels and masks.
        index: Which volume of a file with four axes, counted from 0.

    Raises:
        FormatError: The file is absent, truncated or not NIfTI, is larger than memory, has several volumes and no
            `index` is given, or its values do not fit an integer `dtype`.
        GeometryError: Its affine is not invertible.

    Example:
        >>> read_volume(Path("sub-01_T1w.nii.gz")).spacing  # doctest: +SKIP
        (1.0, 1.0, 1.0)
    """
    header = read_file_header(path)
    chosen = _which(path, header.shape, index)
    affine = affine_of(path, header)
    require_memory(path, header, np.dtype(dtype).itemsize)
    stored = _stored(path, header, chosen)
    return Volume(_converted(path, header, stored, np.dtype(dtype)), affine)


def write_volume(
    path: Path, volume: Volume, dtype: DTypeLike = np.float32, *, like: Path | None = None, description: str = ""
) -> None:
    """Write a volume as NIfTI, atomically and with reproducible bytes.

    Floating-point values written as integers get the slope and intercept that use the whole range of the type.

    Args:
        path: A `.nii` or `.nii.gz` file to make.
        volume: What to write.
        dtype: Type to store.
        like: A NIfTI file. On the same grid its qform, sform, their codes, units and NIfTI version are kept to the
            last bit; on another grid only the code of its space and its version.
        description: Up to 79 characters for the header.

    Raises:
        FormatError: NIfTI does not have the type, or `like` cannot be read.
        IntensityError: Values that are not finite are to be stored as integers.
        OutputError: It cannot be written.
    """
    stored = np.dtype(np.uint8) if np.dtype(dtype) == np.bool_ else np.dtype(dtype)
    data = _writable(path, volume.data, stored)
    template = read_file_header(like) if like is not None else None
    kind = (
        nib.Nifti2Image if template is not None and isinstance(template.fields, nib.Nifti2Header) else nib.Nifti1Image
    )
    try:
        image = kind(data, None, dtype=stored)
    except HeaderDataError:
        raise FormatError(f"{path}: NIfTI has no type {stored}; write float32") from None
    _place(image, volume, template, like)
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    with atomic_file(path) as partial:
        nib.save(image, partial)


def _which(path: Path, shape: tuple[int, ...], index: int | None) -> int:
    if len(shape) == 3:
        if index not in (None, 0):
            raise FormatError(f"{path}: has one volume (shape {shape}); volume {index} was asked for")
        return 0
    count = math.prod(shape[3:])
    if index is None:
        raise FormatError(
            f"{path}: has {len(shape)} axes (shape {shape}), one 3D image is needed; say which of the {count} volumes "
            f"is meant (0 to {count - 1}), or store it as a file of its own"
        )
    if len(shape) > 4 or not 0 <= index < count:
        raise FormatError(
            f"{path}: has {count} volumes (shape {shape}), 0 to {count - 1}; volume {index} was asked for"
        )
    return index


def _stored(path: Path, header: FileHeader, index: int) -> NDArray[Any]:
    """Voxels of one volume as stored, in the file's order of axes."""
    wanted = header.volume_bytes
    with opened(path, header.compressed) as stream:
        before = header.offset + index * wanted
        if header.compressed:
            _skip(stream, before)
        else:
            stream.seek(before)
        buffer = np.empty(wanted, dtype=np.uint8)
        got = _fill(stream, buffer)
        if header.compressed and got == wanted:
            rest = (math.prod(header.shape[3:]) - index - 1) * wanted
            _skip(stream, rest + _MOST_PADDING)
    if got < wanted:
        raise FormatError(
            f"{path}: the file is truncated or damaged: {got} of {wanted} bytes of voxels are there "
            f"(shape {header.shape}, {header.dtype.name}); copy it again from its source"
        )
    return buffer.view(header.dtype).reshape(header.shape[:3], order="F")


def _fill(stream: BinaryIO, buffer: NDArray[np.uint8]) -> int:
    view, done = buffer.data, 0
    while done < len(view):
        piece = stream.read(min(_CHUNK, len(view) - done))
        if not piece:
            break
        view[done : done + len(piece)] = piece
        done += len(piece)
    return done


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0:
        piece = stream.read(min(_CHUNK, count))
        if not piece:
            return
        count -= len(piece)


def _converted(path: Path, header: FileHeader, stored: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """True values in the type asked for, C order; a slice at a time where they are scaled."""
    scaled = (header.slope, header.inter) != (1.0, 0.0)
    whole = np.issubdtype(dtype, np.integer)
    values = np.empty(stored.shape, dtype=dtype)
    limits = np.iinfo(dtype) if whole else None
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 become infinite, and are refused later
        for k in range(stored.shape[2]):
            piece = stored[:, :, k]
            if scaled:
                piece = piece.astype(np.float64) * header.slope + header.inter
            if limits is not None:
                if not np.issubdtype(piece.dtype, np.integer):
                    piece = np.rint(piece)
                low, high = piece.min(), piece.max()
                if not (low >= limits.min and high <= limits.max):
                    raise FormatError(
                        f"{path}: holds values from {low:g} to {high:g} (slice {k}), whole numbers from "
                        f"{limits.min} to {limits.max} are needed here; is it a mask or label map?"
                    )
            values[:, :, k] = piece
    return values


def _writable(path: Path, data: NDArray[Any], stored: np.dtype[Any]) -> NDArray[Any]:
    if stored == np.float16:
        raise FormatError(f"{path}: NIfTI has no 16-bit floating-point type; write float32")
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if data.dtype == np.float16:
        return data.astype(np.float32)
    if np.issubdtype(stored, np.integer) and np.issubdtype(data.dtype, np.floating) and not np.isfinite(data).all():
        bad = int(data.size - np.count_nonzero(np.isfinite(data)))
        raise IntensityError(f"{path}: {bad} voxels are not finite and cannot be stored as {stored}; write float32")
    return data


def _place(image: nib.Nifti1Image, volume: Volume, template: FileHeader | None, like: Path | None) -> None:
    """Give the image the affine of the volume: the template's own header fields where its grid is the same."""
    if template is not None and like is not None:
        same = template.shape[:3] == volume.shape and np.array_equal(
            affine_of(like, template, silent=True), volume.affine
        )
        code = int(template.fields["sform_code"]) or int(template.fields["qform_code"]) or 1
        if same:
            for name in _GEOMETRY:
                image.header[name] = template.fields[name]
            image.header["pixdim"][:4] = template.fields["pixdim"][:4]
            return
    else:
        code = 1
    image.set_sform(volume.affine, code)
    image.set_qform(volume.affine, code)
    image.header.set_xyzt_units("mm", "sec")
