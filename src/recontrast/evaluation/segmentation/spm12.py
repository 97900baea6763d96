"""SPM12 standalone: Unified Segmentation (Ashburner 2005, NeuroImage 26:839), as in Bottani 2024."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recontrast.atomic import write_text
from recontrast.evaluation.segmentation import SEGMENTERS, Segmentation, SegmentationInput
from recontrast.evaluation.segmentation.external import External
from recontrast.io.nifti import read_volume
from recontrast.volume import require_same_grid

STRUCTURES = {"GM": (1,), "WM": (2,), "CSF": (3,)}
"""SPM's tissue classes 1 to 3."""


def spm_batch(image: Path) -> str:
    """The batch that segments one image with SPM's defaults and keeps classes 1 to 3 in native space.

    The other settings are SPM's own defaults, which `spm_get_defaults` and `tbx` fill in.

    Args:
        image: An uncompressed NIfTI file.
    """
    quoted = str(image).replace("'", "''")
    lines = [
        "spm('defaults', 'FMRI');",
        "spm_jobman('initcfg');",
        f"matlabbatch{{1}}.spm.spatial.preproc.channel.vols = {{'{quoted},1'}};",
        "tpm = fullfile(spm('Dir'), 'tpm', 'TPM.nii');",
    ]
    gaussians = (1, 1, 2, 3, 4, 2)
    for number, count in enumerate(gaussians, start=1):
        tissue = f"matlabbatch{{1}}.spm.spatial.preproc.tissue({number})"
        native = 1 if number <= 3 else 0
        lines += [
            f"{tissue}.tpm = {{sprintf('%s,{number}', tpm)}};",
            f"{tissue}.ngaus = {count};",
            f"{tissue}.native = [{native} 0];",
            f"{tissue}.warped = [0 0];",
        ]
    return "\n".join([*lines, "spm_jobman('run', matlabbatch);"]) + "\n"


def spm_command(batch: Path) -> list[str]:
    """The command line of the standalone program.

    Example:
        >>> spm_command(Path("job.m"))
        ['spm12', 'batch', 'job.m']
    """
    return ["spm12", "batch", str(batch)]


@SEGMENTERS.register("spm12")
class Spm12(External):
    """Unified Segmentation; each voxel gets the class of highest probability, none where the rest is likelier."""

    title = "SPM12 Unified Segmentation"
    program = "spm12"
    package = "the standalone SPM12 with its MATLAB runtime"
    compressed = False

    def version(self) -> str:
        """As `spm12 --version` says."""
        return self.ask("--version")

    def read(self, image: Path, folder: Path, given: SegmentationInput) -> Segmentation:
        """Run and read; SPM writes beside the image."""
        batch = folder / "job.m"
        write_text(batch, spm_batch(image))
        self.run(spm_command(batch), given.what)
        shares = []
        for number in (1, 2, 3):
            share = read_volume(image.with_name(f"c{number}{image.name}")).reoriented(given.image.orientation)
            require_same_grid(given.image, share, f"{given.what}: image and tissue class {number} of SPM")
            shares.append(share.data)
        rest = np.clip(1 - np.sum(shares, axis=0), 0, 1)
        labels = np.argmax([rest, *shares], axis=0).astype(np.int32)
        return Segmentation(given.image.with_data(labels), STRUCTURES)
