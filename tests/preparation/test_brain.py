"""Brain mask: built in, and by programs that are only pretended here."""

from __future__ import annotations

import os
import stat
import sys

import numpy as np
import pytest
from tests.preparation.conftest import mni_brain, mni_grid, mni_scan
from tests.preparation.test_align import rigid

from recontrast.errors import DependencyError, GeometryError, UnknownNameError
from recontrast.preparation.brain import find_brain

GRID = mni_grid(4.0)
PLANTED = rigid((5, -5, 5), (6, 4, -5)) @ np.diag([0.92, 0.95, 0.9, 1])

FAKE = """#!{python}
import sys
import nibabel as nib
import numpy as np
arguments = sys.argv[1:]
source = arguments[arguments.index("-i") + 1]
if "-m" in arguments:
    target = arguments[arguments.index("-m") + 1]
else:
    assert {{"--save_bet_mask", "--no_bet_image", "--disable_tta"}} <= set(arguments), arguments
    target = arguments[arguments.index("-o") + 1].replace(".nii.gz", "_bet.nii.gz")
image = nib.load(source)
mask = (np.asarray(image.dataobj) > {above}).astype(np.uint8)
{last}
"""


@pytest.fixture(scope="module")
def image():
    return mni_scan("T1w", *GRID, PLANTED)


@pytest.fixture
def program(tmp_path, monkeypatch):
    def make(name, above=400, last="nib.save(nib.Nifti1Image(mask, image.affine), target)"):
        path = tmp_path / name
        path.write_text(FAKE.format(python=sys.executable, above=above, last=last))
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return make


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.slow
def test_the_built_in_mask(image):
    truth = mni_brain(*GRID, PLANTED)
    assert dice(find_brain(image).data, truth) > 0.96
    assert find_brain(image.reoriented("LPS")).orientation == "LPS"


def test_a_stripped_image_gives_its_support(image):
    truth = mni_brain(*GRID, PLANTED)
    assert dice(find_brain(image.with_data(np.where(truth, image.data, 0)), "hd-bet").data, truth) > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "name"), [("synthstrip", "mri_synthstrip"), ("hd-bet", "hd-bet")])
def test_programs_are_called_and_their_mask_is_read(image, program, tool, name):
    program(name)
    turned = image.reoriented("LPS")
    made = find_brain(turned, tool)
    assert made.orientation == "LPS"
    np.testing.assert_array_equal(made.data, turned.data > 400)


def test_a_program_that_is_not_there_or_fails(image, program, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DependencyError, match="mri_synthstrip is not on the PATH"):
        find_brain(image, "synthstrip")
    program("hd-bet", last="sys.exit('no memory left')")
    with pytest.raises(GeometryError, match=r"sub-01: hd-bet made no brain mask \(exit status 1: no memory left\)"):
        find_brain(image, "hd-bet", "sub-01")


def test_a_mask_that_is_no_brain_is_refused(image, program):
    program("mri_synthstrip", above=10**6)
    with pytest.raises(GeometryError, match="has 0 ml, not that of a head's brain"):
        find_brain(image, "synthstrip")
    with pytest.raises(UnknownNameError, match="unknown brain mask tool 'bet'"):
        find_brain(image, "bet")
