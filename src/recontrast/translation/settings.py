"""Settings of `recontrast translate`. Nothing here imports what the work needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DType = Literal["float32", "source"]


@dataclass(frozen=True, kw_only=True)
class TranslateSettings:
    """What `translate` does."""

    run: Path
    """run of `recontrast train`, or the translator folder in it"""

    input: Path
    """NIfTI file, folder of NIfTI files, BIDS data set, prepared folder, or folder of DICOM files"""

    out: Path
    """folder for the synthetic images; for one input file also a file name with 'synthetic' in it"""

    target: str = ""
    """contrast to make, for a translator that makes several"""

    source: tuple[str, ...] = ()
    """translators of several contrasts: use only these sources; empty: all that a case has"""

    also: tuple[str, ...] = ()
    """further sources when the input is one file: T2w=PATH"""

    split: str = ""
    """only subjects of this split (train, validation, test) of the folder's splits.tsv; empty: all"""

    subjects: tuple[str, ...] = ()
    """only these subjects; empty: all"""

    space: str = ""
    """BIDS data set: take images with this space entity; images without one only where a contrast has none with it"""

    prefer: tuple[str, ...] = ()
    """BIDS data set: entities that decide between several files of one contrast (run-1, rec-norm)"""

    harmonise: bool = False
    """send images of the target contrast through the network, too (translators such as ce-gadolinium_T1w to T1w)"""

    contrast: tuple[str, ...] = ()
    """DICOM: which series is which contrast, SERIES=CONTRAST by series number, description or UID (4=T1w)"""

    dtype: DType = "float32"
    """type stored: float32, or source (the source's type; integers with a slope over the whole range)"""

    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """auto (bf16 where the processor has it and the image agrees with fp32), fp32, bf16, int8 (slices: convolutions in
    integers where the image agrees with fp32, else as auto; needs OpenVINO)"""

    engine: Literal["auto", "torch", "compiled", "openvino"] = "auto"
    """auto (the fastest there is), torch, compiled (a minute at first, for long runs), openvino"""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto (a GPU when there is one), cpu, cuda"""

    batch: int = 0
    """slices the network sees at a time; 0: 2 on a processor, whose cache they fit, 32 on a GPU"""

    memory_gb: float = 0.0
    """volumes: working memory of the network in GB, a larger head goes in windows; 0: half of what the device has.
    Slices with several workers: most memory of a process, what needs more fails; 0: no limit"""

    window: int = 0
    """volumes: largest size of a window along each axis in voxels; 0: as the memory allows"""

    overlap: float = 0.25
    """volumes: part of a window that its neighbour covers too, 0 to below 1"""

    workers: int = 1
    """cases at a time; 1: one network with all cores; more: each process with its own (slices, on a processor)"""

    rarity: bool = True
    """voxel-wise translators: write a map of where the signals are rare among those of training, and warn"""

    uncertainty: bool = True
    """write how far each voxel may be off (…_uncertainty), where the translator has calibrated error bars"""

    distance: bool = True
    """hold each scan against those of the training, and warn when it is unlike them"""

    volume: int | None = None
    """which volume of images with four axes, counted from 0; left out: such images are refused"""

    scheduler: str = ""
    """Dask scheduler whose workers do the cases (tcp://host:8786, or its .json file); empty: this machine"""
