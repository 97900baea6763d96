"""Several translators on the same subjects: evaluation folders of one protocol, compared by Friedman's test.

Metrics are those of `scores.tsv`; those of `volumes.tsv` (Dice, AVD …) are compared with the structure as region.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from recontrast.errors import ConfigError, FormatError, LayoutError, StatisticsError, UnknownNameError
from recontrast.evaluation.leaks import PASSED
from recontrast.evaluation.protocols import require_one_protocol
from recontrast.evaluation.scores import OK, SYNTHETIC
from recontrast.evaluation.settings import PairedTest
from recontrast.evaluation.statistics import (
    Friedman,
    Interval,
    bootstrap_interval,
    friedman,
    hedges_g,
    odds_in_words,
    of_differences,
    paired_test,
    post_hoc,
    sample_in_words,
    several_in_words,
    verdict,
)
from recontrast.evaluation.statistics.several import PostHoc
from recontrast.evaluation.volume_tables import MEASURES, SCALED_BY_HEAD, relative_heads
from recontrast.io.tables import read_table, require_columns
from recontrast.metrics import METRICS

VOLUME_MEASURES = {"dice": True, "aspc": False, "avd": False, "hd95_mm": False, "asd_mm": False}
"""Measures of `volumes.tsv` that can be compared, and whether higher is better."""

_NEEDED = ("subject", "session", "estimator", "region", "metric", "value", "protocol", "status")

_REFERENCE = "volume_reference_ml"
"""Column of `volumes.tsv` that tells how large the heads are."""

_TISSUES = ("GM", "WM", "CSF")
"""Regions that an evaluation may have made itself (`--tissues-from`)."""

_TREATED = {"scaled_by": "scale of the synthetic images", "regions_taken": "region of masks, slices or divisors"}
"""Columns of `cases.tsv` that say how a case was treated in the end, and their names in messages."""

_ALIKE = {"converted": "declared"}
"""Treatments that mean the same for a comparison."""


@dataclass(frozen=True)
class Comparison:
    """Several translators compared.

    Attributes:
        protocol: Name of the protocol all were scored by.
        metric: Label of the metric.
        region: Name of the region.
        values: Subjects (rows) by translators (columns); only subjects with a value of every translator.
        left_out: Subjects without a value of every translator, with the translators that lack one.
        friedman: The test of all; None for two translators, which a paired test compares.
        pairs: For each pair: first, second, difference (second - first), change in percent of the first, interval of
            the difference, Hedges' g, p (adjusted), test.
        sentences: What may be said.
        leaks: Translator to what the leak check of its evaluation found.
    """

    protocol: str
    metric: str
    region: str
    values: pd.DataFrame
    left_out: Mapping[str, tuple[str, ...]]
    friedman: Friedman | None
    pairs: pd.DataFrame
    sentences: tuple[str, ...]
    leaks: Mapping[str, str] = field(default_factory=dict)


def compare_evaluations(
    folders: Mapping[str, Path], *, metric: str = "", region: str = "", method: PostHoc = "wilcoxon",
    test: PairedTest = "wilcoxon", seed: int = 0,
) -> Comparison:  # fmt: skip
    """Compare the synthetic images of several translators that were evaluated on the same subjects.

    Args:
        folders: Name of each translator to its evaluation folder; two or more.
        metric: Label of the metric; left out: the protocol's primary one.
        region: Region; left out: the primary one.
        method: Post-hoc test of the pairs of three and more: `wilcoxon`, `nemenyi` or `conover`.
        test: Paired test of two: `wilcoxon`, `t` or `auto`.
        seed: Seed of permutations and bootstrap.

    Raises:
        ConfigError: Fewer than two folders, or their protocols, targets, ways of scaling or resampling the synthetic
            images (as they were asked for, and as they were in each case), or segmentations differ.
        LayoutError: A folder holds no evaluation.
        FormatError: Its files cannot be read, or do not tell the head sizes that AVD needs.
        UnknownNameError: There is no such metric or region.
        StatisticsError: Fewer than 2 subjects have a value of every translator.

    Example:
        >>> compare_evaluations({"unet": Path("ev-unet"), "gan": Path("ev-gan")}).sentences  # doctest: +SKIP
        ('psnr in brain: unet is better than gan (…)',)
    """
    if len(folders) < 2:
        raise ConfigError(f"a comparison needs two or more evaluation folders, got {len(folders)}")
    facts = {name: _facts(folder) for name, folder in folders.items()}
    tables = {name: _scores(folder) for name, folder in folders.items()}
    protocol = require_one_protocol(pd.concat([t["protocol"] for t in tables.values()]).astype(str), "evaluations")
    definition = _definition(facts)
    metric = metric or str(definition.get("primary_metric", ""))
    region = region or str(_shared(facts, "primary_region"))
    complete, left_out = _values(tables, metric, region)
    _require_same_structures(facts, tables, metric, region)
    if metric not in VOLUME_MEASURES:  # segmenters look at the images as they are
        _require_same_treatment(folders, complete)
    if len(complete) < 2:
        raise StatisticsError(
            f"{metric} in {region}: {len(complete)} subject(s) have a value of every translator, 2 are needed; "
            "evaluate all translators on the same subjects"
        )
    higher, bounds = _direction_and_bounds(definition, metric)
    found = friedman(complete.to_numpy(), seed=seed) if complete.shape[1] > 2 else None
    pairs = _pairs(complete, seed, test, of_differences(bounds))
    names = [str(name) for name in complete.columns]
    if found is not None:
        compared = post_hoc(complete.to_numpy(), method)
        pairs["p"], pairs["test"] = [pair.p for pair in compared], [pair.test for pair in compared]
        sentences = several_in_words(found, compared, names, metric=metric, region=region, higher_is_better=higher)
    else:
        sentences = [_two_in_words(pairs.to_dict("records")[0], f"{metric} in {region}", higher)]
    sentences.append(sample_in_words(len(complete)))
    if metric in SCALED_BY_HEAD:
        sentences.append(f"{metric} in {region} is scaled by the mean TIV of the compared cases, in each evaluation.")
    if left_out:
        sentences.append(
            f"{len(left_out)} subject(s) without a value of every translator left out: {', '.join(left_out)}."
        )
    leaks = {name: _leak_status(one) for name, one in facts.items()}
    sentences += [*_leaks_in_words(leaks), *_warnings_in_words(facts)]
    return Comparison(protocol, metric, region, complete, left_out, found, pairs, tuple(sentences), leaks)


def measured(folders: Mapping[str, Path], metrics: Sequence[str], regions: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of metric and region that can be compared: of all pairs those that every evaluation has.

    Not every metric is measured in every region (Dice in the brain). A metric or region that would be left without any
    pair stays in its first one, so that `compare_evaluations` says what is wrong with it.

    Args:
        folders: Name of each translator to its evaluation folder.
        metrics: Labels of metrics.
        regions: Regions.

    Raises:
        LayoutError: A folder holds no evaluation.
        FormatError: Its files cannot be read.
    """
    tables = [_scores(folder) for folder in folders.values()]
    found = [set(zip(table["metric"], table["region"], strict=True)) for table in tables]
    there = set.intersection(*found) if found else set()
    pairs = [(metric, region) for region in regions for metric in metrics]
    kept = [pair for pair in pairs if pair in there]
    for pair in pairs:
        if pair[0] not in {metric for metric, _ in kept} or pair[1] not in {region for _, region in kept}:
            kept.append(pair)
    return kept


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / "evaluation.json"
    if not path.is_file():
        raise LayoutError(f"{folder}: holds no evaluation.json; name a folder that `recontrast evaluate` wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("protocol"), dict):
        raise FormatError(f"{path}: does not say by which protocol was scored")
    return content


def _scores(folder: Path) -> pd.DataFrame:
    path = folder / "scores.tsv"
    table = read_table(path, ("subject", "session", "case"))
    require_columns(path, table, _NEEDED)
    table = table[table["estimator"] == SYNTHETIC]
    volumes = folder / "volumes.tsv"
    return pd.concat([table, _of_volumes(volumes, table)], ignore_index=True) if volumes.is_file() else table


def _of_volumes(path: Path, scores: pd.DataFrame) -> pd.DataFrame:
    """Volume measures in the form of `scores.tsv`, the structure as region."""
    table = read_table(path, ("subject", "session", "case", "segmenter_version", "status"))
    require_columns(path, table, ("subject", "session", "segmenter", "structure", "status", *VOLUME_MEASURES))
    table = table[table["structure"].notna()]
    several = table["segmenter"].nunique() > 1
    region = table["segmenter"] + ":" + table["structure"] if several else table["structure"]
    shared = table[["subject", "session"]].assign(estimator=SYNTHETIC, region=region)
    shared["protocol"] = scores["protocol"].iloc[0] if len(scores) else ""
    versions = table.get("segmenter_version", pd.Series("not recorded", index=table.index)).astype(str)
    shared["segmenter"] = table["segmenter"].astype(str) + ", version " + versions
    if _REFERENCE in table:
        shared["head"] = relative_heads(table)
    parts = [
        shared.assign(metric=measure, value=table[measure], status=table[measure].notna().map({True: OK, False: "n/a"}))
        for measure in VOLUME_MEASURES
    ]
    return pd.concat(parts, ignore_index=True)


def _definition(facts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The protocol, when protocol, target and treatment of the synthetic images are the same in all evaluations.

    An evaluation that says neither how they were scaled nor whether they were resampled did as the protocol has it.
    """
    definition: Mapping[str, Any] = _shared(facts, "protocol")
    _shared(facts, "target")
    usual = {"synthetic_scale": definition.get("synthetic_scale"), "resample": False}
    complete = {name: {**usual, **one} for name, one in facts.items()}
    _shared(complete, "synthetic_scale", "scale of the synthetic images")
    _shared(complete, "resample", "resampling of the synthetic images")
    return definition


def _require_same_structures(
    facts: Mapping[str, Mapping[str, Any]], tables: Mapping[str, pd.DataFrame], metric: str, region: str
) -> None:
    """Refuse structures that were segmented by other tools or other versions."""
    used: dict[str, Any] = {}
    for name, table in tables.items():
        made = facts[name].get("regions_made")
        used[name] = made.get(", ".join(_TISSUES), "") if isinstance(made, Mapping) and region in _TISSUES else ""
        if metric in VOLUME_MEASURES and "segmenter" in table:
            rows = table[(table["metric"] == metric) & (table["region"] == region)]
            used[name] = " and ".join(sorted(set(rows["segmenter"].dropna())))
    _shared({name: {"used": words} for name, words in used.items()}, "used", f"segmentation of {region}")


def _require_same_treatment(folders: Mapping[str, Path], values: pd.DataFrame) -> None:
    """Refuse images of the same case of which one was treated by a kinder rule than the other.

    The setting may be the same and what happened not: an image that declares no scale is judged by its own. A declared
    scale and one that was brought to other percentiles both count a wrong brightness. What an older evaluation does
    not record is not compared.
    """
    tables = {name: _cases(folder, set(map(str, values.index))) for name, folder in folders.items()}
    for first, other in combinations(tables, 2):
        for column, words in _TREATED.items():
            if not {column} <= set(tables[first]) & set(tables[other]):
                continue
            both = pd.concat([tables[first][column], tables[other][column]], axis=1, keys=(0, 1), join="inner").dropna()
            odd = both[both[0].replace(_ALIKE) != both[1].replace(_ALIKE)]
            if len(odd):
                named = ", ".join(map(str, odd.index[:3])) + (", …" if len(odd) > 3 else "")
                found = ", ".join(map(str, odd.iloc[0]))
                raise ConfigError(
                    f"{first} and {other}: the {words} differs in {len(odd)} of {len(both)} cases ({named}: "
                    f"{found}), so their numbers are not comparable; cases.tsv says why"
                )


def _cases(folder: Path, subjects: set[str]) -> pd.DataFrame:
    """The scored cases of these subjects by their key; empty where an evaluation has no list of cases."""
    path = folder / "cases.tsv"
    if not path.is_file():
        return pd.DataFrame()
    table = read_table(path, ("case", "subject", "session", "status", *_TREATED))
    require_columns(path, table, ("case", "subject", "status"))
    return table[(table["status"] == OK) & table["subject"].isin(subjects)].set_index("case")


def _shared(facts: Mapping[str, Mapping[str, Any]], entry: str, words: str = "") -> Any:
    """What all evaluations say of an entry; `words` are its name in messages."""
    first, *others = facts
    for other in others:
        found = [facts[name].get(entry) for name in (first, other)]
        if found[0] != found[1]:
            detail = "" if entry == "protocol" else f" ({found[0]}, {found[1]})"
            what = f"the {words or entry.replace('_', ' ')} differs{detail}"
            raise ConfigError(f"{first} and {other}: {what}, so their numbers are not comparable")
    return facts[first].get(entry)


def _leak_status(facts: Mapping[str, Any]) -> str:
    check = facts.get("leak_check")
    return str(check.get("status", "not recorded")) if isinstance(check, Mapping) else "not recorded"


def _leaks_in_words(leaks: Mapping[str, str]) -> list[str]:
    """One sentence on those whose leak check did not pass; none where all passed."""
    told = [f"{name}: {status}" for name, status in leaks.items() if status != PASSED]
    if not told:
        return []
    return [f"Leak check not passed ({'; '.join(told)}): these scores need not hold for new subjects."]


def _warnings_in_words(facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the evaluations themselves warn of, each once, with the names of the translators."""
    told: dict[str, list[str]] = {}
    for name, one in facts.items():
        found = one.get("warnings")
        for text in found if isinstance(found, list) else ():
            told.setdefault(str(text), []).append(name)
    return [f"Warning in the evaluation of {', '.join(names)}: {text}" for text, names in told.items()]


def _values(
    tables: Mapping[str, pd.DataFrame], metric: str, region: str
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """Subjects by translators, from sessions that all have, averaged within the subject; and who was left out."""
    columns, heads = {}, {}
    for name, table in tables.items():
        for kind, wanted in (("metric", metric), ("region", region)):
            if wanted not in set(table[kind]):
                raise UnknownNameError.among(
                    f"{kind} in the evaluation of {name}", wanted, map(str, table[kind].unique())
                )
        regions = table.loc[table["metric"] == metric, "region"]
        if region not in set(regions):
            raise UnknownNameError.among(
                f"region of {metric} in the evaluation of {name}", region, map(str, regions.unique())
            )
        rows = table[(table["metric"] == metric) & (table["region"] == region) & (table["status"] == OK)]
        keys = pd.MultiIndex.from_arrays([rows["subject"].astype(str), rows["session"].fillna("").astype(str)])
        columns[name] = pd.Series(pd.to_numeric(rows["value"]).to_numpy(), index=keys)
        heads[name] = pd.Series(rows.get("head", float("nan")), index=rows.index).set_axis(keys)
    sessions = pd.DataFrame(columns)
    complete = sessions.dropna()
    if metric in SCALED_BY_HEAD and len(complete):
        complete = complete * _mean_heads(pd.DataFrame(heads).loc[complete.index], metric)
    shared = complete.groupby(level=0).mean()
    subjects = sessions.index.get_level_values(0)
    left_out: dict[str, tuple[str, ...]] = {}
    for subject in sorted(set(subjects) - set(shared.index)):
        lacking = sessions[subjects == subject].isna().any()
        left_out[str(subject)] = tuple(str(name) for name in lacking.index[lacking])
    return shared, left_out


def _mean_heads(heads: pd.DataFrame, metric: str) -> pd.Series[float]:
    """Mean size of the compared heads in each evaluation, relative to what it scaled its volumes by."""
    means: pd.Series[float] = heads.mean(skipna=False)
    unknown = means.index[means.isna()]
    if len(unknown):
        raise FormatError(
            f"{unknown[0]}: volumes.tsv lacks the volume of GM, WM or CSF in a reference, by which {metric} is scaled: "
            "it cannot be compared; evaluate the images again"
        )
    return means


def _pairs(values: pd.DataFrame, seed: int, test: PairedTest, bounds: tuple[float, float]) -> pd.DataFrame:
    rows = []
    for first, second in combinations(values.columns, 2):
        differences = (values[second] - values[first]).to_numpy()
        interval = bootstrap_interval(differences, seed=seed).within(bounds)
        result = paired_test(differences, test)
        base = float(values[first].mean())
        rows.append(
            {
                "first": first, "second": second, "subjects": differences.size, "difference": differences.mean(),
                "change_percent": 100 * differences.mean() / abs(base) if base else float("nan"),
                "ci_low": interval.low, "ci_high": interval.high, "interval": interval.over,
                "hedges_g": hedges_g(differences), "p": result.p, "test": result.test,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _two_in_words(pair: Mapping[Any, Any], place: str, higher_is_better: bool) -> str:
    interval = Interval(pair["ci_low"], pair["ci_high"], pair["interval"])
    numbers = f"difference {pair['difference']:+.4g}; {pair['interval']}"
    if interval.exists:
        numbers = f"difference {pair['difference']:+.4g}, 95 % interval {interval.low:+.4g} to {interval.high:+.4g}"
    found = verdict(interval, higher_is_better=higher_is_better)
    odds = odds_in_words(found, pair["p"], adjusted=False)
    if found == "undecided":
        said = (
            f"{place}: not shown to differ: {pair['first']} and {pair['second']} ({numbers}). "
            "This does not show that they are equal."
        )
    else:
        better, worse = ("second", "first") if found == "synthetic" else ("first", "second")
        said = f"{place}: {pair[better]} is better than {pair[worse]} ({numbers}; {pair['test']}, p {pair['p']:.3g})."
    return f"{said} {odds}".rstrip()


def _direction_and_bounds(definition: Mapping[str, Any], metric: str) -> tuple[bool, tuple[float, float]]:
    uses = definition.get("metrics")
    if metric in VOLUME_MEASURES:
        return VOLUME_MEASURES[metric], MEASURES[metric]
    for use in uses if isinstance(uses, list) else ():
        if isinstance(use, Mapping) and use.get("label") == metric:
            known = METRICS.get(str(use.get("metric")))
            return known.higher_is_better, known.bounds
    raise FormatError(f"evaluation.json: the protocol does not define the metric {metric}")
