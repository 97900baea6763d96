"""What a NIfTI file says of itself, read without trusting it: a few hundred bytes, checked before memory is taken."""

from __future__ import annotations

import gzip
import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from recontrast.errors import FormatError, GeometryError, RecontrastWarning
from recontrast.io.memory import available_bytes

EXTENSIONS = (".nii.gz", ".nii")

MOST_VOXELS = 2**31
"""Largest volume that is read: 1290 voxels along each side, four times what any head scan has along a side."""

_MOST_COMPRESSION = 1040
"""gzip makes nothing smaller than by this factor (1032 and a little for its blocks)."""

_LARGEST_OFFSET = 2**26
"""Voxels start at most 64 MiB into a file: header extensions are text, not images."""

_DISAGREEMENT_MM = 0.1
"""Corners further apart than this between qform and sform give a warning."""

_TO_MM = {"meter": 1000.0, "micron": 0.001}

_DAMAGES = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class FileHeader:
    """A checked header and where the voxels lie.

    Attributes:
        fields: The header as nibabel has it, with the fields mended that every reader mends (zero voxel sizes).
        shape: Voxels along each axis, at least three; axes of length one at the end are dropped.
        stored_shape: Voxels along each axis, as stored.
        dtype: Stored type, with its byte order.
        offset: Bytes before the first voxel.
        slope: Factor from stored to true values.
        inter: Added after the factor.
        compressed: Whether the file is gzip-compressed.
    """

    fields: nib.Nifti1Header | nib.Nifti2Header
    shape: tuple[int, ...]
    stored_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    compressed: bool

    @property
    def version(self) -> int:
        """1 or 2."""
        return 2 if isinstance(self.fields, nib.Nifti2Header) else 1

    @property
    def volume_bytes(self) -> int:
        """Bytes of one stored volume."""
        return math.prod(self.shape[:3]) * self.dtype.itemsize


@contextmanager
def opened(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed when it is.

    Raises:
        FormatError: It cannot be opened, is truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            if compressed:
                with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield file
    except _DAMAGES as error:
        raise FormatError(
            f"{path}: the file is truncated or damaged ({one_line(error)}); copy it again from its source"
        ) from error


def read_file_header(path: Path) -> FileHeader:
    """Read and check the header of a NIfTI-1 or NIfTI-2 file.

    Raises:
        FormatError: The file is absent, unreadable, not NIfTI, or its header promises what the file cannot hold.
    """
    compressed = _is_compressed(path)
    with opened(path, compressed) as stream:
        start = stream.read(540)
    fields = _parse(path, start)
    stored_shape = _shape(path, fields)
    dtype = _dtype(path, fields)
    offset, (slope, inter) = _offset(path, fields), _scaling(path, fields)
    shape = stored_shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    shape = (*shape, 1, 1)[:3] if len(shape) < 3 else shape
    header = FileHeader(fields, shape, stored_shape, dtype, offset, slope, inter, compressed)
    _require_voxels(path, header)
    return header


def require_memory(path: Path, header: FileHeader, itemsize: int) -> None:
    """Refuse a volume that is larger than any scan, or than the memory that is left.

    Args:
        path: The file.
        header: Its header.
        itemsize: Bytes a voxel of the array that is to be made.

    Raises:
        FormatError: It is too large; both sizes are named.
    """
    voxels = math.prod(header.shape[:3])
    if voxels > MOST_VOXELS:
        raise FormatError(
            f"{path}: the header gives {voxels:.3g} voxels (shape {header.shape}), more than any scan has "
            f"({MOST_VOXELS:.3g} at most); the header is damaged, convert the scan again"
        )
    needed = voxels * (header.dtype.itemsize + itemsize)
    left = available_bytes()
    if left is not None and needed > left:
        raise FormatError(
            f"{path}: reading it takes {needed / 1e9:.1f} GB of memory (shape {header.shape}, {header.dtype.name}), "
            f"{left / 1e9:.1f} GB are left; use fewer workers or a machine with more memory, "
            "or check whether the header is damaged"
        )


def affine_of(path: Path, header: FileHeader, *, silent: bool = False) -> NDArray[np.float64]:
    """Voxel indices to RAS+ millimetres: the sform where there is one, else the qform, else voxel sizes alone.

    Args:
        path: The file, for messages.
        header: Its header.
        silent: Give no warning; for a header that was warned of before.

    Raises:
        GeometryError: The header holds no invertible affine.
    """
    fields = header.fields
    doubts: list[str] = []
    sform_code, qform_code = int(fields["sform_code"]), int(fields["qform_code"])
    sform = fields.get_sform() if sform_code else None
    qform = _qform(fields) if qform_code else None
    usable = [form for form in (sform, qform) if form is not None and _is_invertible(form)]
    if not sform_code and not qform_code:
        affine = np.asarray(fields.get_base_affine(), dtype=np.float64)
        orientation = "".join(nib.aff2axcodes(affine)) if _is_invertible(affine) else "as stored"
        doubts.append(
            f"{path}: the header gives no orientation (no qform, no sform); left and right are a guess: {orientation}"
        )
    elif not usable:
        affine = next(form for form in (sform, qform, np.zeros((4, 4))) if form is not None)
    else:
        affine = usable[0]
        if sform is not None and affine is not sform:
            doubts.append(f"{path}: the sform is not invertible; the qform is used")
        elif len(usable) == 2:
            apart = _apart(usable[0], usable[1], header.shape)
            if apart > _DISAGREEMENT_MM:
                doubts.append(f"{path}: qform and sform differ by up to {apart:.1f} mm; the sform is used")
    if not _is_invertible(affine):
        rows = np.asarray(affine)[:3].tolist()
        raise GeometryError(f"{path}: the header's affine is not invertible ({rows}); mend the header first")
    in_mm = _in_mm(path, fields, np.asarray(affine, dtype=np.float64), doubts)
    for doubt in [] if silent else doubts:
        warnings.warn(doubt, RecontrastWarning, stacklevel=3)
    return in_mm


def one_line(error: BaseException) -> str:
    """The message of a foreign error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _is_compressed(path: Path) -> bool:
    if path.is_symlink() and not path.exists():
        raise FormatError(
            f"{path}: is a link to a file that is not there; fetch its content first (DataLad: `datalad get`)"
        )
    if not path.name.lower().endswith(EXTENSIONS):
        raise FormatError(f"{path}: not a NIfTI file by its name (.nii or .nii.gz)")
    try:
        if not path.is_file():
            raise FormatError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
        with path.open("rb") as file:
            magic = file.read(2)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from error
    named = path.name.lower().endswith(".gz")
    if len(magic) < 2:
        raise FormatError(f"{path}: the file is empty; copy it again from its source")
    if named != (magic == b"\x1f\x8b"):
        says, name = ("", ".nii") if named else (" not", ".nii.gz")
        raise FormatError(
            f"{path}: is {'not ' if named else ''}gzip-compressed, its name says it is{says}; "
            f"if it is a NIfTI file, rename it to {name}"
        )
    return named


def _parse(path: Path, start: bytes) -> nib.Nifti1Header | nib.Nifti2Header:
    for kind, size, place, magics in (
        (nib.Nifti1Header, 348, 344, (b"n+1\0", b"ni1\0")),
        (nib.Nifti2Header, 540, 4, (b"n+2\0", b"ni2\0")),
    ):
        for order, endianness in (("little", "<"), ("big", ">")):
            if len(start) < size or int.from_bytes(start[:4], order) != size:  # type: ignore[arg-type]
                continue
            if start[place : place + 4] not in magics:
                raise FormatError(
                    f"{path}: cannot be read as NIfTI (wrong magic {start[place : place + 4]!r}, expected "
                    f"{magics[0]!r}; an ANALYZE file has none); convert the scan again"
                )
            if start[place : place + 4] == magics[1]:
                raise FormatError(f"{path}: is the header of a NIfTI pair (.hdr, .img); save it as one .nii file first")
            return _mended(kind(start[:size], endianness=endianness, check=False))
    raise FormatError(f"{path}: cannot be read as NIfTI (its first bytes are {start[:4]!r}); convert the scan again")


def _mended(fields: nib.Nifti1Header | nib.Nifti2Header) -> nib.Nifti1Header | nib.Nifti2Header:
    """Voxel sizes that are zero become 1, negative ones lose their sign, a wrong handedness is 1: as all readers do."""
    sizes = np.abs(np.nan_to_num(np.array(fields["pixdim"]), nan=0.0, posinf=0.0, neginf=0.0))
    sizes[1:4][sizes[1:4] == 0] = 1.0
    sizes[0] = -1.0 if float(fields["pixdim"][0]) == -1 else 1.0
    fields["pixdim"] = sizes
    return fields


def _shape(path: Path, fields: nib.Nifti1Header | nib.Nifti2Header) -> tuple[int, ...]:
    stored = [int(n) for n in fields["dim"]]
    shape = tuple(stored[1 : 1 + stored[0]]) if 1 <= stored[0] <= 7 else ()
    if not shape or min(shape) < 1:
        raise FormatError(f"{path}: the header gives no possible shape (dim {stored}); it is damaged, convert again")
    if len(shape) < 2:
        raise FormatError(f"{path}: has 1 axis (shape {shape}), an image has 2 or 3")
    return shape


def _dtype(path: Path, fields: nib.Nifti1Header | nib.Nifti2Header) -> np.dtype[Any]:
    code = int(fields["datatype"])
    try:
        dtype = np.dtype(fields.get_data_dtype())
    except (HeaderDataError, KeyError):
        raise FormatError(f"{path}: data type {code} is not one of NIfTI's; it is damaged, convert again") from None
    if np.issubdtype(dtype, np.complexfloating):
        raise FormatError(
            f"{path}: holds complex values; store magnitude and phase (or real and imaginary) as two files"
        )
    if not np.issubdtype(dtype, np.number) or dtype.itemsize == 0:
        raise FormatError(
            f"{path}: holds colours, bits or 128-bit numbers (data type {code}); convert it to float32 first"
        )
    return dtype.newbyteorder(fields.endianness)


def _offset(path: Path, fields: nib.Nifti1Header | nib.Nifti2Header) -> int:
    given = float(fields["vox_offset"])
    least = 544 if isinstance(fields, nib.Nifti2Header) else 352
    if given == 0:
        return least
    if not math.isfinite(given) or not least - 4 <= given <= _LARGEST_OFFSET or given != int(given):
        raise FormatError(
            f"{path}: the header says that voxels start at byte {given:g}, possible is {least} to {_LARGEST_OFFSET}; "
            "it is damaged, convert again"
        )
    return int(given)


def _scaling(path: Path, fields: nib.Nifti1Header | nib.Nifti2Header) -> tuple[float, float]:
    """Slope and intercept; a slope of zero or NaN means that there is none (NIfTI standard)."""
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(inter):
        raise FormatError(f"{path}: the header's slope {slope:g} and intercept {inter:g} must be finite; convert again")
    return slope, inter


def _require_voxels(path: Path, header: FileHeader) -> None:
    """Refuse a header that promises more than the file can hold, before anything is read."""
    promised = header.offset + math.prod(header.stored_shape) * header.dtype.itemsize
    held = path.stat().st_size
    if promised > held * (_MOST_COMPRESSION if header.compressed else 1):
        held_text = f"{held} bytes" + (" compressed" if header.compressed else "")
        raise FormatError(
            f"{path}: truncated or damaged: the header promises {promised} bytes (shape {header.stored_shape}, "
            f"{header.dtype.name}), the file holds {held_text}; copy it again from its source"
        )


def _qform(fields: nib.Nifti1Header | nib.Nifti2Header) -> NDArray[np.float64] | None:
    try:
        return np.asarray(fields.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError):
        return None


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    """Finite, with three axes that are long enough and not in one plane."""
    if not np.isfinite(affine).all():
        return False
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if not np.isfinite(lengths).all() or lengths.min() < 1e-6 or lengths.max() > 1e6 or np.abs(affine).max() > 1e9:
        return False
    determinant = abs(np.linalg.det(affine[:3, :3]))
    return bool(determinant > 1e-12 and determinant / np.prod(lengths) > 1e-6)


def _apart(sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]], indexing="ij")).reshape(3, -1)
    homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.sqrt((((sform - qform) @ homogeneous)[:3] ** 2).sum(axis=0)).max())


def _in_mm(
    path: Path, fields: nib.Nifti1Header | nib.Nifti2Header, affine: NDArray[np.float64], doubts: list[str]
) -> NDArray[np.float64]:
    """Metres and micrometres become millimetres, where that gives voxels of a size that scans have."""
    try:
        unit = str(fields.get_xyzt_units()[0])
    except KeyError:
        return affine
    if unit not in _TO_MM:
        return affine
    scaled = np.diag([_TO_MM[unit]] * 3 + [1.0]) @ affine
    sizes = np.sqrt((scaled[:3, :3] ** 2).sum(axis=0))
    if sizes.min() < 1e-3 or sizes.max() > 100:
        doubts.append(f"{path}: the header gives {unit}s, but its voxel sizes are millimetres; taken as millimetres")
        return affine
    return np.asarray(scaled, dtype=np.float64)
