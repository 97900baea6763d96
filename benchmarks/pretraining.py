"""What does pre-training bring to one, two and four subjects? `python benchmarks/pretraining.py OUT [--subjects 1]`.

Simulated heads of 2 mm, T1w to FLAIR. The scanner in question has eight: sub-01 to sub-04 to learn from (one, two, or
all four), sub-05 to sub-08 to be tested on. Heads of random contrast (from sub-09 on; 16 of them) are there to begin
with:

- `nothing`: the default, begun with random weights;
- `random contrast`: begun with the default trained on the pairs of these heads;
- `masked`: begun with `masked-reconstruction` trained on their T1w alone;
- `not fine-tuned`: the network of `random contrast` as it is, which never saw the scanner.

All are fine-tuned for the same number of steps. What is there already is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.tables import read_table, write_table
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate

SOURCE, TARGET = "T1w", "FLAIR"
SUBJECTS = (1, 2, 4)
TESTED = ("05", "06", "07", "08")
FIRST = 9
"""Heads of random contrast begin here: labels of their own, or evaluation would take them for the tested ones."""

WIDTHS = "data.context_voxels=[[0.5, 0.5, 0.5], [1, 1, 1], [2, 2, 2], [4, 4, 4], [8, 8, 8]]"
MINUTES = 60.0
"""More than the steps take that are given."""

WIDTH = "model.options.width=16"
"""Of the default's network: what it takes for five minutes of two cores."""


def prepared_heads(out: Path, name: str, splits: dict[str, str], *, random_contrast: bool) -> Path:
    """Simulated and prepared heads with these splits."""
    folder, number = out / name, max(int(subject) for subject in splits)
    raw = out / ("raw-any" if random_contrast else "raw")
    simulate(
        SimulateSettings(
            out=raw, subjects=number, spacing_mm=2.0, contrasts=(SOURCE, TARGET), seed=100 if random_contrast else 0,
            random_contrast=random_contrast,
        )
    )  # fmt: skip
    if not (folder / "cases.tsv").is_file():
        table = out / f"{name}.splits.tsv"
        write_table(table, pd.DataFrame({"subject": list(splits), "split": list(splits.values())}))
        prepare(PrepareSettings(bids=raw, out=folder, subjects=tuple(splits), splits=table))
    return folder


def trained(
    run: Path, prepared: Path, steps: int, seed: int, start_from: Path | None = None, masked: bool = False
) -> Path:
    """A run of the default, or of the masked reconstruction."""
    common = (f"loop.steps={steps}", f"loop.seed={seed}")
    train(
        TrainSettings(
            prepared=prepared, run=run, source=(SOURCE,), target="" if masked else TARGET, start_from=start_from,
            preset="masked-reconstruction" if masked else "auto", minutes=MINUTES, resume=True,
            set=(*common, WIDTHS) if masked else (*common, WIDTH, "loop.error_bars=false"),
        )
    )  # fmt: skip
    return run


def scores(run: Path, prepared: Path, out: Path) -> pd.Series:
    """PSNR in the brain, subject by subject, by the default protocol."""
    translate(TranslateSettings(run=run, input=prepared, out=out / "synthetic", split="test"))
    if not (out / "evaluation" / "scores.tsv").is_file():
        evaluate(
            EvaluateSettings(
                synthetic=out / "synthetic", reference=prepared, out=out / "evaluation", target=TARGET,
                sources=(SOURCE,), controls=(),
            )
        )  # fmt: skip
    table = read_table(out / "evaluation" / "scores.tsv", text_columns=("subject",))
    chosen = table[(table["region"] == "brain") & (table["metric"] == "psnr") & (table["estimator"] == "synthetic")]
    return chosen.set_index(chosen["subject"].str.removeprefix("sub-"))["value"].loc[list(TESTED)]


def main() -> None:
    """Simulate, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("out/pretraining"))
    parser.add_argument("--steps", type=int, default=250, help="steps of each fine-tuning")
    parser.add_argument("--first-steps", type=int, default=500, help="steps of each pre-training")
    parser.add_argument("--heads", type=int, default=16, help="heads of random contrast that are learned from")
    parser.add_argument("--no-masked", action="store_true", help="leave masked reconstruction out")
    parser.add_argument("--subjects", type=int, nargs="+", default=list(SUBJECTS), choices=SUBJECTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the fine-tuning; pre-training has seed 0")
    options = parser.parse_args()
    out = options.out
    last, first = FIRST + options.heads, f"{options.heads}x{options.first_steps}"
    any_heads = prepared_heads(
        out, f"heads-any-{options.heads}", {f"{n:02d}": "train" for n in range(FIRST, last)}, random_contrast=True
    )
    begun: dict[str, Path | None] = {
        "nothing": None,
        "random contrast": trained(out / f"first-random-{first}", any_heads, options.first_steps, 0),
    }
    if not options.no_masked:
        begun["masked"] = trained(out / f"first-masked-{first}", any_heads, options.first_steps, 0, masked=True)
    rows, alone = [], {}
    for count in options.subjects:
        learned = [f"{n:02d}" for n in range(1, count + 1)]
        splits = {f"{n:02d}": "train" for n in range(1, count + 1)} | dict.fromkeys(TESTED, "test")
        prepared = prepared_heads(out, f"heads-{count}", splits, random_contrast=False)
        for seed in options.seeds:
            for method, start in begun.items():
                run = out / f"{method.replace(' ', '-')}-{first}-{len(learned)}-{seed}"
                alone[method, count, seed] = scores(trained(run, prepared, options.steps, seed, start), prepared, run)
                gain = alone[method, count, seed] - alone["nothing", count, seed]
                rows.append(
                    (method, count, seed, alone[method, count, seed].mean(), gain.mean(), gain.min(), gain.max())
                )
    as_is = scores(out / f"first-random-{first}", prepared, out / f"not-fine-tuned-{first}-{options.subjects[-1]}")
    rows.append(("not fine-tuned", 0, 0, as_is.mean(), np.nan, np.nan, np.nan))
    columns = ["begun with", "subjects", "seed", "PSNR", "gain", "least", "most"]
    table = pd.DataFrame(rows, columns=columns)
    write_table(out / "pretraining.tsv", table)
    print(table.to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
