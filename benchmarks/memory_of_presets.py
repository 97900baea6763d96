"""Memory of one training step of each preset: predicted beforehand, and measured in a process of its own.

    python benchmarks/memory_of_presets.py

A preset whose predicted memory is more than half of what this machine has is not run. The measured number is the
largest resident size of the process, after two steps on random images; it ends with the ratio of both.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

from recontrast.errors import RecontrastError
from recontrast.execution.runtime import allocator_environment, choose_precision
from recontrast.training.plan import preset_paths, read_plan
from recontrast.translation.windows import memory_of_machine_gb


def measure(preset: str, scale: str) -> None:
    import torch
    from lightning_fabric import Fabric

    from recontrast.datasets.patches import Batch
    from recontrast.training.learner import Learner
    from recontrast.training.memory import seen_size

    overrides = ["recipe.options.first_steps=0"] if "cgan" in preset or preset == "hagiwara2019" else []
    overrides += ["recipe.options.second_steps=0"] if "cgan" in preset else []
    plan = read_plan(preset, scale, overrides)
    size = seen_size(plan)
    channels = {"in_channels": 1 + 2 * plan.data.neighbours, "out_channels": 1, "spatial_dims": plan.data.spatial_dims}
    learner = Learner(
        Fabric(accelerator="cpu"), plan, {**plan.model.options, **channels}, 0, choose_precision(plan.loop.precision)
    )
    source = torch.rand(plan.data.batch, channels["in_channels"], *size)
    target = torch.rand(plan.data.batch, 1, *size)
    spacing = torch.ones(plan.data.batch, len(size))
    for number in range(2):
        learner.step(Batch(source, target, target > 0, spacing), number)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", nargs="+", default=["cpu", "paper"])
    parser.add_argument("--presets", nargs="+", default=sorted(preset_paths()))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(*arguments.one)
        return
    from recontrast.training.memory import training_memory

    environment = {**os.environ, **allocator_environment()}  # that of `recontrast train`
    limit = 0.5e9 * memory_of_machine_gb()
    print(f"{'preset':<30} {'scale':<6} {'predicted GB':>12} {'measured GB':>12} {'ratio':>6}")
    for preset in arguments.presets:
        for scale in arguments.scales:
            try:
                predicted = training_memory(read_plan(preset, scale)).most
            except RecontrastError as error:
                print(f"{preset:<30} {scale:<6} not known: {error}")
                continue
            row = f"{preset:<30} {scale:<6} {predicted / 1e9:>12.2f}"
            if predicted > limit:
                print(f"{row} {'too large':>12}", flush=True)
                continue
            command = [sys.executable, __file__, "--one", preset, scale]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                print(f"{row} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            measured = float(done.stdout.split()[-1])
            print(f"{row} {measured / 1e9:>12.2f} {predicted / measured:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
