"""What is special about the FiLM U-Net: absent channels count for nothing, the code for something."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.film_unet import FilmUNet


def build(slices: int = 1, **options: object) -> FilmUNet:
    torch.manual_seed(0)
    given = {
        "stem": 2,
        "start": "curves",
        "in_channels": 8 * slices,
        "width": 4,
        "blocks": (1, 2),
        "contrasts": 3,
        "slices": slices,
        "targets": 2,
    }
    return FilmUNet(**{**given, **options}).eval()  # type: ignore[arg-type]


def source(
    slices: int, there: tuple[float, ...], wanted: tuple[float, ...], dims: int = 2, images: int = 3
) -> torch.Tensor:
    size = (12, 10, 8)[:dims]
    code = torch.tensor([*there, *wanted]).repeat_interleave(slices).reshape(1, -1, *[1] * dims).expand(1, -1, *size)
    return torch.cat([torch.rand(1, images * slices, *size), code], dim=1).contiguous()


@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_garbage_in_an_absent_channel_changes_nothing(garbage: float, slices: int, dims: int) -> None:
    network = build(slices, spatial_dims=dims)
    clean = source(slices, (1, 0, 1), (0, 1), dims)
    spoiled = clean.clone()
    spoiled[:, slices : 2 * slices] = garbage
    with torch.no_grad():
        network.curves.heights.normal_()  # type: ignore[union-attr]
        assert torch.equal(network(clean), network(spoiled))
        there = clean.clone()
        there[:, 4 * slices : 5 * slices] = 1  # the same image, now said to be there
        assert not torch.equal(network(clean), network(there))


def test_tells_whether_it_adds_to_a_control() -> None:
    assert build().has_control
    assert not build(start="none").has_control


@pytest.mark.parametrize("slices", [1, 3])
def test_how_a_source_was_acquired_is_told_of_those_that_are_there(slices: int) -> None:
    network, plain = build(slices, acquisition=2, in_channels=14 * slices), build(slices)
    weights = network.state_dict()
    for name, values in plain.state_dict().items():
        if name == "embed.0.weight":
            values = torch.cat([values, torch.randn(len(values), 6)], dim=1)
        weights[name] = values
    network.load_state_dict(weights)
    bare = source(slices, (1, 0, 1), (0, 1))
    silent = torch.cat([bare, torch.zeros(1, 6 * slices, *bare.shape[2:])], dim=1)
    told, absent = silent.clone(), silent.clone()
    told[:, 8 * slices : 10 * slices] = 1.0
    absent[:, 10 * slices : 12 * slices] = float("nan")  # of the second source, which is not there
    with torch.no_grad():
        assert torch.allclose(network(silent), plain(bare), atol=1e-5)
        assert torch.equal(network(silent), network(absent))
        assert not torch.allclose(network(silent), network(told), atol=1e-3)


@pytest.mark.parametrize("slices", [1, 3])
def test_garbage_around_an_absent_image_changes_nothing(slices: int) -> None:
    network = build(slices, start="context", context=2, in_channels=17 * slices)
    clean = source(slices, (1, 0, 1), (0, 1), images=12)  # 3 images, 2 blurred of each, 3 of the place
    spoiled, moved, softened = clean.clone(), clean.clone(), clean.clone()
    spoiled[:, [*range(slices, 2 * slices), *range(5 * slices, 7 * slices)]] = float("nan")
    moved[:, 9 * slices :][:, : 3 * slices] += 0.2
    softened[:, 7 * slices] += 0.2
    with torch.no_grad():
        for buffer in network.surroundings.buffers():  # type: ignore[union-attr]
            buffer.normal_()
        assert torch.isfinite(network(clean)).all()
        assert torch.equal(network(clean), network(spoiled))
        assert not torch.equal(network(clean), network(moved))
        assert not torch.equal(network(clean), network(softened))


def test_garbage_gives_no_gradient_either() -> None:
    network, clean = build(), source(1, (0, 1, 1), (1, 0))
    spoiled = clean.clone()
    spoiled[:, 0] = float("nan")
    gradients = []
    for given in (clean, spoiled):
        network.zero_grad()
        network(given).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_the_wanted_target_and_what_is_there_change_the_result() -> None:
    network, images = build(), torch.zeros(1, 3, 12, 10)
    images[:, 0] = torch.rand(12, 10)

    def result(*code: float) -> torch.Tensor:
        planes = torch.tensor(code).reshape(1, -1, 1, 1).expand(1, -1, 12, 10)
        return network(torch.cat([images, planes], dim=1))

    with torch.no_grad():
        plain = result(1, 1, 0, 1, 0)
        assert not torch.allclose(plain, result(1, 1, 0, 0, 1))
        assert not torch.allclose(plain, result(1, 0, 0, 1, 0))  # an absent image, and one that is black


def test_channels_must_be_those_of_contrasts_and_targets() -> None:
    with pytest.raises(ConfigError, match="3 contrasts, 0 blurred images of each and 2 targets needs 8 channels"):
        build(in_channels=7, slices=1)
    with pytest.raises(ConfigError, match="at least one channel, one level"):
        build(blocks=())
    with pytest.raises(ConfigError, match="stem 3"):
        build(stem=3)
    for wrong in ({"start": "table"}, {"start": "context"}, {"out_channels": 2}):
        with pytest.raises(ConfigError, match="with one channel out from 'curves'"):
            build(**wrong)
    with pytest.raises(ConfigError, match="0 contrasts, 0 blurred images of each and 2 targets"):
        build(contrasts=0)


def test_numbers_drawn_at_random_go_through() -> None:
    with torch.no_grad():  # a step is timed on such numbers, and several targets are wanted at once
        assert torch.isfinite(build()(torch.rand(16, 8, 12, 10))).all()


def test_with_nothing_to_tell_all_channels_are_images() -> None:
    network = build(in_channels=3, targets=0)
    with torch.no_grad():
        assert network(torch.rand(2, 3, 12, 10)).shape == (2, 1, 12, 10)


@pytest.mark.parametrize("slices", [1, 3])
def test_fitted_it_begins_at_the_curves_of_each_subset_and_target(slices: int) -> None:
    network = build(slices)
    both = torch.cat([source(slices, (1, 1, 0), (1, 0)), source(slices, (0, 1, 0), (0, 1))])
    middle = both[:, slices // 2 : 3 * slices : slices]
    target = torch.stack([1 - 0.5 * middle[0, 0] + 0.2 * middle[0, 1], 0.3 * middle[1, 1]])[:, None]
    network.fit(both, target, torch.ones_like(target))
    with torch.no_grad():
        torch.testing.assert_close(network(both), target, atol=0.02, rtol=0)
        assert torch.all(network(source(slices, (1, 1, 1), (1, 0))) == 0)  # a subset that was never shown


@pytest.mark.slow
@pytest.mark.parametrize("slices", [1, 3])
def test_fitted_it_begins_at_what_the_surroundings_of_each_subset_say(slices: int) -> None:
    network = build(slices, start="context", context=1, in_channels=14 * slices)
    torch.manual_seed(0)
    code = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 0, 0, 1]] * 8).repeat_interleave(slices, dim=1)
    both = torch.rand(16, 14 * slices, 24, 20)
    both[:, 9 * slices :] = code[:, :, None, None]
    own, place = both[:, slices + slices // 2][:, None], both[:, 8 * slices][:, None]
    target = torch.where(torch.arange(16)[:, None, None, None] % 2 == 0, own * (place > 0.5), own - place)
    network.fit(both, target, torch.ones_like(target))
    with torch.no_grad():
        assert float((network(both) - target).square().mean()) < 0.15 * float(target.var())


def test_with_nothing_to_tell_it_begins_at_curves_of_all_channels() -> None:
    network, images = build(in_channels=3, targets=0), torch.rand(2, 3, 20, 20)
    target = 0.1 + images[:, :1] ** 2 - 0.5 * images[:, 2:]
    network.fit(images, target, torch.ones_like(target))
    with torch.no_grad():
        torch.testing.assert_close(network(images), target, atol=0.02, rtol=0)
