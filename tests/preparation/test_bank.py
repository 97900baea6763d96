"""The bank: order, what a target may be made from, the code that the network is told."""

from __future__ import annotations

import numpy as np

from recontrast.config import build_settings, to_plain
from recontrast.preparation.bank import Bank, makeable, usable
from recontrast.preparation.normalize import Scale

UNIT = Scale("fixed", 0.0, 1.0)
BANK = Bank(sources=("T2w", "T1w", "FLAIR"), targets={"T1map": UNIT, "T1w": UNIT})


def test_the_order_is_the_one_given_and_nothing_else() -> None:
    assert BANK.contrasts == ("T2w", "T1w", "FLAIR", "T1map")
    assert BANK.planes() == 8
    assert BANK.code({"FLAIR", "T2w"}, "T1w") == (1, 0, 1, 0, 1)


def test_planes_hold_what_is_there_and_zeros_of_what_is_not() -> None:
    bank = Bank(sources=("T2w", "T1w", "FLAIR"), targets={"T1map": UNIT, "T1w": UNIT})
    absent = np.zeros((2, 2), np.float32)
    images = {label: np.full((2, 2), value, np.float32) for label, value in (("T1w", 1), ("FLAIR", 2))}
    around = {label: [10 * images[label] + n for n in range(5)] for label in images}
    planes = bank.filled(images, around, "T1map", absent)
    assert len(planes) == bank.planes(around=2) == 17
    assert [float(plane[0, 0]) for plane in planes] == [
        0, 1, 2, 0, 0, 10, 11, 20, 21, 12, 13, 14, 0, 1, 1, 1, 0,
    ]  # fmt: skip
    told = bank.filled(images, around, "T1map", absent, [0.5, *[0] * 5])
    assert len(told) == bank.planes(around=2, acquisition=2) == 23
    assert [float(plane[0, 0]) for plane in told[-8:]] == [1, 0, 0.5, 0, 0, 0, 0, 0]
    bare = bank.filled(images, {label: [] for label in images}, "T1w", absent)
    assert [float(plane[0, 0]) for plane in bare] == [0, 1, 2, 0, 1, 1, 0, 1]


def test_a_target_is_never_made_from_itself() -> None:
    assert BANK.usable("T1w") == ("T2w", "FLAIR")
    assert BANK.usable("T1w", {"T1w"}) == ()
    assert usable(("T1w",), "T1w") == ()
    assert BANK.makeable({"T1w", "T1map"}) == ("T1map",)
    assert makeable(("T1w",), ("T1w",), {"T1w"}) == ()


def test_written_and_read_it_keeps_its_order() -> None:
    back = build_settings(Bank, to_plain(BANK), "translator.json")
    assert back == BANK
    assert list(back.targets) == ["T1map", "T1w"]
