"""The head in the nilearn wheel."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from recontrast.errors import ConfigError, DependencyError
from recontrast.io.mni152 import MAPS, read_mni152


@pytest.mark.parametrize("name", MAPS)
def test_maps_lie_in_mni_space(name: str) -> None:
    found = read_mni152(name)
    assert (found.shape, found.spacing, found.orientation) == ((197, 233, 189), (1.0, 1.0, 1.0), "RAS")
    assert (found.data.dtype, found.data.max()) == (np.uint8, 255)


def test_another_map_and_a_missing_nilearn_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is t1, gm and wm"):
        read_mni152("csf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install nilearn"):
        read_mni152()
