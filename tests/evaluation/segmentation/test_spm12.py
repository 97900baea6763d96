"""SPM12, pretended by a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.spm12 import Spm12, spm_batch, spm_command
from recontrast.volume import Volume

FAKE = """
if a[1:] == ["--version"]:
    print("SPM12, version 7771 (standalone)")
    sys.exit()
batch = pathlib.Path(a[2]).read_text()
image = pathlib.Path(batch.split("vols = {'")[1].split(",1'")[0])
loaded = nib.load(image)
data = np.asarray(loaded.dataobj)
for number in (1, 2, 3):
    share = np.where(data == number, 0.7, np.where(data == 4, 0.2, 0.05)).astype(np.float32)
    nib.save(nib.Nifti1Image(share, loaded.affine), image.with_name(f"c{number}{image.name}"))
"""


def test_the_command_line_and_the_batch() -> None:
    assert spm_command(Path("job.m")) == ["spm12", "batch", "job.m"]
    batch = spm_batch(Path("/data/it's.nii"))
    assert "channel.vols = {'/data/it''s.nii,1'};" in batch
    assert batch.count("native = [1 0];") == 3
    assert batch.count(".tpm = ") == 6


@pytest.mark.slow
def test_the_likeliest_class_wins(fake_program: Callable[..., Path], oblique_affine: np.ndarray) -> None:
    fake_program("spm12", FAKE)
    assert Spm12().version() == "SPM12, version 7771 (standalone)"
    data = np.zeros((5, 4, 3), np.float32)
    for number in (1, 2, 3, 4):  # 4: 0.2 of each tissue, 0.4 of the rest
        data[number] = number
    found = Spm12().segment(SegmentationInput(Volume(data, oblique_affine), "T1w"))
    np.testing.assert_array_equal(found.labels.data, np.where(data == 4, 0, data))
