"""Which cases are expected, where their references are, and which synthetic image belongs to which.

Everything starts from the list of expected cases: a prediction that is not there is listed as missing, never skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from recontrast.errors import ConfigError, LayoutError
from recontrast.io.bids import MASK_SUFFIXES, BidsImage, BidsName, Case, by_case, find_images, read_sidecar
from recontrast.io.nifti import is_nifti
from recontrast.preparation.cohort import PreparedCase, PreparedCohort, read_cohort
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.preparation.regions import RegionFile, as_region, find_regions
from recontrast.preparation.splits import read_splits
from recontrast.provenance import FILE_NAME

SYNTHETIC = "synthetic"
"""Value of the `desc` entity of a synthetic image."""

ALL = "all"
"""Name of the split where there is none: every image of the target contrast."""


@dataclass(frozen=True)
class ExpectedCase:
    """A case that must be scored.

    Attributes:
        case: Subject and session.
        images: Contrast label to file; the reference and the sources are among them.
        scales: Contrast label to the scale stored with it; empty where there is none.
        regions: Files of masks and label maps.
        problem: Why it cannot be scored; "" when it can.
        other_brain: Further brain masks, for the union.
    """

    case: Case
    images: Mapping[str, Path] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    regions: tuple[RegionFile, ...] = ()
    problem: str = ""
    other_brain: tuple[RegionFile, ...] = ()


@dataclass(frozen=True)
class Reference:
    """The reference folder as evaluation sees it.

    Attributes:
        folder: Where it is.
        split: Name of the split that is evaluated; "all" where the folder has no splits.
        expected: Cases to score, sorted.
        training: Cases controls may be fitted on.
        scale_settings: How the stored scales were fitted; None where none are stored.
    """

    folder: Path
    split: str
    expected: tuple[ExpectedCase, ...]
    training: tuple[ExpectedCase, ...]
    scale_settings: ScaleSettings | None


@dataclass(frozen=True)
class Synthetic:
    """The synthetic folder as evaluation sees it.

    Attributes:
        folder: Where it is.
        target: Label of the contrast that was made.
        images: Case to its candidates; more than one is ambiguous.
        copies: Images left out because they were made from an acquired image of the target contrast itself
            (`translate --harmonise`): held against that image they would answer a question nobody asked.
    """

    folder: Path
    target: str
    images: Mapping[Case, tuple[Path, ...]]
    copies: tuple[BidsImage, ...] = ()


def read_synthetic(folder: Path, target: str = "") -> Synthetic:
    """Find the synthetic images of a folder: BIDS data set or flat folder of BIDS-named NIfTI files.

    Images with `desc-synthetic` are taken; where there are none, all images are (another tool's output). What was made
    from the target contrast itself is never taken, whatever its name says.

    Args:
        folder: Where they are.
        target: Contrast to evaluate; "" when the folder has only one.

    Raises:
        LayoutError: No image is found, or only such as were made from the target contrast itself.
        ConfigError: Several contrasts are found and `target` does not say which.
    """
    found = [image for image in _images_in(folder) if image.name.suffix not in MASK_SUFFIXES]
    copies = [image for image in found if _is_copy(image)]
    found = [image for image in found if image not in copies]
    if copies and not found:
        raise LayoutError(
            f"{folder}: its {len(copies)} images were made from acquired {copies[0].name.contrast.label} "
            f"({copies[0].name.filename}, …), as `translate --harmonise` does; held against the images they were made "
            "from they are no evidence: evaluate translations of another contrast"
        )
    marked = [image for image in found if image.name.entities.get("desc") == SYNTHETIC]
    images = marked or found
    labels = sorted({image.name.contrast.label for image in images})
    if not images:
        raise LayoutError(
            f"{folder}: no image with a BIDS name (sub-01_desc-synthetic_T2w.nii.gz); "
            "give the folder that `recontrast translate` made, or name the images so"
        )
    if target and target not in labels:
        raise ConfigError(f"{folder}: no synthetic {target} in it; there is: {', '.join(labels)}")
    if not target and len(labels) > 1:
        raise ConfigError(f"{folder}: holds several contrasts ({', '.join(labels)}); say which with --target")
    chosen = target or labels[0]
    cases: dict[Case, list[Path]] = {}
    for image in images:
        if image.name.contrast.label == chosen:
            cases.setdefault(image.name.case, []).append(image.path)
    of_target = tuple(image for image in copies if image.name.contrast.label == chosen)
    return Synthetic(folder, chosen, {case: tuple(paths) for case, paths in cases.items()}, of_target)


def read_reference(folder: Path, target: str, split: str, space: str = "") -> Reference:
    """List the expected cases.

    Args:
        folder: A prepared folder, a BIDS data set, or a flat folder of BIDS-named images.
        target: Label of the target contrast.
        split: Split of a prepared folder; without meaning for the others.
        space: Use only images with this `space` entity (folders that are not prepared).

    Raises:
        LayoutError: No case is expected: there is nothing to evaluate.
    """
    if (folder / FILE_NAME).is_file() and (folder / "splits.tsv").is_file():
        reference = _prepared(read_cohort(folder), target, split)
    else:
        reference = Reference(folder, ALL, _plain(folder, target, space), (), None)
    if not reference.expected:
        raise LayoutError(
            f"{folder}: no case to evaluate"
            + (f" in split '{split}'" if reference.split != ALL else f" has a {target} image")
            + "; choose another --split or reference folder"
        )
    return reference


def with_brain_masks(reference: Reference, folder: Path) -> Reference:
    """The same reference with a further brain mask for each case, for the union of both (bottani2024).

    Args:
        reference: The expected cases.
        folder: BIDS data set or flat folder of masks: `sub-01_desc-brain_mask.nii.gz`, `sub-01_brainmask.nii.gz`.

    Raises:
        LayoutError: The folder has no brain mask of any expected case, or several of one. A case without one fails.
    """
    masks: dict[Case, list[RegionFile]] = {}
    for case, images in by_case(_images_in(folder)).items():
        found = [region for region in map(as_region, images) if region is not None and region.name == "brain"]
        if found:
            masks[case] = found
    expected = []
    for item in reference.expected:
        own = masks.get(item.case, [])
        if len(own) > 1:
            names = ", ".join(region.path.name for region in own)
            raise LayoutError(f"{folder}: several brain masks of {item.case.key} ({names}); keep one")
        problem = item.problem or ("" if own else f"no brain mask in {folder}")
        expected.append(replace(item, other_brain=tuple(own), problem=problem))
    if not any(item.other_brain for item in expected):
        raise LayoutError(
            f"{folder}: no brain mask of any case that is evaluated; name them sub-01_desc-brain_mask.nii.gz"
        )
    return replace(reference, expected=tuple(expected))


def source_labels(synthetic: Synthetic, given: tuple[str, ...]) -> tuple[str, ...]:
    """Contrasts the synthetic images were made from: as given, or as their sidecars say; empty when unknown.

    Raises:
        ConfigError: Sidecars disagree.
    """
    if given:
        return given
    found: dict[tuple[str, ...], Path] = {}
    for paths in synthetic.images.values():
        for path in paths:
            labels = tuple(_contrast_of(str(source)) for source in read_sidecar(path).get("Sources", ()))
            if labels and "" not in labels:
                found.setdefault(labels, path)
    if len(found) > 1:
        listing = "; ".join(f"{'+'.join(labels)} ({path.name})" for labels, path in sorted(found.items()))
        raise ConfigError(f"{synthetic.folder}: made from different sources: {listing}; evaluate them apart")
    return next(iter(found), ())


def _is_copy(image: BidsImage) -> bool:
    """Whether an image was made from an acquired one of its own contrast, by its name or by its sidecar."""
    if image.name.entities.get("desc", "").startswith(f"{SYNTHETIC}From"):
        return True
    content = read_sidecar(image.path)
    sources = content.get("Sources", ())
    listed = sources if isinstance(sources, list) else [sources]
    made_here = content.get("Synthetic") is True
    label = image.name.contrast.label
    return content.get("Harmonised") is True or (made_here and label in [_contrast_of(str(one)) for one in listed])


def _contrast_of(source: str) -> str:
    try:
        return BidsName.parse(source.replace("\\", "/").rsplit("/", 1)[-1]).contrast.label
    except LayoutError:
        return ""


def _images_in(folder: Path) -> list[BidsImage]:
    if not folder.is_dir():
        raise LayoutError(f"{folder}: no such folder")
    if any(path.is_dir() for path in folder.glob("sub-*")):
        return find_images(folder)
    images = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and is_nifti(path) and path.name.startswith("sub-"):
            try:
                images.append(BidsImage(path, BidsName.parse(path.name)))
            except LayoutError:
                continue
    return images


def _prepared(cohort: PreparedCohort, target: str, split: str) -> Reference:
    splits = read_splits(cohort.folder / "splits.tsv")
    expected = [_of_prepared(case, target) for case in cohort.split(split)]
    for key, reason in cohort.failed.items():
        case = Case.parse(key)
        if splits.get(case.subject) == split:
            expected.append(ExpectedCase(case, problem=f"was not prepared: {reason}"))
    expected.sort(key=lambda item: item.case.key)
    training = [] if split == "train" else [_of_prepared(case, target) for case in cohort.split("train")]
    return Reference(cohort.folder, split, tuple(expected), tuple(training), cohort.scale_settings)


def _of_prepared(case: PreparedCase, target: str) -> ExpectedCase:
    problem = "" if target in case.images else f"has no {target} (it has {', '.join(case.images)})"
    regions = tuple(RegionFile(name, path) for name, path in case.regions.items())
    return ExpectedCase(case.case, case.images, case.scales, regions, problem)


def _plain(folder: Path, target: str, space: str) -> tuple[ExpectedCase, ...]:
    cases = []
    for case, images in by_case(_images_in(folder)).items():
        contrasts: dict[str, list[Path]] = {}
        for image in images:
            acquired = image.name.suffix not in MASK_SUFFIXES and not _says_synthetic(image.name)
            if acquired and (not space or image.name.entities.get("space") == space):
                contrasts.setdefault(image.name.contrast.label, []).append(image.path)
        if target in contrasts:
            cases.append(_of_plain(case, target, contrasts, images))
    return tuple(cases)


def _says_synthetic(name: BidsName) -> bool:
    return name.entities.get("desc", "").startswith(SYNTHETIC)


def _of_plain(case: Case, target: str, contrasts: Mapping[str, list[Path]], images: list[BidsImage]) -> ExpectedCase:
    if len(contrasts[target]) > 1:
        names = ", ".join(path.name for path in contrasts[target])
        return ExpectedCase(
            case, problem=f"several {target} images ({names}); choose with --space, or leave one in the folder"
        )
    single = {label: paths[0] for label, paths in contrasts.items() if len(paths) == 1}
    space = BidsName.parse(single[target].name).entities.get("space", "")
    return ExpectedCase(case, single, {}, tuple(find_regions(case, images, None, (space,))))
