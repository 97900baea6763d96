"""What there is to translate: which files of the input belong together, and what their result is called."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, DataError, FormatError, LayoutError, MissingContrastError, RecontrastWarning
from recontrast.io.bids import (
    BidsImage,
    BidsName,
    Case,
    by_case,
    find_images,
    is_bids,
    read_sidecar,
    stray_images,
    subjects_without_image,
    warn_of_strays,
)
from recontrast.io.nifti import EXTENSIONS, is_nifti
from recontrast.preparation.cohort import PreparedCohort, read_cohort
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.preparation.selection import FOLDER, candidates, select_images
from recontrast.preparation.splits import known_subjects, read_splits
from recontrast.provenance import FILE_NAME
from recontrast.translation.checks import require_same_preparation
from recontrast.translation.description import TranslatorDescription

SYNTHETIC = "synthetic"
"""Value of the `desc` entity of a synthetic image."""

_KEPT_ENTITIES = ("run", "space", "res")
"""Entities of a source's name that its synthetic image keeps: they say which of several, and on which grid."""


@dataclass(frozen=True, kw_only=True)
class TranslationCase:
    """Images that are translated together.

    Attributes:
        key: Name in tables and messages.
        case: Subject and session, when the names say so.
        sources: Contrast label to file.
        scales: Contrast label to scale, when preparation has stored it.
        prepared: Whether the sources come from a prepared folder.
        output: Path of the synthetic image below OUT.
        problem: Why it cannot be translated; empty when it can.
        skipped: Whether it was left out on purpose (`problem` says why) and is not a failure.
        harmonised: The target contrast, where the image is of that contrast already and is taken as the source.
    """

    key: str
    output: Path
    case: Case | None = None
    sources: Mapping[str, Path] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    prepared: bool = False
    problem: str = ""
    skipped: bool = False
    harmonised: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which of the cases and files of an input are meant; fields as in `TranslateSettings`."""

    split: str = ""
    subjects: tuple[str, ...] = ()
    space: str = ""
    prefer: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    harmonise: bool = False


def find_cases(source: Path, about: TranslatorDescription, selection: Selection) -> list[TranslationCase]:
    """The cases of a file, a plain folder, a BIDS data set or a prepared folder.

    Raises:
        FormatError: The input does not exist or is no image.
        LayoutError: No image is found.
        ConfigError: A choice that has no meaning for this kind of input or this translator, an unknown subject, or a
            folder that was prepared by another recipe than the images the translator learned from.
        MissingContrastError: A single file is given, and further sources are needed.
    """
    if selection.harmonise:
        require_one_suffix(about)
    if source.is_dir():
        if selection.also:
            raise ConfigError("--also goes with a single file; in a folder the sources are found by their names")
        if (source / FILE_NAME).is_file() and (source / "splits.tsv").is_file():
            cases = _prepared_cases(read_cohort(source), about, selection)
        elif is_bids(source):
            cases = _bids_cases(source, about, selection)
        else:
            cases = _folder_cases(source, about, selection)
    else:
        cases = [_file_case(source, about, selection)]
    return _without_clashes(cases)


def require_one_suffix(about: TranslatorDescription) -> None:
    """Refuse to harmonise with a translator whose source and target are not kinds of one contrast.

    Raises:
        ConfigError: It has several sources, or another suffix is made.
    """
    suffixes = {Contrast.parse(label).suffix for label in (*about.sources, about.target)}
    if len(about.sources) > 1 or len(suffixes) > 1 or about.bank is not None:
        raise ConfigError(
            f"--harmonise: this translator makes {about.target} from {' and '.join(about.sources)}; it takes one that "
            "makes a contrast from another of the same suffix, such as T1w from ce-gadolinium_T1w"
        )


def synthetic_label(harmonised: str = "") -> str:
    """Value of `desc` for a synthetic image; one made from the target contrast itself says so.

    >>> synthetic_label(), synthetic_label("T1w"), synthetic_label("ce-gadolinium_T1w")
    ('synthetic', 'syntheticFromT1w', 'syntheticFromCeGadoliniumT1w')
    """
    words = harmonised.replace("-", "_").split("_")
    return f"{SYNTHETIC}From{''.join(word[:1].upper() + word[1:] for word in words)}" if harmonised else SYNTHETIC


def output_name(source: Path, target: str, harmonised: str = "") -> str:
    """File name of the synthetic image made from `source`; `harmonised` as in `TranslationCase`.

    >>> output_name(Path("sub-01_acq-fast_T1w.nii.gz"), "T2w")
    'sub-01_desc-synthetic_T2w.nii.gz'
    >>> output_name(Path("head.nii"), "T2w")
    'head_desc-synthetic_T2w.nii.gz'
    >>> output_name(Path("sub-01_T1w.nii.gz"), "T1w", "T1w")
    'sub-01_desc-syntheticFromT1w_T1w.nii.gz'
    """
    label = synthetic_label(harmonised)
    try:
        name = BidsName.parse(source.name)
    except LayoutError:
        return f"{stem(source)}_desc-{label}_{target}.nii.gz"
    kept = {key: name.entities[key] for key in _KEPT_ENTITIES if key in name.entities}
    return BidsName.of(name.case, target, desc=label, **kept).filename


def stem(path: Path) -> str:
    """File name without a NIfTI extension."""
    return next((path.name[: -len(e)] for e in EXTENSIONS if path.name.lower().endswith(e)), path.stem)


def _file_case(path: Path, about: TranslatorDescription, selection: Selection) -> TranslationCase:
    if not path.is_file():
        raise FormatError(f"{path}: no such file or folder")
    if not is_nifti(path):
        raise FormatError(f"{path}: not a NIfTI file by its name (.nii or .nii.gz)")
    if selection.split or selection.subjects:
        raise ConfigError("--split and --subjects choose among the cases of a folder; the input is one file")
    named = _contrast_in_name(path)
    _require_acquired(path)
    harmonised = about.target if selection.harmonise and named == about.target else ""
    if named not in about.sources:
        if about.bank is not None:
            raise ConfigError(
                f"{path}: the name must say which of {', '.join(about.sources)} it is, as BIDS names do "
                f"(sub-01_{about.sources[0]}.nii.gz); {f'it says {named}' if named else 'it says none'}"
            )
        if named is not None and not harmonised:
            warnings.warn(
                f"{path}: is {named} by its name, the translator learned from {about.sources[0]}; taken as that",
                RecontrastWarning,
                stacklevel=3,
            )
        named = about.sources[0]
    sources = {named: path}
    for entry in selection.also:
        label, equals, other = entry.partition("=")
        label = Contrast.parse(label).label
        if not equals or not other:
            raise ConfigError(f"--also '{entry}': write CONTRAST=FILE, for example T2w=sub-01_T2w.nii.gz")
        if label not in about.sources or label in sources:
            raise ConfigError(f"--also '{entry}': needed besides {path.name} is {_others(about, named) or 'nothing'}")
        sources[label] = Path(other)
        _require_acquired(sources[label])
    missing = [label for label in about.sources if label not in sources]
    if missing and about.bank is None:
        raise MissingContrastError(
            f"{path}: the translator also needs {', '.join(missing)}; "
            f"add --also {' '.join(f'{label}=FILE' for label in missing)}"
        )
    output = Path(output_name(path, about.target, harmonised))
    return TranslationCase(key=stem(path), case=_case_of(path), sources=sources, output=output, harmonised=harmonised)


def _folder_cases(folder: Path, about: TranslatorDescription, selection: Selection) -> list[TranslationCase]:
    if len(about.sources) > 1 or about.bank is not None:
        raise LayoutError(
            f"{folder}: a plain folder; the translator reads {' and '.join(about.sources)} of each case, so the files "
            "must be named and sorted as BIDS says (sub-01/anat/sub-01_T1w.nii.gz), or given one by one with --also"
        )
    if selection.split or selection.subjects:
        raise ConfigError(f"--split and --subjects need a BIDS data set or a prepared folder; {folder} is neither")
    paths = sorted(path for path in folder.iterdir() if is_nifti(path) and not path.name.startswith("."))
    if not paths:
        raise LayoutError(f"{folder}: no NIfTI file (.nii, .nii.gz) and no sub-* folder in it")
    wanted = about.sources[0]
    cases = []
    for path in paths:
        named = _contrast_in_name(path)
        harmonised = about.target if selection.harmonise and named == about.target else ""
        reason = ""
        if _says_synthetic(path):
            reason = "is itself synthetic"
        elif named is not None and named != wanted and not harmonised:
            reason = f"is {named} by its name, the translator takes {wanted}"
        cases.append(
            TranslationCase(
                key=stem(path),
                case=_case_of(path),
                sources={wanted: path},
                output=Path(output_name(path, about.target, harmonised)),
                problem=reason,
                skipped=bool(reason),
                harmonised=harmonised,
            )
        )
    if all(case.skipped for case in cases):
        raise LayoutError(f"{folder}: none of its {len(cases)} images is {wanted}; {cases[0].key} {cases[0].problem}")
    return cases


def _bids_cases(root: Path, about: TranslatorDescription, selection: Selection) -> list[TranslationCase]:
    groups = by_case(find_images(root))
    if not groups:
        stray = [path.relative_to(root).as_posix() for path in stray_images(root)]
        there = f"; there is: {', '.join(stray[:3])}{', …' if len(stray) > 3 else ''}" if stray else ""
        raise LayoutError(f"{root}: no image with a BIDS name (sub-01/anat/sub-01_T1w.nii.gz) in it{there}")
    groups |= {Case(label): [] for label in subjects_without_image(root, groups)}
    splits: dict[str, str] = {}
    if selection.split:
        if not (root / "splits.tsv").is_file():
            raise ConfigError(f"--split {selection.split}: {root} has no splits.tsv; choose with --subjects")
        splits = read_splits(root / "splits.tsv")
    chosen = _chosen(groups, selection, splits, root)
    warn_of_strays(root, {case.subject for case in chosen})
    return [
        _bids_case(case, groups[case], about, selection, harmonised)
        for case in chosen
        for harmonised in _ways(candidates(groups[case], selection.space, selection.prefer), about, selection)
    ]


def _bids_case(
    case: Case, images: Sequence[BidsImage], about: TranslatorDescription, selection: Selection, harmonised: str
) -> TranslationCase:
    plain = _empty_case(case, about.target, harmonised)
    labels = (harmonised,) if harmonised else about.sources
    if about.bank is not None:
        there = candidates(images, selection.space, selection.prefer)
        labels = tuple(label for label in about.sources if label in there)
        if not labels:
            return replace(plain, problem=_no_source(about, there))
    try:
        found = select_images(case, images, labels, selection.space, selection.prefer)
    except DataError as error:
        return replace(plain, problem=str(error).removeprefix(f"{case.key}: "))
    if about.bank is not None:
        sources = {label: image.path for label, image in found.items()}
    else:
        sources = dict(zip(about.sources, (found[label].path for label in labels), strict=True))
    name = output_name(next(iter(sources.values())), about.target, harmonised)
    return replace(plain, sources=sources, output=_below(case, name))


def _ways(there: Collection[str], about: TranslatorDescription, selection: Selection) -> list[str]:
    """`TranslationCase.harmonised` of what is made of a case that has these contrasts."""
    if not selection.harmonise or about.target not in there:
        return [""]
    return ["", about.target] if about.sources[0] in there else [about.target]


def _no_source(about: TranslatorDescription, there: Iterable[str]) -> str:
    """Why a translator that takes whatever there is cannot make its target."""
    found = ", ".join(there) or "no image"
    return f"has none of {', '.join(about.sources)}, of which {about.target} is made; there is: {found}"


def _empty_case(case: Case, target: str, harmonised: str = "") -> TranslationCase:
    key = f"{case.key}_{harmonised}" if harmonised else case.key
    name = BidsName.of(case, target, desc=synthetic_label(harmonised)).filename
    return TranslationCase(key=key, case=case, output=_below(case, name), harmonised=harmonised)


def _prepared_cases(
    cohort: PreparedCohort, about: TranslatorDescription, selection: Selection
) -> list[TranslationCase]:
    require_same_preparation(cohort, about)
    splits = read_splits(cohort.folder / "splits.tsv")
    ready = {case.case: case for case in cohort.cases}
    failed = {Case.parse(key): reason for key, reason in cohort.failed.items()}
    if selection.subjects:  # who was left out on purpose does not fail in a folder; a person who names him is told why
        others = {case.subject for case in [*ready, *failed]}
        alone = {case: why for key, why in cohort.rejected.items() if (case := Case.parse(key)).subject not in others}
        splits = {case.subject: selection.split for case in alone} | splits
        failed |= alone
    same_scale = cohort.scale_settings == about.scale_settings
    cases = []
    for case in _chosen([*ready, *failed], selection, splits, cohort.folder):
        if case in failed:
            cases.append(replace(_empty_case(case, about.target), problem=f"was not prepared: {failed[case]}"))
            continue
        images, scales = ready[case].images, ready[case].scales if same_scale else {}
        for harmonised in _ways(images, about, selection):
            plain = replace(_empty_case(case, about.target, harmonised), prepared=True)
            if harmonised:
                sources = {about.sources[0]: images[harmonised]}
                own = harmonised in scales and not _by_contrast(about.scale_settings)
                fitted = {about.sources[0]: scales[harmonised]} if own else {}
                cases.append(replace(plain, sources=sources, scales=fitted))
                continue
            missing = [label for label in about.sources if label not in images]
            problem = f"has no {' and no '.join(missing)}; there is: {', '.join(images)}" if missing else ""
            sources = {label: images[label] for label in about.sources if label in images}
            if about.bank is not None:
                problem = "" if sources else _no_source(about, images)
            cases.append(replace(plain, sources=sources, scales=scales, problem=problem))
    return cases


def _by_contrast(settings: ScaleSettings) -> bool:
    """Whether each contrast has a number of its own: the stored scale is then not that of the source."""
    return settings.name == "fixed"


def _chosen(
    cases: Mapping[Case, object] | Sequence[Case], selection: Selection, splits: Mapping[str, str], root: Path
) -> list[Case]:
    """Cases of the subjects and the split that are asked for."""
    wanted = known_subjects(selection.subjects, sorted({case.subject for case in cases}), "subjects")
    chosen = [
        case
        for case in sorted(cases, key=lambda case: case.key)
        if (not wanted or case.subject in wanted)
        and (not selection.split or splits.get(case.subject) == selection.split)
    ]
    if not chosen:
        asked = f"split '{selection.split}'" if selection.split else "these subjects"
        there = ", ".join(sorted(set(splits.values()))) or "none"
        raise LayoutError(f"{root}: no case of {asked}; splits in it: {there}")
    return chosen


def _without_clashes(cases: list[TranslationCase]) -> list[TranslationCase]:
    """Cases that would write one file are problems: neither may win silently."""
    counts = Counter(case.output for case in cases if not case.problem)
    clash = "another input would make the same file ({}); keep one of them, or translate it alone"
    return [
        replace(case, problem=clash.format(case.output)) if not case.problem and counts[case.output] > 1 else case
        for case in cases
    ]


def _below(case: Case, filename: str) -> Path:
    return case.folder / FOLDER / filename


def _case_of(path: Path) -> Case | None:
    try:
        return BidsName.parse(path.name).case
    except LayoutError:
        return None


def _require_acquired(path: Path) -> None:
    if _says_synthetic(path):
        raise ConfigError(f"{path}: is itself synthetic; a translator takes acquired images")


def _says_synthetic(path: Path) -> bool:
    if f"desc-{SYNTHETIC}" in path.name:
        return True
    try:
        return read_sidecar(path).get("Synthetic") is True
    except DataError:
        return False  # a damaged sidecar fails its own case, not the folder


def _contrast_in_name(path: Path) -> str | None:
    try:
        return BidsName.parse(path.name).contrast.label
    except LayoutError:
        return None


def _others(about: TranslatorDescription, named: str) -> str:
    return ", ".join(label for label in about.sources if label != named)
