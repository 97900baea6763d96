"""Real scans: T1w after gadolinium to T1w before it, in 3D, beside the controls; one command.

    python benchmarks/enhanced_to_plain.py [OUT] [--minutes 3] [--preset bottani2024-att-unet]

brains: learn on sub-C07 and test on sub-C26, then the other way round (1 mm, brain only, patches). prostate: sub-P0218,
learned on its left half and tested on its right one. One subject each: this shows that the way works and whether it
beats trivial answers on that subject, no more.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from real_heads import DATA

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table, write_table
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate
from recontrast.volume import Volume

SOURCE, TARGET = "ce-gadolinium_T1w", "T1w"
CONTROLS = ("identity", "affine", "ridge", "boosting")


def halves(out: Path) -> Path:
    """The prostate's two halves as two subjects of a BIDS data set."""
    bids = out / "prostate-bids"
    for label in (SOURCE, TARGET):
        whole = read_volume(DATA / "qmri_prostate" / f"sub-P0218_{label}.nii.gz")
        middle = whole.data.shape[0] // 2
        for name, start, stop in (("P0218a", 0, middle), ("P0218b", middle, whole.data.shape[0])):
            affine = whole.affine.copy()
            affine[:3, 3] += affine[:3, 0] * start
            part = Volume(np.ascontiguousarray(whole.data[start:stop]).astype(np.float32), affine)
            write_volume(bids / f"sub-{name}" / "anat" / f"sub-{name}_{label}.nii.gz", part)
    (bids / "dataset_description.json").write_text('{"Name": "halves", "BIDSVersion": "1.10.0"}')
    return bids


def run(out: Path, bids: Path, learned: str, tested: str, space: str, arguments: argparse.Namespace) -> None:
    """Prepare, train, translate, evaluate, print."""
    folder = out / f"{learned}-to-{tested}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(f"sub-{learned}", "train"), (f"sub-{tested}", "test")]
    write_table(folder / "splits.tsv", pd.DataFrame(rows, columns=["subject", "split"]))
    prepare(
        PrepareSettings(
            bids=bids, out=folder / "prepared", contrasts=(SOURCE, TARGET), space=space, subjects=(learned, tested),
            splits=folder / "splits.tsv", workers=1,
        )
    )  # fmt: skip
    train(
        TrainSettings(
            prepared=folder / "prepared", run=folder / "run", source=(SOURCE,), target=TARGET, preset=arguments.preset,
            set=(f"loop.minutes={arguments.minutes}", "loop.steps=2000", "loop.schedule=cosine", *arguments.set),
        )
    )  # fmt: skip
    translate(TranslateSettings(run=folder / "run", input=folder / "prepared", out=folder / "synthetic", split="test"))
    settings = EvaluateSettings(
        synthetic=folder / "synthetic", reference=folder / "prepared", out=folder / "evaluation", workers=1,
        controls=CONTROLS,
    )  # fmt: skip
    evaluate(settings)
    scores = read_table(folder / "evaluation" / "scores.tsv")
    region = "brain" if "brain" in set(scores["region"]) else "head"
    chosen = scores[(scores["region"] == region) & scores["metric"].isin(["psnr", "ssim", "mae"])]
    table = chosen.pivot_table(index="estimator", columns="metric", values="value", aggfunc="first", sort=False)
    print(f"\n{learned} -> {tested}, one test subject, {region}, {arguments.preset}, {arguments.minutes:g} minutes")
    print(table.to_string(float_format=lambda value: f"{value:.4f}"), flush=True)
    best = table.drop(index="synthetic")["psnr"].astype(float)
    won = float(table.loc["synthetic", "psnr"]) > best.max()
    print(
        f"{'beats' if won else 'does not beat'} the best control ({best.idxmax()}) in PSNR on this subject", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(tempfile.mkdtemp(), "out"))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--preset", default="bottani2024-att-unet")
    parser.add_argument("--which", nargs="+", default=["brains", "reverse", "prostate"])
    parser.add_argument("--set", nargs="*", default=[], help="further entries of the preset (loop.learning_rate=1e-3)")
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise SystemExit(f"{arguments.out} is there already; give another folder")
    if "brains" in arguments.which:
        run(arguments.out, DATA, "C07", "C26", "MNI", arguments)
    if "reverse" in arguments.which:
        run(arguments.out, DATA, "C26", "C07", "MNI", arguments)
    if "prostate" in arguments.which:
        arguments.set = [*arguments.set, "data.patch=[64, 64, 16]"]
        run(arguments.out, halves(arguments.out), "P0218a", "P0218b", "", arguments)


if __name__ == "__main__":
    main()
