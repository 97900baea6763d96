"""SynthSeg (Billot 2023, Med Image Anal 86:102789) as FreeSurfer installs it: `mri_synthseg`, any contrast."""

from __future__ import annotations

from pathlib import Path

from recontrast.evaluation.segmentation import SEGMENTERS, UNKNOWN_VERSION, Segmentation, SegmentationInput
from recontrast.evaluation.segmentation.external import External
from recontrast.evaluation.segmentation.freesurfer import read_freesurfer_labels


def synthseg_command(image: Path, output: Path, threads: int = 1) -> list[str]:
    """The command line, on the processor and without parcels of the cortex.

    Example:
        >>> synthseg_command(Path("a.nii.gz"), Path("b.nii.gz"))
        ['mri_synthseg', '--i', 'a.nii.gz', '--o', 'b.nii.gz', '--cpu', '--threads', '1']
    """
    return ["mri_synthseg", "--i", str(image), "--o", str(output), "--cpu", "--threads", str(threads)]


@SEGMENTERS.register("synthseg")
class SynthSeg(External):
    """`mri_synthseg`: 32 structures of the whole brain, from images of any contrast."""

    title = "SynthSeg"
    program = "mri_synthseg"
    package = "FreeSurfer 7.3 or later"

    def version(self) -> str:
        """SynthSeg has no version of its own: that of the FreeSurfer beside it."""
        stamp = Path(self.executable()).resolve().parent.parent / "build-stamp.txt"
        return stamp.read_text(encoding="utf-8").strip() if stamp.is_file() else UNKNOWN_VERSION

    def read(self, image: Path, folder: Path, given: SegmentationInput) -> Segmentation:
        """Run and read."""
        output = folder / "labels.nii.gz"
        self.run(synthseg_command(image, output), given.what)
        return read_freesurfer_labels(output, given.image)
