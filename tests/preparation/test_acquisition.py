"""Acquisition parameters: what counts as one, and how a network is told."""

from __future__ import annotations

import math

import pytest

from recontrast.preparation.acquisition import NUMBERS, acquisition_of, kept_of, told, usual_of


def test_only_positive_numbers_are_parameters() -> None:
    sidecar = {"RepetitionTime": 2, "EchoTime": [0.1], "InversionTime": float("nan"), "FlipAngle": True, "Gain": 3.0}
    assert acquisition_of(sidecar) == {"RepetitionTime": 2.0}
    assert acquisition_of({"RepetitionTime": float("inf"), "EchoTime": -0.1, "FlipAngle": None}) == {}


def test_what_is_kept_is_more_than_what_networks_are_told() -> None:
    sidecar = {
        "EchoTime": 0.003,
        "ScanningSequence": ["GR", "IR"],
        "SaturationDelay": 0.1,
        "Units": "ms",
        "Manufacturer": "x",
    }
    assert kept_of(sidecar) == {key: value for key, value in sidecar.items() if key != "Manufacturer"}
    assert kept_of({"ScanningSequence": "GR_IR"}) == {"ScanningSequence": "GR_IR"}
    assert acquisition_of(sidecar) == {"EchoTime": 0.003}
    for odd in (None, 5, "", [], ["GR", 5], {"GR": 1}):
        assert kept_of({"ScanningSequence": odd, "SaturationDelay": "long"}) == {}


def test_the_usual_is_the_median_of_those_that_say_it() -> None:
    scans = [{"T1w": {"InversionTime": time}} for time in (0.5, 1.0, 2.0)] + [{"T1w": {"FlipAngle": 9.0}}, {}]
    usual = usual_of(scans, ("T1w", "FLAIR"))
    assert list(usual) == ["T1w"]
    assert usual["T1w"]["InversionTime"] == pytest.approx((0.0, math.log(2) * math.sqrt(2 / 3)))
    assert usual["T1w"]["FlipAngle"] == pytest.approx((math.log(9), 0.05))


def test_another_inversion_time_is_another_code_and_the_unknown_is_zero() -> None:
    usual = {"T1w": {"InversionTime": (0.0, 0.5)}, "FLAIR": {"EchoTime": (-2.0, 0.1)}}
    order = ("T1w", "FLAIR")
    one, other = (told(usual, {"T1w": {"InversionTime": time}}, ["T1w"], order) for time in (1.0, 0.5))
    assert len(one) == 2 * NUMBERS
    assert one[4:6] == (1.0, 0.0)
    assert other[4:6] == (1.0, pytest.approx(math.log(0.5) / 0.5))
    assert {n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b} == {5}
    nothing = (0.0,) * len(one)
    assert told(usual, {}, ["T1w"], order) == nothing
    assert told(usual, {"T1w": {"EchoTime": 0.003}}, ["T1w"], order) == nothing  # never known in training
    assert told(usual, {"FLAIR": {"EchoTime": 0.1}}, ["T1w"], order) == nothing  # not given
    assert told(usual, {"T1w": {"InversionTime": 1e9}}, ["T1w"], order)[5] == 5.0
