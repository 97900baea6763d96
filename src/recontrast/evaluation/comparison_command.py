"""`recontrast compare`: several translators that were evaluated on the same subjects by the same protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.atomic import make_folder, write_json
from recontrast.errors import ConfigError
from recontrast.evaluation.comparison import Comparison, compare_evaluations, measured
from recontrast.evaluation.leaks import PASSED
from recontrast.evaluation.settings import PairedTest
from recontrast.evaluation.statistics import adjust
from recontrast.evaluation.statistics.several import PostHoc
from recontrast.execution.workers import Summary
from recontrast.io.tables import write_table
from recontrast.provenance import earlier_result, refuse_other_settings, write_provenance

FACTS, MEANS, PAIRS, VALUES = "comparison.json", "comparison_means.tsv", "comparison_pairs.tsv", "comparison_values.tsv"

MEANS_COLUMNS = (
    "region", "metric", "protocol", "translator", "subjects", "mean", "sd", "median", "mean_rank", "leak_check",
)  # fmt: skip
PAIRS_COLUMNS = (
    "region", "metric", "protocol", "first", "second", "subjects", "difference", "change_percent", "ci_low", "ci_high",
    "interval", "hedges_g", "p", "p_over_all", "test", "leak_check",
)  # fmt: skip
"""Columns of `comparison_pairs.tsv`. `difference` is second - first; `p_over_all` is adjusted once more by Holm, over
all rows of the table, for whoever looks at several metrics or regions. `leak_check` is "passed", or names those
of which it was not."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Settings of `recontrast compare`."""

    out: Path
    """Folder for comparison.json and its tables."""
    evaluations: tuple[str, ...]
    """Evaluation folders, two or more, best with names: `unet=out/unet/evaluation gan=out/gan/evaluation`."""
    metrics: tuple[str, ...] = ()
    """Metrics to compare (psnr, ssim …; dice, avd … of volumes), in the regions that have them; left out: the
    protocol's primary one."""
    regions: tuple[str, ...] = ()
    """Regions (brain, lesion …; GM, WM … of volumes); left out: the primary one."""
    post_hoc: PostHoc = "wilcoxon"
    """Test of pairs among three or more: wilcoxon (by Holm), nemenyi or conover."""
    test: PairedTest = "wilcoxon"
    """Test of two translators: wilcoxon (signed-rank, exact up to 300 subjects), t, or auto."""
    seed: int = 0
    """Seed of permutations and bootstrap."""


def compare(settings: CompareSettings) -> Summary:
    """Compare translators: Friedman's test, pairs with effect sizes and intervals, and what may be said in words.

    Raises:
        ConfigError: Fewer than two folders, two of one name, evaluations that cannot be compared, or an output folder
            that holds the result of another command or of other settings.
        LayoutError: A folder holds no evaluation.
        UnknownNameError: There is no such metric or region.
        StatisticsError: Fewer than 2 subjects have a value of every translator.

    Example:
        >>> compare(CompareSettings(out=Path("c"), evaluations=("a=ev-a", "b=ev-b")))  # doctest: +SKIP
    """
    folders = read_names(settings.evaluations)
    refuse_other_settings(settings.out, earlier_result(settings.out, "compare"), settings)
    asked = [(metric, region) for region in settings.regions or ("",) for metric in settings.metrics or ("",)]
    if len(settings.metrics) > 1 and len(settings.regions) > 1:
        asked = measured(folders, settings.metrics, settings.regions)
    found = [
        compare_evaluations(
            folders, metric=metric, region=region, method=settings.post_hoc, test=settings.test, seed=settings.seed
        )
        for metric, region in asked
    ]
    make_folder(settings.out)
    pairs = pd.concat([_pairs(one) for one in found], ignore_index=True)
    pairs["p_over_all"] = adjust([float(p) for p in pairs["p"]], "holm")
    write_table(settings.out / PAIRS, pairs[list(PAIRS_COLUMNS)])
    write_table(settings.out / MEANS, pd.concat([_means(one) for one in found])[list(MEANS_COLUMNS)])
    write_table(settings.out / VALUES, pd.concat([_values(one) for one in found]))
    sentences = [sentence for one in found for sentence in one.sentences]
    sentences = list(dict.fromkeys(sentences))
    content = {
        "protocol": found[0].protocol,
        "translators": {name: str(path) for name, path in folders.items()},
        "leak_check": dict(found[0].leaks),
        "comparisons": [_facts(one) for one in found],
        "conclusions": sentences,
    }
    write_json(settings.out / FACTS, content)
    inputs = [folder / "scores.tsv" for folder in folders.values()]
    write_provenance(settings.out, "compare", settings, inputs)
    line = f"{len(folders)} translators compared by protocol {found[0].protocol}: {settings.out}"
    return Summary([line, *sentences])


def read_names(texts: Sequence[str]) -> dict[str, Path]:
    """Names and folders written as `name=folder`, or as `folder`, whose last part is then the name.

    Raises:
        ConfigError: Two have the same name.

    Example:
        >>> sorted(read_names(["unet=a/evaluation", "b/gan"]))
        ['gan', 'unet']
    """
    folders: dict[str, Path] = {}
    for text in texts:
        name, given, place = text.partition("=")
        path = Path(place if given else text)
        name = name if given else path.resolve().name
        if name in folders:
            raise ConfigError(f"two evaluations are called '{name}'; name them: first={folders[name]} second={path}")
        folders[name] = path
    return folders


def _placed(one: Comparison, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(region=one.region, metric=one.metric, protocol=one.protocol)


def _means(one: Comparison) -> pd.DataFrame:
    ranks: Sequence[float | None] = one.friedman.mean_ranks if one.friedman else [None] * one.values.shape[1]
    table = pd.DataFrame(
        {
            "translator": [str(name) for name in one.values.columns],
            "subjects": len(one.values),
            "mean": one.values.mean().to_numpy(),
            "sd": one.values.std(ddof=1).to_numpy(),
            "median": one.values.median().to_numpy(),
            "mean_rank": ranks,
            "leak_check": [one.leaks.get(str(name), "") for name in one.values.columns],
        }
    )
    return _placed(one, table)


def _pairs(one: Comparison) -> pd.DataFrame:
    def told(row: pd.Series[Any]) -> str:
        both = (str(row["first"]), str(row["second"]))
        return "; ".join(f"{name}: {one.leaks[name]}" for name in both if one.leaks[name] != PASSED) or PASSED

    return _placed(one, one.pairs.assign(leak_check=one.pairs.apply(told, axis=1)))


def _values(one: Comparison) -> pd.DataFrame:
    """One row for each subject, a column for each translator."""
    table = one.values.rename_axis("subject").reset_index()
    return pd.concat([_placed(one, table[["subject"]]), table.drop(columns="subject")], axis=1)


def _facts(one: Comparison) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "region": one.region,
        "subjects": len(one.values),
        "left_out": {subject: list(lacking) for subject, lacking in one.left_out.items()},
        "friedman": None if one.friedman is None else vars(one.friedman),
        "conclusions": list(one.sentences),
    }
