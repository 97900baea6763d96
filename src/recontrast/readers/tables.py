"""Tables of a reader study as in the papers: counts of grades, agreement, means with Wilcoxon's p, origins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from recontrast.evaluation.statistics import mcnemar, of_differences, paired_test
from recontrast.metrics.agreement import Agreement, cohen_kappa, fleiss_kappa, icc
from recontrast.readers.decode import counting, of
from recontrast.readers.multireader import multireader
from recontrast.readers.study import ORIGINS, Question, Study

_GRADED = ("choice", "grade")


def graded(study: Study) -> list[Question]:
    """Questions whose answers are numbers."""
    return [question for question in study.questions if question.kind in _GRADED and not study.paired]


def others(study: Study) -> list[str]:
    """Arms that are compared with the acquired one."""
    return [arm.name for arm in study.arms if arm.name != study.acquired]


def count_table(answers: pd.DataFrame, study: Study, question: Question) -> pd.DataFrame:
    """How often each grade was given, for each reader and arm: table 3 of Tagawa 2025."""
    counted = counting(answers, question.name)
    columns: dict[str, Any] = {question.name: list(question.choices)}
    for reader in study.readers:
        for arm in (arm.name for arm in study.arms):
            values = counted[(counted["reader"] == reader) & (counted["arm"] == arm)]["value"]
            columns[f"{reader} {arm}"] = [int((values == value).sum()) for value in question.values]
    return pd.DataFrame(columns)


def confusion_table(answers: pd.DataFrame, study: Study, question: Question) -> pd.DataFrame:
    """Grade in the acquired image against grade in each other arm, counted over the same cases and sides."""
    rows: list[dict[str, Any]] = []
    for reader in study.readers:
        wide = _wide(of(counting(answers, question.name), reader=reader), "arm")
        for arm in others(study):
            if not {arm, study.acquired} <= {*wide.columns}:
                continue
            pair = wide[[study.acquired, arm]].dropna().astype(int)
            choices = list(zip(question.values, question.choices, strict=True))
            for value, label in choices:
                given = pair.loc[pair[study.acquired] == value, arm]
                counts = {f"{arm}: {name}": int((given == other).sum()) for other, name in choices}
                rows.append({"reader": reader, study.acquired: label, **counts})
    return pd.DataFrame(rows)


def agreement_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Agreement of arms (each reader), of readers (each arm) and of readers with themselves (repeats).

    Two ratings: Cohen's kappa with quadratic weights (unweighted for two grades), interval as Fleiss, Cohen, Everitt
    1969, and by bootstrap over subjects. Several readers: ICC(2,1) and Fleiss' kappa.
    """
    rows = []
    for question in graded(study):
        for what, who, pairs in _pairs(answers, study, question):
            for interval in ("analytic", "bootstrap"):
                rows.append(_row(question, what, who, f"weighted kappa, {interval}", _kappa(pairs, question, interval)))
        for arm in (arm.name for arm in study.arms):
            ratings = _wide(of(counting(answers, question.name), arm=arm), "reader").dropna()
            if ratings.shape[1] >= 2 and len(ratings) >= 2:
                rows.append(_row(question, "between readers", arm, "ICC(2,1)", icc(ratings.to_numpy())))
                fleiss = fleiss_kappa(ratings.to_numpy(), subjects=_subjects(ratings))
                rows.append(_row(question, "between readers", arm, "Fleiss' kappa", fleiss))
    return pd.DataFrame(
        rows, columns=["question", "between", "who", "statistic", "value", "low", "high", "items", "method"]
    )


def comparison_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Mean and SD of each arm and Wilcoxon's signed-rank p over subjects, each reader: grades of Hagiwara 2019."""
    rows = []
    for question in graded(study):
        for reader in study.readers:
            own = of(counting(answers, question.name), reader=reader)
            wide = _by_subject(own)
            for arm in others(study):
                if study.acquired not in wide or arm not in wide:
                    continue
                pair = wide[[study.acquired, arm]].dropna()
                first, second = pair[study.acquired], pair[arm]
                test = paired_test((second - first).to_numpy())
                rows.append(
                    {
                        "question": question.name, "reader": reader, "arm": arm, "subjects": len(pair),
                        f"{study.acquired} mean": first.mean(), f"{study.acquired} SD": first.std(),
                        "mean": second.mean(), "SD": second.std(),
                        "difference": (second - first).mean(), "p": test.p, "test": test.test,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def multireader_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Difference of each arm from the acquired one over all readers and subjects, both random.

    Its interval ends where differences of these grades do; the method says where it was cut.
    """
    rows = []
    for question in graded(study):
        bounds = of_differences((question.values[0], question.values[-1]))
        tables = {r: _by_subject(of(counting(answers, question.name), reader=r)) for r in study.readers}
        for arm in others(study):
            columns = {
                r: t[arm] - t[study.acquired] for r, t in tables.items() if {arm, study.acquired} <= {*t.columns}
            }
            differences = pd.DataFrame(columns).dropna()
            if min(differences.shape) < 2:
                continue
            result = multireader(differences.to_numpy().T, bounds=bounds)
            found = {"subjects" if name == "cases" else name: value for name, value in vars(result).items()}
            rows.append({"question": question.name, "arm": arm, **found})
    return pd.DataFrame(rows)


def origin_table(answers: pd.DataFrame, study: Study, question: Question) -> pd.DataFrame:
    """Visual Turing test: what each reader said of each arm, the share that was right, and exact tests.

    p: binomial against guessing; only where as many acquired as computed images were read, for a reader who always says
    "computed" is otherwise right more often than not. p of an arm: Fisher's test that acquired images and those of the
    arm are called acquired equally often; paired p: McNemar's, of the same cases.
    """
    rows = []
    for reader in study.readers:
        own = of(counting(answers, question.name), reader=reader)
        right = [(row["value"] == ORIGINS[0]) == (row["arm"] == study.acquired) for row in own.to_dict("records")]
        if not right:
            continue
        test = stats.binomtest(sum(right), len(right))
        even = 2 * int((own["arm"] == study.acquired).sum()) == len(own)
        ends = test.proportion_ci(method="exact")
        said = own.assign(acquired=own["value"] == ORIGINS[0]).pivot_table(
            index="case", columns="arm", values="acquired", aggfunc="first"
        )
        row: dict[str, Any] = {"reader": reader, "readings": len(right)}
        for arm in (arm.name for arm in study.arms):
            values = own[own["arm"] == arm]["value"]
            for origin in ORIGINS:
                row[f"{arm} called {origin}"] = int((values == origin).sum())
        share = {"right": sum(right) / len(right), "low": ends.low, "high": ends.high}
        row |= {**share, "p": test.pvalue if even else float("nan")}
        for arm in others(study):
            calls = [[row[f"{name} called {origin}"] for origin in ORIGINS] for name in (study.acquired, arm)]
            read = all(map(sum, calls))
            row[f"p, {arm}"] = float(stats.fisher_exact(calls).pvalue) if read else float("nan")
            if {arm, study.acquired} <= {*said.columns}:
                pair = said[[study.acquired, arm]].dropna()
                row[f"paired p, {arm}"] = mcnemar(list(pair[study.acquired]), list(pair[arm])).p
        rows.append(row)
    return pd.DataFrame(rows)


def which_table(answers: pd.DataFrame, study: Study, question: Question) -> pd.DataFrame:
    """Two images side by side or overlaid: how often each arm was chosen; p: binomial, ties left out."""
    rows = []
    for reader in study.readers:
        own = of(counting(answers, question.name), reader=reader)
        for arm in others(study):
            values = own[own["arm"].map(lambda pair, arm=arm: arm in pair.split(",")).astype(bool)]["value"]
            chosen, not_chosen = int((values == arm).sum()), int((values == study.acquired).sum())
            decided = chosen + not_chosen
            p = stats.binomtest(chosen, decided).pvalue if decided else float("nan")
            rows.append(
                {
                    "question": question.name, "reader": reader, "items": len(values), arm: chosen,
                    study.acquired: not_chosen, "neither": int((values == "neither").sum()), "p": p,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def time_table(answers: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Reading time of an item in seconds: median and quartiles, each reader and arm."""
    items = answers[~answers["training"]].drop_duplicates(["reader", "place"])
    rows = []
    for (reader, arm), own in items.groupby(["reader", "arm"]):
        seconds = own["milliseconds"].dropna().to_numpy(dtype=np.float64) / 1000
        if seconds.size:
            low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
            rows.append(
                {"reader": reader, "arm": arm, "items": seconds.size, "median": middle, "q1": low, "q3": high}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _pairs(answers: pd.DataFrame, study: Study, question: Question) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Tables of two columns whose agreement is asked."""
    once = counting(answers, question.name)
    for reader in study.readers:
        wide = _wide(of(once, reader=reader), "arm")
        for arm in others(study):
            if {arm, study.acquired} <= {*wide.columns}:
                yield f"{study.acquired} and {arm}", reader, wide[[study.acquired, arm]].dropna()
    for reader in study.readers:
        keys = ["case", "side", "arm"]
        first = of(once, reader=reader).set_index(keys)["value"]
        second = of(counting(answers, question.name, repeats=True), reader=reader).set_index(keys)["value"]
        if len(second):
            yield "first and second reading", reader, pd.DataFrame({"first": first, "second": second}).dropna()
    for arm in (arm.name for arm in study.arms):
        wide = _wide(of(once, arm=arm), "reader")
        for a, b in combinations(wide.columns, 2):
            yield f"readers, {arm}", f"{a} and {b}", wide[[a, b]].dropna()


def _kappa(pairs: pd.DataFrame, question: Question, interval: Any) -> Agreement:
    first, second = pairs.iloc[:, 0].to_numpy(float), pairs.iloc[:, 1].to_numpy(float)
    weights: Any = "quadratic" if len(question.values) > 2 else "none"
    return cohen_kappa(
        first, second, weights=weights, interval=interval, categories=question.values, subjects=_subjects(pairs)
    )  # fmt: skip


def _wide(rows: pd.DataFrame, columns: str) -> pd.DataFrame:
    """One row a case and side, one column a reader or an arm; nan where there is no answer."""
    return rows.pivot_table(index=["case", "side"], columns=columns, values="value", aggfunc="first")


def _by_subject(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a subject, one column an arm; sides and sessions are averaged, because subjects are the unit."""
    return rows.assign(value=rows["value"].astype(float), subject=rows["case"].map(subject_of)).pivot_table(
        index="subject", columns="arm", values="value", aggfunc="mean"
    )


def subject_of(case: str) -> str:
    """The person a case is of: its BIDS subject, or the case itself where its name is not of BIDS.

    >>> subject_of("sub-01_ses-2"), subject_of("knee 7")
    ('sub-01', 'knee 7')
    """
    return case.partition("_")[0] if case.startswith("sub-") else case


def _subjects(wide: pd.DataFrame) -> list[str]:
    return [subject_of(case) for case in wide.index.get_level_values("case")]


def _row(question: Question, what: str, who: str, statistic: str, result: Agreement) -> dict[str, Any]:
    return {
        "question": question.name, "between": what, "who": who, "statistic": statistic, "value": result.value,
        "low": result.low, "high": result.high, "items": result.items, "method": result.method,
    }  # fmt: skip
