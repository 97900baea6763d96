"""Which settings of the data are refused, and what follows from the others."""

from __future__ import annotations

import pytest

from recontrast.datasets.augment import AugmentSettings
from recontrast.datasets.settings import DataSettings
from recontrast.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"plane": "axal"}, UnknownNameError),
        ({"slices": "heads"}, UnknownNameError),
        ({"cache_type": "int8"}, UnknownNameError),
        ({"batch": 0}, ConfigError),
        ({"air": 1.5}, ConfigError),
        ({"neighbours": -1}, ConfigError),
        ({"context_voxels": ((1, 1, 1),), "augment": AugmentSettings(source_gain=0.1)}, ConfigError),
        ({"context_steep": -1}, ConfigError),
        ({"plane": "volume", "augment": AugmentSettings(stretch=0.1)}, ConfigError),
    ],
)
def test_wrong_settings(settings: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        DataSettings(**settings)  # type: ignore[arg-type]


def test_channels_are_sources_their_surroundings_and_the_place() -> None:
    widths = ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    assert DataSettings().channels(2) == 2
    assert DataSettings(context_voxels=widths).channels(2) == 2 * 3 + 3
    assert DataSettings(context_voxels=widths, context_steep=1, neighbours=1).channels(2) == (2 * 4 + 3) * 3
    assert DataSettings(context_voxels=widths, context_steep=3).channels(2) == 2 * 5 + 3
    assert DataSettings(context_voxels=(), context_steep=3).channels(2) == 2  # no widths: nothing of the surroundings


def test_planes_that_are_learned_from_and_shown() -> None:
    assert DataSettings(plane="volume").learned_planes == ("axial",)
    mixed = DataSettings(plane="coronal", planes=("axial", "coronal"))
    assert (mixed.learned_planes, mixed.shown_plane) == (("axial", "coronal"), "coronal")
