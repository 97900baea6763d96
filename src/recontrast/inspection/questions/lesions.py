"""Would it show a lesion? Contrast survival of planted lesions by size and contrast, and the detection limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.inspection import BAD, GOOD, PLAIN, QUESTIONS, Answer, Finding, NotAsked, Plate, Question, percent
from recontrast.inspection.bench import Array, Bench, InspectedCase
from recontrast.inspection.planting import (
    KINDS,
    Plant,
    depth_in,
    draw_plants,
    put_into,
    require_physics,
    white_matter,
)
from recontrast.reporting.figures import new_figure, style

SIZES_MM = (2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
"""Diameters of the lesions."""

GRADES = (0.25, 0.5, 1.0)
"""How far from white matter to the full lesion; 1 is the lesion of the virtual scanner."""

NULL_PLACES = 40
"""Lesion-free places in a case at which the observer's false alarms are counted."""

FALSE_ALARMS = 0.05
"""Share of lesion-free places that the observer calls a lesion."""

LIMIT = 0.8
"""Detection rate that defines the detection limit."""

CORE_MM = 3.0
"""The observer looks at this radius of a lesion."""

MOST_VOLUMES, MOST_ROUNDS = 30, 2
"""Translations of heads with lesions in them; of one case, kind and grade."""


@dataclass(frozen=True)
class Seen:
    """What became of one planted lesion.

    Attributes:
        case: Case.
        kind: Kind.
        diameter_mm: Diameter.
        grade: Grade.
        survival: Change of the synthetic image along the change the lesion makes in the target, over that change.
        found: Whether the observer finds it in the synthetic image.
        found_in_target: Whether the observer would find it in the target.
    """

    case: str
    kind: str
    diameter_mm: float
    grade: float
    survival: float
    found: bool
    found_in_target: bool


def detection_limit(sizes: Sequence[float], rates: Sequence[float], limit: float = LIMIT) -> float:
    """Smallest size from which on the detection rate stays at `limit` or above; infinity when there is none.

    >>> detection_limit([2, 5, 8], [0.2, 0.85, 1.0])
    5.0
    """
    below = [n for n, rate in enumerate(rates) if not rate >= limit]
    first = below[-1] + 1 if below else 0
    return float(sizes[first]) if first < len(sizes) else float("inf")


def look(
    bench: Bench, case: InspectedCase, kinds: Sequence[str], rng: np.random.Generator, rounds: int = 1
) -> list[Seen]:
    """Plant lesions of all sizes and grades into a case, translate, and see what is left of them.

    Args:
        bench: With a translator.
        case: The case.
        kinds: Kinds of lesions.
        rng: Draws places and shapes.
        rounds: Times each kind and grade is planted, at other places: one translation each.
    """
    white = white_matter(case)
    if not white.any():
        raise NotAsked(f"{case.key}: no white matter to put a lesion into")
    depth = depth_in(white, case.spacing)
    target = case.synthetic if case.reference is None else case.reference
    zero = case.zeros.get(bench.target, 0.0)
    nulls = draw_plants(case, white, [("MS", 4.0, 1.0)] * NULL_PLACES, rng, apart_mm=1.0, depth=depth)
    seen = []
    for kind in list(kinds) * rounds:
        for grade in GRADES:
            wanted = [(kind, size, grade) for size in SIZES_MM for _ in range(2 if size <= 8 else 1)]
            plants = draw_plants(case, white, wanted, rng, depth=depth)
            sources = {
                label: put_into(image, plants, label, case.zeros.get(label, 0.0))
                for label, image in case.sources.items()
            }
            made, real = bench.predict(sources, case.zeros), put_into(target, plants, bench.target, zero)
            seen += [_seen(case, plant, made, target, real, nulls) for plant in plants]
    return seen


def _seen(case: InspectedCase, plant: Plant, made: Array, target: Array, real: Array, nulls: Sequence[Plant]) -> Seen:
    expected = (real - target)[plant.box]
    size = float(np.square(expected).sum())
    if size < 1e-9:
        return Seen(case.key, plant.kind, plant.diameter_mm, plant.grade, float("nan"), False, False)
    survival = float(((made - case.synthetic)[plant.box] * expected).sum()) / size
    # Only the middle is looked at: a wide template would compare white matter with cortex at the lesion-free places.
    away = [
        ((np.arange(n) + part.start - c) * s) ** 2
        for n, part, c, s in zip(expected.shape, plant.box, plant.centre, case.spacing, strict=True)
    ]
    i, j, k = np.ix_(*away)
    template = np.where(i + j + k <= CORE_MM**2, expected, 0) / size

    def found(image: Array, clean: Array) -> bool:
        alarms = [response for null in nulls if (response := _respond(template, clean, plant, null)) is not None]
        here = _respond(template, image, plant, plant)
        return bool(alarms) and here is not None and here > float(np.quantile(alarms, 1 - FALSE_ALARMS))

    return Seen(
        case.key, plant.kind, plant.diameter_mm, plant.grade, survival,
        found(made, case.synthetic), found(real, target),
    )  # fmt: skip


def _respond(template: NDArray[Any], image: NDArray[Any], plant: Plant, place: Plant) -> float | None:
    """Product of a plant's template, moved to another place, and the image there less the white matter around it.

    None when the template leaves the image there.
    """
    low = [part.start - own + there for part, own, there in zip(plant.box, plant.centre, place.centre, strict=True)]
    if min(low) < 0 or any(lo + n > size for lo, n, size in zip(low, template.shape, image.shape, strict=True)):
        return None
    box = tuple(slice(lo, lo + n) for lo, n in zip(low, template.shape, strict=True))
    around = float(image[place.box][place.ring].mean()) if place.ring.any() else 0.0
    return float(((image[box] - around) * template).sum())


@QUESTIONS.register("lesions")
class Lesions(Question):
    """Planted lesions: what the translator leaves of them."""

    title = "Would it show a lesion?"
    order = 40
    needs = ("translator", "sources")
    method = (
        "The same lesion is put into the sources and into the target by the signal equations of the virtual "
        "scanner (MS, tumour with oedema, old infarct; 2 to 20 mm; at a quarter, half and all of its difference "
        "from white matter). Survival: change of the synthetic image, projected on the change the lesion makes in "
        "the target. Detection: an observer who knows place and profile compares the middle 6 mm of lesion and "
        "ring, at 5 % false alarms in lesion-free white matter of the same image. Limit: smallest diameter from "
        "which on 80 % are found. The real sequence may differ from the virtual scanner's: the ratios are "
        "nominal."
    )
    source = "asked for by tagawa2025 and grantjacob2021; known-signal observer: Barrett 1993 (PNAS 90:9758)"

    def ask(self, bench: Bench) -> Answer:
        """Plant in as many cases as the number of translations allows, kinds in turn."""
        require_physics(bench)
        per_case = max(1, min(len(KINDS), MOST_VOLUMES // (len(GRADES) * len(bench.cases))))
        # Few cases: everything is planted again at other places, or a rate would be that of one or two lesions.
        rounds = max(1, min(MOST_ROUNDS, MOST_VOLUMES // (len(GRADES) * per_case * len(bench.cases))))
        names = list(KINDS)
        seen: list[Seen] = []
        for number, case in enumerate(bench.cases[: MOST_VOLUMES // len(GRADES)]):
            kinds = [names[(number + n) % len(names)] for n in range(per_case)]
            seen += look(bench, case, kinds, bench.rng(f"lesions of {case.key}"), rounds)
        if not seen:
            raise NotAsked("no place for a lesion was found in white matter")
        findings, limits = _summary(seen)
        full = [s.survival for s in seen if s.grade == 1.0 and s.diameter_mm >= 5 and np.isfinite(s.survival)]
        middle = float(np.median(full)) if full else float("nan")
        findings.insert(0, Finding("contrast that survives", 100 * middle, "%", key=True,
                                   note="median, full contrast, 5 mm and more"))  # fmt: skip
        told = ", ".join(f"{kind} {_limit(limit)}" for kind, limit in limits.items())
        sentence = (
            f"{percent(middle)} of a planted lesion's {bench.target} contrast survives (5 mm and more); "
            f"an observer who knows the place finds 80 %: {told}."
        )
        tone = GOOD if middle > 0.7 else BAD if middle < 0.4 else PLAIN
        return Answer(sentence, findings, [_curves(bench, seen), _example(bench)], tone)


def _limit(limit: float) -> str:
    return f"from {limit:.0f} mm on" if np.isfinite(limit) else f"at no size up to {SIZES_MM[-1]:.0f} mm"


def _summary(seen: Sequence[Seen]) -> tuple[list[Finding], dict[str, float]]:
    findings, limits = [], {}
    for kind in dict.fromkeys(s.kind for s in seen):
        for grade in GRADES:
            rates, sizes, counts = [], [], []
            for size in SIZES_MM:
                cell = [s for s in seen if (s.kind, s.grade, s.diameter_mm) == (kind, grade, size)]
                if not cell:
                    continue
                note = f"{kind}, {size:g} mm, contrast {grade:g}, {len(cell)} lesions"
                survival = float(np.nanmedian([s.survival for s in cell]))
                findings.append(Finding("survival", survival, note=note))
                sizes.append(size)
                counts.append(len(cell))
                rates.append(float(np.mean([s.found for s in cell])))
                findings.append(Finding("detection rate, synthetic", rates[-1], note=note))
                in_target = float(np.mean([s.found_in_target for s in cell]))
                findings.append(Finding("detection rate, target", in_target, note=note))
            limit = detection_limit(sizes, rates)
            if grade == 1.0:
                limits[kind] = limit
            many = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{min(counts)}"
            note = f"contrast {grade:g}; {many} lesions a size"
            findings.append(Finding(f"80 % detection limit, {kind}", limit, "mm", key=True, note=note))
    return findings, limits


def _curves(bench: Bench, seen: Sequence[Seen]) -> Plate:
    kinds = list(dict.fromkeys(s.kind for s in seen))
    with style():
        figure = new_figure(3.6, layout="constrained")
        grid: Any = figure.subplots(2, len(kinds), sharex=True, sharey="row", squeeze=False)
        for column, kind in enumerate(kinds):
            for grade, colour in zip(GRADES, ("#9ecae1", "#4292c6", "#084594"), strict=False):
                rows = [s for s in seen if s.kind == kind and s.grade == grade]
                sizes = sorted({s.diameter_mm for s in rows})
                for axes, pick in ((grid[0][column], "survival"), (grid[1][column], "found")):
                    values = [
                        float(np.nanmedian(v)) if pick == "survival" else float(np.mean(v))
                        for v in ([getattr(s, pick) for s in rows if s.diameter_mm == size] for size in sizes)
                    ]
                    axes.plot(sizes, values, color=colour, marker="o", markersize=2.5, linewidth=1.1,
                              label=f"contrast {grade:g}")  # fmt: skip
            grid[0][column].axhline(1, color="black", linewidth=0.6, linestyle=":")
            grid[1][column].axhline(LIMIT, color="black", linewidth=0.6, linestyle=":")
            grid[0][column].set_title(kind, loc="left")
            grid[1][column].set(xlabel="diameter (mm)", xscale="log", ylim=(-0.03, 1.05))
            grid[1][column].set_xticks(SIZES_MM, [f"{s:g}" for s in SIZES_MM])
            grid[1][column].minorticks_off()
        grid[0][0].set(ylabel="survival (1: all of it)", ylim=(-1, 2))
        grid[1][0].set_ylabel("share found")
        grid[0][0].legend(frameon=False)
        for axes in grid.ravel():
            axes.spines[["top", "right"]].set_visible(False)
    caption = (
        f"Above: how much of a lesion's {bench.target} contrast survives, median. Below: share of lesions that the "
        "observer finds in the synthetic image; dotted: 80 %."
    )
    return Plate("survival", figure, caption)


def _example(bench: Bench) -> Plate:
    case = bench.cases[0]
    white = white_matter(case)
    rng = bench.rng("example lesion")
    plants = draw_plants(case, white, [(kind, 10.0, 1.0) for kind in KINDS], rng)
    sources = {k: put_into(v, plants, k, case.zeros.get(k, 0.0)) for k, v in case.sources.items()}
    made = bench.predict(sources, case.zeros)
    target = case.synthetic if case.reference is None else case.reference
    real = put_into(target, plants, bench.target, case.zeros.get(bench.target, 0.0))
    label = next(iter(sources))
    word = "acquired" if case.reference is not None else "synthetic"
    columns = {f"{label} with lesion": sources[label], f"synthetic {bench.target}": made,
               "synthetic without lesion": case.synthetic, f"{word} {bench.target} with lesion": real}  # fmt: skip
    with style():
        figure = new_figure(1.9 * len(plants), layout="constrained")
        grid: Any = figure.subplots(len(plants), len(columns), squeeze=False)
        for row, plant in zip(grid, plants, strict=True):
            i, j, k = plant.centre
            half = [round(28 / s) for s in case.spacing]
            for axes, (name, image) in zip(row, columns.items(), strict=True):
                part = image[max(0, i - half[0]) : i + half[0], max(0, j - half[1]) : j + half[1], k]
                axes.imshow(part.T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=case.spacing[1] / case.spacing[0])
                axes.set_title(f"{plant.kind}: {name}" if axes is row[0] else name, fontsize=7)
                axes.set_axis_off()
    caption = f"{case.key}: lesions of 10 mm at full contrast, planted in the middle of each picture (56 mm wide)."
    return Plate("example", figure, caption)
