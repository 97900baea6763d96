"""How sharp is it? Edge spread and modulation transfer, radial power, and the smallest structure it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recontrast.inspection import BAD, GOOD, PLAIN, QUESTIONS, Answer, Finding, NotAsked, Plate, Question
from recontrast.inspection.bench import Array, Bench, InspectedCase, Mask
from recontrast.inspection.lines import compare_along, lines_of
from recontrast.inspection.planting import Plant, draw_plants, white_matter
from recontrast.reporting.figures import ACCENT_COLOUR, CONTROL_COLOUR, SYNTHETIC_COLOUR, new_figure, style

REACH_VOXELS = 6
"""Length of an edge profile on either side, voxels."""

EDGES = 400
"""Strongest edges of the reference that are followed in a case."""

SIZES_MM = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
"""Diameters of the spheres and disks put into the sources."""

DEPTH = 0.3
"""How much darker than white matter they are."""


def edge_places(image: Array, mask: Mask, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Voxels of strongest gradient within slices, and its direction: each shape (edges, 3)."""
    gradient = np.stack([*np.gradient(image.astype(np.float64), axis=(0, 1)), np.zeros(image.shape)], axis=-1)
    size = np.linalg.norm(gradient, axis=-1) * mask
    best = np.argsort(size.ravel())[-20 * count :: 20]
    voxels = np.stack(np.unravel_index(best, image.shape), axis=-1).astype(np.float64)
    directions = gradient.reshape(-1, 3)[best]
    keep = np.linalg.norm(directions, axis=1) > 0
    voxels, directions = voxels[keep], directions[keep]
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    # Each is moved along its direction to the middle of its edge; else the mean profile is wider than any of them.
    steps = np.arange(-1.5, 1.75, 0.25)
    for _ in range(5):
        points = voxels[:, None, :] + steps[None, :, None] * directions[:, None, :]
        profiles = map_coordinates(image, points.reshape(-1, 3).T, order=1, mode="nearest").reshape(len(voxels), -1)
        weight = np.square(np.diff(profiles, axis=1)) + 1e-12
        middle = (weight * (steps[1:] + steps[:-1]) / 2).sum(axis=1) / weight.sum(axis=1)
        voxels = voxels + middle[:, None] * directions
    return voxels, directions


def edge_spread(image: Array, voxels: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean profile across edges, from -6 to 6 voxels in quarter voxels."""
    steps = np.arange(-REACH_VOXELS, REACH_VOXELS + 0.125, 0.25)
    points = voxels[:, None, :] + steps[None, :, None] * directions[:, None, :]
    profiles = map_coordinates(image, points.reshape(-1, 3).T, order=1, mode="nearest").reshape(len(voxels), -1)
    return np.asarray(profiles.mean(axis=0), np.float64)


def modulation_transfer(spread: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in cycles a voxel and the transfer function of an edge profile: |FFT| of its derivative, 1 at 0."""
    line = np.diff(spread) * np.hanning(len(spread) + 1)[1:-1]
    transfer = np.abs(np.fft.rfft(line, 256))
    frequency = np.fft.rfftfreq(256, 0.25)
    return np.asarray(frequency, np.float64), np.asarray(transfer / max(float(transfer[0]), 1e-12), np.float64)


def frequency_at(frequency: NDArray[np.float64], transfer: NDArray[np.float64], level: float = 0.5) -> float:
    """First frequency at which the transfer falls to `level`; NaN when it never does."""
    below = np.flatnonzero(transfer <= level)
    return float(frequency[below[0]]) if below.size else float("nan")


def radial_power(image: Array, mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power over the axial slices with most of the mask, against spatial frequency in cycles a voxel."""
    area = np.count_nonzero(mask, axis=(0, 1))
    chosen = np.argsort(area)[-8:]
    total = np.zeros(32)
    for k in chosen:
        part = np.where(mask[:, :, k], image[:, :, k], 0) * np.outer(*(np.hanning(n) for n in image.shape[:2]))
        power = np.abs(np.fft.fft2(part)) ** 2
        radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in part.shape), indexing="ij"))
        place = np.minimum((radius * 64).astype(int), 32)
        total += (
            np.bincount(place.ravel(), power.ravel(), 33) / np.maximum(np.bincount(place.ravel(), minlength=33), 1)
        )[:32]
    return (np.arange(32) + 0.5) / 64, total / len(chosen)


def smallest_kept(bench: Bench, case: InspectedCase, shape: str = "sphere") -> list[tuple[float, float]]:
    """Response of the output to dark spheres or disks in the sources by diameter, over its response to the largest.

    Args:
        bench: With a translator.
        case: The case.
        shape: sphere, or disk: in one slice only.
    """
    white = white_matter(case)
    rng = bench.rng(f"{shape}s of {case.key}")
    plants = draw_plants(case, white, [("MS", size, 1.0) for size in SIZES_MM for _ in range(2)], rng)
    shares = {id(plant): plant.share if shape == "sphere" else disk(case, plant, bench.normal) for plant in plants}
    sources = {}
    for name, source in case.sources.items():
        zero = case.zeros.get(name, 0.0)
        image = source.copy()
        for plant in plants:
            part = image[plant.box]
            image[plant.box] = zero + (part - zero) * (1 - DEPTH * shares[id(plant)])
        sources[name] = image
    change = bench.predict(sources, case.zeros) - case.synthetic
    found: dict[float, list[float]] = {}
    for plant in plants:
        share = shares[id(plant)]
        if share.sum() > 0:
            # Projected on what was done to the sources: partial volumes alone must not look like a loss.
            response = float((change[plant.box] * share).sum() / np.square(share).sum())
            found.setdefault(plant.diameter_mm, []).append(response)
    largest = float(np.mean(found[max(found)])) if found else 0.0
    return [(size, float(np.mean(v) / largest)) for size, v in sorted(found.items())] if abs(largest) > 1e-4 else []


def disk(case: InspectedCase, plant: Plant, normal: int) -> Array:
    """Share of each voxel of a plant's box that a disk of its diameter covers, in the slice through its middle only."""
    share = np.zeros(plant.share.shape, np.float32)
    axes = [axis for axis in range(3) if axis != normal]
    fine = 8
    away = []
    for axis in axes:
        part = plant.box[axis]
        steps = np.arange(part.start, part.stop, 1 / fine) - 0.5 + 0.5 / fine
        away.append((steps - plant.centre[axis]) * case.spacing[axis])
    within = (away[0][:, None] ** 2 + away[1][None] ** 2 <= (plant.diameter_mm / 2) ** 2).astype(np.float32)
    rows, columns = (len(a) // fine for a in away)
    covered = within.reshape(rows, fine, columns, fine).mean(axis=(1, 3))
    np.moveaxis(share, normal, 0)[plant.centre[normal] - plant.box[normal].start] = covered
    return share


@QUESTIONS.register("sharpness")
class Sharpness(Question):
    """Sharpness beside the acquired target, and response to small structures."""

    title = "How sharp, how faithful?"
    order = 25
    needs = ("reference",)
    method = (
        "The 400 strongest in-plane edges of the acquired target in each case are found and followed in both "
        "images; the mean profile across them gives the edge spread, its derivative the modulation transfer. The "
        "ratio of frequencies at which the transfer falls to a half says how sharp the synthetic image is beside "
        "the acquired one. Radial power: mean over the eight largest axial slices. Smallest structure: dark "
        "spheres of 1 to 10 mm, and disks in one slice, in the white matter of the sources; response of the output "
        "over that to the largest. Line profiles: along lines that were drawn (--lines), else through the middle of "
        "the brain."
    )
    source = "grantjacob2021, line profiles; edge method: ISO 12233"

    def ask(self, bench: Bench) -> Answer:
        """Follow edges in every case with an acquired target."""
        spreads: dict[str, list[NDArray[np.float64]]] = {"acquired": [], "synthetic": []}
        powers: dict[str, list[NDArray[np.float64]]] = {"acquired": [], "synthetic": []}
        ratios, findings = [], []
        frequency = np.zeros(0)
        for case in bench.references:
            reference = case.reference if case.reference is not None else case.synthetic
            voxels, directions = edge_places(reference, case.inside, EDGES)
            if len(voxels) < 20:
                continue
            halves = {}
            for name, image in (("acquired", reference), ("synthetic", case.synthetic)):
                spreads[name].append(edge_spread(image, voxels, directions))
                halves[name] = frequency_at(*modulation_transfer(spreads[name][-1]))
                frequency, power = radial_power(image, case.inside)
                powers[name].append(power)
            ratios.append(halves["synthetic"] / halves["acquired"])
            findings.append(Finding("frequency at half transfer, synthetic over acquired", ratios[-1], case=case.key))
        if not ratios:
            raise NotAsked("the acquired targets have no edges to follow")
        known = [value for value in ratios if np.isfinite(value)]
        if not known:
            raise NotAsked(f"the synthetic {bench.target} has no edge where the acquired one has: it may be flat")
        ratio = float(np.median(known))
        high = frequency > 0.25
        fine = float(np.mean(powers["synthetic"], axis=0)[high].sum() / np.mean(powers["acquired"], axis=0)[high].sum())
        rise = {name: float(np.mean([s[-1] - s[0] for s in rows])) for name, rows in spreads.items()}
        findings[:0] = [
            Finding("frequency at half transfer, synthetic over acquired", ratio, key=True, note="median of cases"),
            Finding("height of edges, synthetic over acquired", rise["synthetic"] / rise["acquired"], key=True),
            Finding("power above 0.25 cycles a voxel, synthetic over acquired", fine, key=True),
        ]
        told = ""
        responses = {shape: _responses(bench, shape) for shape in ("sphere", "disk")}
        for shape, (rows, reason) in responses.items():
            if reason:
                findings.append(Finding(f"smallest {shape} kept", float("nan"), "mm", note=f"not asked: {reason}"))
            kept = [size for n, (size, _) in enumerate(rows) if all(response >= 0.5 for _, response in rows[n:])]
            findings += [Finding(f"response to a {shape}", value, note=f"{size:g} mm") for size, value in rows]
            if rows:
                smallest = min(kept) if kept else float("nan")
                findings.append(Finding(f"smallest {shape} kept", smallest, "mm", key=True,
                                        note="half of the largest one's response, from there on"))  # fmt: skip
                told += f"; smallest {shape} kept: {smallest:g} mm"
        profiles = []
        drawn = [case for case in bench.references if any(line.case == case.key for line in bench.lines)]
        for case in drawn or bench.references[:1]:
            found, plate = compare_along(case, lines_of(case, bench.lines), bench.target)
            findings += found
            profiles += [plate] if plate is not None else []
        sentence = (
            f"Edges are {100 * ratio:.0f} % as sharp as in the acquired {bench.target}, with {100 * fine:.0f} % of its "
            f"power in fine detail{told}."
        )
        tone = GOOD if ratio > 0.85 and fine > 0.5 else BAD if ratio < 0.6 else PLAIN
        return Answer(sentence, findings, [_plate(spreads, powers, frequency, responses), *profiles], tone)


def _responses(bench: Bench, shape: str) -> tuple[list[tuple[float, float]], str]:
    """Responses by size; where there are none, why."""
    if bench.translator is None or not bench.cases[0].sources:
        return [], "needs a translator and the sources"
    try:
        found = smallest_kept(bench, bench.cases[0], shape)
    except NotAsked as error:
        return [], str(error)
    return found, "" if found else "the output does not respond to the largest"


def _plate(
    spreads: dict[str, list[NDArray[np.float64]]],
    powers: dict[str, list[NDArray[np.float64]]],
    frequency: NDArray[np.float64],
    responses: dict[str, tuple[list[tuple[float, float]], str]],
) -> Plate:
    colours = {"acquired": CONTROL_COLOUR, "synthetic": SYNTHETIC_COLOUR}
    steps = np.arange(-REACH_VOXELS, REACH_VOXELS + 0.125, 0.25)
    with style():
        figure = new_figure(2.2, layout="constrained")
        row: Any = figure.subplots(1, 4)
        for name, colour in colours.items():
            mean = np.mean(spreads[name], axis=0)
            row[0].plot(steps, mean, color=colour, label=name)
            at, transfer = modulation_transfer(mean)
            row[1].plot(at[at <= 0.6], transfer[at <= 0.6], color=colour)
            row[2].semilogy(frequency, np.mean(powers[name], axis=0), color=colour)
        for (shape, (values, _)), colour in zip(responses.items(), (ACCENT_COLOUR, "#009E73"), strict=True):
            if values:
                row[3].plot(*zip(*values, strict=True), color=colour, marker="o", markersize=2.5, label=f"{shape}s")
        if row[3].lines:
            row[3].legend(frameon=False)
        row[0].set(title="edge profile", xlabel="voxels across the edge", ylabel="network range")
        row[1].set(title="modulation transfer", xlabel="cycles a voxel")
        row[2].set(title="radial power", xlabel="cycles a voxel")
        row[3].set(title="small structures kept", xlabel="diameter (mm)", ylim=(-0.5, 1.6))
        row[0].legend(frameon=False, loc="lower right")
        for axes in row:
            axes.spines[["top", "right"]].set_visible(False)
    return Plate("edges", figure, "Means over the cases. Small structures: 1 is the response to the largest.")
