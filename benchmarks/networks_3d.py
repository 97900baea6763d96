"""3D networks at width 16: a training step, and inference, against the same network in plain eager fp32; in one run.

    python benchmarks/networks_3d.py [--networks res_unet att_unet trans_unet] [--size 128] [--train-size 96]

Plain: the network as PyTorch runs it (fp32, contiguous memory, torch's Adam, default allocator). Ours: the learner as
`recontrast train` uses it (bf16 where the processor has it, channels innermost, fused Adam, tuned allocator) and the
translator as `recontrast translate` uses it (OpenVINO where installed). Every measurement is a process of its own.
Inference includes the check against fp32. The last table holds windows against the whole volume.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

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


def train(name: str, size: int, steps: int, ours: bool) -> dict[str, Any]:
    import torch
    from torch.nn import functional

    source, target = (torch.from_numpy(image)[None, None] for image in images((size,) * 3))
    seconds, losses = [], []
    if ours:
        from lightning_fabric import Fabric

        from recontrast.datasets.patches import Batch
        from recontrast.execution.runtime import choose_precision
        from recontrast.training.learner import Learner
        from recontrast.training.plan import LoopSettings, MemberSettings, Plan

        torch.set_flush_denormal(True)
        plan = Plan(
            model=MemberSettings(name=name),
            recipe=MemberSettings(name="supervised", options={"loss": "l1"}),
            loop=LoopSettings(steps=steps, learning_rate=5e-4),
        )
        options = {"in_channels": 1, "out_channels": 1, "spatial_dims": 3, **WIDTH_16[name]}
        learner = Learner(Fabric(accelerator="cpu"), plan, options, 0, choose_precision("auto"))
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


def infer(name: str, shape: tuple[int, ...], repeats: int, way: str, window: int = 0) -> dict[str, Any]:
    """One volume: plain PyTorch, or the translator; from weights that have learned for a few steps."""
    import torch

    source, target = images(shape)
    net = network(name)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    small = [torch.from_numpy(image)[None, None] for image in images((64, 64, 64))]
    for _ in range(6):
        loss = (net(small[0]) - small[1]).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    net.eval()
    if way == "plain":
        given = torch.from_numpy(source)[None, None]

        def run() -> np.ndarray:
            with torch.no_grad():
                return net(given)[0, 0].clamp(0, 1).numpy()

    else:
        from recontrast.preparation.normalize import Scale
        from recontrast.translation.engines.choice import EngineSettings
        from recontrast.translation.translator import Member, Translator, TranslatorDescription

        about = TranslatorDescription(
            preset="benchmark", sources=("ce-gadolinium_T1w",), target="T1w", model=Member(name=name),
            recipe=Member(name="supervised"), target_scale=Scale("percentile", 0.0, 1.0), spacing_mm=(1, 1, 1),
            plane="volume",
        )  # fmt: skip
        translator = Translator(net, about, EngineSettings(window=window, memory_gb=100.0))

        def run() -> np.ndarray:
            return translator.predict_scaled({"ce-gadolinium_T1w": source}, {})

    made = run()
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        made = run()
        seconds.append(time.perf_counter() - begun)
    np.save(f"/tmp/networks_3d_{os.getppid()}_{way}_{window}.npy", made)
    return {"seconds": seconds, "psnr": -10 * np.log10(float(np.mean((made - target) ** 2)))}


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
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--head", type=int, nargs=3, default=[182, 218, 182])
    parser.add_argument("--skip", nargs="*", default=[], choices=["train", "infer", "window"])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what = json.loads(arguments.one)
        do = {"train": train, "infer": infer}[what.pop("do")]
        result = do(**{key: tuple(value) if isinstance(value, list) else value for key, value in what.items()})
        result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(json.dumps(result))
        return
    for name in arguments.networks:
        if "train" not in arguments.skip:
            settings = {"do": "train", "name": name, "size": arguments.train_size, "steps": arguments.steps}
            plain, ours = (in_a_process(tuned, **settings, ours=tuned) for tuned in (False, True))
            slow, fast = (statistics.median(result["seconds"][1:]) for result in (plain, ours))
            share = ours["memory"] / plain["memory"]
            print(
                f"{name:<11} training step {arguments.train_size}^3: plain {slow:.2f} s {plain['memory']:.2f} GB, ours "
                f"{fast:.2f} s {ours['memory']:.2f} GB: {slow / fast:.2f}x, memory {share:.2f}"
                f"; PSNR after {arguments.steps} steps {plain['psnr']:.2f} and {ours['psnr']:.2f} dB",
                flush=True,
            )
        if "infer" not in arguments.skip:
            settings = {"do": "infer", "name": name, "shape": [arguments.size] * 3, "repeats": arguments.repeats}
            plain, ours = (in_a_process(way == "ours", **settings, way=way) for way in ("plain", "ours"))
            slow, fast = (min(result["seconds"]) for result in (plain, ours))
            print(
                f"{name:<11} inference {arguments.size}^3: plain {slow:.2f} s, ours {fast:.2f} s: {slow / fast:.2f}x; "
                f"PSNR changed by {ours['psnr'] - plain['psnr']:+.4f} dB",
                flush=True,
            )
        if "window" not in arguments.skip:
            settings = {"do": "infer", "name": name, "shape": arguments.head, "repeats": 1, "way": "ours"}
            whole, cut = (in_a_process(True, **settings, window=window) for window in (0, arguments.window))
            slow, fast = (min(result["seconds"]) for result in (cut, whole))
            made = [np.load(f"/tmp/networks_3d_{os.getpid()}_ours_{window}.npy") for window in (0, arguments.window)]
            differ = float(np.sqrt(np.mean((made[0] - made[1]) ** 2)))
            print(
                f"{name:<11} head {'x'.join(map(str, arguments.head))}: whole {fast:.2f} s, windows of "
                f"{arguments.window} at overlap 0.25 {slow:.2f} s: {slow / fast:.2f}x; they differ by {differ:.4f} rms",
                flush=True,
            )


if __name__ == "__main__":
    main()
