"""Registration of a head to the MNI152 template (see `io.mni152`)."""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from recontrast.errors import ConfigError, GeometryError, RecontrastWarning
from recontrast.io.mni152 import read_mni152
from recontrast.preparation.itk import to_itk, to_matrix
from recontrast.preparation.mask import find_head
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.preparation.registration import dilated, last_line, one_thread, similarity_method
from recontrast.volume import Volume

TEMPLATE_NAME = "MNI152NLin2009aSym"
"""What the template is called in BIDS names."""

_BRAIN_CENTRE_MM = np.array([0.0, -18.0, 8.0])
"""Centre of the template's brain (x, y, z in MNI space)."""

_TOP_MM = 90.0
"""Where the scalp's highest point lies in MNI space (z), about."""

_BRAIN_DEPTH_MM = 150.0
"""The part of a head below its highest point that is looked at for its centre: the brain, without most of the neck."""


@dataclass(frozen=True, kw_only=True)
class TemplateSettings:
    """How a head is registered to the template."""

    dof: int = 12
    """6 (rigid), 9 (rigid and three stretches), 12 (affine)"""

    levels_mm: tuple[float, ...] = (8.0, 4.0, 2.0)
    """voxel sizes of the resolution levels, coarse to fine, mm"""

    samples: int = 60_000
    """voxels looked at per level"""

    search_mm: float = 8.0
    """voxel size of the first search, mm"""

    search_samples: int = 20_000
    """voxels looked at in the first search"""

    search_margin_mm: float = 10.0
    """the same rim in the first search, mm: the outline of the head shows the way from afar"""

    search_iterations: int = 6
    """rounds of the first search from each start"""

    search_starts: int = 3
    """how many of the starts are searched from, the best first"""

    pitches_deg: tuple[float, ...] = (-20.0, 0.0, 20.0)
    """nods of the head that the first search starts from, degrees"""

    bins: int = 32
    """bins of the joint histogram"""

    margin_mm: float = 3.0
    """rim around the template's brain that is looked at too, mm"""

    iterations: int = 200
    """optimiser steps per level at most"""

    least_stretch: float = 0.7
    """a stretch along any axis below this, or above its inverse, is an error"""

    seed: int = 0
    """seed of the voxels looked at"""


@dataclass(frozen=True)
class TemplateRegistration:
    """Result of `register_to_template`.

    Attributes:
        transform: World of the template (MNI) to world of the image (RAS+ mm, 4x4, linear).
        mutual_information: Inside the template's brain, nats; larger is better.
        stretches: The three singular values of the linear part: image over template.
    """

    transform: NDArray[np.float64]
    mutual_information: float
    stretches: tuple[float, float, float]


def template_brain() -> Volume:
    """Brain mask of the template, boolean."""
    template = read_mni152()
    return template.with_data(template.data > 0)


def register_to_template(
    volume: Volume,
    settings: TemplateSettings | None = None,
    what: str = "image",
    head: tuple[Volume, bool] | None = None,
) -> TemplateRegistration:
    """Find the linear map from MNI space to an image of a head, whole or skull-stripped, of any contrast.

    Only the template's brain and a thin rim are looked at, so that skull and scalp, which the template has not, do not
    pull. The search starts from the headers' worlds and from the head's own place, at several nods; the best is
    refined from coarse to fine by mutual information (Mattes 2003). Same image and seed, same bits.

    Args:
        volume: Image of a head; finite values.
        settings: See `TemplateSettings`.
        what: Names the image in messages.
        head: `find_head(volume)` where it is known already.

    Raises:
        GeometryError: The image and the template do not meet, or the map is not that of a head.
        IntensityError: The image is all zero, constant or not finite.
        ConfigError: A setting is out of range.

    Example:
        >>> found = register_to_template(t1w)  # doctest: +SKIP
        >>> in_mni = resample(t1w, read_mni152(), found.transform)  # doctest: +SKIP
    """
    settings = settings or TemplateSettings()
    if settings.dof not in (6, 9, 12):
        raise ConfigError(f"dof {settings.dof}: a registration to the template has 6, 9 or 12")
    mask, stripped = find_head(volume) if head is None else head
    moving = volume.with_data(np.clip(fit_scale(volume, ScaleSettings(high=99.0), mask).apply(volume.data), 0, 1))
    fixed, region = _fixed(settings.margin_mm)
    pair = [fixed, to_itk(moving)]
    try:
        with one_thread():
            candidates = []
            wide = _fixed(settings.search_margin_mm)[1]
            for rigid in _search(pair, wide, _starts(mask, stripped, settings), settings):
                candidate = _released(rigid, settings.dof)
                value = _refine(candidate, pair, region, settings.levels_mm[0], settings)
                candidates.append((not _is_plausible(candidate, settings), value, candidate))
            _, value, transform = min(candidates, key=lambda entry: entry[:2])
            for level_mm in settings.levels_mm[1:]:
                value = _refine(transform, pair, region, level_mm, settings)
    except RuntimeError as error:
        raise GeometryError(
            f"{what}: registration to the template failed ({last_line(error)}); check that it shows a whole head"
        ) from error
    matrix = to_matrix(transform)
    low, middle, high = _stretches(transform)
    if not _is_plausible(transform, settings):
        raise GeometryError(
            f"{what}: registration to the template would stretch the head by {low:.2f} to {high:.2f}; "
            "check that it shows a whole adult head with right voxel sizes"
        )
    _doubt(matrix, mask, what)
    return TemplateRegistration(matrix, -value, (low, middle, high))


@functools.lru_cache(maxsize=4)
def _fixed(margin_mm: float) -> tuple[Any, Any]:
    """Template between 0 and 1, and where it is looked at, as SimpleITK images."""
    template = read_mni152()
    brain = template.with_data(template.data > 0)
    scaled = template.with_data((template.data / np.float32(255)).astype(np.float32))
    return to_itk(scaled), to_itk(dilated(brain, margin_mm))


def _starts(head: Volume, stripped: bool, settings: TemplateSettings) -> list[Any]:
    """Transforms (template to image) to start from."""
    places = [_BRAIN_CENTRE_MM, _own_centre(head, stripped)]
    starts = []
    for place in places:
        for pitch in settings.pitches_deg:
            transform = sitk.Euler3DTransform()
            transform.SetCenter((_BRAIN_CENTRE_MM * (-1, -1, 1)).tolist())
            transform.SetRotation(math.radians(pitch), 0.0, 0.0)
            transform.SetTranslation(((place - _BRAIN_CENTRE_MM) * (-1, -1, 1)).tolist())
            starts.append(transform)
    return starts


def _own_centre(head: Volume, stripped: bool) -> NDArray[np.float64]:
    """Where the brain's centre lies in the image's world, judged from its head mask."""
    voxels = np.argwhere(head.data)
    voxels = voxels[:: max(1, len(voxels) // 50_000)]
    world = (np.c_[voxels, np.ones(len(voxels))] @ head.affine.T)[:, :3]
    if stripped:
        return np.asarray(world.mean(axis=0))
    top = float(np.percentile(world[:, 2], 99.9))
    upper = world[world[:, 2] > top - _BRAIN_DEPTH_MM]
    centre = (upper.min(axis=0) + upper.max(axis=0)) / 2
    return np.array([centre[0], centre[1], top - (_TOP_MM - _BRAIN_CENTRE_MM[2])])


def _search(pair: list[Any], region: Any, starts: list[Any], settings: TemplateSettings) -> list[Any]:
    """The best starts, each improved at the coarsest resolution by Powell's method."""
    method, images = similarity_method(
        pair, region, settings.search_mm, samples=settings.search_samples, bins=settings.bins, seed=settings.seed
    )
    valued = []
    for start in starts:
        method.SetInitialTransform(start)
        try:
            valued.append((float(method.MetricEvaluate(*images)), start))
        except RuntimeError:
            continue  # no overlap from this start
    if not valued:
        raise RuntimeError("the fields of view do not meet")
    best = [start for _, start in sorted(valued, key=lambda entry: entry[0])[: settings.search_starts]]
    for start in best:
        method.SetInitialTransform(start, inPlace=True)
        method.SetOptimizerAsPowell(
            numberOfIterations=settings.search_iterations,
            maximumLineIterations=20,
            stepLength=4.0,
            stepTolerance=0.05,
            valueTolerance=1e-4,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.Execute(*images)
    return best


def _released(rigid: Any, dof: int) -> Any:
    """The rigid transform with further degrees of freedom, at the same place."""
    if dof == 6:
        return rigid
    transform = sitk.AffineTransform(3) if dof == 12 else sitk.ScaleVersor3DTransform()
    transform.SetCenter(rigid.GetCenter())
    transform.SetTranslation(rigid.GetTranslation())
    if dof == 12:
        transform.SetMatrix(rigid.GetMatrix())
    else:
        turn = sitk.VersorRigid3DTransform()
        turn.SetMatrix(rigid.GetMatrix())
        transform.SetRotation(turn.GetVersor())
    return transform


def _stretches(transform: Any) -> tuple[float, float, float]:
    low, middle, high = np.linalg.svd(to_matrix(transform)[:3, :3], compute_uv=False)[::-1].tolist()
    return low, middle, high


def _is_plausible(transform: Any, settings: TemplateSettings) -> bool:
    low, _, high = _stretches(transform)
    return low >= settings.least_stretch and high <= 1 / settings.least_stretch


def _refine(transform: Any, pair: list[Any], region: Any, level_mm: float, settings: TemplateSettings) -> float:
    """Improve `transform` in place at one resolution; return the metric (negative mutual information)."""
    method, images = similarity_method(
        pair, region, level_mm, samples=settings.samples, bins=settings.bins, seed=settings.seed
    )
    method.SetInitialTransform(transform, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level_mm / 2,
        minStep=level_mm / 100,
        numberOfIterations=settings.iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.Execute(*images)
    return float(method.GetMetricValue())


def _doubt(matrix: NDArray[np.float64], head: Volume, what: str) -> None:
    """Refuse or warn when much of the template's brain lies outside the head of the image."""
    brain = template_brain()
    voxels = np.argwhere(brain.data)[::97]
    world = np.c_[voxels, np.ones(len(voxels))] @ brain.affine.T @ matrix.T
    index = np.rint((world @ np.linalg.inv(head.affine).T)[:, :3]).astype(int)
    within = np.all((index >= 0) & (index < head.shape), axis=1)
    hit = head.data[tuple(index[within].T)].astype(bool).sum() / len(voxels)
    found = f"{what}: only {100 * hit:.0f} % of the template's brain lies inside the head after registration"
    if hit < _FAR_OFF:
        raise GeometryError(f"{found}; check that the image shows a whole head and that its header is right")
    if hit < _LEAST_INSIDE:
        warnings.warn(f"{found}; look at the prepared image, or leave the case out", RecontrastWarning, stacklevel=3)


_LEAST_INSIDE = 0.85
"""Share of the template's brain that must lie inside the head."""

_FAR_OFF = 0.5
"""With a smaller share than this it is no head, or the registration failed."""
