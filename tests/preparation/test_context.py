"""Blurred images and places in the head."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recontrast.preparation.context import channel_count, context_channels, context_of_each, steepness


def head(at: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    image = np.zeros((60, 64, 56), np.float32)
    rng = np.random.default_rng(0)
    image[10:40, 12:50, 8:44] = 0.5 + 0.1 * rng.random((30, 38, 36))
    return np.roll(image, at, (0, 1, 2))


def test_number_and_order_of_channels() -> None:
    sources = [head(), 2 * head()]
    channels = context_channels(sources, [(1, 1, 1), (4, 4, 4)])
    assert len(channels) + 2 == channel_count(2, 2) == 9
    assert all(channel.dtype == np.float32 and channel.shape == sources[0].shape for channel in channels)
    assert np.allclose(channels[2], 2 * channels[0], atol=1e-5)
    assert context_channels(sources, []) == []


def test_steepness_follows_the_blurred_images_of_its_source() -> None:
    sources, widths = [head(), 2 * head()], [(1, 2, 1), (4, 4, 4)]
    channels = context_channels(sources, widths, steep=1)
    assert len(channels) + 2 == channel_count(2, 3) == 11
    plain = context_channels(sources, widths)
    assert all(np.array_equal(channels[n], plain[m]) for n, m in ((0, 0), (1, 1), (3, 2), (4, 3), (6, 4)))
    expected = gaussian_gradient(sources[0], widths[0])
    assert np.abs(channels[2] - expected).max() < 0.15 * expected.max()  # differences over two voxels
    assert np.allclose(channels[5], 2 * channels[2], atol=1e-5)
    assert steepness(np.ones((4, 5, 1), np.float32), (1, 1, 1)).max() == 0


@pytest.mark.parametrize("threads", [1, 7])
def test_channels_do_not_depend_on_the_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, widths = [head(), 2 * head((3, 0, 0))], [(1, 2, 1), (4, 4, 4)]
    expected = context_channels(sources, widths, steep=1)
    monkeypatch.setattr("recontrast.preparation.context.threads_of_process", lambda: threads)
    channels = context_channels(sources, widths, steep=1)
    assert all(np.array_equal(one, other) for one, other in zip(channels, expected, strict=True))
    assert all(channel.flags["C_CONTIGUOUS"] for channel in channels)  # others are slow to cut into slices


def gaussian_gradient(image: np.ndarray, width: tuple[int, ...]) -> np.ndarray:
    """Gradient of the blurred image, each part times the width along its axis."""
    parts = [
        sigma * gaussian_filter(image, width, order=[int(axis == n) for n in range(3)], mode="constant")
        for axis, sigma in enumerate(width)
    ]
    return np.sqrt(sum(part**2 for part in parts))


def test_each_source_by_itself_has_its_own_place() -> None:
    sources = [head(), head((5, -4, 6))]
    channels = context_of_each(sources, [(1, 1, 1)])
    apart = [context_channels([source], [(1, 1, 1)]) for source in sources]
    assert len(channels) == 8
    assert all(np.array_equal(one, other) for one, other in zip(channels, [*apart[0], *apart[1]], strict=True))
    assert not np.array_equal(channels[1], channels[5])


@pytest.mark.parametrize("width", [(1.0, 1.0, 1.0), (4.0, 4.0, 1.0), (8.0, 0.0, 2.0)])
def test_blur_is_close_to_a_gaussian(width: tuple[float, float, float]) -> None:
    image = head()
    ours = context_channels([image], [width])[0]
    theirs = gaussian_filter(image, width, mode="constant")
    assert np.abs(ours - theirs).max() < 0.06
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.01
    assert image.any()


def test_places_move_with_the_head_and_not_with_specks() -> None:
    here, there = (context_channels([head(at)], [(1, 1, 1)])[1:] for at in ((0, 0, 0), (5, -4, 6)))
    for axis, (first, second) in enumerate(zip(here, there, strict=True)):
        moved = np.roll(second, (-5, 4, -6), (0, 1, 2))[10:40, 12:50, 8:44]
        assert np.allclose(first[10:40, 12:50, 8:44], moved), axis
    right, front, up = here
    assert right[10, 20, 20] == pytest.approx(1, abs=0.05)
    assert right[25, 20, 20] < 0.05
    assert np.allclose(right[10:40], right[39:9:-1], atol=0.05)
    assert front[20, 12, 20] == pytest.approx(0, abs=0.05)
    assert up[20, 20, 43] == pytest.approx(1, abs=0.05)
    specks = head()
    specks[0, 0, 0] = specks[-1, -1, -1] = 1.0
    assert np.allclose(context_channels([specks], [(1, 1, 1)])[2], front)


def test_an_empty_image_has_places_as_well() -> None:
    assert all(np.isfinite(c).all() for c in context_channels([np.zeros((4, 5, 6), np.float32)], [(1, 1, 1)]))
