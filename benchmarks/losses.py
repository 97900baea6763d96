"""What losses do to the score: `python benchmarks/losses.py PREPARED OUT [--steps 300]`.

Trains the preset `auto` from PREPARED several times with the same number of steps, on pairs as they are and on copies
in which the target of each training subject was moved by up to --voxels an axis (seeded): by one shift in the plane
of the slices (moved), by one for each slice (slices), by one in all directions (through), by the same and then
registered to the source as `recontrast prepare` does it (registered). --rows chooses from the table below. Test and
validation subjects are never moved. Prints PSNR and SSIM in the brain by our protocol, and how far the synthetic
images of the test subjects lie from their targets (mean shift over their slices, in voxels).
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import shift as interpolated

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table, write_table
from recontrast.losses.shifts import best_shift
from recontrast.preparation.align import align
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.resample import resample
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate

TOLERANT = "recipe.options.misaligned_voxels"
NO_START = "model.options.start=none"
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "l1": ("as is", ()),
    "l1, moved": ("moved", ()),
    "tolerant, moved": ("moved", (TOLERANT,)),
    "tolerant, as is": ("as is", (TOLERANT,)),
    "l1, slices": ("slices", ()),
    "tolerant, slices": ("slices", (TOLERANT,)),
    "l1, through": ("through", ()),
    "tolerant, through": ("through", (TOLERANT,)),
    "l1, registered": ("registered", ()),
    "tolerant, registered": ("registered", (TOLERANT,)),
    "no control, l1": ("as is", (NO_START,)),
    "no control, l1, moved": ("moved", (NO_START,)),
    "no control, tolerant, moved": ("moved", (NO_START, TOLERANT)),
    "ssim": ("as is", ("recipe.options.terms.ssim=0.1",)),
    "edges": ("as is", ("recipe.options.terms.edges=1",)),
    "lesions": ("as is", ("recipe.options.terms.lesions=4",)),
}
"""Name of a row: how the targets of the training subjects lie, and what is set beside the preset."""


def cohort_of(options: argparse.Namespace, kind: str) -> Path:
    """The cohort, or a copy in which the targets of the training subjects were moved."""
    if kind == "as is":
        return Path(options.prepared)
    folder: Path = options.out / f"cohort-{kind}"
    if folder.is_dir():
        return folder
    shutil.copytree(options.prepared, folder.with_suffix(".part"), dirs_exist_ok=True)
    rng = np.random.default_rng(options.seed)
    for case in read_cohort(folder.with_suffix(".part")).split("train"):
        path = case.images[options.target]
        volume = read_volume(path)
        data = volume.data.astype(np.float32)
        count, axes = (data.shape[2] if kind == "slices" else 1), (3 if kind in ("through", "registered") else 2)
        steps = rng.uniform(-options.voxels, options.voxels, (count, axes))
        if kind == "slices":
            moved = [interpolated(data[..., n], step, mode="nearest") for n, step in enumerate(steps)]
            data = np.stack(moved, axis=2)
        else:
            data = interpolated(data, (*steps[0], 0.0)[:3], mode="nearest")
        volume = volume.with_data(data)
        if kind == "registered":
            fixed = read_volume(case.images[options.source[0]])
            volume = resample(volume, fixed, align(volume, fixed, what=case.key).transform)
        write_volume(path, volume)
        print(f"{kind}: {case.key}, first step {steps[0].round(2).tolist()}", file=sys.stderr)
    folder.with_suffix(".part").rename(folder)
    return folder


def learned(options: argparse.Namespace, name: str) -> dict[str, float]:
    """Train a row unless it is there, and score it."""
    kind, settings = ROWS[name]
    prepared = cohort_of(options, kind)
    folder: Path = options.out / name.replace(", ", "-").replace(" ", "_")
    began = time.perf_counter()
    if not (folder / "synthetic").is_dir():
        given = [f"{TOLERANT}={options.voxels}" if entry == TOLERANT else entry for entry in settings]
        budget = (f"loop.steps={options.steps}", "loop.minutes=0", f"loop.validate_every={options.steps}")
        rest = ("loop.error_bars=false", f"loop.seed={options.seed}", *options.set)
        train(
            TrainSettings(
                prepared=prepared, run=folder / "run", source=tuple(options.source), target=options.target,
                set=(*budget, *rest, *given),
            )
        )  # fmt: skip
        translate(TranslateSettings(run=folder / "run", input=options.prepared, out=folder / "synthetic", split="test"))
    evaluate(
        EvaluateSettings(
            synthetic=folder / "synthetic", reference=options.prepared, out=folder / "evaluation",
            target=options.target, sources=tuple(options.source), controls=(), workers=1,
        )
    )  # fmt: skip
    table = read_table(folder / "evaluation" / "scores.tsv", text_columns=("subject",))
    found = {
        f"{metric} {region}": table[(table.region == region) & (table.metric == metric)].value.mean()
        for metric, region in (("psnr", "brain"), ("ssim", "brain"), ("psnr", "lesion"))
    }
    seconds = time.perf_counter() - began
    return found | dict(zip(("shift i", "shift j"), bias(options, folder / "synthetic"), strict=True)) | {"s": seconds}


def bias(options: argparse.Namespace, synthetic: Path) -> list[float]:
    """Mean shift from synthetic image to target over the slices of the test subjects that show the brain, in voxels."""
    shifts = []
    for case in read_cohort(options.prepared).split("test"):
        (made,) = (synthetic / case.case.folder).rglob(f"*_desc-synthetic_{options.target}.nii.gz")
        stacks = [
            torch.from_numpy(
                np.moveaxis(read_volume(path).reoriented("RAS").data.astype(np.float32), 2, 0)[:, None].copy()
            )
            for path in (case.images[options.target], made, case.regions["brain"])
        ]
        shown = stacks[2].flatten(1).sum(1) > 0.2 * stacks[2].flatten(1).sum(1).max()
        target, estimate, brain = (stack[shown] for stack in stacks)
        unit = target.std()
        shifts.append(best_shift(target / unit, estimate / unit, brain, options.voxels).mean(0))
    return torch.stack(shifts).mean(0).tolist()


def main() -> None:
    """Train what is not there, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", nargs="*", default=["T1w"])
    parser.add_argument("--target", default="T2w")
    parser.add_argument("--steps", type=int, default=300, help="steps of each training")
    parser.add_argument("--voxels", type=int, default=3, help="farthest move of a target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--set", nargs="*", default=[], help="further overrides of the preset")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in options.rows:
        found[name] = learned(options, name)
        print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)
    table = pd.DataFrame(found).T.rename_axis("row").reset_index()
    write_table(options.out / "losses.tsv", table)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
