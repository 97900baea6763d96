"""What questions look at: cases on their grids in network range, what was made of them, and perhaps the translator.

All arrays run R, A, S. Sources and reference are scaled by the scale stored with the case, the synthetic image is what
the translator delivers, in its range: 0 is black, 1 about the brightest voxel of the target.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import (
    CheckpointError,
    ConfigError,
    IntensityError,
    LayoutError,
    MissingContrastError,
    RecontrastError,
    UnknownNameError,
)
from recontrast.evaluation.doubts import OWN_SCALE
from recontrast.evaluation.matching import read_synthetic, source_labels
from recontrast.evaluation.scales import declared_scale
from recontrast.inspection import NotAsked
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase, PreparedCohort, read_cohort
from recontrast.preparation.normalize import fit_scale
from recontrast.translation.description import TranslatorDescription, read_description, subject_hash, translator_folder
from recontrast.volume import Volume, require_same_grid

if TYPE_CHECKING:
    from recontrast.inspection.lines import Line
    from recontrast.translation.translator import Translator

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}

VOXELWISE = 1e-4
"""A translator works voxel by voxel when other voxels change a voxel by less than this, in units of the range."""


@dataclass(frozen=True, eq=False)
class InspectedCase:
    """One case.

    Attributes:
        key: Its name.
        sources: Contrast label to scaled image.
        synthetic: What was made of them.
        reference: The acquired target, scaled; None where there is none.
        regions: Region name to mask; `head` is always there.
        affine: Voxel indices to RAS+ mm.
        spacing: Voxel spacing, mm.
        zeros: Contrast label to the scaled value of no signal; 0 where it is not named.
        own: Contrast label to scaled image before it was brought to the level of the translator; empty: `sources`.
    """

    key: str
    sources: Mapping[str, Array]
    synthetic: Array
    reference: Array | None
    regions: Mapping[str, Mask]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    zeros: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, Array] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels."""
        i, j, k = self.synthetic.shape
        return (i, j, k)

    @property
    def inside(self) -> Mask:
        """The brain where it is known, else the head."""
        brain = self.regions.get("brain")
        return brain if brain is not None and brain.any() else self.regions["head"]

    @property
    def region_name(self) -> str:
        """Name of `inside`."""
        return "brain" if self.inside is self.regions.get("brain") else "head"


@dataclass(frozen=True, eq=False)
class Companion:
    """A further translator: one of an ensemble (the same contrasts), or one back (from the target to a source)."""

    name: str
    role: Literal["ensemble", "back"]
    translator: Translator


@dataclass(frozen=True, eq=False)
class Bench:
    """What is inspected.

    Attributes:
        target: Contrast that was made.
        source_labels: Contrasts it was made from; empty when unknown.
        cases: The cases, in order.
        translator: The translator; None when only images are there.
        training: Prepared training and validation cases of the cohort, for questions that compare with them.
        seed: Seed of everything drawn.
        remarks: What one should know of the material.
        failed: Cases that cannot be looked at, and why.
        lines: Lines that were drawn.
        companions: Further translators to compare with.
    """

    target: str
    source_labels: tuple[str, ...]
    cases: tuple[InspectedCase, ...]
    translator: Translator | None = None
    training: tuple[PreparedCase, ...] = ()
    seed: int = 0
    remarks: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    companions: tuple[Companion, ...] = ()

    def rng(self, purpose: str) -> np.random.Generator:
        """Random numbers for one purpose; they depend on nothing else."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def predict(self, sources: Mapping[str, Array], zeros: Mapping[str, float]) -> Array:
        """The image the translator delivers of scaled sources; `zeros` are those of their case.

        Raises:
            NotAsked: There is no translator.
        """
        return self.require_translator().predict_scaled(sources, zeros)

    def network_output(self, sources: Mapping[str, Array]) -> Array:
        """What the network makes of pieces of sources, or of shuffled ones (see `Translator.network_output`).

        Raises:
            NotAsked: There is no translator.
        """
        return self.require_translator().network_output(sources)

    def require_translator(self) -> Translator:
        """The translator.

        Raises:
            NotAsked: There is none.
        """
        if self.translator is None:
            raise NotAsked("only images were given; this question runs the translator")
        return self.translator

    @property
    def description(self) -> TranslatorDescription | None:
        """What the translator is; None without one."""
        return None if self.translator is None else self.translator.description

    def require_local(self) -> None:
        """Make sure that the output of a slice follows from that slice and its neighbours.

        Raises:
            NotAsked: The translator sees more, through channels that tell of the whole head.
        """
        about = self.description
        if about is not None and about.bank is not None:
            raise NotAsked(
                "the translator is also told which sources are there and what is wanted, in images that a window or a "
                "covered square would cut"
            )
        if about is not None and about.context_voxels:
            raise NotAsked(
                "the translator also sees the sources blurred over the whole head and the place in it: no window "
                "around a voxel decides its value, and a slice by itself means nothing to it"
            )

    @property
    def normal(self) -> int:
        """Axis along which the slices follow each other; 2 without a translator, and for one that sees volumes."""
        return 2 if self.description is None else PLANE_AXIS.get(self.description.plane, 2)

    @property
    def sees_volumes(self) -> bool:
        """Whether the translator sees volumes, not slices."""
        return self.description is not None and self.description.spatial_dims == 3

    @property
    def seen_axes(self) -> tuple[int, ...]:
        """Axes that the network sees: two of a slice, all three of a volume."""
        return tuple(axis for axis in range(3) if self.sees_volumes or axis != self.normal)

    @functools.cached_property
    def voxelwise(self) -> bool:
        """Whether a voxel of the output follows from that voxel of the sources alone, tried out on a slice (or block).

        Shuffled voxels must give the shuffled output, and voxels that stay must give what they gave while half of the
        others have no signal. Such a translator can make nothing that is in no source.
        """
        case = next((case for case in self.cases if case.sources and case.inside.any()), None)
        if case is None or self.description is None or self.description.context_voxels:
            return False
        from recontrast.translation.inside import shown_at

        box = shown_at(self.description, case.sources, self.middle_of(case)).box
        given = {label: np.ascontiguousarray(image[box]) for label, image in case.sources.items()}
        rng = self.rng("voxels that are shuffled")
        shape = next(iter(given.values())).shape
        order, kept = rng.permutation(int(np.prod(shape))), rng.random(shape) < 0.5
        plain = self.network_output(given)
        shuffled = self.network_output({label: image.ravel()[order].reshape(shape) for label, image in given.items()})
        halved = self.network_output({label: np.where(kept, image, np.float32(0)) for label, image in given.items()})
        away = max(np.abs(shuffled.ravel() - plain.ravel()[order]).max(), np.abs(halved - plain)[kept].max())
        return bool(away < VOXELWISE)

    def middle_of(self, case: InspectedCase) -> tuple[int, int, int]:
        """A voxel in the slice with most brain, in its middle."""
        others = tuple(a for a in range(3) if a != self.normal)
        index = int(np.argmax(np.count_nonzero(case.inside, axis=others)))
        voxel = [int(v) for v in np.argwhere(case.inside).mean(axis=0)]
        voxel[self.normal] = index
        return (voxel[0], voxel[1], voxel[2])

    @functools.cached_property
    def references(self) -> tuple[InspectedCase, ...]:
        """Cases with an acquired target."""
        return tuple(case for case in self.cases if case.reference is not None)

    def require(self, need: str) -> None:
        """Raise `NotAsked` when the bench has none of what a question needs (see `Question.needs`)."""
        if need == "translator":
            self.require_translator()
        elif need == "reference" and not self.references:
            raise NotAsked(f"no acquired {self.target} in these cases to compare with")
        elif need == "lesion" and not any(_has(case, "lesion") for case in self.cases):
            raise NotAsked("no case has a lesion mask")
        elif need == "sources" and not any(case.sources for case in self.cases):
            raise NotAsked("the sources are not known or not in the prepared folder; name them with --source")


@dataclass(frozen=True, kw_only=True)
class Material:
    """Where a bench comes from: a run or a folder of images, a prepared folder, and how much of it is looked at."""

    run: Path
    prepared: Path
    split: str = "test"
    cases: int = 10
    target: str = ""
    source: tuple[str, ...] = ()
    seed: int = 0
    lines: tuple[Line, ...] = ()
    beside: tuple[Path, ...] = ()


def load_bench(material: Material) -> Bench:
    """Read cases, and translate them unless their images are given.

    Raises:
        LayoutError: No case can be looked at.
        ConfigError: The folder holds several contrasts and none was named; a line lies in a case that is not looked at.
        CheckpointError: A translator is there but cannot be read.
    """
    cohort = read_cohort(material.prepared)
    chosen = cohort.split(material.split)[: material.cases]
    if not chosen:
        raise LayoutError(f"{material.prepared}: no case in split '{material.split}'; choose another --split")
    try:
        folder = translator_folder(material.run)
    except CheckpointError:
        bench = _bench_of_images(material, cohort, chosen)
    else:
        bench = _bench_of_translator(folder, material, cohort, chosen)
    for line in bench.lines:
        if line.case not in {case.key for case in bench.references}:
            keys = [case.key for case in bench.references]
            raise UnknownNameError.among(f"case with an acquired {bench.target} (--lines)", line.case, keys)
    return bench


def _bench_of_translator(
    folder: Path, material: Material, cohort: PreparedCohort, chosen: tuple[PreparedCase, ...]
) -> Bench:
    from recontrast.translation.engines.choice import EngineSettings
    from recontrast.translation.translator import load_translator

    about = read_description(folder)
    if about.bank is not None:
        about = about.making(material.target, material.source)
    translator = load_translator(folder, EngineSettings(precision="fp32"), about.target).given(about.sources)
    about = translator.description
    cases, failed = [], {}
    for case in chosen:
        try:
            cases.append(_read(case, about.target, about.sources, translator))
        except RecontrastError as error:
            failed[case.key] = str(error)
    if not cases:
        raise LayoutError(f"{material.prepared}: no case can be translated: {next(iter(failed.values()))}")
    training = (*cohort.split("train"), *cohort.split("validation"))
    return Bench(
        about.target, about.sources, tuple(cases), translator, training, material.seed, _remarks(about, chosen), failed,
        material.lines, _companions(about, material.beside),
    )  # fmt: skip


def _companions(about: TranslatorDescription, runs: tuple[Path, ...]) -> tuple[Companion, ...]:
    from recontrast.translation.engines.choice import EngineSettings
    from recontrast.translation.translator import load_translator

    found = []
    for run in runs:
        if read_description(run).bank is not None:
            raise ConfigError(f"--beside {run}: makes several contrasts; beside a translator goes one that makes one")
        other = load_translator(translator_folder(run), EngineSettings(precision="fp32"))
        there = other.description
        if there.target == about.target and set(there.sources) <= set(about.sources):
            found.append(Companion(run.name, "ensemble", other))
        elif there.sources == (about.target,) and there.target in about.sources:
            found.append(Companion(run.name, "back", other))
        else:
            raise ConfigError(
                f"--beside {run}: makes {there.target} from {' and '.join(there.sources)}; beside a translator of "
                f"{' and '.join(about.sources)} to {about.target} goes another of the same contrasts (an ensemble), or "
                f"one from {about.target} back to a source (a cycle)"
            )
    return tuple(found)


def _bench_of_images(material: Material, cohort: PreparedCohort, chosen: tuple[PreparedCase, ...]) -> Bench:
    synthetic = read_synthetic(material.run, material.target)
    labels = source_labels(synthetic, material.source)
    cases, failed = [], {}
    own: dict[str, list[str]] = {}
    for case in chosen:
        paths = synthetic.images.get(case.case, ())
        if len(paths) != 1:
            failed[case.key] = f"{len(paths)} images of {synthetic.target} in {material.run}, exactly one is needed"
            continue
        try:
            known = tuple(label for label in labels if label in case.images)
            image, remark = _scaled_image(case, synthetic.target, paths[0], cohort)
            cases.append(_read(case, synthetic.target, known, None, image))
        except RecontrastError as error:
            failed[case.key] = str(error)
            continue
        if remark:
            own.setdefault(remark, []).append(case.key)
    if not cases:
        raise ConfigError(
            f"{material.run}: no translator in it, and no image for the cases of {material.prepared} that can be "
            f"looked at: {next(iter(failed.values()))}"
        )
    if material.beside:
        raise ConfigError(f"--beside goes with a translator; {material.run} holds images")
    remarks = (
        "Only images were given: questions that run the translator are not asked.",
        *(f"{', '.join(keys)}: {remark}." for remark, keys in own.items()),
    )
    return Bench(synthetic.target, labels, tuple(cases), None, (), material.seed, remarks, failed, material.lines)


def _scaled_image(case: PreparedCase, target: str, path: Path, cohort: PreparedCohort) -> tuple[Volume, str]:
    """A synthetic image on the scale of the prepared folder, by the scale that it declares, and what is to be said."""
    image = read_volume(path)
    if not np.isfinite(image.data).all():
        raise IntensityError(f"{path}: voxels are NaN or infinite; mend the image")
    reference = (read_volume(case.images[target]), case.scales[target]) if target in case.images else None
    found = declared_scale(read_sidecar(path), cohort.scale_settings, reference, target)
    scale, remark = found.scale, found.remark
    if scale is None:
        scale = fit_scale(image, cohort.scale_settings, contrast=target)
        remark = f"{remark}: {OWN_SCALE}"
    return image.with_data(scale.apply(image.data)), remark


def _read(
    case: PreparedCase,
    target: str,
    labels: tuple[str, ...],
    translator: Translator | None,
    made: Volume | None = None,
) -> InspectedCase:
    missing = [label for label in labels if label not in case.images]
    if missing:
        raise MissingContrastError(f"{case.key}: has no {', '.join(missing)} (it has {', '.join(case.images)})")
    volumes = {label: read_volume(case.images[label]).reoriented("RAS") for label in labels}
    reference = read_volume(case.images[target]).reoriented("RAS") if target in case.images else None
    regions = {name: read_volume(path).reoriented("RAS") for name, path in case.regions.items()}
    grid = regions["head"]
    for name, volume in {**volumes, **({target: reference} if reference is not None else {})}.items():
        require_same_grid(grid, volume, f"{case.key}: head mask and {name}")
    zeros = {label: scale.zero for label, scale in case.scales.items()}
    own = {label: case.scales[label].apply(volume.data) for label, volume in volumes.items()}
    scaled = own if translator is None else translator.description.levelled(own)
    if translator is not None:
        synthetic = translator.predict_scaled(scaled, zeros)
    else:
        image = (made or grid).reoriented("RAS")
        require_same_grid(grid, image, f"{case.key}: head mask and the image given")
        synthetic = image.data
    return InspectedCase(
        case.key,
        scaled,
        np.ascontiguousarray(synthetic, np.float32),
        None if reference is None else case.scales[target].apply(reference.data),
        {name: np.asarray(volume.data > 0) for name, volume in regions.items()},
        grid.affine,
        grid.spacing,
        zeros,
        own,
    )


def _remarks(about: TranslatorDescription, chosen: tuple[PreparedCase, ...]) -> tuple[str, ...]:
    if not about.training_subjects:
        return ("The translator does not say which subjects it was trained on: these cases may be among them.",)
    seen = sorted({case.key for case in chosen if subject_hash(case.case.subject) in about.training_subjects})
    if seen:
        return (f"The translator was trained on {', '.join(seen)}: what is found on them is too good.",)
    return ()


def _has(case: InspectedCase, region: str) -> bool:
    mask: Any = case.regions.get(region)
    return mask is not None and bool(mask.any())
