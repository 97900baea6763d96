"""Settings of `evaluate`: light, and every test they name can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from recontrast.evaluation.settings import PairedTest
from recontrast.evaluation.statistics import paired_test


def test_nothing_large_is_imported(large_imports: Callable[[str], list[str]]) -> None:
    assert large_imports("recontrast.evaluation.settings") == []


@pytest.mark.parametrize("name", get_args(PairedTest))
def test_every_paired_test_can_be_done(name: PairedTest) -> None:
    assert 0 < paired_test([1.0, 2.0, 3.5, 2.5, 1.5], name).p < 0.1
