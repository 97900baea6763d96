"""Protocols and tissues drawn at random: other each time, still the contrast they are called after."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.random_contrast import RANGES, draw_any_tissues, draw_field, draw_scans, shows
from recontrast.phantom.sequences import InversionPreparedGradientEcho, SpoiledGradientEcho, TurboSpinEcho
from recontrast.phantom.tissues import FIELDS_T, Relaxation, draw_tissues, tissues_at


def some_subject(number: int):
    rng = np.random.default_rng(number)
    return draw_any_tissues(rng, tissues_at(draw_field(rng))), rng


@pytest.mark.parametrize("label", sorted(RANGES))
def test_drawn_protocols_lie_in_their_ranges_and_show_the_contrast(label):
    for number in range(30):
        tissues, rng = some_subject(number)
        (scan,) = draw_scans(rng, label, tissues)
        assert shows(label, scan.sequence, tissues)
        (family,) = (family for family in RANGES[label] if type(family.sequence) is type(scan.sequence))
        for name, (low, high) in family.limits.items():
            assert low <= getattr(scan.sequence, name) <= high


@pytest.mark.parametrize("label", ["T1w", "T2w", "FLAIR"])
def test_grey_beside_white_matter_varies_more_than_among_people(label):
    usual, drawn = [], []
    for number in range(60):
        tissues, rng = some_subject(number)
        drawn.append(grey_beside_white(draw_scans(rng, label, tissues)[0].sequence, tissues))
        usual.append(grey_beside_white(scans_of(label)[0].sequence, draw_tissues(rng, tissues_at(3.0))))
    assert np.std(np.log(drawn)) > 1.5 * np.std(np.log(usual))


def grey_beside_white(sequence, tissues):
    grey, white = np.abs(sequence.signal(Relaxation.of([tissues["GM"], tissues["WM"]])))
    return grey / white


def test_both_kinds_of_t1w_and_both_fields_are_drawn():
    rng = np.random.default_rng(0)
    tissues = tissues_at(3.0)
    kinds = {type(draw_scans(rng, "T1w", tissues)[0].sequence) for _ in range(20)}
    assert kinds == {InversionPreparedGradientEcho, SpoiledGradientEcho}
    assert {draw_field(rng) for _ in range(20)} == set(FIELDS_T)


def test_the_inversion_of_flair_follows_the_csf_of_the_subject():
    tissues = tissues_at(3.0)
    shorter = {**tissues, "CSF": replace(tissues["CSF"], t1_s=3.2)}
    times = [draw_scans(np.random.default_rng(0), "FLAIR", each)[0].sequence.inversion_time_s
             for each in (tissues, shorter)]  # fmt: skip
    assert times[1] < times[0] - 0.2


def test_before_and_after_gadolinium_timing_is_the_same():
    before, after = (draw_scans(np.random.default_rng(5), label, tissues_at(3.0))[0]
                     for label in ("T1w", "ce-gadolinium_T1w"))  # fmt: skip
    assert before.sequence == after.sequence
    assert after.gadolinium
    assert not before.gadolinium


def test_contrasts_without_ranges_keep_their_protocol():
    assert draw_scans(np.random.default_rng(0), "MESE", tissues_at(3.0)) == scans_of("MESE")


def test_a_contrast_is_known_by_the_order_of_its_tissues():
    tissues = tissues_at(3.0)
    t1w, t2w, flair = (scans_of(label)[0].sequence for label in ("T1w", "T2w", "FLAIR"))
    assert [shows("T1w", each, tissues) for each in (t1w, t2w, flair)] == [True, False, False]
    assert [shows("T2w", each, tissues) for each in (t1w, t2w, flair)] == [False, True, False]
    assert [shows("FLAIR", each, tissues) for each in (t1w, t2w, flair)] == [False, False, True]
    assert not shows("FLAIR", replace(flair, inversion_time_s=1.5), tissues), "CSF is bright"


def test_tissues_that_never_give_the_contrast_are_one_clear_line():
    tissues = tissues_at(3.0)
    alike = {**tissues, "GM": replace(tissues["WM"], t1_s=tissues["WM"].t1_s / 2)}
    with pytest.raises(ConfigError, match="of a thousand tissues none gives a T1w, T2w and FLAIR"):
        draw_any_tissues(np.random.default_rng(0), alike)
    with pytest.raises(ConfigError, match=r"of a thousand protocols none gives a T1w .* label_table"):
        draw_scans(np.random.default_rng(0), "T1w", alike)


def test_sidecars_and_truth_say_what_was_drawn_and_a_seed_gives_it_again(tmp_path):
    settings = SimulateSettings(
        out=tmp_path / "one", subjects=2, spacing_mm=8.0, contrasts=("T1w", "FLAIR", "ce-gadolinium_T1w"),
        pathology="none", random_contrast=True, workers=1,
    )  # fmt: skip
    assert not simulate(settings).failed
    assert not simulate(replace(settings, out=tmp_path / "two", subjects=1)).failed
    sidecars = {path.relative_to(tmp_path / "one").as_posix(): json.loads(path.read_text())
                for path in sorted((tmp_path / "one").glob("sub-*/anat/*.json"))}  # fmt: skip
    first, second = (sidecars[f"sub-0{n}/anat/sub-0{n}_FLAIR.json"] for n in (1, 2))
    assert first["EchoTime"] != second["EchoTime"]
    assert first["InversionTime"] != second["InversionTime"]
    assert first["MagneticFieldStrength"] in FIELDS_T
    plain, enhanced = (sidecars[f"sub-01/anat/sub-01_{name}T1w.json"] for name in ("", "ce-gadolinium_"))
    assert all(enhanced[name] == plain[name] for name in plain)
    record = json.loads((tmp_path / "one/derivatives/truth/sub-01/sub-01_simulation.json").read_text())
    assert record["FieldStrength"] == first["MagneticFieldStrength"]
    sequence = TurboSpinEcho(
        first["RepetitionTime"], first["EchoTime"], 0.010, 16, inversion_time_s=first["InversionTime"]
    )
    grey, white = (
        float(sequence.signal(Relaxation(*(np.array([tissue[n]]) for n in ("t1_s", "t2_s", "t2star_s", "pd"))))[0])
        for tissue in (record["Tissues"][name] for name in ("GM", "WM"))
    )
    assert grey > white, "the sidecar and the record are what the image was made with"
    for path in sorted((tmp_path / "two/sub-01").rglob("*.nii.gz")):
        assert path.read_bytes() == (tmp_path / "one" / path.relative_to(tmp_path / "two")).read_bytes()
