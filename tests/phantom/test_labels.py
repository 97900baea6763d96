"""Heads from label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import ConfigError, DataError, FormatError, LayoutError
from recontrast.io.nifti import write_volume
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.phantom.labels import freesurfer_table, label_head, label_maps, read_label_table
from recontrast.volume import Volume

HEADER = "class\tT1_ms\tT2_ms\tT2star_ms\tPD_rel\tlabels\n"


def make_map(path: Path, skull: int = 515, flip: bool = False) -> Path:
    """Spheres of FreeSurfer numbers, white matter on the left only below the number of the right."""
    x, y, z = np.meshgrid(*[(np.arange(n) - n / 2) * 6.0 for n in (24, 26, 22)], indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros(radius.shape, np.int16)
    for number, edge in ((511, 64), (skull, 58), (24, 52), (3, 48), (2, 38), (4, 12)):
        labels[radius < edge] = number
    labels[(radius < 30) & (x > 20)] = 25
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    if flip:
        labels, affine = labels[::-1], np.diag([-6.0, 6.0, 6.0, 1.0])
        affine[0, 3] = 6.0 * 23
    write_volume(path, Volume(labels, affine), np.int16)
    return path


def test_numbers_become_tissues(tmp_path):
    head, own = label_head(make_map(tmp_path / "lab_dseg.nii.gz"))
    assert set(head.tissues) == {"GM", "WM", "CSF", "skull", "fat", "lesion"}
    assert not own
    total = head.fractions.sum(axis=0, dtype=np.int64)
    assert total.max() <= 258
    lesion = head.fractions[head.tissues.index("lesion")] / 255
    x = head.grid.axes()[0][:, None, None]
    assert (lesion * x).sum() > 0
    assert head.ventricles.max() > 200


def test_orientation_of_the_file_does_not_matter(tmp_path):
    straight, _ = label_head(make_map(tmp_path / "a_dseg.nii.gz"))
    turned, _ = label_head(make_map(tmp_path / "b_dseg.nii.gz", flip=True))
    np.testing.assert_array_equal(straight.fractions, turned.fractions)


def test_parcels_of_the_cortex_are_grey_matter():
    table = freesurfer_table()
    assert (table.numbers[1001], table.numbers[2035], table.numbers[3001]) == ("GM", "GM", "WM")


def test_unknown_numbers_are_named(tmp_path):
    with pytest.raises(DataError, match="label numbers 777 have no tissue"):
        label_head(make_map(tmp_path / "lab_dseg.nii.gz", skull=777))


def test_a_table_of_its_own_is_used(tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text(
        HEADER + "background\t0\t0\t0\t0\t0\ngm\t833\t83\t69\t0.86\t3\nwm\t500\t70\t61\t0.77\t2,25\n"
        "csf\t2569\t329\t58\t1\t4,24\nfat_skin\t350\t70\t58\t1\t511\nshell\t500\t20\t5\t0.1\t777\n",
        encoding="utf-8",
    )
    head, own = label_head(make_map(tmp_path / "lab_dseg.nii.gz", skull=777), table)
    assert {"GM", "WM", "CSF", "fatskin", "shell"} == set(head.tissues)
    assert own["WM"].t1_s == 0.5
    out = tmp_path / "cohort"
    settings = SimulateSettings(
        out=out, subjects=1, spacing_mm=8.0, contrasts=("T1w",), labels=tmp_path / "lab_dseg.nii.gz",
        label_table=table, pathology="infarct", workers=1,
    )  # fmt: skip
    assert not simulate(settings).failed
    assert (out / "derivatives/truth/sub-01/anat/sub-01_label-fatskin_probseg.nii.gz").is_file()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("class\tlabels\n", FormatError, "lacks the column"),
        (HEADER + "gm\t1\t2\tx\t1\t3\n", FormatError, "row 'gm'"),
        (HEADER + "gm\t900\t-1\t60\t1\t3\n", FormatError, "above 0"),
        (HEADER + "gm\t900\t80\t60\t1\t3\nwm\t600\t70\t60\t1\t3\n", ConfigError, "label 3 stands in the rows"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, error, message):
    path = tmp_path / "table.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message):
        read_label_table(path)


def test_folders_and_absent_files(tmp_path):
    with pytest.raises(LayoutError, match="no NIfTI file"):
        label_maps(tmp_path)
    with pytest.raises(LayoutError, match="no such label map"):
        label_maps(tmp_path / "absent.nii.gz")
    path = make_map(tmp_path / "lab_dseg.nii.gz")
    assert label_maps(tmp_path) == [path]


def test_a_map_without_brain_is_refused(tmp_path):
    write_volume(tmp_path / "lab_dseg.nii.gz", Volume(np.full((8, 8, 8), 511, np.int16), np.eye(4)), np.int16)
    with pytest.raises(DataError, match="no voxel of grey or white matter"):
        label_head(tmp_path / "lab_dseg.nii.gz")


@pytest.mark.realdata
def test_a_real_label_map_makes_a_subject(realdata, tmp_path):
    settings = SimulateSettings(
        out=tmp_path / "cohort", subjects=1, spacing_mm=5.0, contrasts=("T2w",), workers=1, pathology="none",
        labels=realdata / "labels_synthseg" / "lab-01_dseg.nii.gz",
    )  # fmt: skip
    assert not simulate(settings).failed


@pytest.mark.realdata
def test_the_table_of_the_real_label_maps_is_readable(realdata):
    table = read_label_table(realdata / "labels_synthseg" / "tissue_params.tsv")
    assert table.numbers[17] == "GM"
    assert table.tissues["CSF"].pd == 1
