"""3D networks at width 16: a training step, and inference, against the same network in plain eager fp32; in one run.

    python benchmarks/networks_3d.py [--networks res_unet att_unet trans_unet] [--size 128] [--train-size 96]

Plain: the network as PyTorch runs it (fp32, contiguous memory, torch's Adam, dropout and attention, default
allocator). Ours: the learner as `recontrast train` uses it (bf16 where the processor has it, channels innermost, fused
Adam, tuned allocator) and the translator as `recontrast translate` uses it (OpenVINO where installed). Every
measurement is a process of its own. Memory is what the process takes beyond its imports. Inference includes the check
against fp32 (also printed: the network alone), and is compared twice: with the layers one by one as papers draw them
(images doubled in size, then convolved; joined, then convolved), and with our network, which saves products there, run
by PyTorch. The last table holds windows against the whole volume.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

FOLDER = "RECONTRAST_BENCHMARK_FOLDER"
"""Environment variable with the folder that the processes of a run share."""

WIDTH_16 = {
    "res_unet": {"width": 16},
    "att_unet": {"width": 16},
    "trans_unet": {"width": 16},
}


def network(name: str) -> Any:
    import torch

    from recontrast.models import MODELS

    torch.manual_seed(0)
    return MODELS.build(name, {"spatial_dims": 3, **WIDTH_16[name]})


def images(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A ball with waves in it, and its inverse, in [0, 1]."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape], indexing="ij", sparse=True)
    radius = np.sqrt(sum(axis**2 for axis in axes))
    source = np.clip(1 - radius, 0, 1) * (0.75 + 0.25 * np.sin(20 * axes[0]) * np.cos(15 * axes[2]))
    return source.astype(np.float32), ((radius < 1) * (0.8 - 0.5 * source)).astype(np.float32)


def train(name: str, size: int, steps: int, ours: bool, recompute: bool = False) -> dict[str, Any]:
    import torch
    from torch.nn import functional

    source, target = (torch.from_numpy(image)[None, None] for image in images((size,) * 3))
    seconds, losses = [], []
    if ours:
        from recontrast.datasets.patches import Batch

        torch.set_flush_denormal(True)
        learner = learner_of(name, steps, recompute)
        for number in range(steps):
            begun = time.perf_counter()
            losses.append(learner.step(Batch(source, target, target > 0), number)[0])
            seconds.append(time.perf_counter() - begun)
        trained = learner.network
    else:
        trained = network(name)
        adam = torch.optim.Adam(trained.parameters(), lr=5e-4)
        for _ in range(steps):
            begun = time.perf_counter()
            with torchs_own():
                loss = functional.l1_loss(trained(source), target)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(float(loss.detach()))
            seconds.append(time.perf_counter() - begun)
    trained.eval()
    with torch.no_grad():
        error = float((trained(source.contiguous()).clamp(0, 1) - target).square().mean())
    return {"seconds": seconds, "psnr": -10 * np.log10(error), "loss": losses[-1]}


def learner_of(name: str, steps: int, recompute: bool = False) -> Any:
    """What `recontrast train` learns with: bf16 where the processor has it."""
    from lightning_fabric import Fabric

    from recontrast.execution.runtime import choose_precision
    from recontrast.training.learner import Learner
    from recontrast.training.plan import LoopSettings, MemberSettings, Plan

    plan = Plan(
        model=MemberSettings(name=name),
        recipe=MemberSettings(name="supervised", options={"loss": "l1"}),
        loop=LoopSettings(steps=steps, learning_rate=5e-4, recompute=recompute),
    )
    options = {"in_channels": 1, "out_channels": 1, "spatial_dims": 3, **WIDTH_16[name]}
    return Learner(Fabric(accelerator="cpu"), plan, options, 0, choose_precision("auto"))


@contextlib.contextmanager
def torchs_own() -> Iterator[None]:
    """Attention and dropout of PyTorch in the place of ours."""
    from torch.nn import functional

    from recontrast.models import trans_unet

    def attend(queries: Any, keys: Any, values: Any, rate: float) -> Any:
        return functional.scaled_dot_product_attention(queries, keys, values, dropout_p=rate)

    with mock.patch.multiple(trans_unet, attend=attend, dropped_out=functional.dropout):
        yield


@contextlib.contextmanager
def as_drawn() -> Iterator[None]:
    """Layers one by one: the same weights and results, without the products and copies that our networks save."""
    import torch
    from torch.nn import functional

    from recontrast.models import att_unet, res_unet, trans_unet

    def upsampled(image: Any, weight: Any, bias: Any = None) -> Any:
        return functional.conv3d(functional.interpolate(image, scale_factor=2), weight, bias, padding=1)

    def joined(layer: Any, first: Any, second: Any) -> Any:
        return layer(torch.cat([first, second], dim=1))

    def ended(self: Any, features: Any, beside: Any) -> Any:
        doubled = functional.interpolate(torch.cat([features, beside], dim=1), scale_factor=2)
        return self.activation(self.head(doubled))

    drawn = {"convolve_upsampled": upsampled, "convolve_joined": joined, "convolve_transposed_joined": joined}
    with contextlib.ExitStack() as patches:
        for module in (att_unet, res_unet, trans_unet):
            for function in drawn.keys() & vars(module).keys():
                patches.enter_context(mock.patch.object(module, function, drawn[function]))
        patches.enter_context(mock.patch.object(res_unet.ResUNet, "_ended", ended))
        yield


def learned(name: str, steps: int = 100) -> Any:
    """The network after some steps on parts of the image; the same in every process of a run.

    An untrained network amplifies rounding.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from recontrast.datasets.patches import Batch

    net, kept = network(name), Path(os.environ[FOLDER], f"{name}.safetensors")
    if not kept.exists():
        pair, places, learner = images((128, 128, 128)), np.random.default_rng(0), learner_of(name, steps)
        for number in range(steps):
            parts = [tuple(slice(first, first + 64) for first in places.integers(0, 65, 3)) for _ in range(2)]
            source, target = (torch.from_numpy(np.stack([image[part] for part in parts])[:, None]) for image in pair)
            learner.step(Batch(source, target, torch.ones_like(target, dtype=torch.bool)), number)
        save_file({key: value.contiguous() for key, value in learner.network.state_dict().items()}, kept)
    net.load_state_dict(load_file(kept))
    return net.eval()


def infer(name: str, shape: tuple[int, ...], repeats: int, way: str, window: int = 0) -> dict[str, Any]:
    """One volume: drawn, plain or ours; from weights that have learned for some steps."""
    import torch

    source, target = images(shape)
    net = learned(name)
    if way != "ours":
        given = torch.from_numpy(source)[None, None]

        def run() -> np.ndarray:
            with torch.no_grad(), as_drawn() if way == "drawn" else contextlib.nullcontext():
                return net(given)[0, 0].clamp(0, 1).numpy()

    else:
        from recontrast.preparation.normalize import Scale
        from recontrast.translation.engines.choice import EngineSettings
        from recontrast.translation.translator import Member, Translator, TranslatorDescription
        from recontrast.volume import Volume

        about = TranslatorDescription(
            preset="benchmark", sources=("ce-gadolinium_T1w",), target="T1w", model=Member(name=name),
            recipe=Member(name="supervised"), target_scale=Scale("percentile", 0.0, 1.0), spacing_mm=(1, 1, 1),
            plane="volume",
        )  # fmt: skip
        translator = Translator(net, about, EngineSettings(window=window, memory_gb=100.0))

        def run() -> np.ndarray:
            return translator.predict_scaled({"ce-gadolinium_T1w": source}, {})

    made, seconds = run(), timed(run, repeats)
    alone, precision = [], "fp32"
    if way == "ours" and not window:
        case = {"ce-gadolinium_T1w": Volume(source, np.eye(4))}
        engine = translator.run(case, scales=dict.fromkeys(case, about.target_scale)).choice.engine
        engine(source[None, None])
        alone, precision = timed(lambda: engine(source[None, None]), repeats), engine.precision
    np.save(Path(os.environ[FOLDER], f"{way}_{window}.npy"), made)
    inside = source > 0  # outside, the translator delivers no signal
    psnr = -10 * np.log10(float(np.mean((made - target)[inside] ** 2)))
    return {"seconds": seconds, "alone": alone, "precision": precision, "psnr": psnr}


def timed(run: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return seconds


def in_a_process(tuned: bool, **what: Any) -> dict[str, Any]:
    from recontrast.execution.runtime import allocator_environment

    environment = {**os.environ, **(allocator_environment() if tuned else {})}
    command = [sys.executable, __file__, "--one", json.dumps(what)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(WIDTH_16))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--train-size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--head", type=int, nargs=3, default=[182, 218, 182])
    parser.add_argument("--skip", nargs="*", default=[], choices=["train", "infer", "window"])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what = json.loads(arguments.one)
        do = {"train": train, "infer": infer}[what.pop("do")]
        import recontrast.training.learner  # noqa: F401  # both ways have paid for all imports

        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = do(**{key: tuple(value) if isinstance(value, list) else value for key, value in what.items()})
        result["memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) * 1024 / 1e9
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    for name in arguments.networks:
        if "train" not in arguments.skip:
            settings = {"do": "train", "name": name, "size": arguments.train_size, "steps": arguments.steps}
            plain = in_a_process(False, **settings, ours=False)
            for recompute in (False, True):
                ours = in_a_process(True, **settings, ours=True, recompute=recompute)
                slow, fast = (statistics.median(result["seconds"][1:]) for result in (plain, ours))
                share = ours["memory"] / plain["memory"]
                more = ", loop.recompute" if recompute else ""
                print(
                    f"{name:<11} training step {arguments.train_size}^3{more}: plain "
                    f"{slow:.2f} s {plain['memory']:.2f} GB, ours {fast:.2f} s {ours['memory']:.2f} GB: "
                    f"{slow / fast:.2f}x, memory {share:.2f}; PSNR after {arguments.steps} steps {plain['psnr']:.2f} "
                    f"and {ours['psnr']:.2f} dB",
                    flush=True,
                )
        if "infer" not in arguments.skip:
            settings = {"do": "infer", "name": name, "shape": [arguments.size] * 3, "repeats": arguments.repeats}
            ways = [in_a_process(way == "ours", **settings, way=way) for way in ("drawn", "plain", "ours")]
            drawn, slow, fast = (min(result["seconds"]) for result in ways)
            alone = min(ways[2]["alone"])
            print(
                f"{name:<11} inference {arguments.size}^3: layer by layer {drawn:.2f} s, our network in PyTorch "
                f"{slow:.2f} s, ours {fast:.2f} s: {drawn / fast:.2f}x and {slow / fast:.2f}x; its network alone, in "
                f"{ways[2]['precision']}, {alone:.2f} s: {drawn / alone:.2f}x and {slow / alone:.2f}x; "
                f"PSNR {ways[0]['psnr']:.2f} dB, changed by {ways[2]['psnr'] - ways[0]['psnr']:+.4f} dB",
                flush=True,
            )
        if "window" not in arguments.skip:
            settings = {"do": "infer", "name": name, "shape": arguments.head, "repeats": 1, "way": "ours"}
            whole, cut = (in_a_process(True, **settings, window=window) for window in (0, arguments.window))
            slow, fast = (min(result["seconds"]) for result in (cut, whole))
            made = [np.load(Path(os.environ[FOLDER], f"ours_{window}.npy")) for window in (0, arguments.window)]
            differ = float(np.sqrt(np.mean((made[0] - made[1]) ** 2)))
            print(
                f"{name:<11} head {'x'.join(map(str, arguments.head))}: whole {fast:.2f} s, windows of "
                f"{arguments.window} at overlap 0.25 {slow:.2f} s: {slow / fast:.2f}x; they differ by {differ:.4f} rms",
                flush=True,
            )


if __name__ == "__main__":
    main()
