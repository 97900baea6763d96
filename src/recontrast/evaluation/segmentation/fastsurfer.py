"""FastSurfer (Henschel 2020, NeuroImage 219:117012): `run_fastsurfer.sh`, its segmentation only."""

from __future__ import annotations

from pathlib import Path

from recontrast.evaluation.segmentation import SEGMENTERS, Segmentation, SegmentationInput
from recontrast.evaluation.segmentation.external import External
from recontrast.evaluation.segmentation.freesurfer import read_freesurfer_labels

LABELS = "aparc.DKTatlas+aseg.deep.mgz"
"""File below `mri` that the segmentation writes."""


def fastsurfer_command(image: Path, subjects: Path, subject: str, threads: int = 1) -> list[str]:
    """The command line, on the processor, without surfaces.

    Example:
        >>> fastsurfer_command(Path("/a.nii.gz"), Path("/out"), "x")[:3]
        ['run_fastsurfer.sh', '--t1', '/a.nii.gz']
    """
    return [
        "run_fastsurfer.sh", "--t1", str(image), "--sid", subject, "--sd", str(subjects), "--seg_only",
        "--device", "cpu", "--threads", str(threads),
    ]  # fmt: skip


@SEGMENTERS.register("fastsurfer")
class FastSurfer(External):
    """The network of FastSurfer, T1w only."""

    title = "FastSurfer"
    program = "run_fastsurfer.sh"
    package = "FastSurfer"
    contrasts = ("T1w",)

    def version(self) -> str:
        """As `run_fastsurfer.sh --version` says."""
        return self.ask("--version")

    def read(self, image: Path, folder: Path, given: SegmentationInput) -> Segmentation:
        """Run and read."""
        self.run(fastsurfer_command(image, folder, "case"), given.what)
        return read_freesurfer_labels(folder / "case" / "mri" / LABELS, given.image)
