"""The main job on real heads, by one command: `python benchmarks/real_heads.py [OUT] [--preset NAME] [--minutes M]`.

Brains (sub-C*, 1 mm, MNI space): T1w -> FLAIR and T1w+T2w -> FLAIR, trained on sub-C07, tested on sub-C26.
Whole heads (sub-L*, 3-4 mm slices, own grids): T1w -> T2w, each subject left out once.

Prints one table an experiment: the translator and every control in each region, the gain over each control with its
interval, and what that interval is over. Slices of one subject are not independent: with one test subject the interval
is over slabs of it and says so; the left-out whole heads are pooled, one value a subject.

The preset is the default of `recontrast train`, with as many steps as fit into the minutes.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.statistics import bootstrap_interval
from recontrast.evaluation.tables import combine_scores
from recontrast.io.tables import read_table, write_table
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.reporting.report import ReportSettings, report
from recontrast.training.automatic import AUTO
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("RECONTRAST_REALDATA", REPOSITORY.parent / "shared" / "data"))
METRICS = ("psnr", "ssim", "mae")
REGIONS = ("head", "brain", "lesion")
FEW_SUBJECTS = {
    "osman2022": (
        "data.batch=8",
        "data.slices=head",
        "data.augment.shift_voxels=8",
        "data.augment.source_gain=0.1",
    )
}
"""What differs from a paper's preset, fixed before any result was seen: one or two subjects are learned from, so there
are more and smaller steps and random shifts and gains; the neck is learned as well."""


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


def run(experiment: Experiment, out: Path, preset: str, minutes: float, workers: int) -> Path:
    """Prepare, train, translate, evaluate and report one experiment; return its evaluation folder."""
    folder = out / f"{preset}-{minutes:g}-minutes" / experiment.name  # a run is kept when it is there
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
                preset=preset,
                minutes=minutes,
                set=FEW_SUBJECTS.get(preset, ()),
            )
        )
    translate(TranslateSettings(run=trained, input=prepared, out=folder / "synthetic", split="test"))
    evaluate(
        EvaluateSettings(synthetic=folder / "synthetic", reference=prepared, out=folder / "evaluation", workers=workers)
    )
    report(ReportSettings(folder=folder, title=f"Real heads: {experiment.name}"))
    return folder / "evaluation"


def one_subject_table(evaluation: Path) -> pd.DataFrame:
    """Scores of the one test subject; gain of the translator over each control, interval over slabs of slices."""
    table = read_table(evaluation / "statistics.tsv", text_columns=("control", "interval"))
    table["control"] = table["control"].fillna("")
    table = table[table["metric"].isin(METRICS) & table["region"].isin(REGIONS)]
    rows = []
    for (region, estimator), cell in table[table["control"] == ""].groupby(["region", "estimator"], sort=False):
        row = {"region": region, "estimator": estimator}
        row |= {metric: f"{value:.3f}" for metric, value in zip(cell["metric"], cell["mean"], strict=True)}
        gain = table[(table["control"] == estimator) & (table["region"] == region) & (table["metric"] == "psnr")]
        if len(gain):
            low, high = gain["difference_ci_low"].item(), gain["difference_ci_high"].item()
            row["translator's gain in dB"] = f"{gain['difference'].item():+.2f} [{low:+.2f}, {high:+.2f}]"
            row["interval"] = gain["interval"].item()
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def pooled_table(evaluations: list[Path]) -> pd.DataFrame:
    """Scores of all left-out subjects, one value a subject; gain over each control with its interval over subjects."""
    scores = combine_scores([read_table(path / "scores.tsv", text_columns=("subject",)) for path in evaluations])
    rows = []
    for region in REGIONS:
        values = {
            (estimator, metric): cell.groupby("subject")["value"].mean()
            for (estimator, metric), cell in scores[scores["region"] == region].groupby(["estimator", "metric"])
        }
        for estimator in dict.fromkeys(name for name, _ in values):
            row = {"region": region, "estimator": estimator}
            for metric in METRICS:
                cell = values[estimator, metric]
                row[metric] = f"{cell.mean():.3f} ± {cell.std(ddof=1):.3f}"
            if estimator != "synthetic":
                gains = np.asarray(values["synthetic", "psnr"] - values[estimator, "psnr"])
                interval = bootstrap_interval(gains)
                row["translator's gain in dB"] = f"{gains.mean():+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
                row["interval"] = interval.over
            rows.append(row)
    return pd.DataFrame(rows).fillna("")


def main() -> None:
    """Run all experiments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("out/real-heads"))
    parser.add_argument("--preset", default=AUTO, help="preset that is trained")
    parser.add_argument("--minutes", type=float, default=3.0, help="training time of each translator")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="run only experiments whose name contains this")
    options = parser.parse_args()
    if not (DATA / "participants.tsv").is_file():
        print(f"real scans not found at {DATA}; set RECONTRAST_REALDATA to their folder")
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    left_out = []
    for experiment in experiments():
        if options.only in experiment.name:
            evaluation = run(experiment, options.out, options.preset, options.minutes, options.workers)
            subjects = ", ".join(f"sub-{s}" for s in experiment.subjects if s != experiment.test)
            print(f"\n{experiment.name}: trained on {subjects}, tested on sub-{experiment.test}")
            print(one_subject_table(evaluation).to_string(index=False), flush=True)
            if experiment.name.startswith("head-"):
                left_out.append(evaluation)
    if len(left_out) > 1:
        print(
            f"\nhead-T1w-to-T2w, each of {len(left_out)} subjects left out once, sessions averaged within the subject"
        )
        print(pooled_table(left_out).to_string(index=False))


if __name__ == "__main__":
    main()
