"""What each training lever gains on this machine: `python benchmarks/training_levers.py [--quick] [--score]`.

One step of the U-Net of `osman2022` (forward, backward, Adam), each lever alone on top of plain PyTorch, all of them
together, all but one, and compiled. The allocator is set when a process starts, so every round runs two children, one
with and one without. A ratio compares times of one round; the table shows the median over the rounds.

`--score` also trains the plain and the fast way for the same steps on simulated heads, and prints the validation score
of each.
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
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from recontrast.execution.runtime import allocator_environment, supports_bf16

LEVERS = {
    "channels_last": "channels innermost",
    "folded": "upsampling folded into the convolution",
    "dropout": "fast dropout",
    "bf16": "bf16 autocast",
}


@dataclass(frozen=True)
class Variant:
    """One way of computing the same step."""

    channels_last: bool = False
    folded: bool = False
    dropout: bool = False
    bf16: bool = False
    compiled: bool = False


PLAIN = Variant()
FAST = Variant(channels_last=True, folded=True, dropout=True, bf16=True)


def variants(compile_too: bool) -> Iterator[tuple[str, Variant]]:
    """Name and variant of each row; a processor without bf16 has bf16 in one row, to show what it would cost."""
    fast = replace(FAST, bf16=supports_bf16())
    yield "plain PyTorch, eager, fp32", PLAIN
    for lever, name in LEVERS.items():
        yield f"only {name}", replace(PLAIN, **{lever: True})
    if fast.bf16:
        yield "all, but fp32", replace(fast, bf16=False)
    for lever, name in LEVERS.items():
        if lever != "bf16":
            yield f"all without {name}", replace(fast, **{lever: False})
    yield "all", fast
    if compile_too:
        yield "plain, compiled, fp32", replace(PLAIN, compiled=True)
        yield "all, compiled", replace(fast, compiled=True)


def seconds_per_step(variant: Variant, batch: int, size: int, steps: int) -> tuple[float, float]:
    """Median time of a step, and time of the first one (compilation included)."""
    import torch
    from torch.nn import functional

    from recontrast.losses.reconstruction import MeanSquaredError
    from recontrast.models import unet

    def plain_dropout(features: torch.Tensor, rate: float, training: bool) -> torch.Tensor:
        return functional.dropout(functional.relu(features, inplace=True), rate, training)

    class PlainUpLevel(unet._Level):
        def __init__(self, below: int, channels: int, rate: float, norm: str, dims: int, _: str) -> None:
            super().__init__(below + channels, channels, rate, norm, dims)

        def forward(self, below: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
            upsampled = functional.interpolate(below, scale_factor=2, mode="nearest")
            return self._rest(self.first(torch.cat([upsampled, skip], dim=1)))

    with ExitStack() as stack:
        if not variant.dropout:
            stack.enter_context(patch.object(unet, "relu_dropout", plain_dropout))
        if not variant.folded:
            stack.enter_context(patch.object(unet, "_UpLevel", PlainUpLevel))
        torch.manual_seed(0)
        network = unet.UNet(width=16, depth=4, dropout=(0.1, 0.1, 0.2, 0.2, 0.3))
        loss_of = MeanSquaredError()
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        network.to(memory_format=layout)
        if variant.compiled:
            network.compile(dynamic=False)
        optimizer = torch.optim.Adam(network.parameters(), fused=variant != PLAIN)
        source, target = (torch.rand(batch, 1, size, size).contiguous(memory_format=layout) for _ in range(2))
        times = []
        for _ in range(steps + 1):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=variant.bf16):
                estimate = network(source)
            loss_of(target, estimate).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:]), times[0]


def child(options: argparse.Namespace) -> None:
    """Measure all variants in this process and print them as JSON."""
    import torch

    torch.set_flush_denormal(True)
    rows = dict(variants(options.compile))
    # The first variant pays for the first use of everything, so it is run once before.
    seconds_per_step(PLAIN, options.batch, options.size, 1)
    print(json.dumps({n: seconds_per_step(v, options.batch, options.size, options.steps) for n, v in rows.items()}))


def measure(options: argparse.Namespace) -> dict[bool, list[dict[str, tuple[float, float]]]]:
    """Rounds of children; key: whether with the tuned allocator."""
    rounds: dict[bool, list[dict[str, tuple[float, float]]]] = {False: [], True: []}
    for _ in range(options.rounds):
        for tuned, results in rounds.items():
            environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
            environment |= allocator_environment() if tuned else {}
            command = [sys.executable, __file__, "--child", *sys.argv[1:]]
            shown = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            results.append(json.loads(shown.splitlines()[-1]))
    return rounds


def print_table(rounds: dict[bool, list[dict[str, tuple[float, float]]]]) -> None:
    """Ratios to plain PyTorch with the default allocator, larger is faster."""
    plain = [results["plain PyTorch, eager, fp32"][0] for results in rounds[False]]
    print("| step | default allocator: s | times faster | tuned allocator: s | times faster | first step s |")
    print("|---|---|---|---|---|---|")
    for name in rounds[False][0]:
        cells = [name]
        for tuned in (False, True):
            seconds = [results[name][0] for results in rounds[tuned]]
            ratios = [base / here for base, here in zip(plain, seconds, strict=True)]
            cells += [f"{statistics.median(seconds):.2f}", f"{statistics.median(ratios):.1f}"]
        cells.append(f"{statistics.median(results[name][1] for results in rounds[True]):.1f}")
        print(f"| {' | '.join(cells)} |")


def print_scores(steps: int, seeds: int) -> None:
    """Train the plain and the fast way for the same steps and print the best validation of each."""
    from recontrast.phantom.cohort import SimulateSettings, simulate
    from recontrast.preparation.pipeline import PrepareSettings, prepare
    from recontrast.training.command import TrainSettings, train
    from recontrast.training.log import read_log

    ways = {"fp32": ("loop.precision=fp32", "loop.channels_last=false"), "fast": ()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(SimulateSettings(out=folder / "cohort", subjects=8, contrasts=("T1w", "T2w", "FLAIR")))
        prepare(PrepareSettings(bids=folder / "cohort", out=folder / "prepared"))
        print(
            f"\n| validation PSNR in dB after {steps} steps | " + " | ".join(f"seed {s}" for s in range(seeds)) + " |"
        )
        print("|---|" + "---|" * seeds)
        for way, overrides in ways.items():
            scores = []
            for seed in range(seeds):
                run = folder / f"{way}-{seed}"
                budget = (f"loop.steps={steps}", "loop.minutes=0", f"loop.seed={seed}", f"loop.validate_every={steps}")
                sources = ("T1w", "T2w")
                train(
                    TrainSettings(
                        prepared=folder / "prepared",
                        run=run,
                        source=sources,
                        target="FLAIR",
                        preset="osman2022",
                        set=(*budget, *overrides),
                    )
                )
                scores += [e["metrics"]["psnr"] for e in read_log(run) if e["event"] == "validation"]
            print(f"| {way} | " + " | ".join(f"{score:.2f}" for score in scores) + " |")


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="slices of SIZE x SIZE")
    parser.add_argument("--steps", type=int, default=4, help="measured steps of a variant in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small slices, one round")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile (half a minute a variant)")
    parser.add_argument("--score", action="store_true", help="also compare validation scores (minutes)")
    parser.add_argument("--score-steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.batch, options.size, options.rounds = 8, 112, 1
    if options.child:
        child(options)
        return
    print(f"processor computes in bf16: {supports_bf16()}; batch {options.batch} x {options.size} x {options.size}\n")
    print_table(measure(options))
    if options.score:
        print_scores(options.score_steps, options.seeds)


if __name__ == "__main__":
    main()
