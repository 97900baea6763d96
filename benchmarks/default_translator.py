"""The default translator against presets and a peer, on real heads: `python benchmarks/default_translator.py OUT`.

--heads brains: sub-C07 and sub-C26 (brains, 1 mm, MNI space), each left out once: learned on one head, tested on the
other. --heads sessions: sub-L01, L04 and L12 (whole heads of patients with multiple sclerosis, slices of 3 to 4
mm), each left out once: learned on two patients. Every method gets the same wall-clock minutes of training and is
scored by our default protocol, beside every control.

Methods: `auto`, every 2D preset of a paper that learns from pairs or not, and MONAI's BasicUNet with 3D patches
(`monai`) and with axial slices (`monai-2d`, which a processor can train in minutes); install MONAI, or give the folder
that holds it with --monai. `auto-begun` is `auto` that begins with the weights of another run, given by --start-from.
A method that is there already is not trained again. --only chooses directions, --methods methods, --leave-out subjects.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.bids import BidsName, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table, write_table
from recontrast.preparation.cohort import PreparedCase, read_cohort
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("RECONTRAST_REALDATA", REPOSITORY.parent / "shared" / "data"))
DIRECTIONS = {
    "T1w-FLAIR": (("T1w",), "FLAIR"),
    "T1w+T2w-FLAIR": (("T1w", "T2w"), "FLAIR"),
    "ceT1w-T1w": (("ce-gadolinium_T1w",), "T1w"),
    "T1w-T2w": (("T1w",), "T2w"),
    "T2w-FLAIR": (("T2w",), "FLAIR"),
    "FLAIR-T2w": (("FLAIR",), "T2w"),
}
FIRST = ("T1w-FLAIR", "T1w+T2w-FLAIR", "ceT1w-T1w")
METHODS = (
    "auto", "osman2022", "tagawa2025", "grantjacob2021-pix2pix", "grantjacob2021-cyclegan", "grantjacob2021-unit",
    "monai", "monai-2d",
)  # fmt: skip
BEGUN = "auto-begun"
CONTROLS = ("identity", "affine", "quantile", "ridge", "boosting")
PATCH = (96, 96, 96)


@dataclass(frozen=True)
class Heads:
    """Scans of several subjects, their contrasts, and the space that they share."""

    subjects: tuple[str, ...]
    contrasts: tuple[str, ...]
    space: str


HEADS = {
    "brains": Heads(("C07", "C26"), ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR"), "MNI"),
    "sessions": Heads(("L01", "L04", "L12"), ("T1w", "T2w", "FLAIR"), "FLAIR"),
}


@dataclass(frozen=True)
class Fold:
    """One direction with one subject left out."""

    direction: str
    left_out: str
    folder: Path

    @property
    def source(self) -> tuple[str, ...]:
        """Source contrasts."""
        return DIRECTIONS[self.direction][0]

    @property
    def target(self) -> str:
        """Target contrast."""
        return DIRECTIONS[self.direction][1]


def prepared_folder(out: Path, heads: Heads, left_out: str) -> Path:
    """All heads with all contrasts, one of them in the test split."""
    folder = out / f"without-{left_out}"
    if (folder / "prepared" / "cases.tsv").is_file():
        return folder / "prepared"
    splits = pd.DataFrame([(f"sub-{s}", "test" if s == left_out else "train") for s in heads.subjects])
    write_table(folder / "splits.tsv", splits.set_axis(["subject", "split"], axis=1))
    prepare(
        PrepareSettings(
            bids=DATA, out=folder / "prepared", contrasts=heads.contrasts, space=heads.space, subjects=heads.subjects,
            splits=folder / "splits.tsv", workers=1,
        )
    )  # fmt: skip
    return folder / "prepared"


def learn_and_translate(fold: Fold, method: str, minutes: float, start_from: Path | None) -> Path:
    """Train a method and translate the test head; returns the folder of its synthetic image."""
    folder = fold.folder / method
    prepared, synthetic = fold.folder.parents[1] / "prepared", folder / "synthetic"
    if list(synthetic.rglob("*_desc-synthetic_*.nii.gz")):
        return synthetic
    if method.startswith("monai"):
        monai_peer(fold, prepared, synthetic, minutes, flat=method == "monai-2d")
        return synthetic
    train(
        TrainSettings(
            prepared=prepared, run=folder / "run", source=fold.source, target=fold.target, minutes=minutes,
            preset="auto" if method == BEGUN else method, start_from=start_from if method == BEGUN else None,
        )
    )  # fmt: skip
    translate(TranslateSettings(run=folder / "run", input=prepared, out=synthetic, split="test"))
    return synthetic


def monai_peer(fold: Fold, prepared: Path, synthetic: Path, minutes: float, flat: bool) -> None:
    """MONAI's BasicUNet as MONAI would train it: random 3D patches or axial slices, Adam, L1, MONAI's inferers.

    Patches are drawn by MONAI's own transform inside the head, slices are all that show it; scale and target range
    are those of everybody else. The learning rate is 1e-3 and falls to zero over the minutes, as for every preset here.
    """
    import torch
    from monai.data import DataLoader, Dataset
    from monai.inferers import SliceInferer, SlidingWindowInferer
    from monai.networks.nets import BasicUNet
    from monai.transforms import Compose, EnsureTyped, RandCropByPosNegLabeld, SpatialPadd
    from monai.utils import set_determinism

    set_determinism(0)
    cohort = read_cohort(prepared)
    heads = [_arrays(case, fold) for case in cohort.split("train")]
    keys = ("image", "target", "head")
    steps_of = [EnsureTyped(keys=keys, track_meta=False)]
    inferer = SlidingWindowInferer(PATCH, 1, overlap=0.25, mode="gaussian")
    if flat:
        heads = [
            {key: np.ascontiguousarray(head[key][..., number]) for key in keys}
            for head in heads
            for number in np.flatnonzero(head["head"].any(axis=(0, 1, 2)))
        ]
        largest = [-(-max(head["image"].shape[axis] for head in heads) // 16) * 16 for axis in (1, 2)]
        steps_of.append(SpatialPadd(keys, largest))
        inferer = SliceInferer(roi_size=largest, spatial_dim=2, sw_batch_size=8, overlap=0.0)
    else:
        steps_of.append(
            RandCropByPosNegLabeld(keys=keys, label_key="head", spatial_size=PATCH, pos=1, neg=0, num_samples=2)
        )
    loader = DataLoader(Dataset(heads, Compose(steps_of)), batch_size=8 if flat else 1, shuffle=True)
    network = BasicUNet(
        spatial_dims=2 if flat else 3,
        in_channels=len(fold.source),
        out_channels=1,
        features=(32, 32, 64, 128, 256, 32),
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < 60 * minutes:
        for batch in loader:
            used = (time.perf_counter() - started) / (60 * minutes)
            if used >= 1:
                break
            optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * used))
            optimizer.zero_grad()
            torch.nn.functional.l1_loss(network(batch["image"]), batch["target"]).backward()
            optimizer.step()
            steps += 1
    print(f"{'monai-2d' if flat else 'monai'}: {steps} steps in {minutes:g} min", file=sys.stderr)
    for case in cohort.split("test"):
        image = torch.from_numpy(_arrays(case, fold)["image"])[None]
        with torch.no_grad():
            made = inferer(image, network.eval())
        scale = cohort.split("train")[0].scales[fold.target]
        grid = read_volume(case.images[fold.target]).reoriented("RAS")
        path = synthetic / case.case.folder / "anat" / BidsName.of(case.case, fold.target, desc="synthetic").filename
        write_volume(path, grid.with_data(scale.invert(made[0, 0].clamp(0, 1).numpy())))
        write_sidecar(path, {"Scale": scale.to_dict(), "Contrast": fold.target, "Translator": {"name": "monai"}})


def _arrays(case: PreparedCase, fold: Fold) -> dict[str, np.ndarray]:
    scaled = {
        label: case.scales[label].apply(read_volume(case.images[label]).reoriented("RAS").data)
        for label in (*fold.source, fold.target)
    }
    head = read_volume(case.regions["head"], np.uint8).reoriented("RAS").data > 0
    return {
        "image": np.stack([scaled[label] for label in fold.source]),
        "target": np.clip(scaled[fold.target], 0, 1)[None],
        "head": head[None].astype(np.float32),
    }


def scores(fold: Fold, method: str, synthetic: Path) -> pd.DataFrame:
    """Scores of a method, and of the controls where it is the first one."""
    out = fold.folder / method / "evaluation"
    first = method == METHODS[0]
    evaluate(
        EvaluateSettings(
            synthetic=synthetic, reference=fold.folder.parents[1] / "prepared", out=out, target=fold.target,
            sources=fold.source, controls=CONTROLS if first else (), workers=1,
        )
    )  # fmt: skip
    table = read_table(out / "scores.tsv", text_columns=("subject",))
    table["estimator"] = table["estimator"].replace("synthetic", method)
    return table.assign(direction=fold.direction, left_out=fold.left_out)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a direction, subject and method: PSNR and SSIM in the brain, PSNR in lesions."""
    wanted = {("brain", "psnr"): "PSNR", ("brain", "ssim"): "SSIM", ("lesion", "psnr"): "PSNR in lesions"}
    rows = []
    for (direction, left_out, name), cell in table.groupby(["direction", "left_out", "estimator"], sort=False):
        values = {
            title: cell.loc[(cell["region"] == region) & (cell["metric"] == metric), "value"].mean()
            for (region, metric), title in wanted.items()
        }
        rows.append({"direction": direction, "left out": left_out, "method": name, **values})
    return pd.DataFrame(rows)


def main() -> None:
    """Run what is chosen and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("out/default-translator"))
    parser.add_argument("--minutes", type=float, default=3.0, help="training time of each method")
    parser.add_argument("--only", nargs="*", default=[], choices=DIRECTIONS, help="left out: three, or what there is")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=(*METHODS, BEGUN))
    parser.add_argument("--start-from", type=Path, help=f"run whose weights {BEGUN} begins with")
    parser.add_argument("--leave-out", nargs="*", default=[], help="subjects; left out: each of them once")
    parser.add_argument("--heads", default="brains", choices=HEADS)
    parser.add_argument("--monai", default="", help="folder that holds MONAI, when it is not installed")
    options = parser.parse_args()
    if BEGUN in options.methods and options.start_from is None:
        parser.error(f"{BEGUN} needs --start-from RUN")
    heads = HEADS[options.heads]
    possible = [name for name, (sources, target) in DIRECTIONS.items() if {*sources, target} <= set(heads.contrasts)]
    unknown = [*(set(options.only) - set(possible)), *(set(options.leave_out) - set(heads.subjects))]
    if unknown:
        parser.error(f"{unknown[0]} is not among the {options.heads}: {', '.join((*possible, *heads.subjects))}")
    if not (DATA / "participants.tsv").is_file():
        print(f"real scans not found at {DATA}; set RECONTRAST_REALDATA to their folder")
        return
    if options.monai:
        sys.path.append(options.monai)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tables = []
    for left_out in options.leave_out or heads.subjects:
        prepared_folder(options.out, heads, left_out)
        for direction in options.only or [name for name in FIRST if name in possible]:
            folder = options.out / f"without-{left_out}" / f"{options.minutes:g}-minutes" / direction
            fold = Fold(direction, left_out, folder)
            how = (options.minutes, options.start_from)
            for method in options.methods:
                tables.append(scores(fold, method, learn_and_translate(fold, method, *how)))
                print(summary(pd.concat(tables[-1:])).round(4).to_string(index=False), flush=True)
    print(f"\nall, {options.minutes:g} minutes of training each")
    print(summary(pd.concat(tables)).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
