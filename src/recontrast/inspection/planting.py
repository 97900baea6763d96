"""Lesions with known physics, put into scans: the same lesion in every contrast, by the signal equations.

A lesion replaces white matter. Its brightness in a contrast is that of the white matter around it times the ratio of
the signals that the virtual scanner's sequence of that contrast gives the two tissues at 3 T. A grade between 0 and 1
stands for a lesion whose T1, T2 and proton density lie that far (on a logarithmic scale) from white matter to the full
lesion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from recontrast.errors import DataError, RecontrastError
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.tissue import fractions_of
from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Array, Bench, InspectedCase, Mask
from recontrast.phantom.grids import Grid
from recontrast.phantom.lesions import make_blob
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.tissues import RELAXIVITY, Relaxation, tissues_at
from recontrast.volume import Volume

KINDS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "MS": (("lesion", 1.0),),
    "tumour": (("oedema", 1.0), ("tumour", 0.75)),
    "infarct": (("gliosis", 1.0), ("CSF", 0.7)),
}
"""Kind to its tissues from outside in, each with the radius (of the whole) up to which it reaches."""

FIELD_STRENGTH_T = 3.0

_NEIGHBOURHOOD_MM = 8.0


@dataclass(frozen=True, eq=False)
class Plant:
    """A lesion at a place.

    Attributes:
        kind: A name of `KINDS`.
        diameter_mm: Its diameter.
        grade: How far it is from white matter, 0 to 1.
        centre: Voxel.
        box: The voxels around it that are looked at.
        share: Share of lesion in each voxel of the box.
        layers: Share of each of its tissues, from outside in.
        ring: Voxels of the box that belong to white matter around it.
    """

    kind: str
    diameter_mm: float
    grade: float
    centre: tuple[int, int, int]
    box: tuple[slice, slice, slice]
    share: Array
    layers: tuple[Array, ...]
    ring: Mask


def signal_ratio(contrast: str, tissue: str, grade: float) -> float:
    """Signal of a tissue on the way from white matter, over that of white matter.

    Args:
        contrast: A contrast the virtual scanner makes.
        tissue: A tissue of `phantom.tissues`.
        grade: 0 white matter, 1 the tissue.

    Raises:
        NotAsked: The virtual scanner has no single sequence for the contrast.

    >>> signal_ratio("FLAIR", "lesion", 0.0)
    1.0
    """
    try:
        scans = scans_of(contrast)
    except RecontrastError as error:
        raise NotAsked(
            f"the virtual scanner cannot make {contrast}, so no lesion can be put into it ({error})"
        ) from None
    if len(scans) != 1:
        raise NotAsked(f"{contrast} is made by {len(scans)} scans of the virtual scanner; lesions need one")
    tissues = tissues_at(FIELD_STRENGTH_T)
    white, full = tissues["WM"], tissues[tissue]

    def between(low: float, high: float) -> float:
        return float(low ** (1 - grade) * high**grade)

    def column(name: str) -> np.ndarray:
        low, high = getattr(white, name), getattr(full, name)
        return np.array([low, between(low, high)])

    relaxation = Relaxation(column("t1_s"), column("t2_s"), column("t2star_s"), column("pd"))
    if scans[0].gadolinium:
        uptake = np.array([white.uptake_mmol_l, (1 - grade) * white.uptake_mmol_l + grade * full.uptake_mmol_l])
        relaxation = relaxation.with_gadolinium(uptake, *RELAXIVITY[FIELD_STRENGTH_T])
    signal = np.abs(scans[0].sequence.signal(relaxation))
    return float(signal[1] / signal[0])


_found: WeakKeyDictionary[InspectedCase, Mask] = WeakKeyDictionary()


def white_matter(case: InspectedCase) -> Mask:
    """White matter of a case: its mask, else the built-in segmentation of a T1w or T2w source; without known lesions.

    Raises:
        NotAsked: There is neither.
    """
    white = case.regions.get("WM")
    if white is None:
        white = _found.get(case)
        if white is None:
            # Several questions ask for it.
            white = _found[case] = _segmented(case)
    lesion = case.regions.get("lesion")
    if lesion is not None and lesion.any():
        reach = max(1, round(4.0 / min(case.spacing)))
        white = white & ~binary_dilation(lesion, iterations=reach)
    return white


def _segmented(case: InspectedCase) -> Mask:
    suffixes = {label.rsplit("_", 1)[-1]: label for label in case.sources}
    for suffix in ("T1w", "T2w"):
        if suffix in suffixes and "brain" in case.regions:
            image = Volume(case.sources[suffixes[suffix]], case.affine)
            given = SegmentationInput(image, suffix, case.regions["brain"], what=case.key)
            try:
                return np.asarray(fractions_of(given)["WM"].data > 0.9)
            except DataError as error:
                raise NotAsked(f"{case.key}: white matter cannot be found ({error})") from None
    raise NotAsked(f"{case.key}: no white-matter mask, and no T1w or T2w source with a brain mask to find it in")


def draw_plants(
    case: InspectedCase,
    white: Mask,
    wanted: Sequence[tuple[str, float, float]],
    rng: np.random.Generator,
    apart_mm: float = 6.0,
    depth: Array | None = None,
) -> list[Plant]:
    """Places for lesions in white matter, the largest first, none touching another.

    Args:
        case: The case.
        white: Its white matter.
        wanted: Kind, diameter in mm and grade of each.
        rng: Draws places and shapes.
        apart_mm: Least distance between two surfaces.
        depth: Distance of each voxel of `white` to its surface, mm (`depth_in`), when it is known already.

    Returns:
        One plant for each that found a place.
    """
    depth = depth_in(white, case.spacing) if depth is None else depth
    deepest = float(depth.max())
    free = white.copy()
    plants = []
    for kind, diameter, grade in sorted(wanted, key=lambda item: -item[1]):
        inner = min(diameter / 2, 0.6 * deepest)
        left = depth[free]
        if not left.size:
            continue
        places = np.flatnonzero(free & (depth >= min(inner, float(left.max()))))
        index = np.unravel_index(int(places[rng.integers(len(places))]), case.shape)
        centre = (int(index[0]), int(index[1]), int(index[2]))
        plants.append(_plant(case, white, centre, kind, diameter, grade, rng))
        # Later ones are not larger: twice this one's reach keeps them apart.
        reach = 2 * (diameter / 2 * 1.3 + apart_mm)
        box = tuple(
            slice(max(0, int(c - reach / s)), int(c + reach / s) + 2) for c, s in zip(centre, case.spacing, strict=True)
        )
        away = [(np.arange(case.shape[a])[box[a]] - centre[a]) * case.spacing[a] for a in range(3)]
        i, j, k = np.ix_(*away)
        free[box] &= i**2 + j**2 + k**2 > reach**2
    return plants


def depth_in(white: Mask, spacing: tuple[float, float, float]) -> Array:
    """Distance of each voxel to the surface of a mask, mm; 0 outside. The edge of the grid is a surface."""
    return np.asarray(distance_transform_edt(np.pad(white, 1), sampling=spacing)[1:-1, 1:-1, 1:-1], np.float32)


def _plant(
    case: InspectedCase,
    white: Mask,
    centre: tuple[int, int, int],
    kind: str,
    diameter: float,
    grade: float,
    rng: np.random.Generator,
) -> Plant:
    half = [int(np.ceil((diameter / 2 * 1.4 + _NEIGHBOURHOOD_MM) / s)) for s in case.spacing]
    low = [max(0, c - h) for c, h in zip(centre, half, strict=True)]
    high = [min(n, c + h + 1) for c, h, n in zip(centre, half, case.shape, strict=True)]
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    # Rendered four times as fine along each axis, so that small lesions have their true volume.
    fine = 4 if diameter / 2 < 2.5 * max(case.spacing) else 2
    spacing = [s / fine for s in case.spacing]
    shape = [(h - lo) * fine for lo, h in zip(low, high, strict=True)]
    origin = [lo * s - s / 2 + d / 2 for lo, s, d in zip(low, case.spacing, spacing, strict=True)]
    grid = Grid((shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]))
    middle = np.array([c * s for c, s in zip(centre, case.spacing, strict=True)])
    blob = make_blob(grid, middle, np.full(3, diameter / 2), rng, roughness=0.12, reach=1.5)
    layers = []
    for _, at in KINDS[kind]:
        whole = np.zeros(grid.shape, np.float32)
        whole[blob.box] = blob.share(at)
        cells = whole.reshape(shape[0] // fine, fine, shape[1] // fine, fine, shape[2] // fine, fine)
        layers.append(cells.mean(axis=(1, 3, 5)).astype(np.float32))
    share = layers[0]
    near = distance_transform_edt(share < 0.05, sampling=case.spacing)
    ring = white[box] & (share < 0.02) & (near > min(case.spacing)) & (near <= _NEIGHBOURHOOD_MM)
    if np.count_nonzero(ring) < 10:
        ring = case.inside[box] & (share < 0.02) & (near <= _NEIGHBOURHOOD_MM)
    return Plant(kind, diameter, grade, centre, box, share, tuple(layers), ring)


def put_into(image: Array, plants: Sequence[Plant], contrast: str, zero: float = 0.0) -> Array:
    """An image with lesions in it.

    Args:
        image: Scaled image.
        plants: The lesions.
        contrast: Its contrast.
        zero: Scaled value of no signal.

    Returns:
        Within a lesion: white matter around it times the ratio of signals, with the image's own fine texture on it.
    """
    result = image.copy()
    for plant in plants:
        part = result[plant.box]
        around = float(np.median(part[plant.ring])) if plant.ring.any() else float(np.median(part))
        texture = part - gaussian_filter(part, 1.5)
        tissues = [name for name, _ in KINDS[plant.kind]]
        ratios = [signal_ratio(contrast, tissue, plant.grade) for tissue in tissues]
        inner = [*plant.layers[1:], np.zeros_like(plant.share)]
        values = np.zeros_like(part)
        for layer, within, ratio in zip(plant.layers, inner, ratios, strict=True):
            values += (layer - within) * np.float32(zero + (around - zero) * ratio)
        result[plant.box] = (1 - plant.share) * part + values + plant.share * texture
    return result


def contrast_at(image: Array, plant: Plant) -> float:
    """Mean of an image in a lesion less its mean in the white matter around it."""
    part = image[plant.box]
    if not plant.ring.any() or plant.share.sum() <= 0:
        return float("nan")
    return float((part * plant.share).sum() / plant.share.sum() - part[plant.ring].mean())


def require_physics(bench: Bench) -> None:
    """Raise `NotAsked` unless the virtual scanner can make every contrast that lesions are put into."""
    for contrast in (*bench.source_labels, bench.target):
        signal_ratio(contrast, "lesion", 1.0)
