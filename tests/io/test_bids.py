"""BIDS names and folders."""

from __future__ import annotations

import json
import os

import pytest

from recontrast.contrasts import Contrast
from recontrast.errors import FormatError, LayoutError, RecontrastWarning
from recontrast.io.bids import (
    BidsName,
    Case,
    by_case,
    find_images,
    holds_images,
    is_bids,
    read_sidecar,
    sidecar_path,
    stray_images,
    subjects_without_image,
    warn_of_strays,
    write_description,
    write_sidecar,
)


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_T1w.nii.gz",
        "sub-01_ses-2_acq-localizer_ce-gadolinium_run-1_space-MNI_desc-prepared_T1w.nii.gz",
        "sub-SF02_res-1p4mm_T1w.nii",
        "sub-01_label-GM_probseg.nii.gz",
    ],
)
def test_names_there_and_back(name):
    assert BidsName.parse(name).filename == name


def test_a_name_of_a_case_has_its_entities_in_order():
    name = BidsName.of(Case("01", "2"), Contrast.parse("ce-gadolinium_T1w"), desc="synthetic", acq="x")
    assert name.filename == "sub-01_ses-2_acq-x_ce-gadolinium_desc-synthetic_T1w.nii.gz"
    assert name.case == Case("01", "2")
    assert name.with_extension(".json").filename.endswith("_T1w.json")


@pytest.mark.parametrize(
    "name", ["T1w.nii.gz", "sub-01_T1w_desc-cord_mask.nii.gz", "sub-01_a-_T1w.nii.gz", "x_T1w.nii"]
)
def test_other_names_are_refused(name):
    with pytest.raises(LayoutError, match=name):
        BidsName.parse(name)


@pytest.mark.parametrize("key", ["sub-01", "sub-01_ses-2", "sub-CC.0001_ses-1+"])
def test_case_keys(key):
    assert Case.parse(key).key == key


@pytest.mark.parametrize("key", ["01", "sub-01_run-1", "sub-01/../x", ""])
def test_what_is_not_a_case(key):
    with pytest.raises(LayoutError, match="sub-01"):
        Case.parse(key)


def fill(root):
    for name in (
        "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/anat/.partial-1-sub-01_T2w.nii.gz",
        "sub-01/anat/stray name.nii.gz",
        "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
        "other/sub-01_T1w.nii.gz",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_images_are_found_by_case(tmp_path):
    fill(tmp_path)
    cases = by_case(find_images(tmp_path))
    assert [case.key for case in cases] == ["sub-01", "sub-02_ses-1"]
    assert [image.path.name for image in cases[Case("01")]] == ["sub-01_T1w.nii.gz"]
    assert [path.name for path in stray_images(tmp_path)] == ["stray name.nii.gz"]
    assert is_bids(tmp_path)


def test_whether_subject_folders_hold_an_image_of_any_name(tmp_path):
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    for name in ("a.nii.gz", "sub-01/x.dcm", "sub-01/anat/.partial-1.a-x.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    assert not holds_images(tmp_path)
    (tmp_path / "sub-01" / "anat" / "t1.nii").write_bytes(b"")
    assert holds_images(tmp_path)


def test_no_data_set(tmp_path):
    with pytest.raises(LayoutError, match="no sub-"):
        find_images(tmp_path)
    with pytest.raises(LayoutError, match="no such folder"):
        find_images(tmp_path / "absent")
    assert not is_bids(tmp_path)
    assert not is_bids(tmp_path / "absent")


def test_sidecars(tmp_path):
    image = tmp_path / "sub-01_T1w.nii.gz"
    assert read_sidecar(image) == {}
    write_sidecar(image, {"EchoTime": 0.01})
    assert sidecar_path(image).name == "sub-01_T1w.json"
    assert read_sidecar(image) == {"EchoTime": 0.01}
    for bad in ("[1]", "{", b"\xff".decode("latin-1")):
        sidecar_path(image).write_text(bad, encoding="latin-1")
        with pytest.raises(FormatError, match=r"sub-01_T1w\.json"):
            read_sidecar(image)


def test_description_keeps_a_readme_that_is_there(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    write_description(tmp_path, "Prepared", version="1", derivative=True, sources=["../raw"])
    content = json.loads((tmp_path / "dataset_description.json").read_text())
    assert content["DatasetType"] == "derivative"
    assert content["SourceDatasets"] == [{"URL": "../raw"}]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_link_out_of_the_data_set_is_left_out_by_name(tmp_path):
    root = tmp_path / "bids"
    fill(root)
    (tmp_path / "private.nii.gz").write_bytes(b"")
    (root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz").symlink_to(tmp_path / "private.nii.gz")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sub-03_T1w.nii.gz").write_bytes(b"")
    (root / "sub-03").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(RecontrastWarning, match=r"2 images are left out.*sub-01_FLAIR\.nii\.gz leads to .*private"):
        images = find_images(root)
    assert [image.path.name for image in images] == ["sub-01_T1w.nii.gz", "sub-02_ses-1_T1w.nii.gz"]


@pytest.mark.parametrize(
    "name",
    [
        "sub-01/anat/sub-02_FLAIR.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_T1w.nii.gz",
        "sub-1/anat/sub-01_T1w.nii.gz",
    ],
)
def test_an_image_in_the_folder_of_another_is_given_to_nobody(tmp_path, name):
    fill(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.warns(RecontrastWarning, match=rf"1 images are left out, .* another subject or session.*{name}"):
        images = find_images(tmp_path)
    assert [image.path.name for image in images] == ["sub-01_T1w.nii.gz", "sub-02_ses-1_T1w.nii.gz"]


def test_a_session_may_be_named_without_a_folder_of_its_own(tmp_path):
    fill(tmp_path)
    (tmp_path / "sub-01" / "anat" / "sub-01_ses-1_T1w.nii.gz").write_bytes(b"")
    assert Case("01", "1") in by_case(find_images(tmp_path))


def test_a_link_to_a_folder_is_not_entered_and_named(tmp_path):
    fill(tmp_path)
    (tmp_path / "sub-10").mkdir()
    (tmp_path / "sub-10" / "ses-1").symlink_to(tmp_path / "sub-02" / "ses-1")
    (tmp_path / "sub-10" / ".git").symlink_to(tmp_path / "other")  # as DataLad leaves it in a data set of its own
    with pytest.warns(RecontrastWarning, match=r"1 links to folders are not entered.*: sub-10/ses-1$"):
        assert len(find_images(tmp_path)) == 2
    assert not holds_images(tmp_path / "sub-10")


def test_what_is_hidden_is_no_image_of_the_data_set(tmp_path):
    fill(tmp_path)
    key = tmp_path / "sub-01" / ".git" / "annex" / "objects" / "MD5E-s9--0123.nii.gz"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"")
    assert [path.name for path in stray_images(tmp_path)] == ["stray name.nii.gz"]


def test_strays_are_named_of_those_who_are_meant(tmp_path):
    fill(tmp_path)
    (tmp_path / "sub-09").mkdir()
    (tmp_path / "sub-09" / "sub-09_T1w.NII.GZ").write_bytes(b"")
    both = r"2 files are left out, their names are not BIDS names: sub-01/anat/stray name.nii.gz, sub-09/sub-09_T1w.NII"
    with pytest.warns(RecontrastWarning, match=both):
        warn_of_strays(tmp_path)
    with pytest.warns(RecontrastWarning, match=r"1 files .*: sub-09/sub-09_T1w\.NII\.GZ$"):
        warn_of_strays(tmp_path, ["02", "09"])
    warn_of_strays(tmp_path, ["02"])
    assert subjects_without_image(tmp_path, by_case(find_images(tmp_path))) == ["09"]


def test_links_of_datalad_belong_to_the_data_set_even_before_they_are_fetched(tmp_path):
    root = tmp_path / "repository" / "bids"
    fill(root)
    content = tmp_path / "repository" / ".git" / "annex" / "objects" / "key"
    (root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz").symlink_to(content)
    assert next(image.path.name for image in find_images(root)) == "sub-01_FLAIR.nii.gz"


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    fill(tmp_path)
    listing = os.scandir

    def closed(path):
        if str(path).endswith("ses-1"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr("os.scandir", closed)
    with pytest.raises(LayoutError, match=r"ses-1: this folder of the data set cannot be read \(Permission denied\)"):
        find_images(tmp_path)


@pytest.mark.parametrize("bad", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a"', "\0"])
def test_sidecars_that_would_break_a_parser(tmp_path, bad):
    (tmp_path / "sub-01_T1w.json").write_text(bad)
    with pytest.raises(FormatError, match=r"sub-01_T1w\.json: not valid JSON"):
        read_sidecar(tmp_path / "sub-01_T1w.nii.gz")


def test_a_sidecar_with_a_byte_order_mark(tmp_path):
    (tmp_path / "sub-01_T1w.json").write_text('{"EchoTime": 1}', encoding="utf-8-sig")
    assert read_sidecar(tmp_path / "sub-01_T1w.nii.gz") == {"EchoTime": 1}
