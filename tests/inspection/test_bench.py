"""What the bench refuses, and what it says of its material."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench


def test_random_numbers_depend_on_purpose_and_seed_only(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cases=1)
    assert bench.rng("a").random() == bench.rng("a").random()
    assert bench.rng("a").random() != bench.rng("b").random()


def test_what_is_not_there_is_said(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cases=1, reference=False, images_only=True)
    for need, word in (("translator", "only images"), ("reference", "no acquired FLAIR"), ("lesion", "lesion mask")):
        with pytest.raises(NotAsked, match=word):
            bench.require(need)
    bench.require("sources")


def test_the_brain_is_looked_at_where_it_is_known(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    assert case.region_name == "brain"
    assert case.inside is case.regions["brain"]


class Centred(nn.Module):
    """Sees no other voxel, but takes the mean over the slice away: shuffled voxels give the shuffled output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=(2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("network", "voxelwise"), [("table", True), ("blind", True), ("blur", False), (Centred(), False)]
)
def test_whether_it_works_voxel_by_voxel_is_tried_out(
    make_bench: Callable[..., Bench], network: str | nn.Module, voxelwise: bool
) -> None:
    assert make_bench(network, cases=1).voxelwise is voxelwise
    assert not make_bench(network, cases=1, images_only=True).voxelwise
