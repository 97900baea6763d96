"""FreeSurfer: run `recon-all` (7 and 8), and read what it or a program with its label numbers made elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from recontrast.errors import FormatError
from recontrast.evaluation.segmentation import SEGMENTERS, Segmentation, SegmentationInput
from recontrast.evaluation.segmentation.external import External
from recontrast.preparation.resample import resample
from recontrast.volume import Volume, same_grid

_PAIRED = {
    "Cerebral-White-Matter": (2, 41), "Cerebral-Cortex": (3, 42), "Lateral-Ventricle": (4, 43),
    "Inf-Lat-Vent": (5, 44), "Cerebellum-White-Matter": (7, 46), "Cerebellum-Cortex": (8, 47), "Thalamus": (10, 49),
    "Caudate": (11, 50), "Putamen": (12, 51), "Pallidum": (13, 52), "Hippocampus": (17, 53), "Amygdala": (18, 54),
    "Accumbens-area": (26, 58), "VentralDC": (28, 60), "vessel": (30, 62), "choroid-plexus": (31, 63),
}  # fmt: skip

NAMES: dict[int, str] = {
    14: "3rd-Ventricle", 15: "4th-Ventricle", 16: "Brain-Stem", 24: "CSF", 77: "WM-hypointensities",
    85: "Optic-Chiasm", 251: "CC_Posterior", 252: "CC_Mid_Posterior", 253: "CC_Central", 254: "CC_Mid_Anterior",
    255: "CC_Anterior",
    **{number: f"{side}-{name}" for name, pair in _PAIRED.items()
       for side, number in zip(("Left", "Right"), pair, strict=True)},
}  # fmt: skip
"""Label number to name, as in FreeSurfer's colour table; parcels of the cortex (1000 and 2000 on) count as cortex."""

_CORTEX = {1: "Left-Cerebral-Cortex", 2: "Right-Cerebral-Cortex"}


def structures_of(labels: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Structures among label numbers; unknown numbers are left out.

    Example:
        >>> structures_of([17, 1003, 3, 999])
        {'Left-Cerebral-Cortex': (3, 1003), 'Left-Hippocampus': (17,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for number in sorted(set(labels)):
        name = NAMES.get(number) or (_CORTEX.get(number // 1000) if 0 < number % 1000 < 100 else None)
        if name:
            found[name] = (*found.get(name, ()), number)
    return found


def read_freesurfer_labels(path: Path, image: Volume) -> Segmentation:
    """Read a label map with FreeSurfer's numbers (`.mgz` or NIfTI) onto the grid of `image`.

    A map on another grid is taken over by nearest neighbour, and the notes say so.

    Raises:
        FormatError: The file cannot be read, or has no FreeSurfer label.
    """
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    try:
        loaded = nib.load(path)
        data = np.rint(np.asarray(loaded.dataobj)).astype(np.int32)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read as a label map ({error})") from error
    if data.ndim != 3:
        raise FormatError(f"{path}: has {data.ndim} axes, a label map has 3")
    labels = Volume(data, np.asarray(loaded.affine, dtype=np.float64)).reoriented(image.orientation)
    notes = ""
    if not same_grid(labels, image):
        labels = resample(labels, image, None, "nearest")
        notes = "labels taken over from the program's own grid by nearest neighbour"
    structures = structures_of(int(number) for number in np.unique(labels.data))
    if not structures:
        raise FormatError(f"{path}: holds no label with a FreeSurfer number")
    return Segmentation(Volume(labels.data.astype(np.int32), image.affine), structures, notes)


def read_aseg_stats(path: Path) -> dict[str, float]:
    """Volumes in ml from a FreeSurfer table (`stats/aseg.stats`): its structures, and its measures by their short name.

    These are the volumes of system 000 (Tagawa 2025): FreeSurfer corrects them for partial volume, so they differ a
    little from counted voxels.

    Raises:
        FormatError: Not such a table.

    Example:
        >>> read_aseg_stats(Path("sub-01/stats/aseg.stats"))["Left-Hippocampus"]  # doctest: +SKIP
        3.912
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error
    volumes: dict[str, float] = {}
    columns: list[str] = []
    for line in lines:
        try:
            if line.startswith("# Measure"):
                fields = [field.strip() for field in line.removeprefix("# Measure").split(",")]
                if len(fields) >= 5 and fields[-1] == "mm^3":
                    volumes[fields[1]] = float(fields[-2]) / 1000
            elif line.startswith("# ColHeaders"):
                columns = line.split()[2:]
            elif line.strip() and not line.startswith("#"):
                row = line.split()
                volumes[row[columns.index("StructName")]] = float(row[columns.index("Volume_mm3")]) / 1000
        except (ValueError, IndexError) as error:
            raise FormatError(f"{path}: the line '{line.strip()}' is not one of aseg.stats ({error})") from error
    if not columns or not volumes:
        raise FormatError(f"{path}: is no aseg.stats (no line '# ColHeaders', or no volume)")
    return volumes


def recon_all_command(image: Path, subjects: Path, subject: str, threads: int = 1) -> list[str]:
    """The command line of FreeSurfer 7 and 8.

    Example:
        >>> recon_all_command(Path("a.nii.gz"), Path("out"), "x")[-4:]
        ['-sd', 'out', '-openmp', '1']
    """
    return ["recon-all", "-all", "-s", subject, "-i", str(image), "-sd", str(subjects), "-openmp", str(threads)]


@SEGMENTERS.register("freesurfer")
class FreeSurfer(External):
    """`recon-all` of FreeSurfer 7 or 8, hours a head; its `aseg.mgz`."""

    title = "FreeSurfer recon-all"
    program = "recon-all"
    package = "FreeSurfer 7 or 8"
    contrasts = ("T1w",)

    def version(self) -> str:
        """As `recon-all -version` says, shortened to its number where it has one."""
        text = self.ask("-version")
        number = re.search(r"\d+\.\d+(\.\d+)?", text)
        return number.group() if number else text

    def read(self, image: Path, folder: Path, given: SegmentationInput) -> Segmentation:
        """Run and read."""
        self.run(recon_all_command(image, folder, "case"), given.what)
        return read_freesurfer_labels(folder / "case" / "mri" / "aseg.mgz", given.image)
