"""Is it stable? Change of the output under changes of the input that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, rotate, shift

from recontrast.inspection import BAD, GOOD, PLAIN, QUESTIONS, Answer, Finding, Plate, Question, several
from recontrast.inspection.bench import PLANE_AXIS, Array, Bench, InspectedCase, Mask
from recontrast.reporting.figures import SYNTHETIC_COLOUR, new_figure, style

MOST_CASES = 2
"""Cases that are changed."""

ROTATION_DEGREES, NOISE, BIAS, GAIN = 3.0, 0.02, 0.2, 1.1
"""Rotation; noise in units of the range; depth of the bias field; factor of the intensity scale."""

STABLE = 0.03
"""Mean absolute change in units of the range that is called stable."""

Change = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def changes(bench: Bench, case: InspectedCase) -> dict[str, Change]:
    """Name to what is done to the sources, and what brings the output back."""
    rng = bench.rng(f"noise of {case.key}")
    noise = (NOISE * rng.standard_normal(case.shape)).astype(np.float32)
    field = gaussian_filter(rng.standard_normal(case.shape), [30 / s for s in case.spacing])
    field = np.exp(BIAS * field / max(float(np.abs(field).max()), 1e-9)).astype(np.float32)
    first, second = (axis for axis in range(3) if axis != bench.normal)

    def same(image: Array) -> Array:
        return image

    def moved(by: list[int]) -> Callable[[Array], Array]:
        return lambda image: np.asarray(shift(image, by, order=0, mode="nearest"), np.float32)

    def turned(angle: float) -> Callable[[Array], Array]:
        return lambda image: np.asarray(
            rotate(image, angle, axes=(first, second), reshape=False, order=1, mode="nearest"), np.float32
        )

    def flipped(image: Array) -> Array:
        return np.ascontiguousarray(image[::-1])

    found: dict[str, Change] = {}
    for axis in (first, second):
        step = [1 if a == axis else 0 for a in range(3)]
        found[f"shift by one voxel along {'RAS'[axis]}"] = (moved(step), moved([-s for s in step]))
    found["left-right flip"] = (flipped, flipped)
    found[f"rotation by {ROTATION_DEGREES:g} degrees"] = (turned(ROTATION_DEGREES), turned(-ROTATION_DEGREES))
    found[f"noise of {NOISE:g} of the range"] = (lambda image: np.asarray(image + noise * (image > 0)), same)
    found[f"bias field of up to {100 * BIAS:.0f} %"] = (lambda image: np.asarray(image * field), same)
    found[f"intensity times {GAIN:g}"] = (lambda image: np.asarray(image * np.float32(GAIN)), same)
    return found


def other_axis(bench: Bench) -> int:
    """Normal of the other plane: sagittal slices, for a sagittal translator coronal ones."""
    return PLANE_AXIS["sagittal"] if bench.normal != PLANE_AXIS["sagittal"] else PLANE_AXIS["coronal"]


def roughness(image: Array, inside: Mask, axis: int) -> float:
    """Mean absolute second difference along an axis: steps from slice to slice raise it."""
    moved = np.moveaxis(image, axis, 0)
    three = np.moveaxis(inside, axis, 0)
    bent = np.abs(moved[1:-1] - 0.5 * (moved[:-2] + moved[2:]))
    here = three[:-2] & three[1:-1] & three[2:]
    return float(bent[here].mean()) if here.any() else float("nan")


def other_plane(bench: Bench, case: InspectedCase) -> Array:
    """The output when the network is given slices of another plane, as a stack in the plane it knows."""
    axis, other = bench.normal, other_axis(bench)
    swapped = {k: np.ascontiguousarray(np.swapaxes(v, axis, other)) for k, v in case.sources.items()}
    return np.ascontiguousarray(np.swapaxes(bench.predict(swapped, case.zeros), axis, other))


@QUESTIONS.register("stability")
class Stability(Question):
    """What the output does when the input is moved, turned, disturbed or cut the other way."""

    title = "Is it stable?"
    order = 70
    needs = ("translator", "sources")
    method = (
        "The sources are changed in a way that should not matter, translated, and brought back; the mean absolute "
        "change of the output inside the brain is given in units of the range. The rotation is also done to the "
        "output alone, and what interpolation does by itself is subtracted. Another plane: the same network run "
        "on slices of another direction, and the two stacks compared; roughness across slices is the mean absolute "
        "second difference along the slice direction, over that along the other plane's."
    )
    source = "plane consistency and shifts: asked for by tagawa2025 and grantjacob2021"

    def ask(self, bench: Bench) -> Answer:
        """Change the sources of a few cases."""
        about = bench.require_translator().description
        rows: dict[str, list[float]] = {}
        rough: dict[str, list[float]] = {}
        stack: Array | None = None
        for case in bench.cases[:MOST_CASES]:
            inside = case.inside
            for name, (forth, back) in changes(bench, case).items():
                changed = about.levelled({k: forth(v) for k, v in case.sources.items()})  # as when in use
                made = back(bench.predict(changed, case.zeros))
                plain = back(forth(case.synthetic)) if name.startswith("rotation") else case.synthetic
                rows.setdefault(name, []).append(float(np.abs(made - plain)[inside].mean()))
            if bench.sees_volumes:
                continue
            across = other_plane(bench, case)
            stack = across if stack is None else stack
            rows.setdefault("another plane", []).append(float(np.abs(across - case.synthetic)[inside].mean()))
            named = {"synthetic": case.synthetic, "stacked the other way": across}
            if case.reference is not None:
                named["acquired"] = case.reference
            for name, image in named.items():
                ratio = roughness(image, inside, bench.normal) / roughness(image, inside, other_axis(bench))
                rough.setdefault(name, []).append(ratio)
        findings = [
            Finding(
                name, 100 * float(np.mean(v)), "% of the range", key=True, note=f"mean of {several(len(v), 'case')}"
            )
            for name, v in rows.items()
        ]
        findings += [
            Finding(f"roughness across slices over along them, {name}", float(np.mean(v)), key=True,
                    note=f"mean of {several(len(v), 'case')}")
            for name, v in rough.items()
        ]  # fmt: skip
        means = {name: float(np.mean(v)) for name, v in rows.items()}
        worst = max(means, key=lambda name: means[name])
        rest = max(value for name, value in means.items() if name != "another plane")
        sentence = f"The largest change comes from {worst}: {100 * means[worst]:.1f} % of the range"
        sentence += "." if means[worst] == rest else f"; all else changes it by at most {100 * rest:.1f} %."
        plates = [_plate(means)] if stack is None else [_plate(means), _planes(bench, bench.cases[0], stack)]
        return Answer(sentence, findings, plates, GOOD if rest <= STABLE else BAD if rest > 0.1 else PLAIN)


def _plate(means: Mapping[str, float]) -> Plate:
    with style():
        figure = new_figure(0.5 + 0.25 * len(means), layout="constrained")
        axes: Any = figure.add_subplot()
        names = list(means)[::-1]
        axes.barh(names, [100 * means[name] for name in names], color=SYNTHETIC_COLOUR, height=0.6)
        axes.axvline(100 * STABLE, color="black", linewidth=0.7, linestyle=":")
        axes.set_xlabel("mean absolute change of the output (% of the range); dotted: called stable")
        axes.spines[["top", "right"]].set_visible(False)
    return Plate("changes", figure, "How much the output changes when the input is changed.")


def _planes(bench: Bench, case: InspectedCase, across: Array) -> Plate:
    """A plane that cuts both stacks' slices, seen in both, and the difference."""
    cut = next(axis for axis in (0, 1, 2) if axis not in (bench.normal, other_axis(bench)))
    index = int(np.argmax(np.count_nonzero(case.inside, axis=tuple(a for a in range(3) if a != cut))))
    names = {0: "sagittal", 1: "coronal", 2: "axial"}
    images = {f"synthetic, {names[bench.normal]} slices": case.synthetic,
              f"synthetic, {names[other_axis(bench)]} slices": across}  # fmt: skip
    if case.reference is not None:
        images[f"acquired {bench.target}"] = case.reference
    rows = [axis for axis in range(3) if axis != cut]
    aspect = case.spacing[rows[1]] / case.spacing[rows[0]]
    turned = {name: np.take(image, index, cut).T[::-1, ::-1] for name, image in images.items()}
    with style():
        figure = new_figure(2.3, layout="constrained")
        row: Any = figure.subplots(1, len(images) + 1)
        for axes, (name, image) in zip(row, turned.items(), strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect)
            axes.set_title(name)
        first, second = list(turned.values())[:2]
        shown = row[-1].imshow(np.abs(first - second), cmap="magma", vmin=0, vmax=0.5, aspect=aspect)
        row[-1].set_title("difference of the stacks")
        figure.colorbar(shown, ax=row[-1], shrink=0.8, label="of the range")
        for axes in row:
            axes.set_axis_off()
    return Plate("planes", figure, f"{case.key}, one {names[cut]} plane: the translator's own stack, the same network "
                 "on slices of the other direction, and the acquired image, in one window (0 to 1).")  # fmt: skip
