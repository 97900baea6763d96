"""What surroundings say."""

from __future__ import annotations

import pytest
import torch

from recontrast.models.residual_encoder import ResidualEncoder
from recontrast.models.surroundings import Surroundings, SurroundingsOfEach


def places(dims: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, *[16 if dims == 3 else 48] * dims)


@pytest.mark.slow
@pytest.mark.parametrize("dims", [2, 3])
def test_learns_what_channels_say_together(dims: int) -> None:
    source = places(dims)
    wanted = torch.where(source[:, 2:] > 0.5, source[:, :1], -source[:, 1:2])
    model = Surroundings(channels=3, spatial_dims=dims)
    assert not model(source).any()
    model.fit(source, wanted, torch.ones_like(wanted))
    error = (model(source) - wanted).square().mean()
    assert error < 0.15 * wanted.var()
    again = Surroundings(channels=3, spatial_dims=dims)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(source), model(source))


@pytest.mark.parametrize("dims", [2, 3])
def test_single_voxels_get_what_the_image_gets(dims: int) -> None:
    torch.manual_seed(0)
    model, source = Surroundings(channels=3, spatial_dims=dims).eval(), places(dims)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.mean.copy_(torch.tensor([0.1, 0.5, 0.9]))
    model.deviation.copy_(torch.tensor([0.5, 2.0, 1.0]))
    expected = model(source)[1, 0].flatten()
    assert expected.std() > 0.1
    torch.testing.assert_close(model.of_columns(source[1].flatten(1)), expected, atol=1e-5, rtol=1e-5)


def test_air_is_learned_and_what_is_held_out_is_not() -> None:
    source = places(2)
    mask = torch.zeros(2, 1, 48, 48, dtype=torch.bool)
    mask[0, :, 8:40, 8:40] = True  # nothing of the second image counts
    source[:, 0] = torch.where(mask[:, 0], 0.5 + source[:, 0], 0.01 * source[:, 0])
    wanted = torch.where(mask, source[:, 1:2], torch.full((), 0.7))
    wanted[1] = 50.0
    model = Surroundings(channels=3)
    model.fit(source, wanted, mask)
    said = model(source)[0]
    assert (said[~mask[0]] - 0.7).abs().mean() < 0.05
    assert (said - wanted[0])[mask[0]].square().mean() < 0.3 * wanted[0][mask[0]].var()


def test_dark_tissue_of_a_slab_that_is_held_out_is_no_air() -> None:
    """Outside the mask, and dark as air: its target is not known, and nothing is learned from it."""
    source = places(2)
    mask = torch.zeros(2, 1, 48, 48, dtype=torch.bool)
    mask[:, :, 8:40, 8:40] = True
    held = torch.zeros_like(mask)
    held[..., 20:28] = True
    source[:, :1] = torch.where(mask & ~held, 0.5 + source[:, :1], 0.01 * source[:, :1])
    wanted = torch.where(mask, source[:, 1:2], torch.full((), 0.7))
    models = []
    for slab in (torch.nan, 50.0):
        torch.manual_seed(1)
        models.append(Surroundings(channels=3))
        models[-1].fit(source, torch.where(held, slab, wanted), mask & ~held)
    known, leaked = (model(source)[~mask & ~held] for model in models)
    assert (known - 0.7).abs().mean() < 0.2
    assert leaked.abs().max() > 5  # a slab whose target is given would be taken for air


def test_those_of_each_code_are_the_ones_that_were_fitted_to_it() -> None:
    source, code = places(2).repeat(2, 1, 1, 1), torch.tensor([2, 0, 2, 0])
    wanted = torch.where(code[:, None, None, None] == 2, source[:, :1], -source[:, 1:2])
    mask = source[:, 2:] > 0.1
    each = SurroundingsOfEach(channels=3, codes=3)
    torch.manual_seed(5)
    each.fit(source, code, wanted, mask)
    torch.manual_seed(5)
    for number in (0, 2):  # in the order in which they were fitted
        one = Surroundings(channels=3)
        one.fit(source[code == number], wanted[code == number], mask[code == number])
        with torch.no_grad():
            torch.testing.assert_close(each(source, torch.full((4,), number)), one(source))
    assert not each(source, torch.ones(4, dtype=torch.long)).any()
    assert not list(each.parameters())


def test_those_of_each_code_say_the_same_of_volumes() -> None:
    each, volume = SurroundingsOfEach(channels=3, codes=2), torch.rand(2, 3, 6, 5, 4)
    for buffer in each.buffers():
        buffer.normal_()
    code = torch.tensor([1, 0])
    torch.testing.assert_close(each(volume, code)[..., 2], each(volume[..., 2], code))


def test_only_voxels_of_the_mask_count() -> None:
    source = places(2)
    wanted = torch.where(source[:, :1] > 0.5, 99.0, source[:, 1:2])
    model = Surroundings(channels=3)
    model.fit(source, wanted, wanted < 2)
    assert model(source).abs().max() < 2
    model.fit(source, wanted, torch.zeros_like(wanted))
    assert model(source).abs().max() < 2


@pytest.mark.slow
def test_the_encoder_begins_at_them_and_keeps_a_share() -> None:
    source = places(2)
    target = source[:, :1] * (source[:, 2:] > 0.5)
    mask = torch.ones_like(target, dtype=torch.bool)
    torch.manual_seed(1)
    model = ResidualEncoder(in_channels=3, contrasts=1, slices=1, width=4, blocks=(1, 1), start="context").eval()
    model.fit(source, target, mask)
    assert model.expected is not None
    with torch.no_grad():
        control, whole = model.expected(source), model(source)
        assert (whole - target).square().mean() < 0.5 * (control - target).square().mean()
        agrees, size = model.agreement(source, target, mask)
        best = agrees / size
        assert 0.8 < best < 1.2
        torch.nn.init.normal_(model.head.weight, std=0.3)  # as if it had learned: it sees the control with surroundings
        whole = model(source)
        model.share = 0.5
        assert torch.allclose(model(source), control + 0.5 * (whole - control), atol=1e-5)
        model.share = 0.0
        assert torch.equal(model(source), control)


def test_a_share_says_nothing_without_a_control() -> None:
    model = ResidualEncoder(width=4, blocks=(1, 1), start="none")
    assert model.agreement(*(torch.ones(1, 1, 8, 8) for _ in range(3))) == (0.0, 0.0)
