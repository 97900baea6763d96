"""Where is the output not supported by the source? A map a case, tested with planted inventions and erasures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from recontrast.inspection import BAD, GOOD, QUESTIONS, Answer, CaseMap, Finding, NotAsked, Plate, Question, several
from recontrast.inspection.bench import Array, Bench, InspectedCase, Mask
from recontrast.inspection.disagreement import cycle_difference, disagreements
from recontrast.inspection.planting import KINDS, Plant, draw_plants, put_into, require_physics, white_matter
from recontrast.inspection.support import SafeTranslator, auroc, fit_safe
from recontrast.reporting.figures import new_figure, style

ENOUGH = 0.8
"""AUROC from which on the map is said to tell inventions from the rest."""

SIZES_MM = (5.0, 8.0, 8.0, 12.0, 20.0)
"""Lesions that are planted."""

PAINTED, AWAY_MM = 0.05, 3.0
"""Outside the head, at least so far from it, values further than this from no signal (of the range) are painted."""

LEAST_PAINTED = 0.001
"""From this share of the voxels on the sentence and a figure tell of it."""

MOST_CASES = 4
"""Cases the map is tested on."""


@QUESTIONS.register("support")
class Support(Question):
    """The support map and how well it finds what was planted."""

    title = "Where is the output not supported by the source?"
    order = 60
    needs = ("sources",)
    method = (
        "A safe translator (gradient boosting on the sources at a voxel and their means within 1.5, 3 and 6 mm) "
        "is fitted to what the translator made. The support score is the disagreement of the two over the usual "
        "disagreement for such a value, smoothed by one voxel. Test: a lesion painted into the synthetic image "
        "only (invention), and a lesion put into the sources only, with the image of the sources without it "
        "(erasure); AUROC of lesion voxels against all others of the brain, by kind. Beside it, where there is a "
        "translator, the spread of the output under flips and one-voxel shifts, and with dropout left on; with "
        "--beside also the spread of an ensemble, and what a translator back to the source gets wrong (the cycle). "
        "Each is given its AUROC for the largest 5 % of real errors. Planted lesions are asked of the safe translator "
        "and of the cycle only: the others do not look at the image that is judged, they make it again. The map of "
        "every case is in maps/. Painted in the dark: signal more than 3 mm outside the head, where every source is "
        "exactly without signal."
    )
    source = (
        "safe reference by regression: our choice; test-time variants: Wang 2019 (Neurocomputing 338:34); dropout: Gal "
        "2016 (ICML)"
    )

    def ask(self, bench: Bench) -> Answer:
        """Fit, test on planted lesions, and draw the map of the first case."""
        require_physics(bench)
        cases = [case for case in bench.cases if case.sources][:MOST_CASES]
        safe = fit_safe(cases, bench.rng("safe translator"))
        findings: list[Finding] = []
        lowest = 1.0
        for kind in KINDS:
            inventions, erasures, cycles = [], [], []
            for case in cases:
                white = white_matter(case)
                rng = bench.rng(f"support {kind} {case.key}")
                plants = draw_plants(case, white, [(kind, size, 1.0) for size in SIZES_MM], rng)
                if plants:
                    first, second = planted_aurocs(case, safe, plants, bench.target)
                    inventions.append(first)
                    erasures.append(second)
                    third = planted_in_cycle(bench, case, plants)
                    cycles += [] if third is None else [third]
                    findings.append(Finding(f"AUROC for inventions, {kind}", first, case=case.key))
                    findings.append(Finding(f"AUROC for erasures, {kind}", second, case=case.key))
            if not inventions:
                raise NotAsked("no place for a lesion was found in white matter")
            for name, values in (("inventions", inventions), ("erasures", erasures)):
                mean = float(np.mean(values))
                lowest = min(lowest, mean)
                note = f"mean of {several(len(values), 'case')}, lowest {min(values):.2f}"
                findings.append(Finding(f"AUROC for planted {name}, {kind}", mean, key=True, note=note))
            if cycles:
                findings.append(Finding(f"AUROC of the cycle for planted inventions, {kind}", float(np.mean(cycles)),
                                        key=True, note=f"mean of {several(len(cycles), 'case')}"))  # fmt: skip
        real = _real_errors(bench, cases, safe)
        findings += real
        dark = {case.key: painted_in_the_dark(case, bench.target) for case in bench.cases if case.sources}
        painted = {key: where for key, where in dark.items() if where is not None}
        findings += _painted(bench, painted)
        most = max((float(where.mean()) for where, _ in painted.values()), default=0.0)
        enough = lowest >= ENOUGH
        sentence = (
            f"The support map finds planted inventions and erasures of every kind with an AUROC of at least "
            f"{lowest:.2f} (mean over cases){'' if enough else f', less than the {ENOUGH:g} wanted'}"
        )
        # A map that finds what was planted need not know where the image is wrong otherwise.
        sentence += f"; for the largest 5 % of real errors it is {real[0].value:.2f} (chance: 0.50)" if real else ""
        if most >= LEAST_PAINTED:
            sentence += (
                f"; outside the head, where no source has signal, it paints up to {100 * most:.1f} % of the voxels"
            )
        scores = {c.key: support_map(c, safe, dict(c.sources), c.synthetic) for c in bench.cases if c.sources}
        maps = [CaseMap(c.key, "support", scores[c.key], c.affine) for c in bench.cases if c.key in scores]
        plates = [_plate(bench, cases[0], safe), _every_case(bench, scores)]
        if most >= LEAST_PAINTED:
            plates.append(_dark_plate(bench, painted))
        good = enough and most < LEAST_PAINTED
        return Answer(f"{sentence}.", findings, plates, GOOD if good else BAD, maps)


def support_map(case: InspectedCase, safe: SafeTranslator, sources: dict[str, Array], made: Array) -> Array:
    """The support score, smoothed by one voxel."""
    return np.asarray(gaussian_filter(safe.score(sources, made, case.inside, case.spacing), 1.0), np.float32)


def painted_in_the_dark(case: InspectedCase, target: str) -> tuple[NDArray[np.bool_], Array] | None:
    """Where the image has signal outside the head although no source has any, as in skull-stripped scans.

    Args:
        case: A case with sources.
        target: Its target.

    Returns:
        For each voxel that is looked at whether it is painted, and how far each voxel of the case is from no signal
        (0 where it is not looked at); None where sources are nowhere exactly without signal outside the head (air).
    """
    empty = distance_transform_edt(~case.regions["head"], sampling=case.spacing) >= AWAY_MM
    for label, source in case.sources.items():
        empty &= np.abs(source - case.zeros.get(label, 0.0)) < 1e-6
    if not empty.any():
        return None
    away = np.where(empty, np.abs(case.synthetic - case.zeros.get(target, 0.0)), 0).astype(np.float32)
    return away[empty] > PAINTED, away


def _painted(bench: Bench, painted: Mapping[str, tuple[NDArray[np.bool_], Array]]) -> list[Finding]:
    note = f"outside the head, where no source has signal; further than {PAINTED:g} of the range from no signal"
    found = []
    for key, (where, away) in painted.items():
        found.append(Finding("painted in the dark", 100 * float(where.mean()), "%", key, note, key=len(painted) < 4))
        found.append(Finding("brightest in the dark", float(away.max()), "of the range", key))
    if painted:
        worst = max(float(away.max()) for _, away in painted.values())
        mean = float(np.mean([where.mean() for where, _ in painted.values()]))
        found.append(Finding("painted in the dark", 100 * mean, "%", key=len(painted) >= 4, note=f"mean; {note}"))
        found.append(Finding("brightest in the dark", worst, "of the range", key=True))
    return found


def _dark_plate(bench: Bench, painted: Mapping[str, tuple[NDArray[np.bool_], Array]]) -> Plate:
    """The case that is painted most, in the slice where that is most."""
    key = max(painted, key=lambda key: float(painted[key][0].mean()))
    case = next(case for case in bench.cases if case.key == key)
    index = int(np.argmax((painted[key][1] > PAINTED).sum(axis=(0, 1))))
    images = dict(list(case.sources.items())[:1])
    images[f"synthetic {bench.target}"] = case.synthetic
    if case.reference is not None:
        images[f"acquired {bench.target}"] = case.reference
    aspect = case.spacing[1] / case.spacing[0]
    with style():
        figure = new_figure(2.6, layout="constrained")
        row: Any = figure.subplots(1, 4)
        for axes in row:
            axes.set_axis_off()
        for axes, (name, image) in zip(row, images.items(), strict=False):
            axes.imshow(image[:, :, index].T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=aspect)
            axes.set_title(name)
    caption = f"{key}: the axial slice with most signal outside the head where no source has any. One window (0 to 1)."
    return Plate("dark", figure, caption)


def planted_aurocs(
    case: InspectedCase, safe: SafeTranslator, plants: Sequence[Plant], target: str
) -> tuple[float, float]:
    """AUROC of the support map for lesions painted into the output only, and for lesions put into the sources only."""
    share = np.zeros(case.shape, np.float32)
    for plant in plants:
        share[plant.box] = np.maximum(share[plant.box], plant.share)
    inside: Mask = case.inside
    positive = (share > 0.5)[inside]
    invented = put_into(case.synthetic, plants, target, case.zeros.get(target, 0.0))
    sources = {k: put_into(v, plants, k, case.zeros.get(k, 0.0)) for k, v in case.sources.items()}
    first = support_map(case, safe, dict(case.sources), invented)[inside]
    second = support_map(case, safe, sources, case.synthetic)[inside]
    return auroc(first, positive), auroc(second, positive)


def planted_in_cycle(bench: Bench, case: InspectedCase, plants: Sequence[Plant]) -> float | None:
    """AUROC, for lesions painted into the output only, of what the translator back gets wrong; None without one."""
    invented = put_into(case.synthetic, plants, bench.target, case.zeros.get(bench.target, 0.0))
    away = cycle_difference(bench, case, invented)
    if away is None:
        return None
    share = np.zeros(case.shape, np.float32)
    for plant in plants:
        share[plant.box] = np.maximum(share[plant.box], plant.share)
    return auroc(gaussian_filter(away, 1.0)[case.inside], (share > 0.5)[case.inside])


def _real_errors(bench: Bench, cases: Sequence[InspectedCase], safe: SafeTranslator) -> list[Finding]:
    rows: dict[str, list[float]] = {}
    for case in cases[:3]:
        if case.reference is None:
            continue
        error = gaussian_filter(np.abs(case.synthetic - case.reference), 1.0)[case.inside]
        large = error > np.quantile(error, 0.95)
        score = support_map(case, safe, dict(case.sources), case.synthetic)[case.inside]
        rows.setdefault("support score", []).append(auroc(score, large))
        if bench.translator is not None:
            for name, away in disagreements(bench, case, case.synthetic).items():
                smooth = gaussian_filter(away, 1.0)[case.inside]
                rows.setdefault(f"disagreement of {name}", []).append(auroc(smooth, large))
    return [
        Finding(f"AUROC for the largest 5 % of real errors, {name}", float(np.mean(values)), key=True,
                note=f"mean of {several(len(values), 'case')}")
        for name, values in rows.items()
    ]  # fmt: skip


def _plate(bench: Bench, case: InspectedCase, safe: SafeTranslator) -> Plate:
    white = white_matter(case)
    plants = draw_plants(case, white, [("MS", 12.0, 1.0)], bench.rng("support example"))
    painted = put_into(case.synthetic, plants, bench.target, case.zeros.get(bench.target, 0.0))
    index = plants[0].centre[2] if plants else case.shape[2] // 2
    images: dict[str, tuple[Any, str, float]] = {f"synthetic {bench.target}": (case.synthetic, "gray", 1.0)}
    images["support score"] = (support_map(case, safe, dict(case.sources), case.synthetic), "magma", 8.0)
    images["synthetic, planted invention"] = (painted, "gray", 1.0)
    images["its support score"] = (support_map(case, safe, dict(case.sources), painted), "magma", 8.0)
    with style():
        figure = new_figure(2.4, layout="constrained")
        row: Any = figure.subplots(1, 4)
        for axes, (name, (image, colours, top)) in zip(row, images.items(), strict=True):
            aspect = case.spacing[1] / case.spacing[0]
            shown = axes.imshow(image[:, :, index].T[::-1, ::-1], cmap=colours, vmin=0, vmax=top, aspect=aspect)
            axes.set_title(name)
            axes.set_axis_off()
        figure.colorbar(shown, ax=row, shrink=0.7, label="times the usual disagreement")
    return Plate("map", figure, f"{case.key}: bright in the score: not supported by the sources. Right: with a lesion "
                 "of 12 mm painted into the synthetic image. Images in one window (0 to 1).")  # fmt: skip


def _every_case(bench: Bench, scores: dict[str, Array]) -> Plate:
    """The support score of every case, in the slice where most of the brain is unsupported."""
    shown = [case for case in bench.cases if case.key in scores]
    columns = 5
    rows = -(-len(shown) // columns)
    with style():
        figure = new_figure(1.9 * rows, layout="constrained")
        grid: Any = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for axes, case in zip(grid.ravel(), shown, strict=False):
            score = scores[case.key]
            index = int(np.argmax(np.maximum(score - 3, 0).sum(axis=(0, 1))))
            aspect = case.spacing[1] / case.spacing[0]
            axes.imshow(case.synthetic[:, :, index].T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=aspect)
            part = np.ma.masked_less(score[:, :, index].T[::-1, ::-1], 3)
            picture = axes.imshow(part, cmap="autumn_r", vmin=3, vmax=8, aspect=aspect)
            axes.set_title(f"{case.key}, synthetic")
        figure.colorbar(picture, ax=grid, shrink=0.6, label="times the usual disagreement")
    return Plate("cases", figure, f"Synthetic {bench.target} of every case, where its support is worst; coloured: at "
                 "least three times the usual disagreement.")  # fmt: skip
