from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from recontrast.errors import FormatError, RecontrastError
from recontrast.io.dicom.headers import lenient, looks_like_dicom, read_header


def first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def test_a_frame_has_position_timing_and_scaling(make_series: Callable[..., Path]) -> None:
    header = read_header(first(make_series(RescaleSlope=2, RescaleIntercept=-5)))
    frame = header.frames[0]
    assert (header.modality, header.patient, header.series) == ("MR", "PAT-77", "1.2.3.4")
    assert (frame.rows, frame.columns, frame.spacing) == (6, 8, (1.5, 1.0))
    assert (frame.echo_time_ms, frame.inversion_time_ms, frame.flip_deg) == (2.98, 900, 9)
    assert (frame.slope, frame.intercept, frame.part) == (2, -5, "mag")


@pytest.mark.parametrize(
    ("kind", "part"),
    [(["ORIGINAL", "PRIMARY", "P", "ND"], "phase"), (["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"], "mag"),
     (["ORIGINAL", "PRIMARY", "I"], "imag"), (["DERIVED", "PRIMARY", "R"], "real")],
)  # fmt: skip
def test_the_complex_part_is_read_from_the_image_type(
    kind: list[str], part: str, make_series: Callable[..., Path]
) -> None:
    assert read_header(first(make_series(ImageType=kind))).frames[0].part == part


def test_a_file_without_preamble_is_recognised(make_series: Callable[..., Path], tmp_path: Path) -> None:
    data = pydicom.dcmread(first(make_series()))
    bare = tmp_path / "bare"
    del data.file_meta
    pydicom.dcmwrite(bare, data, implicit_vr=True, little_endian=True)
    assert looks_like_dicom(bare)
    assert read_header(bare).frames[0].rows == 6


def test_a_truncated_file_is_named_with_its_sizes(make_series: Callable[..., Path]) -> None:
    path = first(make_series(values=np.zeros((100, 100, 1), np.uint16)))
    path.write_bytes(path.read_bytes()[:-10000])
    assert re.search(r"is truncated, or its header lies: 100x100 pixels in 1 frames", read_header(path).damage)
    assert read_header(path).frames == ()


def test_sizes_like_a_bomb_are_refused_before_memory_is_taken(make_series: Callable[..., Path]) -> None:
    path = first(make_series())
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless)
    data.Rows = data.Columns = 60000
    data.NumberOfFrames = 900
    data.save_as(path)
    assert re.search("refused before memory is taken", read_header(path).damage)
    assert read_header(path).frames == ()


def test_a_deflated_bomb_is_refused(make_series: Callable[..., Path], tmp_path: Path) -> None:
    data = pydicom.dcmread(first(make_series()))
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    path = tmp_path / "deflated"
    data.save_as(path)
    assert read_header(path).frames[0].rows == 6
    content = path.read_bytes()
    start = 132 + 12 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(80)) + packer.flush()
    path.write_bytes(content[:start] + bomb)
    with pytest.raises(FormatError, match="decompression bomb"):
        read_header(path)


def test_several_frames_without_positions_are_refused(make_series: Callable[..., Path]) -> None:
    path = first(make_series(values=np.zeros((4, 4, 1), np.uint16)))
    data = pydicom.dcmread(path)
    data.NumberOfFrames, data.PixelData = 2, data.PixelData * 2
    data.save_as(path)
    assert re.search("does not say where they lie", read_header(path).damage)
    assert read_header(path).frames == ()


def test_too_little_memory_is_not_called_a_damaged_file() -> None:
    with pytest.raises(MemoryError), lenient(Path("x")):
        raise MemoryError
    with pytest.raises(FormatError, match=r"x: the DICOM file is truncated or damaged \(odd\)"), lenient(Path("x")):
        raise ValueError("odd")


def test_colour_is_refused(make_series: Callable[..., Path]) -> None:
    path = first(make_series())
    data = pydicom.dcmread(path)
    data.SamplesPerPixel = 3
    data.save_as(path)
    assert re.search("colour image", read_header(path).damage)
    assert read_header(path).frames == ()


@pytest.mark.slow
def test_damaged_files_give_our_errors_only(make_series: Callable[..., Path], tmp_path: Path) -> None:
    whole = first(make_series()).read_bytes()
    chance = random.Random(3)
    path = tmp_path / "damaged"
    messages = []
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 12)):
            content[chance.randrange(132, len(content))] = chance.randrange(256)
        path.write_bytes(bytes(content[: chance.randrange(140, len(content) + 1)]))
        try:
            messages.append(read_header(path).damage)
        except RecontrastError as caught:
            messages.append(str(caught))
    refused = [message for message in messages if message]
    assert len(refused) > 50
    assert not [message for message in refused if "\n" in message]
