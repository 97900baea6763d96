"""SynthSeg, pretended by a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.synthseg import SynthSeg, synthseg_command
from recontrast.volume import Volume


def test_the_command_line() -> None:
    command = synthseg_command(Path("in.nii.gz"), Path("out.nii.gz"), 3)
    assert command == ["mri_synthseg", "--i", "in.nii.gz", "--o", "out.nii.gz", "--cpu", "--threads", "3"]


FAKE = """
image = nib.load(a[a.index("--i") + 1])
labels = np.where(np.asarray(image.dataobj) > 0.5, 16, 0).astype(np.int32)
nib.save(nib.Nifti1Image(labels, image.affine), a[a.index("--o") + 1])
"""


def test_any_contrast_and_the_version_beside_it(fake_program: Callable[..., Path], oblique_affine: np.ndarray) -> None:
    program = fake_program("mri_synthseg", FAKE)
    assert SynthSeg().version() == "unknown"
    (program.parent.parent / "build-stamp.txt").write_text("freesurfer-7.4.1\n")
    assert SynthSeg().version() == "freesurfer-7.4.1"
    data = np.zeros((5, 6, 7), np.float32)
    data[1:3] = 1
    found = SynthSeg().segment(SegmentationInput(Volume(data, oblique_affine), "FLAIR"))
    np.testing.assert_array_equal(found.mask("Brain-Stem"), data > 0)
