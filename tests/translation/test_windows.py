"""Windows cover everything, agree with the whole volume, and stay within the memory."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from recontrast.errors import ConfigError
from recontrast.translation.windows import (
    blend_windows,
    fitting_window,
    gaussian_weight,
    memory_of_machine_gb,
    place_windows,
    signal_box,
)


@pytest.mark.parametrize("shape", [(10, 11, 12), (4, 4, 4), (3, 9, 4), (5, 4, 31)], ids=str)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
def test_every_voxel_is_covered_and_neighbours_overlap(shape: tuple[int, ...], overlap: float) -> None:
    windows = place_windows(shape, (4, 5, 4), overlap)
    covered = np.zeros(shape, int)
    for i, j, k in windows.starts:
        assert all(0 <= s <= n - m for s, n, m in zip((i, j, k), shape, windows.size, strict=True))
        covered[i : i + windows.size[0], j : j + windows.size[1], k : k + windows.size[2]] += 1
    assert covered.min() >= 1
    for axis, length in enumerate(windows.size):
        starts = sorted({start[axis] for start in windows.starts})
        assert starts[0] == 0
        assert starts[-1] == shape[axis] - length
        assert all(length - (after - before) >= int(overlap * length) for before, after in pairwise(starts))


def engine_of(network: nn.Module) -> object:
    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(batch)).numpy())

    return run


def test_away_from_their_edges_windows_equal_the_whole_volume() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv3d(3, 1, 3, padding=1))
    source = np.random.default_rng(0).random((1, 20, 12, 12), np.float32)
    whole = engine_of(network)(source[None])[0, 0]  # type: ignore[operator]
    windows = place_windows(source.shape[1:], (12, 12, 12), 0.25)
    found, shown = blend_windows(source, windows, engine_of(network), 0.0)  # type: ignore[arg-type]
    assert shown == len(windows.starts) == 2
    starts = [start[0] for start in windows.starts]
    assert starts == [0, 8]
    # The network sees two voxels around: inside 0..9 of the first and 10.. of the second window nothing is cut off.
    np.testing.assert_allclose(found[:8], whole[:8], atol=1e-6)
    np.testing.assert_allclose(found[12:], whole[12:], atol=1e-6)
    assert not np.allclose(found[8:12], whole[8:12], atol=1e-6)


def test_a_voxelwise_network_is_the_same_in_windows_everywhere() -> None:
    source = np.random.default_rng(0).random((2, 9, 14, 11), np.float32)
    windows = place_windows(source.shape[1:], (4, 5, 6), 0.3)
    found, _ = blend_windows(source, windows, lambda batch: batch[:, :1] ** 2, 0.0)
    np.testing.assert_allclose(found, source[0] ** 2, atol=1e-6)


def test_windows_that_show_nothing_are_not_computed() -> None:
    source = np.zeros((1, 16, 4, 4), np.float32)
    source[0, 13:] = 1
    seen: list[int] = []

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(1)
        return batch + 1

    found, shown = blend_windows(source, place_windows((16, 4, 4), (4, 4, 4), 0.0), run, 0.5)
    assert shown == len(seen) == 1
    assert found[:12].tolist() == np.full((12, 4, 4), 0.5).tolist()
    np.testing.assert_allclose(found[12:], source[0, 12:] + 1)


def test_weight_is_largest_in_the_middle_and_nowhere_nothing() -> None:
    weight = gaussian_weight((5, 8, 3))
    assert weight.argmax() in (
        np.ravel_multi_index((2, 3, 1), weight.shape),
        np.ravel_multi_index((2, 4, 1), (5, 8, 3)),
    )
    assert weight.min() == pytest.approx(0.001 * weight.max())
    np.testing.assert_allclose(weight, weight[::-1, ::-1, ::-1], rtol=1e-5)


def test_box_holds_the_signal_and_is_a_multiple_where_there_is_room() -> None:
    source = np.full((2, 100, 50, 20), -0.5, np.float32)
    source[1, 40:75, 3:9, 10] = 1
    box = signal_box(source)
    assert [side.stop - side.start for side in box] == [64, 32, 20]
    assert (source[:, *box] != -0.5).sum() == (source != -0.5).sum()


def test_window_is_the_largest_that_fits_and_never_tiny() -> None:
    assert fitting_window((182, 218, 182), 1000, 10.0) == (182, 218, 182)
    size = fitting_window((182, 218, 182), 1000, 2.0)
    assert np.prod(size) * 1000 <= 2e9
    assert fitting_window((500, 500, 40), 1000, 1e-6) == (64, 64, 40)


def test_impossible_overlap_is_refused_and_memory_of_the_machine_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="overlap"):
        place_windows((4,), (2,), 1.0)
    for known, gigabytes in ((16_384_000_000, 16.384), (None, 8.0)):
        monkeypatch.setattr("recontrast.translation.windows.total_bytes", lambda known=known: known)
        assert memory_of_machine_gb() == pytest.approx(gigabytes)


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_limit_of_the_process_bounds_the_memory_that_volumes_get() -> None:
    """The network was given half of the machine's memory where a process might have a tenth of it."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (4 * 10**9,) * 2)\n"
        "from recontrast.translation.engines.pytorch import memory_of_device_gb; print(memory_of_device_gb('cpu'))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(shown) <= 4.0
