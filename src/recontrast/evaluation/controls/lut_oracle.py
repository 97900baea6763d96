"""The look-up table fitted on the test image itself: it knows the answer, so it is not a method."""

from __future__ import annotations

from recontrast.evaluation.controls import CONTROLS
from recontrast.evaluation.controls.lut import Lut


@CONTROLS.register("lut-oracle")
class LutOracle(Lut):
    """The look-up table of Grant-Jacob et al. 2021 as published: made from the very image it is judged on.

    It shows how much of the target one value for each grey value can carry. It takes the most probable value, not the
    mean, so its squared error is not the least a one-to-one mapping can have (on real heads a quantile map had less).
    """

    title = "ORACLE: look-up table fitted on the test image itself"
    learns = False
    oracle = True
