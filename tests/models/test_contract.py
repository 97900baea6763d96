"""What every network must do. A new architecture passes this unchanged."""

from __future__ import annotations

import inspect

import pytest
import torch

from recontrast.models import MODELS
from recontrast.preparation.normalize import Scale
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.engines.openvino import OpenVINOEngine
from recontrast.translation.translator import Translator

TORCH = EngineSettings(engine="torch", precision="fp32")

SMALL = {
    "unet": {"width": 4, "depth": 2},
    "pix2pix_unet": {"width": 4, "downs": 3},
    "resnet": {"width": 4, "blocks": 1},
    "strided_resnet": {"width": 4, "blocks": 1, "downs": 2},
    "unit": {"width": 4, "private": 1, "shared": 1},
    "residual_encoder": {"width": 4, "blocks": (1, 1), "start": "none"},
    "film_unet": {"width": 4, "blocks": (1, 1)},
    "res_unet": {"width": 2, "depth": 2},
    "att_unet": {"width": 4, "depth": 2},
    "trans_unet": {
        "width": 4,
        "depth": 2,
        "blocks": (1, 1, 1),
        "hidden": 16,
        "layers": 1,
        "heads": 2,
        "mlp": 16,
        "position_size": 3,
        "first_dropout": 0.0,
    },
}
"""Options that make a member small enough for a test; its defaults where it is not listed."""


def build(name: str, spatial_dims: int, in_channels: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    options = {"in_channels": in_channels, "out_channels": 1, "spatial_dims": spatial_dims, **SMALL.get(name, {})}
    return MODELS.build(name, options)


@pytest.mark.parametrize("name", MODELS.names())
def test_options_are_keyword_only_and_typed(name: str) -> None:
    parameters = inspect.signature(MODELS.get(name)).parameters
    assert {"in_channels", "out_channels", "spatial_dims"} <= set(parameters)
    assert all(p.kind is p.KEYWORD_ONLY and p.annotation is not p.empty for p in parameters.values())
    assert all(p.default is not p.empty for p in parameters.values())


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("size", [(16, 24), (17, 23), (5, 32), (19, 12, 7), (8, 8, 8)], ids=str)
def test_any_size_in_same_grid_out(name: str, size: tuple[int, ...]) -> None:
    model = build(name, len(size)).eval()
    with torch.no_grad():
        result = model(torch.rand(2, 2, *size))
    assert result.shape == (2, 1, *size)
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("dims", [2, 3])
def test_every_parameter_gets_a_gradient(name: str, dims: int) -> None:
    model = build(name, dims).train()
    model(torch.rand(2, 2, *(16, 12, 16)[:dims])).square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("plane", ["axial", "volume"])
def test_every_network_translates_slices_and_volumes(name: str, plane: str) -> None:
    about = TranslatorDescription(
        preset="test", sources=("T1w", "T2w"), target="FLAIR", model=Member(name=name),
        recipe=Member(name="supervised"), target_scale=Scale("percentile", 0.0, 1.0), spacing_mm=(1, 1, 1), plane=plane,
    )  # fmt: skip
    translator = Translator(build(name, 3 if plane == "volume" else 2).eval(), about, TORCH)
    sources = {label: torch.rand(17, 16, 12).numpy() for label in about.sources}
    made = translator.predict_scaled(sources, {})
    assert made.shape == (17, 16, 12)
    assert made.min() < made.max()


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("dims", [2, 3])
def test_inference_is_deterministic_and_leaves_its_input(name: str, dims: int) -> None:
    model = build(name, dims).eval()
    source = torch.rand(1, 2, *(17, 12, 9)[:dims])
    before = source.clone()
    with torch.no_grad():
        first, second = model(source), model(source)
    assert torch.equal(first, second)
    assert torch.equal(source, before)


@pytest.mark.parametrize("name", MODELS.names())
def test_slices_of_a_batch_do_not_see_each_other(name: str) -> None:
    model = build(name, 2).eval()
    source = torch.rand(3, 2, 16, 16)
    with torch.no_grad():
        together, alone = model(source), model(source[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("dims", [2, 3])
def test_bf16_and_channels_last_change_little(name: str, dims: int) -> None:
    model = build(name, dims).eval()
    source = torch.rand(2, 2, *(16, 24, 16)[:dims])
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    with torch.no_grad():
        exact = model(source)
        model = model.to(memory_format=layout)
        torch.testing.assert_close(model(source.contiguous(memory_format=layout)), exact, atol=1e-4, rtol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = model(source)
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().max() < 0.1 * exact.std() + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS.names())
def test_recorded_for_openvino_it_gives_the_same(name: str) -> None:
    pytest.importorskip("openvino")
    model = build(name, 2).eval()
    source = torch.rand(3, 2, 17, 20)
    found = OpenVINOEngine(model, "fp32", batch=2)(source.numpy())
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), model(source), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("dims", [2, 3])
def test_a_skip_connection_can_be_cut(name: str, dims: int) -> None:
    model = build(name, dims).eval()
    skips = getattr(model, "skips", [])
    assert bool(len(skips)) == (name.endswith("unet") or name == "residual_encoder")
    source = torch.rand(1, 2, *(16, 16, 16)[:dims])
    with torch.no_grad():
        plain = model(source)
        for skip in skips:
            handle = skip.register_forward_hook(lambda _, __, output: torch.zeros_like(output))
            changed = model(source)
            handle.remove()
            assert not torch.equal(changed, plain)
