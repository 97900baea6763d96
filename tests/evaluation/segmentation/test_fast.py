"""FSL FAST, pretended by a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.fast import Fast, fast_command
from recontrast.volume import Volume

FAKE = """
image = nib.load(a[-1])
data = np.asarray(image.dataobj)
nib.save(nib.Nifti1Image(np.digitize(data, [0.5, 1.5, 2.5]).astype(np.int16), image.affine),
         a[a.index("-o") + 1] + "_seg.nii.gz")
"""


def test_the_command_line() -> None:
    assert fast_command(Path("in.nii.gz"), Path("o")) == ["fast", "-t", "1", "-n", "3", "-o", "o", "in.nii.gz"]


def test_it_gets_the_brain_only(fake_program: Callable[..., Path], oblique_affine: np.ndarray) -> None:
    program = fake_program("fast", FAKE)
    (program.parent.parent / "etc").mkdir()
    (program.parent.parent / "etc" / "fslversion").write_text("6.0.7.4\n")
    assert Fast().version() == "6.0.7.4"
    data = np.ones((6, 5, 4), np.float32)
    data[2:4], data[4:] = 2, 3
    brain = np.zeros(data.shape, bool)
    brain[:, 1:4] = True
    found = Fast().segment(SegmentationInput(Volume(data, oblique_affine), "T1w", brain))
    assert {name: int(found.mask(name).sum()) for name in ("CSF", "GM", "WM")} == {"CSF": 24, "GM": 24, "WM": 24}
    assert not found.labels.data[~brain].any()
