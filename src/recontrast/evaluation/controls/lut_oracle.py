"""The look-up table fitted on the test image itself: what no one-to-one mapping could beat, not a method."""

from __future__ import annotations

from recontrast.evaluation.controls import CONTROLS
from recontrast.evaluation.controls.lut import Lut


@CONTROLS.register("lut-oracle")
class LutOracle(Lut):
    """The look-up table of Grant-Jacob et al. 2021 as published: made from the very image it is judged on.

    It shows how far one grey value for each grey value can go at best. A translator need not beat it, and must not be
    said to have been compared with a trivial method.
    """

    title = "ORACLE: look-up table fitted on the test image itself"
    learns = False
    oracle = True
