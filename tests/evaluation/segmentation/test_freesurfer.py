"""FreeSurfer: label maps, tables, and recon-all pretended by a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from recontrast.errors import DataError, FormatError
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.freesurfer import (
    FreeSurfer,
    read_aseg_stats,
    read_freesurfer_labels,
    recon_all_command,
    structures_of,
)
from recontrast.volume import Volume

STATS = """# Title Segmentation Statistics
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1193318.000000, mm^3
# Measure MaskVol-to-eTIV, MaskVol-to-eTIV, Ratio of MaskVol to eTIV, 1.076284, unitless
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax normRange
  1   4      7010     7056.4  Left-Lateral-Ventricle            27.9    11.5    8.0    90.0    82.0
  2  53      4012     4110.5  Right-Hippocampus                 70.1    9.8    20.0   110.0   90.0
"""


def test_volumes_of_aseg_stats_are_in_ml(tmp_path: Path) -> None:
    path = tmp_path / "aseg.stats"
    path.write_text(STATS)
    volumes = read_aseg_stats(path)
    assert volumes == {"BrainSegVol": 1193.318, "Left-Lateral-Ventricle": 7.0564, "Right-Hippocampus": 4.1105}


@pytest.mark.parametrize("text", ["", "# ColHeaders Index\n", STATS.replace("4110.5", "many"), "index\tname\n"])
def test_other_tables_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "aseg.stats"
    path.write_text(text)
    with pytest.raises(FormatError, match="aseg"):
        read_aseg_stats(path)


def test_numbers_and_names() -> None:
    assert structures_of([0, 2, 41, 251, 2035, 5000, 100]) == {
        "Left-Cerebral-White-Matter": (2,),
        "Right-Cerebral-White-Matter": (41,),
        "CC_Posterior": (251,),
        "Right-Cerebral-Cortex": (2035,),
    }


def test_a_map_on_another_grid_is_taken_over(tmp_path: Path) -> None:
    data = np.zeros((8, 8, 8), np.int32)
    data[2:6, 2:6, 2:6] = 17
    nib.save(nib.MGHImage(data, np.eye(4)), tmp_path / "aseg.mgz")
    fine = np.diag([0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] = -0.25
    found = read_freesurfer_labels(tmp_path / "aseg.mgz", Volume(np.zeros((16, 16, 16), np.float32), fine))
    assert found.mask("Left-Hippocampus").sum() == 64 * 8
    assert "nearest neighbour" in found.notes
    with pytest.raises(FormatError, match="no such file"):
        read_freesurfer_labels(tmp_path / "none.mgz", Volume(data.astype(np.float32), np.eye(4)))


def test_the_command_line() -> None:
    assert recon_all_command(Path("in.nii.gz"), Path("out"), "case", 4) == [
        "recon-all", "-all", "-s", "case", "-i", "in.nii.gz", "-sd", "out", "-openmp", "4",
    ]  # fmt: skip


FAKE = """
if a[1:] == ["-version"]:
    print("freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460")
    sys.exit()
image = nib.load(a[a.index("-i") + 1])
folder = pathlib.Path(a[a.index("-sd") + 1]) / a[a.index("-s") + 1] / "mri"
folder.mkdir(parents=True)
labels = np.where(np.asarray(image.dataobj) > 0.5, 53, 0).astype(np.int32)
nib.save(nib.MGHImage(labels, image.affine), folder / "aseg.mgz")
"""


@pytest.mark.slow
def test_a_script_in_place_of_recon_all(fake_program: Callable[..., Path], oblique_affine: np.ndarray) -> None:
    fake_program("recon-all", FAKE)
    data = np.zeros((6, 7, 8), np.float32)
    data[1:3, 2:4, 3:5] = 1
    given = SegmentationInput(Volume(data, oblique_affine), "ce-gadolinium_T1w")
    found = FreeSurfer().segment(given)
    assert FreeSurfer().version() == "7.4.1"
    np.testing.assert_array_equal(found.mask("Right-Hippocampus"), data > 0)
    with pytest.raises(DataError, match="made for T1w"):
        FreeSurfer().segment(SegmentationInput(Volume(data, oblique_affine), "T2w"))
