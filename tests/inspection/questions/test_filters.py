"""Inside a network that is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.filters import Filters, occlusion
from recontrast.models.pix2pix_unet import Pix2PixUNet
from recontrast.models.unet import UNet


def test_a_network_that_sees_four_voxels_far_changes_only_beside_the_square(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("blur", cases=1)
    far = occlusion(bench, bench.cases[0], (24, 28, 10), patches=4)
    assert far.shape == (4, 4)
    assert far.max() > 0
    table = make_bench("table", cases=1)
    assert occlusion(table, table.cases[0], (24, 28, 10), patches=4).max() == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_the_last_level_is_needed(make_bench: Callable[..., Bench]) -> None:
    answer = Filters().ask(make_bench("blur", cases=1))
    costs = [f for f in answer.findings if f.name == "change without the detail of a level"]
    assert [f.note for f in costs] == ["layers, full resolution"]
    assert costs[0].value > 1
    assert "no skip connection" in answer.sentence


@pytest.mark.slow
def test_levels_and_skip_connections_of_a_u_net_are_told_apart(make_bench: Callable[..., Bench]) -> None:
    torch.manual_seed(0)
    answer = Filters().ask(make_bench(UNet(width=4, depth=2), cases=1))
    levels = [f.note for f in answer.findings if f.name == "change without the detail of a level"]
    assert levels == ["down.0, full resolution", "down.1, 1/2 of the resolution", "down.2, 1/4 of the resolution",
                      "up.0, 1/2 of the resolution", "up.1, full resolution"]  # fmt: skip
    skips = [f for f in answer.findings if f.name == "change without a skip connection"]
    assert [f.note for f in skips] == ["skips.0, full resolution", "skips.1, 1/2 of the resolution"]
    assert all(f.value > 0 for f in skips)
    assert "its 2 skip connections" in answer.sentence


@pytest.mark.slow
def test_resolutions_are_those_of_the_network_however_it_pads(make_bench: Callable[..., Bench]) -> None:
    answer = Filters().ask(make_bench(Pix2PixUNet(width=2, downs=5, dropout=0), shape=(36, 40, 6), cases=1))
    skips = [f.note for f in answer.findings if f.name == "change without a skip connection"]
    assert skips == [f"skips.{n}, 1/{2 ** (n + 1)} of the resolution" for n in range(4)]
    first = next(f.note for f in answer.findings if f.name == "change without the detail of a level")
    assert first == "down.0, 1/2 of the resolution"


def test_a_network_without_convolutions_is_not_asked(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="no convolution"):
        Filters().ask(make_bench("table", cases=1))
