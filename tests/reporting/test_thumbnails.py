"""Thumbnails of prepared cases, worst first."""

from __future__ import annotations

import pytest

from recontrast.errors import ConfigError, LayoutError
from recontrast.io.bids import BidsName, Case
from recontrast.io.nifti import write_volume
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.reporting.thumbnails import FILE_NAME, ThumbnailsSettings, badness, in_words, thumbnails


@pytest.fixture
def prepared(tmp_path, make_volume):
    for number in range(1, 4):
        for contrast in ("T1w", "T2w"):
            volume = make_volume(seed=number)
            if contrast == "T2w":
                volume = volume.with_data(1.3 * volume.data)
            name = BidsName.of(Case(f"{number:02d}"), contrast).filename
            write_volume(tmp_path / "raw" / f"sub-{number:02d}" / "anat" / name, volume)
    grades = tmp_path / "grades.tsv"
    grades.write_text("case\tcontrast\tgrade_motion\nsub-02\tT2w\t2\n")
    prepare(PrepareSettings(bids=tmp_path / "raw", out=tmp_path / "out", align=False, workers=1, grades=grades))
    return tmp_path / "out"


@pytest.mark.slow
def test_the_page_shows_every_case_worst_first(prepared):
    summary = thumbnails(ThumbnailsSettings(prepared=prepared))
    assert summary.failed == {}
    page = (prepared / FILE_NAME).read_text()
    assert page.count("data:image/png;base64,") == 3
    places = [page.index(f"sub-{number:02d} (") for number in (1, 2, 3)]
    assert places[1] < min(places[0], places[2])
    assert "http://" not in page
    assert "https://" not in page
    assert thumbnails(ThumbnailsSettings(prepared=prepared)).done == summary.done
    assert (prepared / FILE_NAME).read_text() == page


def test_fewer_cases_are_said_to_be_fewer(prepared):
    thumbnails(ThumbnailsSettings(prepared=prepared, cases=1))
    page = (prepared / FILE_NAME).read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "2 further cases" in page


@pytest.mark.slow
def test_a_damaged_image_is_named(prepared):
    (prepared / "sub-01" / "anat" / "sub-01_desc-prepared_T2w.nii.gz").write_bytes(b"no image")
    summary = thumbnails(ThumbnailsSettings(prepared=prepared))
    assert list(summary.failed) == ["sub-01"]
    assert "cannot be shown" in (prepared / FILE_NAME).read_text()


def test_what_is_remarkable_makes_a_case_worse():
    good = {"contrast": "T2w", "tier": "good", "shift_left_mm": 0.1, "turn_left_deg": 0.1, "overlap": 1.0}
    for change in ({"shift_left_mm": 3.0}, {"turn_left_deg": 2.0}, {"overlap": 0.5}, {"coverage": 0.4},
                   {"gadolinium": "suspected"}, {"duplicate_of": "sub-03"}, {"tier": "low"}):  # fmt: skip
        assert badness([{**good, **change}]) > badness([good])
    assert in_words({**good, "gadolinium": "suspected", "duplicate_of": "sub-03"}) == (
        "T2w good, 0.1 mm and 0.1° left, contrast agent suspected, same voxels as sub-03"
    )


def test_bad_settings(prepared, tmp_path):
    with pytest.raises(ConfigError, match="show at least 1"):
        thumbnails(ThumbnailsSettings(prepared=prepared, cases=0))
    with pytest.raises(ConfigError, match="convention"):
        thumbnails(ThumbnailsSettings(prepared=prepared, convention="mirror"))
    with pytest.raises(LayoutError, match="not a prepared folder"):
        thumbnails(ThumbnailsSettings(prepared=tmp_path))
