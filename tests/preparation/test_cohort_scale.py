"""One scale for a cohort."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import write_raw

from recontrast.errors import DataError
from recontrast.io.bids import Case
from recontrast.preparation.cohort_scale import fit_cohort_scale
from recontrast.preparation.normalize import ScaleSettings, fit_scale, fixed_numbers


@pytest.fixture
def files(tmp_path, head):
    made = {}
    for number, gain in enumerate((0.5, 1.0, 4.0), start=1):
        for contrast, share in (("T1w", 1.0), ("acq-a_MESE", 0.2), ("acq-b_MESE", 0.9)):
            image = head("T1w")
            scaled = image.with_data((image.data * gain * share).astype(np.float32))
            path = write_raw(tmp_path / "raw", Case(f"{number:02d}"), contrast, scaled)
            made.setdefault(f"sub-{number:02d}", {})[contrast] = path
    return made


def test_the_median_over_subjects(files, head):
    numbers = fixed_numbers(ScaleSettings(contrasts=fit_cohort_scale(files)))
    one = fit_scale(head("T1w")).factor
    assert numbers["T1w"] == (0.0, pytest.approx(one, rel=1e-4))
    assert numbers["acq-a_MESE"][1] == pytest.approx(0.2 * one, rel=1e-4)


def test_images_of_one_acquisition_share_the_largest(files, head):
    numbers = fixed_numbers(ScaleSettings(contrasts=fit_cohort_scale(files, ("MESE",))))
    assert (
        numbers["acq-a_MESE"] == numbers["acq-b_MESE"] == (0.0, pytest.approx(0.9 * fit_scale(head()).factor, rel=1e-4))
    )


def test_phases_are_divided_by_pi(files, tmp_path, head):
    phase = head("T1w").with_data(np.full(head("T1w").shape, -2.0, np.float32))
    label = "acq-aphase_MESE"
    files["sub-01"][label] = write_raw(tmp_path / "raw", Case("01"), label, phase)
    numbers = fixed_numbers(ScaleSettings(contrasts=fit_cohort_scale(files, ("MESE",))))
    assert numbers[label] == (0.0, pytest.approx(np.pi, rel=1e-5))
    assert numbers["acq-a_MESE"] == numbers["acq-b_MESE"] != numbers[label]


def test_no_readable_image_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no scale could be fitted"):
        fit_cohort_scale({"sub-01": {"T1w": tmp_path / "nothing.nii.gz"}})
    with pytest.raises(DataError, match="there is no case"):
        fit_cohort_scale({})
