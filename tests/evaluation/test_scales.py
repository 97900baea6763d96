"""A declared scale counts for what it is, not for its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.evaluation.conftest import head

from recontrast.errors import FormatError
from recontrast.evaluation.scales import OTHER_PERCENTILES, Declared, declared_scale
from recontrast.preparation.normalize import Scale, ScaleSettings, fit_scale

OURS = ScaleSettings()
DECLARED = Scale("percentile", 0.0, 1500.0)


def stated(**settings: Any) -> dict[str, Any]:
    return {"Scale": DECLARED.to_dict(), "ScaleSettings": {"name": "percentile", **settings}}


@pytest.mark.parametrize("other", [{"high": 98.0}, {"high": 98.0, "low": 2.0}, {"high": 99.9, "low": 1.0}])
def test_a_perfect_image_on_other_percentiles_is_perfect(other: dict[str, float]) -> None:
    reference = head(4)[1]
    scale = fit_scale(reference, OURS)
    perfect = DECLARED.invert(fit_scale(reference, ScaleSettings(**other)).apply(reference.data))
    found = declared_scale(stated(**other), OURS, (reference, scale), "T2w")
    assert found.converted
    assert found.scale is not None
    np.testing.assert_allclose(found.scale.apply(perfect), scale.apply(reference.data), atol=1e-5)
    assert f"to percentile {other['high']:g}, a scale from zero to percentile 99.9 is needed" in found.remark
    assert np.abs(DECLARED.apply(perfect) - scale.apply(reference.data)).max() > 0.005  # by its name alone


def test_the_same_percentiles_are_taken_as_declared() -> None:
    reference = head(4)[1]
    for sidecar in (stated(), stated(high=99.9), {"Scale": DECLARED.to_dict()}):
        assert declared_scale(sidecar, OURS, (reference, fit_scale(reference)), "T2w") == Declared(DECLARED)
    assert declared_scale(stated(), OURS, None) == Declared(DECLARED)


def test_an_older_sidecar_that_cannot_have_these_percentiles_is_remarked() -> None:
    reference = head(4)[1]
    old = Scale("percentile", 20.0, 1500.0)
    found = declared_scale({"Scale": old.to_dict()}, OURS, (reference, fit_scale(reference)))
    assert found == Declared(old, OTHER_PERCENTILES)
    between = ScaleSettings(low=1.0)
    assert declared_scale({"Scale": old.to_dict()}, between, (reference, fit_scale(reference, between))).remark == ""


def test_fixed_numbers_are_their_own_settings() -> None:
    reference = head(4)[1]
    wanted = ScaleSettings(name="fixed", fixed_factor=1.0)
    to = fit_scale(reference, wanted)
    sidecar = {"Scale": Scale("fixed", 10.0, 1200.0).to_dict()}
    found = declared_scale(sidecar, wanted, (reference, to))
    assert (found.scale, found.converted) == (Scale("fixed", 0.0, 1.0), True)  # both are in the same native units
    assert "a fixed scale (10 is 0, 1210 is 1), a fixed scale (0 is 0, 1 is 1) is needed" in found.remark
    assert declared_scale({"Scale": to.to_dict()}, wanted, (reference, to)) == Declared(to)


def test_what_cannot_be_used_has_a_reason() -> None:
    reference = head(4)[1]
    given = (reference, fit_scale(reference))
    assert declared_scale({}, OURS, given) == Declared(None, "the synthetic image declares no scale in its sidecar")
    assert (
        "'percentile' scale, 'zscore' is needed" in declared_scale(stated(), ScaleSettings(name="zscore"), given).remark
    )
    found = declared_scale(stated(high=98.0), OURS, None)
    assert found.scale is None
    assert "no reference to tell" in found.remark
    with pytest.raises(FormatError, match="not settings of an intensity scale"):
        declared_scale(stated(high="much"), OURS, given)
