"""The main job on real heads, by one command: `python benchmarks/real_heads.py [OUT] [--minutes M]`.

Brains (sub-C*, 1 mm, MNI space): T1w -> FLAIR and T1w+T2w -> FLAIR, trained on sub-C07, tested on sub-C26.
Whole heads (sub-L*, 3-4 mm slices, own grids): T1w -> T2w, each subject left out once.

Prints one table: the translator, every control, and what each interval is over.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.tables import read_table, write_table
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.reporting.report import ReportSettings, report
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("RECONTRAST_REALDATA", REPOSITORY.parent / "shared" / "data"))
METRICS = ("psnr", "ssim", "mae")


@dataclass(frozen=True)
class Experiment:
    """One translator trained and tested on real heads."""

    name: str
    space: str
    subjects: tuple[str, ...]
    test: str
    source: tuple[str, ...]
    target: str


def experiments() -> list[Experiment]:
    """The brains in both directions asked for, the whole heads with each subject left out once."""
    brains = ("C07", "C26")
    heads = ("L01", "L04", "L12")
    return [
        Experiment("brain-T1w-to-FLAIR", "MNI", brains, "C26", ("T1w",), "FLAIR"),
        Experiment("brain-T1w+T2w-to-FLAIR", "MNI", brains, "C26", ("T1w", "T2w"), "FLAIR"),
        *(Experiment(f"head-T1w-to-T2w-without-{left}", "FLAIR", heads, left, ("T1w",), "T2w") for left in heads),
    ]


def run(experiment: Experiment, out: Path, minutes: float, workers: int) -> pd.DataFrame:
    """Prepare, train, translate, evaluate and report one experiment; return its statistics table."""
    folder = out / experiment.name
    prepared, trained = folder / "prepared", folder / "run"
    splits = pd.DataFrame(
        [(f"sub-{s}", "test" if s == experiment.test else "train") for s in experiment.subjects],
        columns=["subject", "split"],
    )
    write_table(folder / "splits.tsv", splits)
    contrasts = (*experiment.source, experiment.target)
    prepare(
        PrepareSettings(
            bids=DATA,
            out=prepared,
            contrasts=contrasts,
            space=experiment.space,
            subjects=experiment.subjects,
            splits=folder / "splits.tsv",
            workers=workers,
        )
    )
    if not (trained / "translator" / "translator.json").is_file():
        train(
            TrainSettings(
                prepared=prepared,
                run=trained,
                source=experiment.source,
                target=experiment.target,
                preset="osman2022",
                set=(f"loop.minutes={minutes}",),
            )
        )
    translate(TranslateSettings(run=trained, input=prepared, out=folder / "synthetic", split="test"))
    evaluate(
        EvaluateSettings(synthetic=folder / "synthetic", reference=prepared, out=folder / "evaluation", workers=workers)
    )
    report(ReportSettings(folder=folder, title=f"Real heads: {experiment.name}"))
    statistics = read_table(folder / "evaluation" / "statistics.tsv")
    statistics.insert(0, "experiment", experiment.name)
    return statistics


def main() -> None:
    """Run all experiments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("out/real-heads"))
    parser.add_argument("--minutes", type=float, default=4.0, help="training time of each translator")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="run only experiments whose name contains this")
    options = parser.parse_args()
    if not (DATA / "participants.tsv").is_file():
        print(f"real scans not found at {DATA}; set RECONTRAST_REALDATA to their folder")
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tables = []
    for experiment in experiments():
        if options.only in experiment.name:
            tables.append(run(experiment, options.out, options.minutes, options.workers))
            print(json.dumps({"finished": experiment.name}), file=sys.stderr)
    everything = pd.concat(tables, ignore_index=True)
    write_table(options.out / "statistics.tsv", everything)
    plain = everything[everything["metric"].isin(METRICS)]
    with pd.option_context("display.max_rows", None, "display.width", 200, "display.max_columns", None):
        print(plain.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
