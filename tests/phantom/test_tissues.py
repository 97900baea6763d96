"""Tissue parameters and gadolinium."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.phantom.tissues import BRAIN, HEALTHY, LESIONAL, Relaxation, draw_tissues, require_tissues, tissues_at


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_every_tissue_is_physical(field):
    tissues = tissues_at(field)
    assert set(tissues) == {*HEALTHY, *LESIONAL}
    assert set(BRAIN) <= set(tissues)
    for tissue in tissues.values():
        assert tissue.t1_s > tissue.t2_s >= tissue.t2star_s > 0
        assert 0 < tissue.pd <= 1


def test_t1_of_brain_grows_with_field_and_from_white_to_grey_matter():
    low, high = tissues_at(1.5), tissues_at(3.0)
    assert low["WM"].t1_s < high["WM"].t1_s < high["deepGM"].t1_s < high["GM"].t1_s < high["CSF"].t1_s


def test_other_field_strengths_are_refused():
    with pytest.raises(ConfigError, match=r"known at 1\.5 and 3 T"):
        tissues_at(7.0)


def test_gadolinium_adds_rates():
    plain = Relaxation.of([tissues_at(3.0)["enhancing"]])
    none = plain.with_gadolinium(np.array([0.0]))
    np.testing.assert_allclose(none.t1_s, plain.t1_s)
    much = plain.with_gadolinium(np.array([1.0]), 5.0, 7.0)
    np.testing.assert_allclose(1 / much.t1_s, 1 / plain.t1_s + 5)
    np.testing.assert_allclose(1 / much.t2_s, 1 / plain.t2_s + 7)
    np.testing.assert_allclose(much.pd, plain.pd)


def test_subjects_vary_around_the_mean(rng):
    means = tissues_at(3.0)
    drawn = [draw_tissues(rng, means)["WM"] for _ in range(400)]
    t1 = np.array([tissue.t1_s for tissue in drawn])
    assert t1.mean() == pytest.approx(means["WM"].t1_s, rel=0.01)
    assert 0.03 < t1.std() / t1.mean() < 0.05
    assert all(tissue.pd <= 1 for tissue in drawn)


def test_unknown_tissue_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'GM'"):
        require_tissues(["GN"], tissues_at(3.0))
