"""Which slices count, and that cutting images to what metrics can see changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.evaluation.protocols import PROTOCOLS, MetricUse
from recontrast.evaluation.stages import Stage, kind_of, regions_taken
from recontrast.evaluation.steps import Clip, Pair

SHAPE = (20, 18, 16)


@pytest.fixture
def pair(rng: np.random.Generator) -> Pair:
    reference = np.zeros(SHAPE)
    reference[..., 4:12] = rng.random((20, 18, 8))
    brain = np.zeros(SHAPE, bool)
    brain[8:11, 7:10, 6:10] = True
    return Pair(reference, reference + 1, {"brain": brain}, np.ones(16, bool))


def chosen(pair: Pair, rule: str, plane: str = "axial") -> list[int]:
    use = MetricUse(label="mae", metric="mae", unit="slice", plane=plane, slices=rule)  # type: ignore[arg-type]
    stage = Stage(pair, {"image": None}, PROTOCOLS.get("recontrast"), [use])
    return np.flatnonzero(stage.wanted[{"axial": 2, "coronal": 1}[plane], rule]).tolist()


def test_slices_by_rule(pair: Pair) -> None:
    assert chosen(pair, "brain|head") == [6, 7, 8, 9]
    assert chosen(pair, "image") == list(range(16))
    assert chosen(pair, "varying") == list(range(4, 12))
    assert chosen(pair, "head") == list(range(4, 12))  # no such mask: those that are not constant
    assert chosen(pair, "varying:4") == [6, 7, 8, 9]
    assert chosen(pair, "varying:64") == list(range(4, 12))
    assert chosen(pair, "brain", "coronal") == [7, 8, 9]


@pytest.mark.parametrize(
    ("protocol", "choice"),
    [
        ("selfrdb", "brain|head"), ("syndiff", "brain|head"), ("tagawa2025", "brain|head"),
        ("hagiwara2019", "brain|head"), ("bottani2024-code", "brainUnion|brain|head"), ("recontrast", ""),
    ],
)  # fmt: skip
def test_which_alternative_a_protocol_took(pair: Pair, protocol: str, choice: str) -> None:
    for name in ("brain", "head"):
        taken = regions_taken(PROTOCOLS.get(protocol), {"head": pair.masks["brain"], name: pair.masks["brain"]})
        assert taken == ({choice: name} if choice else {})


def test_slices_a_step_could_not_do_do_not_count(pair: Pair) -> None:
    usable = np.ones(16, bool)
    usable[7] = False
    assert chosen(Pair(pair.reference, pair.estimate, pair.masks, usable), "brain") == [6, 7, 8, 9]


def test_the_box_holds_the_regions_and_the_reach_of_the_windows(pair: Pair) -> None:
    protocol = PROTOCOLS.get("recontrast")
    plain = Stage(pair, {"brain": pair.masks["brain"]}, protocol, [protocol.use("mae")])
    assert plain.reference.shape == (3, 3, 4)
    window = Stage(pair, {"brain": pair.masks["brain"]}, protocol, [protocol.use("ssim_axial")])
    assert window.reference.shape == (13, 13, 4)
    everything = MetricUse(label="x", metric="gradient_distance")
    assert Stage(pair, {"brain": pair.masks["brain"]}, protocol, [everything]).reference.shape == SHAPE
    assert Stage(pair, {"image": None}, protocol, [protocol.use("mae")]).reference.shape == SHAPE


def test_metrics_share_a_stage_only_after_the_same_steps() -> None:
    first, second = (MetricUse(label="m", metric="mae", steps=(Clip(low=0, high=1),)) for _ in range(2))
    assert kind_of(first) == kind_of(second)
    assert kind_of(first) != kind_of(MetricUse(label="m", metric="mae"))
