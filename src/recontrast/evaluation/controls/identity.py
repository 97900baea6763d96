"""The source itself, shown as if it were the target."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS, Control


@CONTROLS.register("identity")
class Identity(Control):
    """The first source, unchanged: what a user has without any translator."""

    title = "first source, unchanged"
    learns = False
    anywhere = True

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Nothing to learn."""
        return "not fitted: the first source in its own scale"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """The first source."""
        return sources[:, 0]
