"""FastSurfer, pretended by a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.fastsurfer import LABELS, FastSurfer, fastsurfer_command
from recontrast.volume import Volume

FAKE = f"""
if a[1:] == ["--version"]:
    print("2.4.2")
    sys.exit()
image = nib.load(a[a.index("--t1") + 1])
folder = pathlib.Path(a[a.index("--sd") + 1]) / a[a.index("--sid") + 1] / "mri"
folder.mkdir(parents=True)
labels = np.where(np.asarray(image.dataobj) > 0.5, 1002, 0).astype(np.int32)
nib.save(nib.MGHImage(labels, image.affine), folder / "{LABELS}")
"""


def test_the_command_line() -> None:
    command = fastsurfer_command(Path("/in.nii.gz"), Path("/out"), "case", 2)
    assert command[:7] == ["run_fastsurfer.sh", "--t1", "/in.nii.gz", "--sid", "case", "--sd", "/out"]
    assert command[7:] == ["--seg_only", "--device", "cpu", "--threads", "2"]


@pytest.mark.slow
def test_parcels_become_cortex(fake_program: Callable[..., Path], oblique_affine: np.ndarray) -> None:
    fake_program("run_fastsurfer.sh", FAKE)
    assert FastSurfer().version() == "2.4.2"
    data = np.zeros((5, 6, 7), np.float32)
    data[1:3] = 1
    found = FastSurfer().segment(SegmentationInput(Volume(data, oblique_affine), "T1w"))
    np.testing.assert_array_equal(found.mask("Left-Cerebral-Cortex"), data > 0)
