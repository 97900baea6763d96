"""One network for all contrasts beside dedicated ones: `python benchmarks/any_to_any.py PREPARED OUT --steps 300`.

Trains the preset `any-to-any` on all contrasts of PREPARED, and for every non-empty subset of sources and every target
a dedicated network of the same architecture (`model.options.targets=0`), each with the same number of steps (or, with
--minutes, as many as fit). Prints brain PSNR on the test subjects by our protocol, subset by subset, in dB. --longer
also trains the any-to-any network with so many times the steps. A run that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from recontrast.datasets.cases import cache_cases
from recontrast.datasets.settings import DataSettings
from recontrast.io.tables import write_table
from recontrast.preparation.cohort import PreparedCase, PreparedCohort, read_cohort
from recontrast.training.command import TrainSettings, train
from recontrast.training.levels import at_source_levels
from recontrast.training.validation import Validator
from recontrast.translation.translator import load_translator

PROTOCOL = "recontrast"


def directions(contrasts: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every target with every non-empty subset of the other contrasts."""
    for target in contrasts:
        others = [label for label in contrasts if label != target]
        for count in range(1, len(others) + 1):
            for subset in itertools.combinations(others, count):
                yield subset, target


def trained(options: argparse.Namespace, name: str, settings: dict[str, object], *, steps: int, told: bool) -> Path:
    """The run of a network, trained unless it is there."""
    budget = () if options.minutes else (f"loop.steps={steps}", "loop.minutes=0", f"loop.validate_every={steps}")
    one_target = () if told else ("model.options.targets=0",)
    run: Path = options.out / name
    summary = train(
        TrainSettings(
            prepared=options.prepared, run=run, preset="any-to-any", minutes=options.minutes,
            set=(*budget, *one_target, *options.set), **settings,
        )
    )  # fmt: skip
    print(f"{name}: {summary.done[0]}", file=sys.stderr, flush=True)
    return run


def scores(run: Path, subset: tuple[str, ...], target: str, cases: list[PreparedCase], cache: Path) -> dict[str, float]:
    """Brain PSNR of each test subject."""
    translator = load_translator(run, target=target)
    contrasts = tuple(dict.fromkeys((*subset, target)))
    if translator.description.bank is None:
        cases = list(at_source_levels(cases, translator.description.source_levels))
    cached = cache_cases(cases, contrasts, "", DataSettings(), cache, partly=True)
    validator = Validator(cases, cached, PROTOCOL, translator.description.given(subset))
    values = validator.score_cases(translator.network, "fp32").numpy()[:, validator.labels.index("psnr")]
    return pd.Series(values).groupby([case.subject for case in cached]).mean().to_dict()


def matrix(options: argparse.Namespace, cohort: PreparedCohort, runs: dict[str, Path]) -> pd.DataFrame:
    """One row for each direction and test subject, one column for each network."""
    contrasts, rows = tuple(options.contrasts), []
    for subset, target in directions(contrasts):
        cases = [case for case in cohort.split("test") if {*subset, target} <= set(case.images)]
        name = f"{'+'.join(subset)}-{target}"
        settings: dict[str, object] = {"source": subset, "target": target}
        own = {**runs, "dedicated": trained(options, name, settings, steps=options.steps, told=False)}
        found = {key: scores(run, subset, target, cases, options.out / "cache") for key, run in own.items()}
        for subject in found["dedicated"]:
            of_subject = {key: values[subject] for key, values in found.items()}
            rows.append({"target": target, "sources": " + ".join(subset), "subject": subject, **of_subject})
    return pd.DataFrame(rows)


def main() -> None:
    """Train what is not there, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--contrasts", nargs="*", default=[], help="default: all that every case has")
    parser.add_argument("--steps", type=int, default=300, help="steps of each network")
    parser.add_argument("--longer", type=int, default=0, help="also any-to-any with so many times the steps")
    parser.add_argument("--minutes", type=float, default=0.0, help="time for each network in place of steps")
    parser.add_argument("--set", nargs="*", default=[], help="further overrides of the preset")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    cohort = read_cohort(options.prepared)
    common = set.intersection(*(set(case.images) for case in cohort.cases))
    options.contrasts = options.contrasts or [label for label in cohort.cases[0].images if label in common]
    all_of_them: dict[str, object] = {"source": tuple(options.contrasts), "target": tuple(options.contrasts)}
    runs = {"any to any": trained(options, "any", all_of_them, steps=options.steps, told=True)}
    if options.longer:
        longer = options.longer * options.steps
        runs[f"any to any, {options.longer} x steps"] = trained(options, "longer", all_of_them, steps=longer, told=True)
    table = matrix(options, cohort, runs)
    write_table(options.out / "matrix.tsv", table)
    means = table.drop(columns="subject").groupby(["target", "sources"], sort=False).mean().reset_index()
    for name in runs:
        means[f"{name} - dedicated"] = means[name] - means["dedicated"]
    print(f"\nbrain PSNR in dB, {table['subject'].nunique()} test subjects")
    print(means.round(2).to_string(index=False))
    print(f"mean: {means.drop(columns=['target', 'sources']).mean().round(2).to_dict()}")


if __name__ == "__main__":
    main()
