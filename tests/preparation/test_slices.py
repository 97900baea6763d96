"""Which slices show brain."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import FormatError, GeometryError
from recontrast.preparation.slices import SliceSettings, brain_slices, read_slice_table, slices_of
from recontrast.volume import Volume


@pytest.fixture
def brain():
    mask = np.zeros((40, 40, 10), bool)
    mask[:10, :10, 2] = True  # 100 voxels of 2 x 2 mm: 400 mm²
    mask[:20, :20, 3:7] = True
    return Volume(mask, np.diag([2.0, 2, 5, 1]))


def test_slices_with_enough_brain(brain):
    assert brain_slices(brain) == (3, 6)
    assert brain_slices(brain, SliceSettings(least_mm2=400)) == (2, 6)
    with pytest.raises(GeometryError, match="sub-01: no axial slice shows 5000 mm²"):
        brain_slices(brain, SliceSettings(least_mm2=5000), "sub-01")


def test_a_table_by_hand_wins(brain, tmp_path):
    table = tmp_path / "slices.tsv"
    table.write_text("case\tfirst\tlast\nsub-01\t1\t8\n")
    chosen = read_slice_table(table)
    assert slices_of(brain, chosen.get("sub-01")) == (1, 8)
    assert slices_of(brain, chosen.get("sub-02")) == (3, 6)


@pytest.mark.parametrize("row", ["sub-01\t5\t2", "sub-01\t-1\t2", "sub-01\tx\t2", "sub-01\t1\t2\nsub-01\t1\t3"])
def test_rows_that_make_no_sense_are_refused(tmp_path, row):
    table = tmp_path / "slices.tsv"
    table.write_text(f"case\tfirst\tlast\n{row}\n")
    with pytest.raises(FormatError, match=r"slices.tsv: sub-01: first"):
        read_slice_table(table)


def test_slices_beyond_the_grid_are_refused(brain):
    assert slices_of(brain, (1, 9)) == (1, 9)
    for span in ((3, 10), (40, 60)):
        with pytest.raises(GeometryError, match=rf"sub-01: slices {span[0]} to {span[1]} .* the grid has 0 to 9"):
            slices_of(brain, span, "sub-01")
