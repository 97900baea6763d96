"""How much faster one pix2pix step and one volume are than the same network written plainly; `--help` for the sizes.

Plain: the U-Net of 54.4 million parameters and its discriminator from torch's layers, eager, fp32, torch's Adam, the
default allocator. Ours: the recipe as `recontrast train` runs it (bf16 where the processor has it, channels innermost,
deep layers as matrix products, fused Adam, tuned allocator) and the translator as `recontrast translate` runs it
(OpenVINO where installed). Both start from the same weights and see the same images; each runs in a process of its own.

    python benchmarks/pix2pix.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.datasets.patches import Batch
from recontrast.execution.runtime import allocator_environment, choose_precision
from recontrast.models.patchgan import PatchGAN
from recontrast.models.pix2pix_unet import Pix2PixUNet
from recontrast.training.learner import Learner
from recontrast.training.plan import LoopSettings, MemberSettings, Plan


def plain_unet(model: Pix2PixUNet, image: Tensor) -> Tensor:
    """The textbook forward pass with the weights of `model`: batch norm in training form, concatenated skips."""

    def level(number: int, features: Tensor) -> Tensor:
        inner = model.down[number](functional.leaky_relu(features, 0.2) if number else features)
        if 0 < number < model.downs - 1:
            norm = model.down_norm[number - 1]
            inner = functional.batch_norm(inner, None, None, norm.weight, norm.bias, training=True)
        if number < model.downs - 1:
            inner = torch.cat([inner, level(number + 1, inner)], dim=1)
        raised = (model.up[number - 1] if number else model.head)(functional.relu(inner))
        if number:
            norm = model.up_norm[number - 1]
            raised = functional.batch_norm(raised, None, None, norm.weight, norm.bias, training=True)
        return raised

    return torch.tanh(level(0, image))


def plain_patchgan(model: PatchGAN, image: Tensor) -> Tensor:
    for layer, norm in zip(model.layers, model.norms, strict=True):
        image = layer(image)
        if not isinstance(norm, nn.Identity):
            image = functional.batch_norm(image, None, None, norm.weight, norm.bias, training=True)
        image = functional.leaky_relu(image, 0.2)
    return model.head(image)


def images(size: int) -> tuple[Tensor, Tensor]:
    """A smooth blob and its inverse, in [0, 1]."""
    axis = torch.linspace(-1, 1, size)
    radius = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
    source = (1 - radius).clamp(0, 1) * (0.75 + 0.25 * torch.sin(20 * axis))
    return source[None, None].contiguous(), ((radius < 1) * (0.8 - 0.5 * source))[None, None].contiguous()


def train_plainly(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    network = Pix2PixUNet(width=arguments.width, dropout=0.0)
    judge = PatchGAN(width=arguments.width)
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    of_network = torch.optim.Adam(network.parameters(), **adam)  # type: ignore[arg-type]
    of_judge = torch.optim.Adam(judge.parameters(), **adam)  # type: ignore[arg-type]
    source, target = (2 * image - 1 for image in images(arguments.size))
    entropy = functional.binary_cross_entropy_with_logits
    losses, seconds = [], []
    for _ in range(arguments.steps):
        begun = time.perf_counter()
        made = plain_unet(network, source)
        true = plain_patchgan(judge, torch.cat([source, target], 1))
        false = plain_patchgan(judge, torch.cat([source, made.detach()], 1))
        of_judge.zero_grad()
        (0.5 * (entropy(true, torch.full_like(true, 0.9)) + entropy(false, torch.zeros_like(false)))).backward()
        of_judge.step()
        judge.requires_grad_(False)
        false = plain_patchgan(judge, torch.cat([source, made], 1))
        loss = entropy(false, torch.ones_like(false)) + 699 * functional.l1_loss(made, target)
        of_network.zero_grad()
        loss.backward()
        of_network.step()
        judge.requires_grad_(True)
        losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - begun)
    return {"losses": losses, "seconds": seconds[1:]}


def train_ours(arguments: argparse.Namespace) -> dict[str, Any]:
    from lightning_fabric import Fabric

    torch.set_flush_denormal(True)
    width = arguments.width
    recipe = {"discriminator_options": {"width": width}, "real_label": 0.9, "reconstruction_weight": 699.0}
    plan = Plan(
        model=MemberSettings(name="pix2pix_unet"),
        recipe=MemberSettings(name="adversarial", options=recipe),
        loop=LoopSettings(steps=arguments.steps, learning_rate=2e-4, betas=(0.5, 0.999)),
    )
    channels = {"in_channels": 1, "out_channels": 1, "spatial_dims": 2}
    precision = choose_precision(arguments.precision)
    learner = Learner(Fabric(accelerator="cpu"), plan, {**channels, "width": width, "dropout": 0.0}, 0, precision)
    source, target = images(arguments.size)
    batch = Batch(source, target, torch.ones_like(source, dtype=torch.bool))
    losses, seconds = [], []
    for number in range(arguments.steps):
        begun = time.perf_counter()
        losses.append(learner.step(batch, number)[0])
        seconds.append(time.perf_counter() - begun)
    torch.save(learner.network.state_dict(), arguments.weights)
    return {"losses": losses, "seconds": seconds[1:], "precision": precision}


def infer(arguments: argparse.Namespace) -> dict[str, Any]:
    """A volume of slices: plainly, one batch after the other; and by the engine the translator would choose."""
    from recontrast.translation.engines.choice import Engines, EngineSettings

    network = Pix2PixUNet(width=arguments.width, dropout=0.0).eval()
    network.load_state_dict(torch.load(arguments.weights, weights_only=True))
    source, target = images(arguments.size)
    volume = torch.cat([source * (1 - 0.5 * n / arguments.slices) for n in range(arguments.slices)])
    truth = torch.cat([target * (1 - 0.5 * n / arguments.slices) for n in range(arguments.slices)])
    if arguments.part == "infer_plainly":
        with torch.no_grad():
            seconds, made = [], volume
            for _ in range(2):
                begun = time.perf_counter()
                made = torch.cat([0.5 * plain_unet(network, 2 * one - 1) + 0.5 for one in volume.split(1)])
                seconds.append(time.perf_counter() - begun)
        return {"seconds": seconds, "psnr": psnr(made, truth)}
    engines = Engines(network, (0.0, 1.0), EngineSettings(precision=arguments.part.rpartition("_")[2]))
    probe, wider = ([n * (len(volume) - 1) // (count - 1) for n in range(count)] for count in (3, 9))
    for _ in range(2):  # the first time, the network is converted
        begun = time.perf_counter()
        choice = engines.choose(volume[probe].numpy(), lambda: volume[wider].numpy())
        checked = time.perf_counter() - begun
    engine, size = choice.engine, engines.batch
    seconds, made = [], volume
    for _ in range(3):
        begun = time.perf_counter()
        made = torch.cat([torch.from_numpy(engine(batch.numpy())) for batch in volume.split(size)])
        seconds.append(time.perf_counter() - begun)
    return {
        "seconds": seconds, "psnr": psnr(made, truth), "engine": engine.name, "precision": engine.precision,
        "rms": choice.rms, "checked": checked,
    }  # fmt: skip


def psnr(made: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((made.clamp(0, 1) - truth).square().mean()))


PARTS = {
    "train_plainly": train_plainly, "train_ours": train_ours, "infer_plainly": infer, "infer_auto": infer,
    "infer_int8": infer,
}  # fmt: skip


def run(part: str, arguments: argparse.Namespace, weights: Path) -> dict[str, Any]:
    environment = {**os.environ, **({} if part.endswith("plainly") else allocator_environment())}
    command = [sys.executable, __file__, "--part", part, "--weights", str(weights)]
    for name in ("size", "width", "steps", "slices", "precision"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="in-plane voxels")
    parser.add_argument("--width", type=int, default=64, help="channels of the first layer")
    parser.add_argument("--steps", type=int, default=16, help="training steps of each")
    parser.add_argument("--slices", type=int, default=24, help="slices of the volume")
    parser.add_argument("--precision", default="auto", help="of our training: auto, fp32, bf16")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {part: run(part, arguments, Path(folder, "weights.pt")) for part in PARTS}
    plain, ours = found["train_plainly"], found["train_ours"]
    one, other = (statistics.median(part["seconds"]) for part in (plain, ours))
    apart = max(abs(a - b) / abs(a) for a, b in zip(plain["losses"], ours["losses"], strict=True))
    print(f"training step, {arguments.size} x {arguments.size}, batch 1: plain fp32 {one:.2f} s, ours "
          f"{ours['precision']} {other:.2f} s, {one / other:.1f} times faster")  # fmt: skip
    print(f"losses of {arguments.steps} steps from the same weights: largest relative difference {apart:.4f}")
    print("  plain " + " ".join(f"{loss:.1f}" for loss in plain["losses"]))
    print("  ours  " + " ".join(f"{loss:.1f}" for loss in ours["losses"]))
    plain = found["infer_plainly"]
    one = min(plain["seconds"])
    print(f"volume of {arguments.slices} slices: plain fp32 {one:.2f} s")
    for asked in ("auto", "int8"):
        ours = found[f"infer_{asked}"]
        other = min(ours["seconds"])
        print(f"  --precision {asked}: {ours['engine']} {ours['precision']} {other:.2f} s, {one / other:.1f} times "
              f"faster, and {ours['checked']:.2f} s an image to compare it with fp32; PSNR changed by "
              f"{ours['psnr'] - plain['psnr']:+.4f} dB (rms {ours['rms']:.4f} of the range)")  # fmt: skip


if __name__ == "__main__":
    main()
