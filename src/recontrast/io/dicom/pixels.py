"""Values of a stack: decoded, put in order, and rescaled to what the scanner meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import FormatError, GeometryError
from recontrast.io.dicom.headers import Frame, lenient, load_pydicom
from recontrast.io.dicom.stacks import Stack
from recontrast.volume import Volume

Scaling = Literal["precise", "display", "stored"]
"""precise: Philips' private scale where there is one, else the rescale slope; display: the rescale slope; stored."""


def read_stack(stack: Stack, scaling: Scaling = "precise", fill_missing: bool = False) -> Volume:
    """Read the volume of a stack.

    Stored values s become `slope s + intercept`. Philips scanners store a further scale slope S and intercept; their
    precise value is (slope s + intercept) / (slope S), which can be compared between scans (Chenevert et al. 2014,
    Translational Oncology 7:65). Integers that need no rescaling stay integers, else values are float32.

    Args:
        stack: From `take_apart` or `find_series`.
        scaling: Which of these values are wanted.
        fill_missing: Set slices that are missing between others to zero; else they are an error.

    Raises:
        GeometryError: The stack has no grid, or misses slices.
        FormatError: A file cannot be decoded.

    Example:
        >>> read_stack(series.stacks[0]).orientation  # doctest: +SKIP
        'LPS'
    """
    if stack.grid is None or stack.problem:
        raise GeometryError(f"{stack.frames[0].path.parent}: {stack.problem}")
    grid = stack.grid
    if grid.missing and not fill_missing:
        raise GeometryError(
            f"{stack.frames[0].path.parent}: {len(grid.missing)} of {grid.shape[2]} slices are missing; copy the "
            "series again, or have them filled with zeros"
        )
    factors = [rescaling(frame, scaling) for frame in stack.frames]
    plain = all(factor == (1.0, 0.0) for factor in factors)
    signed = any(frame.signed for frame in stack.frames)
    integer = np.int16 if signed else np.uint16
    exact = plain and all(frame.bits <= 16 and frame.signed == signed for frame in stack.frames)
    data = np.zeros(grid.shape, dtype=integer if exact else np.float32)
    opened: tuple[Path, Any] | None = None
    for frame, place, (slope, intercept) in zip(stack.frames, grid.places, factors, strict=True):
        if opened is None or opened[0] != frame.path:  # all frames of one file are read at once
            opened = (frame.path, _open(frame))
        values = _decode(frame, opened[1])
        if values.shape != (frame.rows, frame.columns):
            raise FormatError(f"{frame.path}: holds {values.shape} pixels, the header says {frame.rows, frame.columns}")
        data[:, :, place] = values.T if plain else (values.astype(np.float64) * slope + intercept).T
    return Volume(data, grid.affine)


def rescaling(frame: Frame, scaling: Scaling = "precise") -> tuple[float, float]:
    """Slope and intercept that turn stored values into what `scaling` asks for."""
    if scaling == "stored":
        return 1.0, 0.0
    if scaling == "precise" and frame.private is not None:
        own, _ = frame.private
        return 1.0 / own, frame.intercept / (frame.slope * own)
    return frame.slope, frame.intercept


def _open(frame: Frame) -> Any:
    pydicom = load_pydicom()
    with lenient(frame.path):
        data = pydicom.dcmread(frame.path, force=True)
        if "TransferSyntaxUID" not in data.file_meta:
            implicit = data.original_encoding[0]
            data.file_meta.TransferSyntaxUID = (
                pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
            )
        if "PixelData" not in data:
            raise FormatError(f"{frame.path}: has no pixel data; it is no image")
        return data


def _decode(frame: Frame, data: Any) -> NDArray[Any]:
    pydicom = load_pydicom()
    with lenient(frame.path):
        syntax = pydicom.uid.UID(data.file_meta.TransferSyntaxUID)
        try:
            values = np.asarray(pydicom.pixels.pixel_array(data, index=frame.index))
        except (RuntimeError, NotImplementedError, AttributeError) as error:
            reason = str(error).strip().splitlines()  # pydicom lists the decoders it tried, one a line
            raise FormatError(
                f"{frame.path}: pixels in {syntax.name} cannot be decoded ({reason[0] if reason else 'no decoder'}); "
                "the file is damaged, or uncompress it first (gdcmconv --raw)"
            ) from error
        return values if syntax.is_encapsulated else _unmasked(values, data)


def _unmasked(values: NDArray[Any], data: Any) -> NDArray[Any]:
    """Values without the bits above the stored ones, in which old files keep overlays."""
    stored, allocated = int(data.BitsStored), int(data.BitsAllocated)
    if stored >= allocated or not np.issubdtype(values.dtype, np.integer):
        return values
    low = values.astype(np.int64) & ((1 << stored) - 1)
    if int(data.get("PixelRepresentation") or 0) == 1:
        low -= (low >> (stored - 1)) << stored
    return low.astype(values.dtype)
