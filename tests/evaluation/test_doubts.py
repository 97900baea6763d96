"""What must be known before a number is believed."""

from __future__ import annotations

import math

import numpy as np

from recontrast.evaluation.doubts import (
    OWN_SCALE,
    RESAMPLED,
    intensity_doubts,
    mixed_regions,
    undefined_values,
    warnings_of,
)
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import NO_REGION, OK, Record

OURS = PROTOCOLS.get("recontrast")
REFERENCE = np.linspace(0, 1, 4000, dtype=np.float32).reshape(10, 20, 20)


def test_an_ordinary_pair_is_not_doubted_even_where_it_strays_a_little_below_zero() -> None:
    assert intensity_doubts(OURS, REFERENCE, REFERENCE - 0.04) == []


def test_one_value_everywhere() -> None:
    told = intensity_doubts(OURS, REFERENCE, np.full_like(REFERENCE, 0.4))
    assert told == ["the synthetic image has one value everywhere"]
    (sentence,) = warnings_of({"sub-01": told[0], "sub-02": ""}, OURS)
    assert sentence.startswith(
        "The synthetic image has one value everywhere (sub-01; 1 of 2 cases in all). It is scored"
    )


def test_negative_intensities_name_the_image_and_the_share() -> None:
    half = np.where(np.arange(10)[:, None, None] < 5, -0.5, REFERENCE).astype(np.float32)
    assert intensity_doubts(OURS, REFERENCE, half) == ["negative intensities: 50 % of the synthetic image"]
    assert intensity_doubts(OURS, half, REFERENCE) == ["negative intensities: 50 % of the reference"]


def test_hounsfield_units_are_below_zero_by_right() -> None:
    protocol = PROTOCOLS.get("synthrad2023")
    hounsfield = 2000 * REFERENCE - 1000
    assert intensity_doubts(protocol, hounsfield, hounsfield - 3) == []
    shifted = 3000 * REFERENCE
    assert intensity_doubts(protocol, shifted, shifted - 1500) == ["negative intensities: 45 % of the synthetic image"]


def test_four_doubted_cases_are_counted_and_three_named() -> None:
    message = "resampled; negative intensities: 5 % of the reference"
    (told,) = warnings_of({f"sub-{n}": message for n in range(4)}, OURS)
    assert told.startswith("Negative intensities: 5 % of the reference (sub-0, sub-1, sub-2, …; 4 of 4 cases in all).")


def test_units_that_do_not_fit_are_counted() -> None:
    protocol = PROTOCOLS.get("hagiwara2019")
    (doubt,) = intensity_doubts(protocol, 100 * REFERENCE, 100 * REFERENCE + 1)
    (told,) = warnings_of({"sub-01": doubt, "sub-02": ""}, protocol)
    assert "in 1 of 2 cases the reference spans less than a third of it" in told


def test_cases_that_took_another_region_are_named() -> None:
    taken = {f"sub-{n}": {"brain|head": "head" if n in (2, 5) else "brain"} for n in range(6)}
    (told,) = mixed_regions(taken)
    assert told.startswith(
        "Masks, slices or divisors are taken from brain|head: brain in most cases, but head in sub-2, sub-5 (2 of 6 cas"
    )
    assert mixed_regions({"sub-1": {"brain|head": "head"}, "sub-2": {"brain|head": "head"}}) == []


def test_values_that_do_not_exist_stand_in_one_line_for_each_region_and_reason() -> None:
    def values(status: str) -> list[Record]:
        number = 1.0 if status == OK else math.nan
        return [Record("lesion", metric, "volume", number, status) for metric in ("mae", "psnr")]

    records = {
        "sub-01": {"synthetic": values("the region is empty"), "identity": values("the region is empty")},
        "sub-02": {"synthetic": values(OK), "identity": values(OK)},
    }
    assert undefined_values(records) == [
        "no value in lesion for mae, psnr in 1 of 2 cases (sub-01): the region is empty"
    ]
    assert undefined_values({"sub-02": records["sub-02"]}) == []


def test_how_images_were_read_is_told_of_all_together() -> None:
    messages = {"sub-01": f"{RESAMPLED}; no scale is declared: {OWN_SCALE}", "sub-02": "", "sub-03": OWN_SCALE}
    assert [text.split(";")[0] for text in warnings_of(messages, OURS)] == [
        "2 of 3 synthetic images were scaled by their own intensities, which forgives a wrong brightness",
        "1 of 3 synthetic images were resampled onto the grid of the reference, which blurs them",
    ]


def test_tissues_that_no_mask_shows_have_a_remedy() -> None:
    nothing = Record("GM", "psnr", "volume", math.nan, NO_REGION)
    (line,) = undefined_values({"sub-01": {"synthetic": [nothing]}})
    assert line.endswith("the case has no such region; give masks, or find them with --tissues-from T1w")
