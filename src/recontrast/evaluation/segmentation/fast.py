"""FSL FAST (Zhang 2001, IEEE Trans Med Imaging 20:45): three tissues of a skull-stripped T1w."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recontrast.evaluation.segmentation import SEGMENTERS, UNKNOWN_VERSION, Segmentation, SegmentationInput, brain_of
from recontrast.evaluation.segmentation.external import External
from recontrast.io.nifti import read_volume
from recontrast.volume import Volume, require_same_grid

STRUCTURES = {"CSF": (1,), "GM": (2,), "WM": (3,)}
"""FAST numbers the tissues of a T1w from dark to bright."""


def fast_command(image: Path, base: Path) -> list[str]:
    """The command line: T1w, three classes, one channel.

    Example:
        >>> fast_command(Path("a.nii.gz"), Path("out/fast"))
        ['fast', '-t', '1', '-n', '3', '-o', 'out/fast', 'a.nii.gz']
    """
    return ["fast", "-t", "1", "-n", "3", "-o", str(base), str(image)]


@SEGMENTERS.register("fast")
class Fast(External):
    """`fast` inside the brain mask."""

    title = "FSL FAST"
    program = "fast"
    package = "FSL"
    contrasts = ("T1w",)

    def version(self) -> str:
        """That of the FSL the program lies in."""
        stamp = Path(self.executable()).resolve().parent.parent / "etc" / "fslversion"
        return stamp.read_text(encoding="utf-8").strip() if stamp.is_file() else UNKNOWN_VERSION

    def prepared(self, given: SegmentationInput) -> Volume:
        """The image with everything outside the brain set to zero."""
        return given.image.with_data(np.where(brain_of(given), given.image.data, 0).astype(np.float32))

    def read(self, image: Path, folder: Path, given: SegmentationInput) -> Segmentation:
        """Run and read."""
        self.run(fast_command(image, folder / "fast"), given.what)
        labels = read_volume(folder / "fast_seg.nii.gz", np.int32).reoriented(given.image.orientation)
        require_same_grid(given.image, labels, f"{given.what}: image and labels of fast")
        return Segmentation(given.image.with_data(labels.data), STRUCTURES)
