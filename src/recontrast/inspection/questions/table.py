"""Is it more than a look-up table? Joint histograms, conditional entropy, and what a one-to-one map explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS
from recontrast.inspection import BAD, GOOD, QUESTIONS, Answer, Finding, NotAsked, Plate, Question
from recontrast.inspection.bench import Bench, InspectedCase
from recontrast.metrics.intensity import psnr
from recontrast.reporting.figures import new_figure, style

LEVELS = 64
"""Grey levels of the histograms whose entropy is given."""

MOST_VOXELS = 400_000
"""Voxels that are looked at, drawn over all cases."""

TABLE_SHARE = 0.995
"""From this share of variance on the translator is called a look-up table."""

Values = NDArray[np.float64]


def explained_by_table(sources: Values, made: Values, rng: np.random.Generator) -> float:
    """Share of the variance of `made` that a table of the sources' values explains, on voxels it was not made from.

    The table holds the mean of `made` in each cell of the sources' values: each value that occurs where there are few
    of them (integers), else 1024 equally filled cells of one source; of several sources as many as leave a dozen voxels
    in each (96 a source at most). Within the cells of one source the value is interpolated, so that a smooth table is
    found whole.

    Args:
        sources: Shape (voxels, sources).
        made: Shape (voxels,).
        rng: Divides voxels into those the table is made from and those it is tested on.

    Returns:
        1 for a look-up table; 0 when the sources' values say nothing; NaN when `made` is constant.
    """
    half = rng.random(len(made)) < 0.5
    if not half.any() or half.all() or made[~half].var() == 0:
        return float("nan")
    if sources.shape[1] == 1:
        guess = _one_table(sources[half, 0], made[half], sources[~half, 0])
    else:
        guess = _joint_table(sources, made, half)
    left = float(np.mean(np.square(made[~half] - guess)))
    return 1.0 - left / float(made[~half].var())


def _one_table(source: Values, made: Values, asked: Values) -> Values:
    levels = np.unique(source)
    if len(levels) > 4096:
        edges = np.unique(np.quantile(source, np.linspace(0, 1, 1025)))
        cell = np.clip(np.searchsorted(edges, source, side="right") - 1, 0, len(edges) - 2)
        count = np.maximum(np.bincount(cell, minlength=len(edges) - 1), 1)
        levels = np.bincount(cell, source, minlength=len(edges) - 1) / count
        means = np.bincount(cell, made, minlength=len(edges) - 1) / count
        order = np.argsort(levels)
        return np.interp(asked, levels[order], means[order])
    place = np.searchsorted(levels, source)
    means = np.bincount(place, made) / np.bincount(place)
    return np.interp(asked, levels, means)


def _joint_table(sources: Values, made: Values, half: NDArray[np.bool_]) -> Values:
    filled = np.count_nonzero(half) / 12  # voxels a cell needs for its mean
    levels = int(np.clip(filled ** (1 / sources.shape[1]), 2, 96))
    cell = np.zeros(len(made), np.int64)
    for column in sources.T:
        edges = np.unique(np.quantile(column[half], np.linspace(0, 1, levels + 1)[1:-1]))
        cell = cell * levels + np.searchsorted(edges, column)
    cells, place = np.unique(cell, return_inverse=True)
    count = np.bincount(place[half], minlength=len(cells))
    total = np.bincount(place[half], made[half], minlength=len(cells))
    overall = float(made[half].mean())
    means = np.where(count > 0, total / np.maximum(count, 1), overall)
    return np.asarray(means[place[~half]])


def conditional_entropy(source: Values, made: Values, levels: int = LEVELS) -> float:
    """What is still unknown of a voxel of `made` when the voxel of `source` is known, in bits.

    Both are divided into `levels` equal steps from their lowest to their highest value (99.5 % and 0.5 % quantile).
    H(made | source) = H(source, made) - H(source).

    >>> conditional_entropy(np.repeat([0.0, 1.0], 8), np.repeat([1.0, 0.0], 8))
    0.0
    >>> conditional_entropy(np.repeat([0.0, 1.0], 8), np.tile([0.0, 1.0], 8))
    1.0
    """
    rows, columns = _steps(source, levels), _steps(made, levels)
    joint = np.bincount(rows * levels + columns, minlength=levels**2).reshape(levels, levels) / len(source)
    return max(0.0, _entropy(joint.ravel()) - _entropy(joint.sum(axis=1)))


def _steps(values: Values, levels: int) -> NDArray[np.int64]:
    low, high = np.quantile(values, (0.005, 0.995))
    width = float(high - low) or 1.0
    return np.clip((values - low) * (levels / width), 0, levels - 1).astype(np.int64)


def _entropy(share: Values) -> float:
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Voxels of one case: sources (voxels, sources), what was made, the acquired target (or None)."""

    sources: Values
    made: Values
    target: Values | None


@QUESTIONS.register("table")
class LookUpTable(Question):
    """How much of the translator a table of grey values would do as well."""

    title = "Is it more than a look-up table?"
    order = 20
    needs = ("sources",)
    method = (
        "Share of the variance of the synthetic image that the best table of source grey values explains, on "
        "voxels the table was not made from. Conditional entropy in bits (64 grey levels) of the synthetic and of "
        "the acquired target, the source being known. Control: for every source grey value the most probable "
        "acquired value of the same case (an oracle: it knows the answer), and its PSNR."
    )
    source = "grantjacob2021, joint histogram and one-to-one table; correlation ratio: Roche 1998 (MICCAI)"

    def ask(self, bench: Bench) -> Answer:
        """Draw voxels inside the brain of every case."""
        cases = [case for case in bench.cases if case.sources]
        rng = bench.rng("voxels of the table")
        drawn = [_draw(case, MOST_VOXELS // len(cases), rng) for case in cases]
        if not sum(len(d.made) for d in drawn):
            raise NotAsked("no voxel inside the head")
        sources, made = np.concatenate([d.sources for d in drawn]), np.concatenate([d.made for d in drawn])
        share = explained_by_table(sources, made, rng)
        labels = " and ".join(cases[0].sources)
        findings = [Finding(f"variance of synthetic {bench.target} a table of {labels} explains", 100 * share, "%",
                            key=True)]  # fmt: skip
        findings.append(Finding("entropy of synthetic given source", conditional_entropy(sources[:, 0], made), "bits",
                                key=True, note=f"first source, {LEVELS} levels"))  # fmt: skip
        known = [(case, d) for case, d in zip(cases, drawn, strict=True) if d.target is not None]
        told = ""
        if known:
            target = np.concatenate([d.target for _, d in known if d.target is not None])
            pairs = np.concatenate([d.sources for _, d in known])
            acquired = explained_by_table(pairs, target, rng)
            findings += [
                Finding(f"variance of acquired {bench.target} a table explains", 100 * acquired, "%", key=True),
                Finding("entropy of acquired given source", conditional_entropy(pairs[:, 0], target), "bits", key=True),
            ]
            told = f" (of the acquired {bench.target}: {100 * acquired:.0f} %)"
            findings += _scores(known)
        if not np.isfinite(share):
            return Answer(f"The synthetic {bench.target} is constant: there is nothing to explain.", findings, tone=BAD)
        is_table = share >= TABLE_SHARE or bench.voxelwise
        if is_table:
            verdict = (
                "it is a look-up table" if share >= TABLE_SHARE else "it is a table with finer steps than this one"
            )
        elif sources.shape[1] > 1:  # their joint table has coarse steps
            verdict = "the rest comes from the neighbourhood, or is finer than the table's steps"
        else:
            verdict = "the rest comes from the neighbourhood"
        sentence = f"A table of {labels} explains {100 * share:.1f} % of the synthetic {bench.target}{told}: {verdict}."
        return Answer(sentence, findings, _plates(bench, cases[0], drawn[0]), BAD if is_table else GOOD)


def _draw(case: InspectedCase, count: int, rng: np.random.Generator) -> _Drawn:
    places = np.flatnonzero(case.inside)
    if len(places) > count:
        places = np.sort(rng.choice(places, count, replace=False))
    sources = np.stack([case.sources[label].ravel()[places] for label in case.sources], axis=1).astype(np.float64)
    target = None if case.reference is None else case.reference.ravel()[places].astype(np.float64)
    return _Drawn(sources, case.synthetic.ravel()[places].astype(np.float64), target)


def _scores(known: Sequence[tuple[InspectedCase, _Drawn]]) -> list[Finding]:
    """PSNR of the translator and of the oracle table, over the drawn voxels of each case."""
    found = []
    for case, drawn in known:
        if drawn.target is None:
            continue
        oracle = CONTROLS.get("lut")()
        oracle.fit(drawn.sources, drawn.target, 0)
        for name, values in (("synthetic", drawn.made), ("one-to-one table", oracle.predict(drawn.sources))):
            score = psnr(drawn.target, values, data_range=1.0)
            found.append(Finding(f"PSNR of {name}", float(score), "dB", case.key, f"{case.region_name}, range 1"))
    for name in ("synthetic", "one-to-one table"):
        means = [f.value for f in found if f.name == f"PSNR of {name}" and f.case]
        found.append(Finding(f"PSNR of {name}", float(np.mean(means)), "dB", key=True, note="mean of the cases"))
    return found


def _plates(bench: Bench, case: InspectedCase, drawn: _Drawn) -> list[Plate]:
    label = next(iter(case.sources))
    oracle = CONTROLS.get("lut")()
    oracle.fit(drawn.sources, drawn.made if drawn.target is None else drawn.target, 0)
    index = int(np.argmax(np.count_nonzero(case.inside, axis=(0, 1))))
    first = np.stack([case.sources[name][:, :, index].ravel() for name in case.sources], axis=1)
    control = oracle.predict(first).reshape(case.shape[:2]) * case.regions["head"][:, :, index]
    images = {label: case.sources[label][:, :, index], f"synthetic {bench.target}": case.synthetic[:, :, index]}
    if case.reference is not None:
        images[f"acquired {bench.target}"] = case.reference[:, :, index]
    images["one-to-one table"] = control
    with style():
        figure = new_figure(4.4, layout="constrained")
        halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1))
        upper, lower = halves
        for axes, (name, image) in zip(upper.subplots(1, len(images)), images.items(), strict=True):
            axes.imshow(image.T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=case.spacing[1] / case.spacing[0])
            axes.set_title(name)
            axes.set_axis_off()
        pairs = {f"synthetic {bench.target}": drawn.made}
        if drawn.target is not None:
            pairs[f"acquired {bench.target}"] = drawn.target
        for axes, (name, values) in zip(np.atleast_1d(lower.subplots(1, len(pairs))), pairs.items(), strict=True):
            joint, _, _ = np.histogram2d(drawn.sources[:, 0], values, bins=128, range=((0, 1.1), (0, 1.1)))
            axes.imshow(np.log1p(joint).T, origin="lower", cmap="viridis", extent=(0, 1.1, 0, 1.1), aspect="auto")
            axes.set(xlabel=label, ylabel=name)
    caption = (
        f"{case.key}, one axial slice, one window (0 to 1), the patient's left on the right; below: joint histograms "
        "(log counts). A thin curve means a table, a cloud means that the same grey value becomes several."
    )
    return [Plate("histograms", figure, caption)]
