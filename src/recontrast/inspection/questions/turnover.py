"""Does it turn lesions into normal tissue, or normal tissue into lesions? At the lesions the cases have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, gaussian_filter, label

from recontrast.inspection import (
    BAD,
    GOOD,
    PLAIN,
    QUESTIONS,
    Answer,
    Finding,
    NotAsked,
    Plate,
    Question,
    percent,
    several,
)
from recontrast.inspection.bench import Array, Bench, InspectedCase, Mask
from recontrast.inspection.planting import white_matter
from recontrast.inspection.support import fit_safe
from recontrast.reporting.figures import new_figure, style

SPECIFICITY = 0.999
"""Share of normal white matter in the acquired target that does not look like a lesion: sets the threshold."""

SMALLEST_MM3 = 10.0
"""Smaller lesions and clusters are not counted."""

VISIBLE, GONE = 0.02, 0.25
"""A lesion is visible on the acquired target from this contrast on (of the range); with less than this share of it on
the synthetic image it is lost."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A lesion of a case: its voxels (flat indices), volume, and contrast to the white matter around it."""

    volume_mm3: float
    acquired: float
    synthetic: float
    removed: float


def local_contrast(image: Array, white: Mask, spacing: tuple[float, ...]) -> Array:
    """Brightness over that of the normal white matter around: gaussians of 1 mm and, over white matter only, 12 mm."""
    wide = [12.0 / s for s in spacing]
    known = white.astype(np.float32)
    around = gaussian_filter(image * known, wide) / np.maximum(gaussian_filter(known, wide), 1e-6)
    return np.asarray(gaussian_filter(image, [1.0 / s for s in spacing]) - around, np.float32)


def fill(image: Array, lesion: Mask, white: Mask, spacing: tuple[float, ...]) -> Array:
    """The image with its lesions replaced by the mean of the white matter around them, with noise of its strength.

    Args:
        image: Values.
        lesion: What to remove; widened by one voxel.
        white: White matter without lesions.
        spacing: mm.
    """
    gone = binary_dilation(lesion)
    width = [6.0 / s for s in spacing]
    known = (white & ~gone).astype(np.float32)
    weight = gaussian_filter(known, width)
    mean = gaussian_filter(image * known, width) / np.maximum(weight, 1e-6)
    overall = float(image[known > 0].mean()) if known.any() else float(image.mean())
    base = np.where(weight > 1e-4, mean, overall)
    soft = gaussian_filter(gone.astype(np.float32), 0.7)
    rough = (image - gaussian_filter(image, 1.0))[known > 0]
    noise = (float(np.std(rough)) if rough.size else 0.0) * np.random.default_rng(0).standard_normal(image.shape)
    return np.asarray(image * (1 - soft) + soft * (base + noise), np.float32)


@QUESTIONS.register("turnover")
class Turnover(Question):
    """The reader table of tagawa2025, counted by an observer, at the lesions the cases have."""

    title = "Does it turn lesions into normal tissue, or normal tissue into lesions?"
    order = 50
    needs = ("lesion", "reference", "sources")
    method = (
        "For every lesion of the mask: contrast to the white matter 2 to 6 mm around it, acquired and synthetic, "
        "and again after the lesion was removed from the sources (filled with the white matter around it) and "
        "translated: what is left then was brought back. A lesion is lost when less than a quarter of its contrast is "
        "left. Lesion to normal and normal to lesion: a voxel looks "
        "like a lesion when its brightness over that of the white matter around (12 mm) lies above 99.9 % of the "
        "normal white matter of the acquired target. An invention is a cluster of normal white matter of at least "
        "10 mm3 that looks like a lesion in the synthetic image only, and still does after what a safe, "
        "near-sighted translator makes of the sources is taken away. A translator that works voxel by voxel (tried "
        "out: shuffled voxels give the shuffled image) is itself such a safe one and has none."
    )
    source = "tagawa2025, lesions found on both, on one only, and 'normal-looking' translations"

    def ask(self, bench: Bench) -> Answer:
        """Count over all cases that have a lesion mask and an acquired target."""
        pieces: list[tuple[str, Piece]] = []
        counts = dict.fromkeys(("lesion", "kept", "lost", "gained", "inventions", "normal"), 0)
        plate: Plate | None = None
        cases = [c for c in bench.references if c.sources and c.regions.get("lesion", np.zeros(1)).any()]
        if not cases:
            raise NotAsked("no case has a lesion mask, an acquired target and its sources")
        # One that works voxel by voxel is itself a safe translator: a regression would only approximate it.
        safe = None if bench.voxelwise else fit_safe(cases[:4], bench.rng("safe translator"))
        for case in cases:
            white, lesion, reference = white_matter(case), case.regions["lesion"], case.reference
            if reference is None or not white.any():
                continue
            removed = None
            if bench.translator is not None:
                filled = {k: fill(v, lesion, white, case.spacing) for k, v in case.sources.items()}
                removed = bench.predict(filled, case.zeros)
            found = _pieces(case, white, removed)
            pieces += [(case.key, piece) for piece in found]
            sign = 1.0 if np.nanmedian([p.acquired for p in found] or [1.0]) >= 0 else -1.0
            known = (
                bench.predict(case.sources, case.zeros)
                if safe is None
                else safe.predict(case.sources, case.inside, case.spacing)
            )
            unsupported = case.synthetic - known
            for name, value in _counts(case, white, sign, unsupported).items():
                counts[name] += value
            if plate is None:
                plate = _plate(bench, case, removed)
        if not pieces:
            raise NotAsked(f"no lesion of at least {SMALLEST_MM3:g} mm3 with white matter around it")
        findings, share = _findings(pieces, counts, bench)
        lost = f"{100 * counts['lost'] / counts['lesion']:.0f} %" if counts["lesion"] else "none"
        sentence = (
            f"At the {several(len(pieces), 'lesion')} of {several(len(cases), 'case')}, "
            f"{_survives(share, bench.target)}; {lost} of the voxels that look like a lesion became normal; "
            f"{_inventions(counts['inventions'], bench.voxelwise)}."
        )
        tone = BAD if share < 0.5 or counts["inventions"] else GOOD if share > 0.8 else PLAIN
        return Answer(sentence, findings, [] if plate is None else [plate], tone)


def _inventions(count: int, voxelwise: bool) -> str:
    if voxelwise and not count:
        return "no invention, by construction: it works voxel by voxel, so that nothing appears that is in no source"
    return f"{several(count, 'invention')} in normal white matter"


def _survives(share: float, target: str) -> str:
    if share < 0:
        return f"nothing of the acquired {target} contrast is there ({percent(share)}: reversed)"
    return f"{percent(share)} of the acquired {target} contrast is there"


def _pieces(case: InspectedCase, white: Mask, removed: Array | None) -> list[Piece]:
    labels, count = label(case.regions["lesion"], structure=np.ones((3, 3, 3)))
    volume = float(np.prod(case.spacing))
    reference, found = case.reference, []
    if reference is None:
        return []
    margin = [int(np.ceil(7.0 / s)) for s in case.spacing]
    for number in range(1, count + 1):
        where = np.argwhere(labels == number)
        if len(where) * volume < SMALLEST_MM3:
            continue
        box = tuple(
            slice(max(0, int(a) - m), int(b) + m + 1)
            for a, b, m in zip(where.min(axis=0), where.max(axis=0), margin, strict=True)
        )
        inside = labels[box] == number
        away = distance_transform_edt(~inside, sampling=case.spacing)
        ring = white[box] & (away >= 2) & (away <= 6)
        if np.count_nonzero(ring) < 10:
            # white_matter() leaves out 4 mm around every lesion
            ring = white[box] & (away <= 7)
        if np.count_nonzero(ring) < 10:
            continue

        def contrast(image: Array, box: Any = box, inside: Mask = inside, ring: Mask = ring) -> float:
            return float(image[box][inside].mean() - image[box][ring].mean())

        back = float("nan") if removed is None else contrast(removed)
        found.append(Piece(len(where) * volume, contrast(reference), contrast(case.synthetic), back))
    return found


def _counts(case: InspectedCase, white: Mask, sign: float, unsupported: Array) -> dict[str, int]:
    reference, lesion = case.reference, case.regions["lesion"]
    if reference is None:
        return {}
    normal = binary_erosion(white, iterations=1)
    acquired = sign * local_contrast(reference, normal, case.spacing)
    made = sign * local_contrast(case.synthetic, normal, case.spacing)
    alone = sign * gaussian_filter(unsupported, [1.0 / s for s in case.spacing])
    threshold = float(np.quantile(acquired[normal], SPECIFICITY)) if normal.any() else np.inf
    real = lesion & (acquired > threshold)
    gained = normal & (made > threshold) & (acquired <= threshold)
    clusters, count = label(gained & (alone > threshold))
    sizes = np.bincount(clusters.ravel(), minlength=count + 1)[1:] * float(np.prod(case.spacing))
    return {
        "lesion": int(real.sum()), "kept": int((real & (made > threshold)).sum()),
        "lost": int((real & (made <= threshold)).sum()), "gained": int(gained.sum()),
        "inventions": int((sizes >= SMALLEST_MM3).sum()), "normal": int(normal.sum()),
    }  # fmt: skip


def _findings(pieces: list[tuple[str, Piece]], counts: dict[str, int], bench: Bench) -> tuple[list[Finding], float]:
    weights = np.array([piece.volume_mm3 for _, piece in pieces])
    acquired = np.array([piece.acquired for _, piece in pieces])
    made = np.array([piece.synthetic for _, piece in pieces])
    removed = np.array([piece.removed for _, piece in pieces])
    share = float((weights * np.sign(acquired) * made).sum() / (weights * np.abs(acquired)).sum())
    findings = [Finding("contrast that survives at the lesions of the mask", 100 * share, "%", key=True,
                        note=f"{len(pieces)} lesions, weighted by volume")]  # fmt: skip
    for low, high in ((SMALLEST_MM3, 50), (50, 200), (200, 1000), (1000, np.inf)):
        chosen = (weights >= low) & (weights < high) & (np.abs(acquired) > 0.02)
        if chosen.any():
            value = float(np.median(made[chosen] / acquired[chosen]))
            note = (
                f"{low:g} mm3 {f'to {high:g} mm3' if np.isfinite(high) else 'and more'}, median of {int(chosen.sum())}"
            )
            findings.append(Finding("contrast that survives", 100 * value, "%", key=True, note=note))
    if np.isfinite(removed).any():
        back = float((weights * np.sign(acquired) * removed).sum() / (weights * np.abs(acquired)).sum())
        findings.append(Finding("contrast brought back after removal from the sources", 100 * back, "%", key=True))
    visible = np.abs(acquired) >= VISIBLE
    lost = int((made[visible] / acquired[visible] < GONE).sum())
    findings += [
        Finding("lesions seen on both", float(visible.sum() - lost), key=True, note=f"of {len(pieces)} lesions"),
        Finding("lesions seen on the acquired image only", float(lost), key=True,
                note=f"less than {100 * GONE:.0f} % of the contrast is left: 'normal-looking'"),
    ]  # fmt: skip
    voxels, normal = counts["lesion"], max(counts["normal"], 1)
    turned = 100 * counts["lost"] / voxels if voxels else float("nan")
    findings += [
        Finding("lesion turned normal", turned, "%", key=True, note=f"of {voxels} voxels that looked like one"),
        Finding("normal turned lesion", 100 * counts["gained"] / normal, "%", key=True, note=f"of {normal} voxels"),
        Finding("inventions", float(counts["inventions"]), "clusters", key=True, note="not explained by the sources"),
    ]
    for case, piece in pieces:
        note = f"lesion of {piece.volume_mm3:.0f} mm3"
        findings.append(Finding("lesion contrast, acquired", piece.acquired, case=case, note=note))
        findings.append(Finding("lesion contrast, synthetic", piece.synthetic, case=case, note=note))
    return findings, share


def _plate(bench: Bench, case: InspectedCase, removed: Array | None) -> Plate:
    lesion = case.regions["lesion"]
    index = int(np.argmax(np.count_nonzero(lesion, axis=(0, 1))))
    first = next(iter(case.sources))
    images = {first: case.sources[first], f"acquired {bench.target}": case.reference,
              f"synthetic {bench.target}": case.synthetic, "synthetic, lesions removed": removed}  # fmt: skip
    shown = {name: image for name, image in images.items() if image is not None}
    with style():
        figure = new_figure(2.5, layout="constrained")
        row: Any = figure.subplots(1, len(shown), squeeze=False)
        for axes, (name, image) in zip(row[0], shown.items(), strict=True):
            aspect = case.spacing[1] / case.spacing[0]
            axes.imshow(image[:, :, index].T[::-1, ::-1], cmap="gray", vmin=0, vmax=1, aspect=aspect)
            if name != first:
                axes.contour(lesion[:, :, index].T[::-1, ::-1], levels=[0.5], colors="#D55E00", linewidths=0.5)
            axes.set_title(name)
            axes.set_axis_off()
    caption = (
        f"{case.key}, the slice with most lesion; outlined: the lesion mask. Last: translated from sources whose "
        "lesions were filled with white matter. One window (0 to 1)."
    )
    return Plate("lesions", figure, caption)
