"""The images of one evaluated case, as they were scored, cut into the pictures of a montage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recontrast.errors import FormatError, LayoutError
from recontrast.evaluation.doubts import RESAMPLED
from recontrast.io.bids import BidsName
from recontrast.io.nifti import EXTENSIONS, read_volume
from recontrast.preparation.mask import head_mask
from recontrast.preparation.resample import resample
from recontrast.reporting.planes import Slice, choose_slices, crop, cropped, picture, pixel_size, tilt_degrees
from recontrast.reporting.similarity import MapSettings, similarity_map
from recontrast.volume import Volume, require_same_grid, same_grid

MAX_SOURCES = 3
"""More sources than this are counted, not drawn."""

MARGIN_MM = 8.0
"""Air left around the head in a picture."""

WINDOW_PERCENTILES = (0.5, 99.8)
"""A display window spans these percentiles of the head."""

DIFFERENCE_PERCENTILE = 99.0
"""The difference scale reaches this percentile of |difference| in the head of the worst case shown."""

_REGION_ORDER = ("lesion", "lesionchange", "brain", "auto", "head")


@dataclass(frozen=True)
class CaseFiles:
    """Where the images of a case are, and the scales that make them comparable: scaled = (value - offset) / factor.

    Attributes:
        key: Name of the case.
        sources: Contrast label to file.
        synthetic: The image under test.
        reference: The acquired image.
        reference_scale: Offset and factor of the reference.
        synthetic_scale: Offset and factor of the synthetic image.
        resampled: Whether the synthetic image lies on another grid and was scored on the reference's (`--resample`).
    """

    key: str
    sources: Mapping[str, Path]
    synthetic: Path
    reference: Path
    reference_scale: tuple[float, float] = (0.0, 1.0)
    synthetic_scale: tuple[float, float] = (0.0, 1.0)
    resampled: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any], folder: Path) -> CaseFiles:
        """From a row of an evaluation's `cases.tsv`; paths in it are relative to `folder`.

        Raises:
            LayoutError: No synthetic or reference image is named, or a named file is gone.
        """
        paths = {name: _path(row.get(name), folder) for name in ("synthetic", "reference")}
        for name, path in paths.items():
            if path is None or not path.is_file():
                where = "is not named in cases.tsv" if path is None else f"is not at {os.path.relpath(path, folder)}"
                raise LayoutError(f"the {name} image {where}; evaluate again, or bring the images back")
        sources = [folder / part for part in str(row.get("source", "") or "").split(";") if part not in ("", "nan")]
        return cls(
            key=str(row["case"]),
            sources={_label(path): path for path in sources if path.is_file()},
            synthetic=paths["synthetic"] or folder,
            reference=paths["reference"] or folder,
            reference_scale=_scale(row, "reference"),
            synthetic_scale=_scale(row, "synthetic"),
            resampled=RESAMPLED in str(row.get("message", "")),
        )


@dataclass(frozen=True)
class PlanePictures:
    """The pictures of one plane, all of one size: shape (rows, columns), row 0 at the top.

    Attributes:
        where: The slice shown.
        pixel_mm: Width and height of a pixel.
        sources: Contrast label to picture, in that source's own units.
        synthetic: Scored units.
        reference: Scored units.
        ssim: Local similarity.
        head: Where there is tissue.
        region: The region that chose the slice.
    """

    where: Slice
    pixel_mm: tuple[float, float]
    sources: Mapping[str, NDArray[Any]]
    synthetic: NDArray[Any]
    reference: NDArray[Any]
    ssim: NDArray[Any]
    head: NDArray[np.bool_]
    region: NDArray[np.bool_]

    @property
    def difference(self) -> NDArray[Any]:
        """Synthetic minus reference."""
        return np.asarray(self.synthetic - self.reference)


@dataclass(frozen=True)
class CasePictures:
    """All pictures of a case and what must be said of them.

    Attributes:
        key: Name of the case.
        target: Contrast that was made.
        planes: Axial, coronal, sagittal.
        window: Display window of synthetic and reference alike, from the reference; scored units.
        source_windows: Contrast label to that source's own window.
        difference_limit: `DIFFERENCE_PERCENTILE` of |difference| in the head.
        region: Name of the region that chose the slices.
        convention: Radiological or neurological.
        spacing_mm: Voxel size of the reference, on the axes R, A, S.
        tilt_degrees: Angle of the grid to the world axes.
        steps: What the protocol did to both images before it compared them; only the SSIM map has that.
        notes: Whatever else the reader must know (resampled sources, sources not drawn).
    """

    key: str
    target: str
    planes: tuple[PlanePictures, PlanePictures, PlanePictures]
    window: tuple[float, float]
    source_windows: Mapping[str, tuple[float, float]]
    difference_limit: float
    region: str
    convention: str
    spacing_mm: tuple[float, float, float]
    tilt_degrees: float
    notes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


def cut_case(
    files: CaseFiles,
    convention: str = "radiological",
    similarity: MapSettings | None = None,
) -> CasePictures:
    """Read the images of a case and cut them into pictures.

    Values are those that were scored: each image on its own recorded scale. Slices are taken where the lesion, else
    the brain, else the head is largest.

    Args:
        files: The case's images.
        convention: Radiological or neurological.
        similarity: How the map of local SSIM is made; left out: with its default window, on a full scale of 1.

    Raises:
        FormatError: An image cannot be read.
        GeometryError: Synthetic and reference do not lie on one grid.
    """
    native, estimate = read_volume(files.reference).reoriented("RAS"), read_volume(files.synthetic).reoriented("RAS")
    notes = []
    if files.resampled and not same_grid(native, estimate):
        estimate = resample(estimate, native)  # as it was scored
        notes.append(RESAMPLED)
    require_same_grid(native, estimate, f"{files.key}: reference and synthetic image")
    regions = find_regions(files.reference, native)
    head = regions.pop("head", None)
    head = head_mask(native).data if head is None or not head.any() else head
    name, region = next(((n, m) for n, m in regions.items() if m.any()), ("head", head))
    sources, remarks = _read_sources(files, native)
    notes += remarks

    reference = native.with_data(_scaled(native.data, files.reference_scale))
    synthetic = _scaled(estimate.data, files.synthetic_scale)
    made = similarity or MapSettings()
    local, reason = similarity_map(reference.data, synthetic, {**regions, "head": head}, made)
    if reason:
        notes.append(f"there is no SSIM map: {reason}")
    difference = np.abs(synthetic - reference.data)[head]

    box = crop(reference, head, MARGIN_MM)
    inside = cropped(reference, box)
    planes = []
    for where in choose_slices(inside, region[box]):
        show = {label: picture(data[box], where, convention) for label, data in sources.items()}
        arrays = [picture(data[box], where, convention) for data in (synthetic, reference.data, local, head, region)]
        planes.append(PlanePictures(where, pixel_size(inside, where.plane), show, *arrays))
    return CasePictures(
        key=files.key,
        target=_label(files.reference),
        planes=(planes[0], planes[1], planes[2]),
        window=_window(reference.data[head]),
        source_windows={label: _window(data[head]) for label, data in sources.items()},
        difference_limit=float(np.percentile(difference, DIFFERENCE_PERCENTILE)),
        region=name,
        convention=convention,
        spacing_mm=reference.spacing,
        tilt_degrees=tilt_degrees(reference),
        notes=tuple(notes),
        steps=tuple(str(getattr(step, "step", "")).replace("_", " ") for step in made.steps),
    )


def find_regions(reference: Path, grid: Volume) -> dict[str, NDArray[np.bool_]]:
    """Masks beside the reference that lie on its grid, on axes that run RAS; lesion first, then brain, then head.

    Args:
        reference: The reference image; masks of the same case are looked for in its folder.
        grid: The reference, reoriented to RAS.
    """
    try:
        case = BidsName.parse(reference.name).case
    except LayoutError:
        return {}
    found: dict[str, NDArray[np.bool_]] = {}
    for path in sorted(path for path in reference.parent.glob("*mask.nii*") if path.name.endswith(EXTENSIONS)):
        try:
            name = BidsName.parse(path.name)
            region = name.entities.get("desc", "brain" if name.suffix == "brainmask" else "").lower()
            if name.case != case or region not in _REGION_ORDER:
                continue
            mask = read_volume(path, np.uint8).reoriented("RAS")
        except (LayoutError, FormatError):
            continue  # a mask only chooses slices; scores do not come from here
        if same_grid(mask, grid):
            found[{"auto": "brain"}.get(region, region)] = mask.data > 0
    order = [name for name in _REGION_ORDER if name in found]
    return {name: found[name] for name in order}


def _read_sources(files: CaseFiles, grid: Volume) -> tuple[dict[str, NDArray[Any]], list[str]]:
    shown = dict(list(files.sources.items())[:MAX_SOURCES])
    notes = []
    if len(files.sources) > len(shown):
        notes.append(f"{len(shown)} of {len(files.sources)} sources are drawn")
    if not files.sources:
        notes.append("the source images are not recorded or no longer there, so they are not drawn")
    sources = {}
    for label, path in shown.items():
        volume = read_volume(path).reoriented("RAS")
        if not same_grid(volume, grid):
            volume = _resampled(volume, grid)
            notes.append(f"the source {label} lies on another grid and was resampled for this picture")
        sources[label] = volume.data
    return sources, notes


def _resampled(volume: Volume, grid: Volume) -> Volume:
    change = np.linalg.inv(volume.affine) @ grid.affine
    data = ndimage.affine_transform(volume.data, change[:3, :3], change[:3, 3], output_shape=grid.shape, order=1)
    return grid.with_data(data)


def _scaled(data: NDArray[Any], scale: tuple[float, float]) -> NDArray[Any]:
    return np.asarray((data - np.float32(scale[0])) / np.float32(scale[1]), dtype=np.float32)


def _window(values: NDArray[Any]) -> tuple[float, float]:
    low, high = (float(v) for v in np.percentile(values, WINDOW_PERCENTILES))
    low = 0.0 if 0 < low < 0.5 * high else low  # black is no signal wherever that costs little contrast
    return (low, high) if high > low else (low, low + 1.0)


def _path(value: Any, folder: Path) -> Path | None:
    return folder / value if isinstance(value, str) and value else None


def _scale(row: Mapping[str, Any], which: str) -> tuple[float, float]:
    offset, factor = row.get(f"{which}_offset"), row.get(f"{which}_factor")
    if offset is None or factor is None or not np.isfinite([float(offset), float(factor)]).all() or float(factor) == 0:
        return 0.0, 1.0
    return float(offset), float(factor)


def _label(path: Path) -> str:
    try:
        return BidsName.parse(path.name).contrast.label
    except LayoutError:
        return path.name
