from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recontrast.io.dicom.contrast import Facts, facts_of, name_contrast
from recontrast.io.dicom.find import find_series

SPIN, GRADIENT = {"spin": True}, {"gradient": True}


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({**SPIN, "tr": 5000, "te": 100, "words": "t2 tse tra"}, "T2w"),
        ({**SPIN, "tr": 3200, "te": 400, "words": "t2 space sag"}, "T2w"),
        ({**SPIN, "tr": 500, "te": 10, "words": "t1 se tra"}, "T1w"),
        ({**SPIN, "tr": 3000, "te": 15, "words": "pd tse"}, "PDw"),
        ({**SPIN, "tr": 9000, "te": 120, "ti": 2500, "inversion": True, "words": "t2 tirm tra dark fluid"}, "FLAIR"),
        ({**SPIN, "tr": 2000, "te": 12, "ti": 860, "inversion": True, "words": "sag t1 flair"}, "T1w"),
        ({**GRADIENT, "tr": 2300, "te": 3, "ti": 900, "flip": 9, "words": "protocol 7"}, "T1w"),
        ({**GRADIENT, "tr": 3.85, "te": 1.4, "flip": 12, "words": "twist"}, "T1w"),
        ({**GRADIENT, "tr": 3.85, "te": 1.4, "flip": 2, "words": "vibe pd"}, "PDw"),
        ({**GRADIENT, "tr": 600, "te": 20, "flip": 20, "words": "t2w ffe"}, "T2starw"),
        ({**GRADIENT, "tr": 5, "te": 2, "flip": 20, "planes": 3, "words": "localizer"}, "acq-localizer_T1w"),
        ({**SPIN, "tr": 500, "te": 10, "agent": "Gadovist"}, "ce-gadolinium_T1w"),
        ({**SPIN, "tr": 500, "te": 10, "words": "t1 tse km"}, "ce-gadolinium_T1w"),
        ({**SPIN, "tr": 500, "te": 10, "agent": "NONE", "words": "t1 pre"}, "T1w"),
        ({"words": "anat t1"}, "T1w"),
        ({**SPIN, "planar": True, "tr": 5000, "te": 90, "words": "ep2d se t2 tra"}, "T2w"),
    ],
)
def test_names(facts: dict[str, Any], label: str) -> None:
    naming = name_contrast(Facts(**facts))
    assert naming.contrast is not None, naming.reason
    assert naming.contrast.label == label
    assert naming.evidence


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({**SPIN, "tr": 5000, "te": 100, "words": "t1 tse"}, "the sequence speaks for T2w, the description for T1w"),
        ({"words": "pd t2 tse"}, "the description says PDw and T2w"),
        ({"words": "research 12"}, "lacks Scanning Sequence, TR, TE, flip angle"),
        ({**SPIN, "tr": 1300, "te": 50, "flip": 90}, "spin echo with TR 1300 ms, TE 50 ms, flip angle 90"),
        ({**SPIN, "tr": 500, "te": 10, "agent": "Dotarem", "words": "t1 pre"}, "before or after contrast agent"),
        ({**GRADIENT, "tr": 5, "te": 2, "flip": 6, "words": "x"}, "fits no rule"),
        ({**SPIN, "planar": True, "tr": 8000, "te": 66, "flip": 90, "words": "se ap"}, "echo-planar spin echo with TR"),
        ({**SPIN, "planar": True, "tr": 3000, "te": 30, "flip": 90, "words": "se ap"}, "echo-planar spin echo with TR"),
        ({**SPIN, "planar": True, "tr": 900, "te": 30, "flip": 90, "words": "se ap"}, "echo-planar spin echo with TR"),
    ],
)
def test_doubt_is_said_and_what_would_decide(facts: dict[str, Any], reason: str) -> None:
    naming = name_contrast(Facts(**facts))
    assert naming.contrast is None
    assert not naming.excluded
    assert reason in naming.reason


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"words": "ep2d diff tra", "image_type": ("DERIVED", "PRIMARY", "DIFFUSION", "ADC")}, "diffusion"),
        ({"words": "t1 mip", "image_type": ("DERIVED", "PRIMARY", "MIP")}, "projection"),
        ({"part": "phase", "words": "t1"}, "phase part"),
        ({"gradient": True, "planar": True, "times": 200, "words": "task"}, "functional"),
        ({"words": "synthetic t2w of x"}, "made by Recontrast"),
        ({"words": "t1 map"}, "parameter map"),
        ({**SPIN, "planar": True, "tr": 8000, "te": 66, "words": "spinechofieldmap ap"}, "parameter map"),
    ],
)
def test_what_is_no_anatomical_scan_is_left_out(facts: dict[str, Any], reason: str) -> None:
    naming = name_contrast(Facts(**facts))
    assert naming.excluded
    assert reason in naming.reason


@pytest.mark.parametrize(
    ("words", "excluded"), [("t2 tse tra restore", False), ("ep2d bold rest", True), ("resting state", True)]
)
def test_driven_equilibrium_is_no_resting_state(words: str, excluded: bool) -> None:
    naming = name_contrast(Facts(spin=True, tr=5000, te=100, words=words))
    assert naming.excluded is excluded
    assert excluded or (naming.contrast is not None and naming.contrast.label == "T2w")


def test_many_echoes_are_a_collection() -> None:
    naming = name_contrast(Facts(spin=True, te=40, echoes=3, echo=2))
    assert naming.contrast is not None
    assert (naming.contrast.label, naming.entities) == ("MESE", {"echo": "2"})


def test_two_echoes_are_named_by_their_own_times() -> None:
    labels = [name_contrast(Facts(spin=True, tr=3000, te=te, echoes=2, words="dual echo")).contrast for te in (14, 90)]
    assert [str(label) for label in labels] == ["PDw", "T2w"]


def test_facts_come_from_the_headers(make_series: Callable[..., Path]) -> None:
    (series,) = find_series(make_series(ContrastBolusAgent="Gadovist")).series
    facts = facts_of(series, series.stacks[0])
    assert (facts.gradient, facts.inversion) == (True, True)
    assert (facts.tr, facts.te, facts.ti, facts.flip) == (2300, 2.98, 900, 9)
    assert facts.words.startswith("t1 mprage tra")
    naming = name_contrast(facts)
    assert str(naming.contrast) == "ce-gadolinium_T1w"
    assert "contrast agent in the header: 'Gadovist'" in naming.evidence


@pytest.mark.parametrize(
    "changes", [{"ScanningSequence": ["EP", "SE"]}, {"EchoPulseSequence": "SPIN", "EchoPlanarPulseSequence": "YES"}]
)
def test_echo_planar_spin_echoes_are_known_by_either_attribute(
    changes: dict[str, Any], make_series: Callable[..., Path]
) -> None:
    timing = {"RepetitionTime": 8000, "EchoTime": 66, "InversionTime": None, "SeriesDescription": "se AP"}
    (series,) = find_series(make_series(**{"ScanningSequence": None, **timing, **changes})).series
    facts = facts_of(series, series.stacks[0])
    assert (facts.spin, facts.planar, name_contrast(facts).contrast) == (True, True, None)
