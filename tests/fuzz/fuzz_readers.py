"""Feed damaged files to every reader. Whatever they hold, only errors of ours may come out, soon, in little memory.

    python tests/fuzz/fuzz_readers.py --minutes 10

Each round takes a sound file (NIfTI, JSON, TSV, TOML, DICOM), damages it at random (bits, bytes, pieces cut out,
doubled or exchanged, numbers made extreme, before or after compression) and reads it in a child process that is limited
in memory. A failure prints the seed of its round and keeps the file.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import gzip
import importlib.util
import io
import json
import multiprocessing
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from recontrast.config import read_toml
from recontrast.errors import FormatError, RecontrastError
from recontrast.io.bids import BidsName, Case, read_sidecar
from recontrast.io.nifti import read_header, read_volume
from recontrast.io.tables import read_table

LONGEST_S = 5.0
"""A reader that takes longer for a small file hangs."""

MEMORY = 3 * 2**30
"""Address space of the child beyond what it has at the start, bytes."""

EXTREMES = [
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
]

NUMBERS = [float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e38, 1e-38, 1e300]


PIECES = [
    b"\0", b"\n", b"\t", b'"', b"[" * 5000, b"9" * 5000, b"NaN", b"1e999", b"\xff\xfe", b"../../", "é".encode(),
]  # fmt: skip
"""What breaks parsers of text."""


def nifti(kind: type = nib.Nifti1Image, dtype: str = "<i2", shape: tuple[int, ...] = (5, 6, 7)) -> bytes:
    """A sound NIfTI file."""
    header = (nib.Nifti2Header if kind is nib.Nifti2Image else nib.Nifti1Header)(endianness=dtype[0])
    image = kind(np.arange(np.prod(shape)).reshape(shape).astype(dtype), np.diag([1.0, 2, 3, 1]), header, dtype=dtype)
    image.header.set_slope_inter(0.5, 3)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a note"))
    return bytes(image.to_bytes())


def dicom() -> list[bytes]:
    """Sound DICOM images, where pydicom is installed: a slice, the same by RLE, an Enhanced object."""
    if importlib.util.find_spec("pydicom") is None:
        return []
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid(entropy_srcs=["fuzz"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientID, data.SeriesDescription = "MR", "p", "t1_mprage"
    data.StudyInstanceUID = data.SeriesInstanceUID = data.FrameOfReferenceUID = "1.2.3"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness, data.EchoTime, data.RepetitionTime = [1, 1], 2, 3.4, 2000
    data.Rows = data.Columns = 8
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelData = np.arange(64, dtype="<u2").tobytes()
    plain = saved(data)
    data.compress(RLELossless, generate_instance_uid=False)
    packed = saved(data)
    data.decompress(generate_instance_uid=False)
    return [plain, packed, saved(enhanced(data))]


def saved(data: Any) -> bytes:
    """The bytes of a DICOM object."""
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def enhanced(slice_: Any) -> Any:
    """An Enhanced MR object of three frames, from a classic slice."""
    from pydicom.dataset import Dataset
    from pydicom.uid import EnhancedMRImageStorage

    def item(**attributes: Any) -> Dataset:
        made = Dataset()
        for name, value in attributes.items():
            setattr(made, name, value)
        return made

    data = Dataset()
    data.update({element.tag: element for element in slice_})
    data.file_meta = slice_.file_meta
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "EchoTime"):
        delattr(data, name)
    data.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=2)],
            MREchoSequence=[item(EffectiveEchoTime=9.0)],
        )
    ]
    data.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 2 * k])],
            PixelValueTransformationSequence=[item(RescaleSlope=k + 1, RescaleIntercept=0, RescaleType="US")],
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=k + 1)],
        )
        for k in range(3)
    ]
    data.NumberOfFrames = 3
    data.PixelData = np.arange(3 * 64, dtype="<u2").tobytes()
    return data


def seeds() -> dict[str, list[bytes]]:
    """Sound files by the extension of the reader they are for."""
    images = [
        nifti(),
        nifti(dtype=">f4"),
        nifti(nib.Nifti2Image),
        nifti(shape=(4, 5, 6, 2)),
        nifti(dtype="<u1", shape=(9, 9)),
    ]
    sidecar = {
        "EchoTime": 0.01,
        "Scale": {"name": "x", "offset": 0, "factor": 1},
        "Sources": ["a"],
        "Transform": [[1.0]],
    }
    table = "subject\tsplit\tvalue\n01\ttrain\t1.5\n02\ttest\tn/a\n"
    toml = '[scale]\nname = "percentile"\nhigh = 99.9\nlist = [1, 2]\n'
    return {
        ".nii": images,
        ".nii.gz": [gzip.compress(image, mtime=0) for image in images],
        ".json": [json.dumps(sidecar, indent=1).encode()],
        ".tsv": [table.encode()],
        ".toml": [toml.encode()],
        ".name": [b"sub-01_ses-2_acq-x_ce-gadolinium_run-1_space-MNI_desc-prepared_T1w.nii.gz"],
        **({".dcm": dicom()} if dicom() and dicom_reader() else {}),
    }


def dicom_reader() -> Callable[[Path], Any] | None:
    """Reads a DICOM file as `recontrast import` does; None where the reader is not there."""
    try:
        from recontrast.io.dicom.find import find_series
        from recontrast.io.dicom.pixels import read_stack
    except ImportError:
        return None

    def read(path: Path) -> None:
        inventory = find_series(path)
        for series in inventory.series:
            for stack in series.stacks:
                read_stack(stack)
        if inventory.problems:
            raise FormatError("; ".join(inventory.problems.values()))

    return read


def damage(content: bytes, random_: random.Random) -> bytes:
    """The content with one to eight random changes."""
    data = bytearray(content)
    for _ in range(random_.choice([1, 1, 2, 3, 8])):
        if not data:
            return bytes(random_.randbytes(random_.randrange(20)))
        at = (
            min(int(random_.expovariate(1 / 120)), len(data) - 1)
            if random_.random() < 0.7
            else random_.randrange(len(data))
        )
        act = random_.randrange(9)
        if act == 0:
            data[at] ^= 1 << random_.randrange(8)
        elif act == 1:
            data[at] = random_.randrange(256)
        elif act == 2:
            width, form = random_.choice([(1, "B"), (2, "H"), (4, "I"), (8, "Q")])
            value = random_.choice(EXTREMES) & (2 ** (8 * width) - 1)
            data[at : at + width] = struct.pack(random_.choice("<>") + form, value)
        elif act == 3:
            form = random_.choice(["f", "d"])
            value = random_.choice(NUMBERS if form == "d" else NUMBERS[:-1])
            data[at : at + struct.calcsize(form)] = struct.pack(random_.choice("<>") + form, value)
        elif act == 4:
            del data[at:]
        elif act == 5:
            del data[at : at + random_.randrange(1, 64)]
        elif act == 6:
            piece = data[at : at + random_.randrange(1, 64)]
            data[at:at] = piece * random_.choice([1, 2, 100])
        elif act == 7:
            data[at:at] = random_.choice(PIECES)
        else:
            other = random_.randrange(len(data))
            data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
    return bytes(data)


def read_all(path: Path, kind: str) -> None:
    """Give a file to each reader of its kind."""
    if kind in (".nii", ".nii.gz"):
        read_header(path)
        for options in ({}, {"dtype": np.uint8}, {"index": 1}):
            attempt(lambda options=options: read_volume(path, **options))
    elif kind == ".json":
        read_sidecar(path.with_suffix(".nii"))
    elif kind == ".tsv":
        read_table(path, text_columns=("subject",))
    elif kind == ".toml":
        read_toml(path)
    elif kind == ".name":
        name = path.read_bytes().decode("utf-8", "replace")
        attempt(lambda: BidsName.parse(name))
        Case.parse(name)
    else:
        reader = dicom_reader()
        if reader is not None:
            reader(path)


def attempt(act: Callable[[], Any]) -> None:
    """Errors of ours are what is wanted."""
    try:
        act()
    except RecontrastError as error:
        if "\n" in str(error):
            raise ValueError(f"a message of several lines: {error}") from error


def one_round(number: int, folder: Path, samples: dict[str, list[bytes]]) -> tuple[str, bool]:
    """Damage one file and read it; returns its kind, and whether a reader refused it."""
    random_ = random.Random(number)
    kind = random_.choice(list(samples))
    content = random_.choice(samples[kind])
    if kind == ".nii.gz" and random_.random() < 0.7:
        content = gzip.compress(damage(gzip.decompress(content), random_), compresslevel=1, mtime=0)
    elif kind == ".dcm" and random_.random() < 0.7:
        content = content[:132] + damage(content[132:], random_)  # behind the preamble, which nobody reads
    else:
        content = damage(content, random_)
    path = folder / f"round{kind}"
    path.write_bytes(content)
    start = time.perf_counter()
    refused = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read_all(path, kind)
        except RecontrastError as error:
            refused = True
            if "\n" in str(error):
                raise ValueError(f"a message of several lines: {error}") from error
    if time.perf_counter() - start > LONGEST_S:
        raise TimeoutError(f"{kind}: took {time.perf_counter() - start:.1f} s")
    return kind, refused


def work(first: int, until: float, rounds: int, folder: Path, pipe: Any) -> None:
    """Rounds in a child process; reports counts, or the round that went wrong."""
    faulthandler.enable()
    own = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, own + MEMORY))
    samples = seeds()
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    number = first
    while time.time() < until and number - first < rounds:
        (folder / "number").write_text(str(number))
        try:
            kind, refused = one_round(number, folder, samples)
        except BaseException:
            pipe.send((number, dict(counts), traceback.format_exc()))
            return
        counts[kind, "refused" if refused else "read"] += 1
        number += 1
    pipe.send((number, dict(counts), ""))


def fuzz(minutes: float, first: int = 0, rounds: int = 10**9, keep: Path = Path("fuzz-failures")) -> int:
    """Rounds until the time is over; returns the number of failures."""
    until, failures = time.time() + 60 * minutes, []
    total: collections.Counter[tuple[str, str]] = collections.Counter()
    number, last = first, first + rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.time() < until and number < last and len(failures) < 20:
            here, there = multiprocessing.Pipe(duplex=False)
            child = multiprocessing.Process(target=work, args=(number, until, last - number, folder, there))
            child.start()
            there.close()
            try:
                number, counts, trouble = here.recv()
            except EOFError:
                child.join()
                number, counts = int((folder / "number").read_text()), {}
                trouble = f"the reader's process died ({child.exitcode})"
            child.join()
            total.update(counts)
            if trouble:
                failures.append(number)
                keep.mkdir(exist_ok=True)
                for path in folder.glob("round.*"):
                    (keep / f"{number}{path.name.removeprefix('round')}").write_bytes(path.read_bytes())
                print(f"round {number}: {trouble}", file=sys.stderr)  # noqa: T201
                number += 1
            for path in folder.glob("round.*"):
                path.unlink()
    for kind in sorted({kind for kind, _ in total}):
        print(f"{kind:8} {total[kind, 'read']:8d} read  {total[kind, 'refused']:8d} refused")  # noqa: T201
    print(f"{sum(total.values())} damaged files, {len(failures)} failures")  # noqa: T201
    return len(failures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    options = parser.parse_args()
    sys.exit(1 if fuzz(options.minutes, options.first) else 0)
