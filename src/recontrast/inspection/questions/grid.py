"""Does it leave a grid? Peaks at up-sampling periods, jumps between slices, seams, and a map of where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from recontrast.inspection import BAD, GOOD, QUESTIONS, Answer, Finding, Plate, Question, several
from recontrast.inspection.bench import Array, Bench, InspectedCase, Mask
from recontrast.reporting.figures import new_figure, style

PERIODS = (2, 4, 8, 16, 32)
"""Up-sampling periods that are looked for, voxels."""

PEAK_DECIBELS = 14.0
"""A peak this far above the spectrum around it is called a grid."""

LEAST_AMPLITUDE = 5e-4
"""Weaker patterns are not called a grid, in units of the image's range: nobody sees them."""

SEAM_SHARE, SEAM_STEP = 0.75, 0.004
"""A step between planes is called a seam when this share of voxels follow it and it has this size (of the range)."""


@dataclass(frozen=True)
class Peak:
    """A periodic pattern along one axis.

    Attributes:
        period: Voxels.
        axis: Array axis.
        amplitude: Amplitude of the fundamental and its harmonics, in units of the image.
        decibels: Power at the period's frequencies over that at the frequencies around them.
    """

    period: int
    axis: int
    amplitude: float
    decibels: float


def find_peaks(image: Array, mask: Mask, axes: Sequence[int] = (0, 1, 2)) -> list[Peak]:
    """Patterns that repeat every 2, 4, 8, 16 or 32 voxels along an axis, in step over the whole image.

    Second differences along the axis are averaged over all planes across it, each weighted by how little varies around
    it: anatomy averages out, a grid of the network does not. The spectrum of that profile at the frequencies of a
    period is compared with the frequencies around them.

    Args:
        image: Values, shape (I, J, K).
        mask: Where to look.
        axes: Array axes.

    Returns:
        One peak an axis and period that fits the axis at least four times.
    """
    found = []
    for axis in axes:
        line, used = _profile(image, mask, axis)
        for period in PERIODS:
            if len(line) >= 4 * period and used:
                found.append(_peak(line, period, axis))
    return found


def _profile(image: Array, mask: Mask, axis: int) -> tuple[NDArray[np.float64], bool]:
    inside, values = np.moveaxis(mask, axis, 0), np.moveaxis(image, axis, 0)
    # Second differences take away slow anatomy; each counts the less, the more varies around it.
    three = inside[:-2] & inside[1:-1] & inside[2:]
    bent = np.where(three, values[1:-1] - 0.5 * (values[:-2] + values[2:]), 0).astype(np.float32)
    count = three.sum(axis=(1, 2))
    enough = count >= max(20, 0.1 * count.max()) if count.size else np.zeros(0, bool)
    if np.count_nonzero(enough) < 16:
        return np.zeros(0), False
    share = np.maximum(uniform_filter(three.astype(np.float32), 7), 1e-3)
    around = uniform_filter(np.square(bent), 7) / share
    floor = float(np.median(around[three]))
    spread = np.sqrt(around + 0.02 * floor + 1e-10)
    # By the square of the variance: along R both halves of the head mirror each other and anatomy adds up, so that even
    # tissue must decide; by the variance alone half a per cent was missed there in most real scans.
    weight = np.where(three, 1 / np.square(np.square(spread)), 0)
    first, last = np.flatnonzero(enough)[[0, -1]]
    total = (weight * np.clip(bent, -1.5 * spread, 1.5 * spread)).sum(axis=(1, 2), dtype=np.float64)
    weights = weight.sum(axis=(1, 2), dtype=np.float64)
    line = (total / np.maximum(weights, 1e-12))[first : last + 1]
    return line - line.mean(), True


def _peak(line: NDArray[np.float64], period: int, axis: int) -> Peak:
    size = len(line)
    window = np.hanning(size + 2)[1:-1]
    place = np.arange(size)

    def power(frequency: float) -> float:
        return float(np.abs(np.sum(line * window * np.exp(-2j * np.pi * frequency * place))) ** 2)

    # harmonics that a longer or shorter period of the list does not own
    orders = [n for n in range(1, period // 2 + 1) if n % 2 or n == period // 2 == 1]
    best, energy = 0.0, 0.0
    for order in orders:
        frequency = order / period
        offsets = [d / size for d in (-7, -6, -5, -4, -3, 3, 4, 5, 6, 7)]
        around = [power(f) for f in (frequency + d for d in offsets) if 0.02 < f <= 0.5]
        floor = max(float(np.mean(around)), 1e-24)
        here = power(frequency)
        gain = 1 - np.cos(2 * np.pi * frequency)  # of the second difference
        both = 1.0 if frequency == 0.5 else 2.0
        best = max(best, 10 * np.log10(max(here, 1e-24) / floor))
        energy += max(here - floor, 0.0) * (both / (window.sum() * gain)) ** 2
    return Peak(period, axis, float(np.sqrt(energy)), float(best))


def pattern_map(image: Array, mask: Mask, period: int, axis: int, reach_voxels: float = 10.0) -> Array:
    """Local amplitude of a period along an axis: where the grid is.

    Args:
        image: Values, shape (I, J, K).
        mask: Outside it the map is 0.
        period: Voxels.
        axis: Array axis.
        reach_voxels: Standard deviation of the neighbourhood.
    """
    smooth = gaussian_filter(image, [1.5 * period / 4 if a == axis else 0 for a in range(3)])
    detail = np.where(mask, image - smooth, 0)
    shape = [-1 if a == axis else 1 for a in range(3)]
    angle = (2 * np.pi / period * np.arange(image.shape[axis])).reshape(shape)
    weight = gaussian_filter(mask.astype(np.float32), reach_voxels)
    parts = [gaussian_filter((detail * wave(angle)).astype(np.float32), reach_voxels) for wave in (np.cos, np.sin)]
    size = 2 * np.hypot(*parts) / np.maximum(weight, 1e-3)
    return np.where(mask, size, 0).astype(np.float32)


def find_seams(image: Array, mask: Mask, axis: int) -> tuple[int, float]:
    """The plane after which most voxels step the same way, unlike at the planes beside it.

    For each pair of neighbouring planes the median step over all voxels, less the median of the steps of the two pairs
    before and after; and the share of voxels that follow it.

    Returns:
        Index of the plane before the step, and the step in units of the image (0: none that more than 75 % of the
        voxels follow).
    """
    inside = np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1)
    values = np.moveaxis(image, axis, 0).reshape(mask.shape[axis], -1)
    best = (0, 0.0)
    least = max(50, 0.3 * inside.sum(axis=1).max())
    for n in range(2, len(values) - 3):
        here = inside[n - 2 : n + 4].all(axis=0)
        if np.count_nonzero(here) < least:
            continue
        steps = np.diff(values[n - 2 : n + 4][:, here], axis=0)
        own = steps[2] - np.median(steps[[0, 1, 3, 4]], axis=0)
        size = float(np.median(own))
        follow = float(np.mean(np.sign(own) == np.sign(size)))
        if follow > SEAM_SHARE and abs(size) > abs(best[1]):
            best = (n, size)
    return best


def slice_jumps(image: Array, mask: Mask, axis: int) -> float:
    """Root mean square of how much the mean of a slice jumps out of line with the slices beside it.

    For each slice the mean, over voxels inside in all three, of the slice less the mean of its two neighbours.
    """
    inside = np.moveaxis(mask, axis, 0)
    values = np.moveaxis(image, axis, 0)
    jumps = []
    for n in range(1, len(values) - 1):
        here = inside[n - 1] & inside[n] & inside[n + 1]
        if np.count_nonzero(here) >= 50:
            jumps.append(float(np.mean((values[n] - 0.5 * (values[n - 1] + values[n + 1]))[here])))
    return float(np.sqrt(np.mean(np.square(jumps)))) if jumps else float("nan")


@QUESTIONS.register("grid")
class GridPattern(Question):
    """Patterns that come from the network's own raster, and breaks between slices."""

    title = "Does it leave a grid?"
    order = 30
    method = (
        "Second differences along an axis are averaged over all planes across it, weighted by how little varies "
        "around them: anatomy averages out, a raster does not. A peak at a period of "
        f"{', '.join(map(str, PERIODS))} voxels is called a grid when it stands {PEAK_DECIBELS:g} dB above the "
        f"spectrum around it, its amplitude is at least {LEAST_AMPLITUDE:g} of the range, and it stands above the "
        "acquired target's own. Slice jumps: how much the mean of a slice is out of line with its neighbours. "
        "Seams: the largest step between two planes that most voxels follow. Axes with voxels more than half as "
        "long again as the finest are left out: interleaved thick slices have a raster of their own."
    )
    source = "asked for by grantjacob2021; up-sampling patterns: Odena 2016 (Distill, doi 10.23915/distill.00003)"

    def ask(self, bench: Bench) -> Answer:
        """Look at every case."""
        findings: list[Finding] = []
        worst: tuple[float, Peak, InspectedCase] | None = None
        grids = 0
        for case in bench.cases:
            made = find_peaks(case.synthetic, case.inside, fine_axes(case.spacing))
            acquired = (
                [] if case.reference is None else find_peaks(case.reference, case.inside, fine_axes(case.spacing))
            )
            own = {(p.period, p.axis): p for p in acquired}
            hit = False
            for peak in made:
                before = own.get((peak.period, peak.axis))
                is_grid = called(peak) and (
                    before is None or not called(before) or peak.amplitude > 2 * before.amplitude
                )
                hit |= is_grid
                note = f"period {peak.period} along {'RAS'[peak.axis]}, amplitude {peak.amplitude:.2g}"
                findings.append(Finding("peak over the spectrum around it", peak.decibels, "dB", case.key, note))
                score = peak.amplitude if is_grid else -1 / max(peak.amplitude, 1e-9)
                if worst is None or score > worst[0]:
                    worst = (score, peak, case)
            grids += hit
            findings += _breaks(case, bench.normal)
        findings.insert(0, Finding("cases with a grid", grids, "", note=f"of {len(bench.cases)}", key=True))
        ratio = _jump_ratio(findings)
        if np.isfinite(ratio):
            findings.insert(1, Finding("slice jumps, synthetic over acquired", ratio, key=True, note="median of cases"))
        seams = [f for f in findings if f.name == "largest seam, synthetic" and f.value >= SEAM_STEP]
        note = f"step of at least {SEAM_STEP:g} of the range"
        findings.insert(1, Finding("cases with a seam", float(len(seams)), note=note, key=True))
        if grids and worst is not None:
            peak = worst[1]
            text = (
                f"It leaves a grid in {grids} of {several(len(bench.cases), 'case')}: every {peak.period} voxels along "
                f"{'RAS'[peak.axis]}, amplitude {100 * peak.amplitude:.2f} % of the range, {peak.decibels:.0f} dB "
                "above the spectrum around it"
            )
        else:
            text = f"No grid in {several(len(bench.cases), 'case')}"
        if seams:
            largest = max(seams, key=lambda finding: finding.value)
            text += (
                f"; a seam in {len(seams)} of {several(len(bench.cases), 'case')}, the largest a step of "
                f"{100 * largest.value:.2g} % of the range {largest.note} ({largest.case})"
            )
        text += f"; slices jump {ratio:.1f} times as much as in the acquired scans." if np.isfinite(ratio) else "."
        plates = [] if worst is None else [_plate(worst[2], worst[1], grids > 0)]
        return Answer(text, findings, plates, BAD if grids or seams else GOOD)


def fine_axes(spacing: Sequence[float]) -> list[int]:
    """Axes whose voxels are not much longer than the finest.

    >>> fine_axes((0.7, 0.7, 3.0))
    [0, 1]
    """
    return [axis for axis, length in enumerate(spacing) if length <= 1.5 * min(spacing)]


def called(peak: Peak) -> bool:
    """Whether a peak is called a grid."""
    return peak.decibels >= PEAK_DECIBELS and peak.amplitude >= LEAST_AMPLITUDE


def _breaks(case: InspectedCase, normal: int) -> list[Finding]:
    found = []
    for name, image in (("synthetic", case.synthetic), ("acquired", case.reference)):
        if image is None:
            continue
        value = slice_jumps(image, case.inside, normal)
        found.append(Finding(f"slice jumps, {name}", value, "of the range", case.key))
        seams = [(axis, *find_seams(image, case.inside, axis)) for axis in fine_axes(case.spacing)]
        axis, plane, step = max(seams, key=lambda item: abs(item[2]))
        note = f"after plane {plane} along {'RAS'[axis]}"
        found.append(Finding(f"largest seam, {name}", abs(step), "of the range", case.key, note))
    return found


def _jump_ratio(findings: Sequence[Finding]) -> float:
    made = {f.case: f.value for f in findings if f.name == "slice jumps, synthetic"}
    real = {f.case: f.value for f in findings if f.name == "slice jumps, acquired"}
    ratios = [made[case] / real[case] for case in real if real[case] > 0 and np.isfinite(made[case])]
    return float(np.median(ratios)) if ratios else float("nan")


def _plate(case: InspectedCase, peak: Peak, is_grid: bool) -> Plate:
    index = int(np.argmax(np.count_nonzero(case.inside, axis=(0, 1))))
    where = pattern_map(case.synthetic, case.inside, peak.period, peak.axis)[:, :, index]
    aspect = case.spacing[1] / case.spacing[0]
    with style():
        figure = new_figure(2.6, layout="constrained")
        picture, place, spectrum = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.5))
        picture.imshow(case.synthetic[:, :, index].T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=aspect)
        picture.set_title("synthetic")
        shown = place.imshow(where.T[::-1, ::-1], cmap="magma", vmin=0, vmax=max(0.01, where.max()), aspect=aspect)
        place.set_title(f"period {peak.period} along {'RAS'[peak.axis]}")
        figure.colorbar(shown, ax=place, shrink=0.7, label="of the range")
        for axes in (picture, place):
            axes.set_axis_off()
        for name, image, colour in (("acquired", case.reference, "#6b6b6b"), ("synthetic", case.synthetic, "#0072B2")):
            if image is None:
                continue
            line, used = _profile(image, case.inside, peak.axis)
            if used:
                power = np.abs(np.fft.rfft(line * np.hanning(len(line)))) ** 2
                decibels = 10 * np.log10(power[1:] + 1e-14)
                spectrum.plot(np.fft.rfftfreq(len(line))[1:], decibels, color=colour, linewidth=0.9, label=name)
        for period in PERIODS:
            spectrum.axvline(1 / period, color="#D55E00", linewidth=0.5, linestyle=":")
        spectrum.set(xlabel="frequency (1/voxel)", ylabel="power (dB)")
        spectrum.set_title(f"averaged profile along {'RAS'[peak.axis]}; dotted: 1/period", loc="left")
        spectrum.legend(frameon=False)
        spectrum.spines[["top", "right"]].set_visible(False)
    caption = (
        f"{case.key}: {'the strongest grid' if is_grid else 'no grid; the period of largest amplitude'}, its amplitude "
        "by place (anatomy has every period too), and the spectrum of the averaged profile. Image in the window 0 to 1."
    )
    return Plate("pattern", figure, caption)
