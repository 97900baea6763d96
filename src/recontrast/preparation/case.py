"""Prepare one case: read, place on one grid, mask, scale, write. What is finished is kept when nothing changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import write_json
from recontrast.config import to_plain
from recontrast.contrasts import Contrast
from recontrast.execution.attempts import collected_warnings
from recontrast.io.bids import BidsImage, BidsName, Case, read_sidecar, sidecar_path, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.acquisition import kept_of
from recontrast.preparation.brain import BUILT_IN, find_brain
from recontrast.preparation.cohort import PREPARED
from recontrast.preparation.figures import image_figures, image_hash
from recontrast.preparation.mask import find_head, require_signal
from recontrast.preparation.normalize import Scale, ScaleSettings, fit_scale
from recontrast.preparation.placement import Placement
from recontrast.preparation.quality import describe_image, warn_of_doubt
from recontrast.preparation.recipes import PREPARATIONS, PlacedImage, RecipeOptions, traits_of
from recontrast.preparation.regions import RegionFile, find_regions, read_regions, simulated_motion
from recontrast.preparation.selection import select_images
from recontrast.preparation.tiers import grade_image
from recontrast.provenance import sha256_of
from recontrast.volume import Volume

LEDGER = ".recontrast"
"""Folder of an output with one small file per finished case: its settings, input hashes, outputs and quality."""

_FORMAT = 3
"""Goes up when the same input and settings give another output; finished cases of older formats are made again."""

_DECIDING = (
    "recipe", "contrasts", "grid", "space", "prefer", "align", "scale", "seed", "size", "brain", "span", "grades",
)  # fmt: skip
"""Settings that decide the result of a case."""

_OF_THE_GRID = ("space", "res")
"""Entities of a raw image's name that a prepared one does not keep: its grid is the recipe's."""

_STRIPPED = 0.9
"""An image is skull-stripped when at least this share of its head is brain."""


@dataclass(frozen=True, kw_only=True)
class CaseRequest:
    """All that is needed to prepare one case; see `PrepareSettings` for the meaning."""

    case: Case
    images: tuple[BidsImage, ...]
    bids: Path
    out: Path
    recipe: str
    contrasts: tuple[str, ...]
    grid: str
    space: str
    prefer: tuple[str, ...]
    align: bool
    scale: ScaleSettings
    regions: Path | None
    seed: int
    size: tuple[int, ...] = ()
    brain: str = ""
    span: tuple[int, int] | None = None
    grades: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseReport:
    """What became of a case.

    Attributes:
        inputs: Input file to SHA-256.
        quality: Rows of `quality.tsv`.
        doubts: Warnings, one line each.
        kept: Whether an earlier run had finished it.
    """

    inputs: Mapping[str, str]
    quality: Sequence[Mapping[str, Any]]
    doubts: Sequence[str]
    kept: bool


def prepare_case(request: CaseRequest) -> CaseReport:
    """Prepare one case and write it, or keep what an earlier run finished.

    Raises:
        RecontrastError: The case cannot be prepared; the message says why.
        OutputError: The files cannot be written.
    """
    with collected_warnings() as doubts:
        sources = select_images(request.case, request.images, request.contrasts, request.space, request.prefer)
        spaces = list(dict.fromkeys((request.space, Contrast.parse(request.grid).suffix, "")))
        regions = find_regions(request.case, request.images, request.regions, spaces)
        inputs = _hashes(request.bids, sources, regions)
        ledger = request.out / LEDGER / f"{request.case.key}.json"
        sidecars = {label: read_sidecar(source.path) for label, source in sources.items()}
        acquired = {label: kept_of(sidecar) for label, sidecar in sidecars.items()}
        fingerprint = _fingerprint(request, inputs, {label: known for label, known in acquired.items() if known})
        before = _read_ledger(ledger)
        if before is not None and _is_finished(before, fingerprint, request.out):
            return CaseReport(inputs, before["quality"], before["doubts"], kept=True)
        if before is not None:
            _forget(before, ledger, request.out)
        outputs, quality = _make(request, sources, sidecars, regions)
    write_json(
        ledger,
        {"fingerprint": fingerprint, "inputs": inputs, "outputs": outputs, "quality": quality, "doubts": doubts},
    )
    return CaseReport(inputs, quality, doubts, kept=False)


def forget_case(out: Path, case: Case) -> None:
    """Remove what an earlier run prepared of a case that is left out now."""
    ledger = out / LEDGER / f"{case.key}.json"
    before = _read_ledger(ledger)
    if before is not None:
        _forget(before, ledger, out)


def _make(
    request: CaseRequest,
    sources: Mapping[str, BidsImage],
    sidecars: Mapping[str, Mapping[str, Any]],
    regions: Sequence[RegionFile],
) -> tuple[list[str], list[dict[str, Any]]]:
    """Do the work; return the files written (relative to the output) and the rows of quality."""
    raw = {}
    for label, source in sources.items():
        raw[label] = read_volume(source.path)
        require_signal(raw[label], str(source.path))
    motion = simulated_motion(request.case, request.regions, request.grid)
    brain = _brain(request, raw[request.grid], regions, motion)
    options = RecipeOptions(
        grid=request.grid,
        align=request.align,
        trusted=bool(request.space),
        seed=request.seed,
        size=request.size,
        brain=brain,
        span=request.span,
    )
    placed = PREPARATIONS.get(request.recipe)(raw, options, request.case.key)
    head = _common_head(placed)
    grid = placed[request.grid]
    found = read_regions(regions, grid.volume, request.case.key, motion @ grid.transform)
    if brain is not None and "brain" not in found:
        moved = Placement.of(brain, grid.transform).to_grid(brain, grid.volume, "nearest")
        found["brain"] = moved.with_data(moved.data.astype(np.uint8))
    found = {"head": head, **{name: mask for name, mask in found.items() if name != "head"}}
    known = found.get("brain")
    quality = [
        _quality(request, sidecars[label], label, raw[label], image, head, known) for label, image in placed.items()
    ]
    for row in quality:
        warn_of_doubt(row, head.spacing)
    outputs = []
    for name, mask in found.items():
        outputs.append(_path(request, "mask", name))
        write_volume(request.out / outputs[-1], mask, np.uint8, description=f"recontrast {name}")
    for label, image in placed.items():
        scale = fit_scale(image.volume, request.scale, image.head, label)
        stripped = _is_stripped(image, found.get("brain"))
        path = _path(request, label, PREPARED, _kept_entities(sources[label].name))
        write_volume(request.out / path, image.volume, np.float32, description="recontrast prepared")
        sidecar = _sidecar(request, sources[label], image, scale, label, stripped)
        acquired = kept_of(sidecars[label])
        write_sidecar(
            request.out / path, {**sidecar, **acquired, **Placement.of(raw[label], image.transform).to_dict()}
        )
        outputs += [path, str(sidecar_path(Path(path)).as_posix())]
    return outputs, quality


def _common_head(placed: Mapping[str, PlacedImage]) -> Volume:
    """The head of the case is where at least half of its contrasts have theirs."""
    heads = [image.head for image in placed.values()]
    votes = np.sum([head.data for head in heads], axis=0, dtype=np.uint16)
    return heads[0].with_data(np.asarray(2 * votes >= len(heads)))


def _is_stripped(image: PlacedImage, brain: Volume | None) -> bool:
    """Whether nothing but brain is left; without a brain mask, an exactly zero background is taken as the sign."""
    if brain is None or not brain.data.any():
        return image.zero_background
    inside = image.head.data & (brain.data > 0)
    return bool(np.count_nonzero(inside) >= _STRIPPED * np.count_nonzero(image.head.data))


def _sidecar(
    request: CaseRequest, source: BidsImage, image: PlacedImage, scale: Scale, label: str, stripped: bool
) -> dict[str, Any]:
    return {
        "Sources": [_relative(source.path, request.bids)],
        "Scale": scale.to_dict(),
        "SkullStripped": stripped,
        "Contrast": label,
        "Interpolated": image.interpolated,
        "Recipe": request.recipe,
        **({"Steps": list(image.steps)} if image.steps else {}),
    }


def _brain(
    request: CaseRequest, raw: Volume, regions: Sequence[RegionFile], motion: NDArray[np.float64]
) -> Volume | None:
    """Brain mask on the raw grid of the grid contrast, where recipe or user want one: a given one, else found."""
    if not (request.brain or traits_of(request.recipe).needs_brain):
        return None
    turned = raw.reoriented("RAS")
    given = read_regions(regions, turned, request.case.key, motion).get("brain")
    if given is not None and given.data.any():
        return Volume(given.data.astype(bool), given.affine).reoriented(raw.orientation)
    return find_brain(raw, request.brain or BUILT_IN, request.case.key)


def _quality(
    request: CaseRequest,
    sidecar: Mapping[str, Any],
    label: str,
    raw: Volume,
    image: PlacedImage,
    head: Volume,
    brain: Volume | None,
) -> dict[str, Any]:
    """A row of `quality.tsv`: figures of the prepared image, of the raw one, grades and tier."""
    # Interpolation hides noise, so figures come from the voxels as acquired; filling up with air does not matter.
    acquired, own_head = (raw, find_head(raw)[0]) if image.interpolated else (image.volume, image.head)
    own_brain = own_head if image.zero_background else None
    if own_brain is None and brain is not None and brain.data.any():
        own_brain = Placement.of(raw, image.transform).to_source(brain, "nearest") if image.interpolated else brain
    figures = asdict(image_figures(acquired, own_head, label, own_brain))
    figures["image_hash"] = image_hash(raw)
    declared = str(sidecar.get("ContrastBolusIngredient", "")).upper() == "GADOLINIUM"
    graded = grade_image(figures, label, declared, request.grades.get(label))
    return {**describe_image(request.case.key, label, image, head), **figures, **graded}


def _path(request: CaseRequest, contrast: str, description: str, entities: Mapping[str, str] | None = None) -> str:
    name = BidsName.of(request.case, contrast, **{**(entities or {}), "desc": description})
    return (request.case.folder / "anat" / name.filename).as_posix()


def _kept_entities(name: BidsName) -> dict[str, str]:
    """Entities that say which acquisition it is (run, echo, flip, part, …); some suffixes are no names without them."""
    return {key: value for key, value in name.entities.items() if key not in ("sub", "ses", *_OF_THE_GRID)}


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _hashes(bids: Path, sources: Mapping[str, BidsImage], regions: Sequence[RegionFile]) -> dict[str, str]:
    files = [image.path for image in sources.values()]
    files += [path for region in regions for path in (region.path, region.table) if path is not None]
    return {_relative(path, bids): sha256_of(path) for path in sorted(files)}


def _fingerprint(request: CaseRequest, inputs: Mapping[str, str], acquired: Mapping[str, Mapping[str, Any]]) -> str:
    """Digest of what decides the result: settings of the case, input bytes, what sidecars say, format."""
    settings = {name: getattr(request, name) for name in _DECIDING}
    deciding = [_FORMAT, to_plain(settings), dict(inputs), *([acquired] if acquired else [])]
    text = json.dumps(deciding, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_ledger(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # no earlier result that can be trusted: the case is made anew
    return content if isinstance(content, dict) and "fingerprint" in content else None


def _is_finished(before: Mapping[str, Any], fingerprint: str, out: Path) -> bool:
    return before["fingerprint"] == fingerprint and all((out / name).is_file() for name in before["outputs"])


def _forget(before: Mapping[str, Any], ledger: Path, out: Path) -> None:
    """Remove an outdated result, its ledger first, so that it is never taken for the new one."""
    ledger.unlink(missing_ok=True)
    for name in before["outputs"]:
        (out / name).unlink(missing_ok=True)
