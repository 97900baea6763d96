"""Which file is which contrast."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import ConfigError, LayoutError, MissingContrastError
from recontrast.io.bids import BidsImage, BidsName, Case
from recontrast.preparation.selection import common_contrasts, parse_contrasts, select_images

CASE = Case("01")


def images(*names, folder="anat"):
    return [BidsImage(Path(f"/raw/sub-01/{folder}/{name}"), BidsName.parse(name)) for name in names]


def chosen(found, contrasts, **options):
    return {label: image.path.name for label, image in select_images(CASE, found, contrasts, **options).items()}


def test_space_first_and_bare_names_only_where_there_is_none():
    found = images(
        "sub-01_FLAIR.nii.gz", "sub-01_T1w.nii.gz", "sub-01_space-FLAIR_T1w.nii.gz", "sub-01_space-X_T2w.nii"
    )
    assert chosen(found, ["T1w", "FLAIR"], space="FLAIR") == {
        "T1w": "sub-01_space-FLAIR_T1w.nii.gz",
        "FLAIR": "sub-01_FLAIR.nii.gz",
    }
    assert chosen(found, ["T1w"]) == {"T1w": "sub-01_T1w.nii.gz"}
    with pytest.raises(MissingContrastError, match="sub-01: has no T2w in space 'FLAIR'; there is: FLAIR, T1w"):
        chosen(found, ["T2w"], space="FLAIR")


def test_masks_and_computed_images_are_not_contrasts():
    found = images("sub-01_T1w.nii.gz", "sub-01_desc-synthetic_T2w.nii.gz", "sub-01_brainmask.nii.gz")
    with pytest.raises(MissingContrastError, match=r"there is: T1w$"):
        chosen(found, ["T2w"])
    with pytest.raises(MissingContrastError, match="there is: no image"):
        chosen(images("sub-01_T1w.nii.gz", folder="func"), ["T1w"])


def test_several_files_are_listed_and_an_entity_decides():
    found = images("sub-01_run-1_T1w.nii.gz", "sub-01_run-2_T1w.nii.gz", "sub-01_T2w.nii.gz")
    with pytest.raises(LayoutError, match=r"2 files are T1w: sub-01_run-1_T1w.nii.gz, .*--prefer"):
        chosen(found, ["T1w"])
    assert chosen(found, ["T2w", "T1w"], prefer=["run-2"]) == {
        "T2w": "sub-01_T2w.nii.gz",
        "T1w": "sub-01_run-2_T1w.nii.gz",
    }
    with pytest.raises(ConfigError, match="run-1"):
        chosen(found, ["T1w"], prefer=["run"])


def test_enhanced_images_are_a_contrast_of_their_own():
    found = images("sub-01_ce-gadolinium_T1w.nii.gz", "sub-01_T1w.nii.gz")
    assert list(chosen(found, ["T1w", "ce-gadolinium_T1w"])) == ["T1w", "ce-gadolinium_T1w"]


def test_common_contrasts_start_with_t1w_and_name_who_lacks_the_rest():
    cases = {
        Case("01"): images("sub-01_FLAIR.nii.gz", "sub-01_ce-x_T1w.nii.gz", "sub-01_T2w.nii.gz", "sub-01_T1w.nii.gz"),
        Case("02"): images("sub-01_FLAIR.nii.gz", "sub-01_ce-x_T1w.nii.gz", "sub-01_T1w.nii.gz"),
    }
    assert common_contrasts(cases, "") == (["T1w", "FLAIR", "ce-x_T1w"], {"T2w": ["sub-02"]})


def test_labels_are_put_in_standard_form():
    assert parse_contrasts(["ce-b_acq-a_T1w", "T2w", "T2w"]) == ["acq-a_ce-b_T1w", "T2w"]


def test_phase_images_are_taken_only_when_named():
    found = images("sub-01_acq-a_MESE.nii.gz", "sub-01_acq-aphase_part-phase_MESE.nii.gz")
    assert common_contrasts({CASE: found}, "") == (["acq-a_MESE"], {})
    assert chosen(found, ["acq-aphase_MESE"]) == {"acq-aphase_MESE": "sub-01_acq-aphase_part-phase_MESE.nii.gz"}
