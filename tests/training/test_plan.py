"""Presets resolve in the stated order, and say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recontrast.datasets.augment import AugmentSettings
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.losses.perceptual import PerceptualLoss
from recontrast.models import MODELS
from recontrast.recipes import RECIPES
from recontrast.training.plan import SCALES, LoopSettings, preset_paths, preset_summary, read_plan
from recontrast.training.planning import model_options


@pytest.mark.parametrize("preset", preset_paths())
@pytest.mark.parametrize("scale", SCALES)
def test_every_preset_builds(preset: str, scale: str) -> None:
    plan = read_plan(preset, scale)
    options = dict(plan.recipe.options)
    if options.get("perceptual", "none") != "none":
        with pytest.raises(ConfigError, match="nothing is downloaded"):  # its weights are the user's to give
            PerceptualLoss(options["perceptual"], options.get("perceptual_weights", ()))
        options |= {"perceptual": "none", "perceptual_weight": 0.0}
    with torch.device("meta"):
        network = MODELS.build(plan.model.name, model_options(plan, 2))  # as a training builds it
        recipe = RECIPES.build(plan.recipe.name, {"network": network, **options})
    assert recipe.paired == plan.data.paired
    assert plan.summary == preset_summary(preset_paths()[preset])
    assert plan.summary


def test_what_masked_reconstruction_learns_fits_the_default() -> None:
    plan, default = read_plan("masked-reconstruction", "cpu"), read_plan("auto", "cpu")
    assert plan.model == default.model
    same = ("neighbours", "context_voxels", "context_steep", "level_sources", "plane")
    assert [getattr(plan.data, name) for name in same] == [getattr(default.data, name) for name in same]


def test_osman2022_at_paper_scale_is_the_published_method() -> None:
    plan = read_plan("osman2022", "paper")
    network = MODELS.build(plan.model.name, plan.model.options)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_962_337
    assert plan.recipe.options == {"loss": "mse"}
    loop, data = plan.loop, plan.data
    assert (loop.learning_rate, loop.betas, loop.epochs, loop.patience) == (1e-3, (0.9, 0.999), 120, 20)
    assert (loop.schedule, loop.steps, loop.minutes, loop.ema) == ("constant", 0, 0, 0)
    assert (data.batch, data.size, data.clip_target) == (32, (224, 224), True)


def test_tagawa2025_at_paper_scale_is_the_published_method() -> None:
    plan = read_plan("tagawa2025", "paper")
    with torch.device("meta"):
        network = MODELS.build(plan.model.name, plan.model.options)
    assert sum(parameter.numel() for parameter in network.parameters()) == 54_407_809
    options, loop = plan.recipe.options, plan.loop
    assert (options["reconstruction_weight"], options["perceptual_weight"]) == (699, 699)
    assert (options["objective"], options["real_label"], options["perceptual"]) == ("cross_entropy", 0.9, "lpips_vgg")
    assert (loop.learning_rate, loop.betas, loop.epochs, loop.snapshots) == (2e-4, (0.5, 0.999), 40, 4)
    assert (plan.data.batch, plan.data.size, plan.data.slices) == (1, (256, 256), "brain")
    assert plan.data.augment == AugmentSettings()


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("pix2pix", 66_992_769), ("cyclegan", 7_217_409), ("unit", 12_545_793)],
)
def test_grantjacob2021_at_paper_scale(preset: str, parameters: int) -> None:
    plan = read_plan(f"grantjacob2021-{preset}", "paper")
    with torch.device("meta"):
        network = MODELS.build(plan.model.name, plan.model.options)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert (plan.loop.epochs, plan.loop.learning_rate, plan.data.batch) == (15, 2e-4, 1)
    assert (plan.data.size, set(plan.data.planes)) == ((512, 512), {"axial", "coronal", "sagittal"})
    assert plan.data.augment == AugmentSettings()


def test_scales_keep_network_and_loss() -> None:
    paper, cpu = (read_plan("osman2022", scale) for scale in SCALES)
    assert paper.model == cpu.model
    assert paper.recipe == cpu.recipe
    assert cpu.loop.minutes > 0


def test_overrides_win_and_are_typed() -> None:
    plan = read_plan(
        "osman2022", "cpu", ["loop.steps=7", "recipe.options.loss=l1", "data.size=[32,48]", "model.options.width = 8"]
    )
    assert (plan.loop.steps, plan.recipe.options["loss"], plan.data.size) == (7, "l1", (32, 48))
    assert (plan.model.options["width"], plan.model.options["depth"]) == (8, 4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.stepz=3", "did you mean 'loop.steps'"),
        ("lop.steps=3", "did you mean 'loop'"),
        ("data.augment.miror=true", "did you mean 'data.augment.mirror'"),
        ("loop.steps", "write section.name=value"),
        ("steps=3", "write section.name=value"),
        ("loop.steps=many", "loop.steps"),
        ("loop.schedule=cosinus", "did you mean 'cosine'"),
        ("loop.ema=1.5", "below 1"),
        ("data.plane=axal", "axial"),
    ],
)
def test_wrong_overrides_are_explained(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_plan("osman2022", "cpu", [override])


def test_unknown_preset_and_scale() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'osman2022'"):
        read_plan("osman2002", "cpu")
    with pytest.raises(UnknownNameError, match="there is: cpu, paper"):
        read_plan("osman2022", "gpu")


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[model]\nname = "unet"\n[recipe]\nname = "supervised"\n[cpu.loop]\nsteps = 5\n')
    assert read_plan(str(path), "cpu").loop.steps == 5
    with pytest.raises(ConfigError, match="has no end"):
        read_plan(str(path), "paper", ["loop.seed=1"])
    path.write_text('[model]\nname = "unet"\n[recipe]\nname = "supervised"\n[cpu.lopp]\nsteps = 5\n')
    with pytest.raises(UnknownNameError, match="did you mean 'loop'"):
        read_plan(str(path), "cpu")


def test_snapshots_need_to_know_the_end_a_falling_rate_does_not() -> None:
    with pytest.raises(ConfigError, match=r"loop\.snapshots 2 needs loop\.steps or loop\.epochs"):
        LoopSettings(minutes=3, snapshots=2)
    LoopSettings(minutes=3, schedule="cosine")


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("res-unet", 312_250_369), ("att-unet", 103_887_981), ("trans-unet", 32_722_561)],
)
def test_bottani2024_at_paper_scale(model: str, parameters: int) -> None:
    alone, game = (read_plan(f"bottani2024-{kind}{model}", "paper") for kind in ("", "cgan-"))
    assert alone.model == game.model
    with torch.device("meta"):
        network = MODELS.build(alone.model.name, {"spatial_dims": alone.data.spatial_dims, **alone.model.options})
        recipe = RECIPES.build("adversarial", {"network": network, "spatial_dims": 3, **game.recipe.options})
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert sum(parameter.numel() for parameter in recipe.discriminator.parameters()) == 286_625
    assert (recipe.discriminator.patch, recipe.discriminator.stride) == (64, 50)
    assert (recipe.adversarial.objective, recipe.adversarial.soft, recipe.weights[:2]) == (
        "least_squares",
        0.3,
        (1, 0.5),
    )
    assert (alone.recipe.options, alone.loop.epochs) == ({"loss": "l1"}, 300)
    assert (alone.data.batch, game.data.batch, alone.data.patch) == (2, 1, (128, 128, 128))
    assert (alone.loop.learning_rate, alone.loop.betas, alone.loop.schedule) == (1e-4, (0.5, 0.999), "constant")
