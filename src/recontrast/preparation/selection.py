"""Which file of a case is which contrast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recontrast.contrasts import DESCRIPTIONS, Contrast
from recontrast.errors import ConfigError, LayoutError, MissingContrastError
from recontrast.io.bids import MASK_SUFFIXES, BidsImage, Case

FOLDER = "anat"
"""Images are taken from this folder of a case."""

_NOT_ACQUIRED = ("desc", "label", "from", "to")
"""Entities of files that are computed from images."""


def candidates(images: Iterable[BidsImage], space: str, prefer: Sequence[str] = ()) -> dict[str, list[BidsImage]]:
    """Contrast label to the files that may be it, for one case.

    Args:
        images: All images of the case.
        space: Take files with this `space` entity; files without one only for contrasts that have none with it.
            Empty: files without a `space` entity.
        prefer: Entities such as `run-1`; files that have them win over files of the same contrast that do not.
    """
    found: dict[str, list[BidsImage]] = {}
    for image in images:
        entities = image.name.entities
        if image.path.parent.name != FOLDER or image.name.suffix in MASK_SUFFIXES:
            continue
        if entities.get("space", "") not in ("", space) or any(key in entities for key in _NOT_ACQUIRED):
            continue
        found.setdefault(image.name.contrast.label, []).append(image)
    wishes = [("space", space)] if space else []
    wishes += [_pair(entity) for entity in prefer]
    return {label: _narrowed(files, wishes) for label, files in found.items()}


def select_images(
    case: Case, images: Iterable[BidsImage], contrasts: Sequence[str], space: str = "", prefer: Sequence[str] = ()
) -> dict[str, BidsImage]:
    """The one file of each contrast of a case, in the order of `contrasts`.

    Raises:
        MissingContrastError: A contrast is not there; the message lists those that are.
        LayoutError: Several files are left for a contrast; the message lists them and the options that decide.

    Example:
        >>> select_images(case, images, ["T1w", "FLAIR"], space="MNI")  # doctest: +SKIP
    """
    found = candidates(images, space, prefer)
    selected = {}
    for label in contrasts:
        files = found.get(label, [])
        if not files:
            there = ", ".join(sorted(found)) or "no image"
            where = f" in space '{space}'" if space else " without a space entity"
            raise MissingContrastError(f"{case.key}: has no {label}{where}; there is: {there}")
        if len(files) > 1:
            names = ", ".join(file.name.filename for file in files)
            raise LayoutError(
                f"{case.key}: {len(files)} files are {label}: {names}; say which with --prefer (for example run-1)"
            )
        selected[label] = files[0]
    return selected


def common_contrasts(
    cases: Mapping[Case, Sequence[BidsImage]], space: str, prefer: Sequence[str] = ()
) -> tuple[list[str], dict[str, list[str]]]:
    """Contrasts that every case has, and for each other contrast the cases that lack it.

    Phase, real and imaginary parts (entity `part`) count only where they are named. The order is that of
    `recontrast.contrasts.DESCRIPTIONS` (T1w first), plain contrasts before enhanced ones.
    """
    found = {case: candidates(images, space, prefer) for case, images in cases.items()}
    labels = sorted(
        {label for contrasts in found.values() for label, files in contrasts.items() if not _is_part(files)},
        key=standard_order,
    )
    lacking = {label: [case.key for case, contrasts in found.items() if label not in contrasts] for label in labels}
    return [label for label in labels if not lacking[label]], {k: v for k, v in lacking.items() if v}


def parse_contrasts(labels: Sequence[str]) -> list[str]:
    """Contrast labels in their standard form, each once.

    Raises:
        ConfigError: A label is not a contrast.
    """
    return list(dict.fromkeys(Contrast.parse(label).label for label in labels))


def standard_order(label: str) -> tuple[int, int, str]:
    """Sorts contrast labels: plain before enhanced ones, then as in `recontrast.contrasts.DESCRIPTIONS`.

    Example:
        >>> sorted(["FLAIR", "ce-gadolinium_T1w", "T1w"], key=standard_order)
        ['T1w', 'FLAIR', 'ce-gadolinium_T1w']
    """
    contrast = Contrast.parse(label)
    known = list(DESCRIPTIONS)
    return len(contrast.entities), known.index(contrast.suffix) if contrast.suffix in known else len(known), label


def _is_part(files: Sequence[BidsImage]) -> bool:
    return all(file.name.entities.get("part", "mag") != "mag" for file in files)


def _narrowed(files: list[BidsImage], wishes: Sequence[tuple[str, str]]) -> list[BidsImage]:
    for key, value in wishes:
        files = [file for file in files if file.name.entities.get(key) == value] or files
    return files


def _pair(entity: str) -> tuple[str, str]:
    key, dash, value = entity.partition("-")
    if not (key and dash and value):
        raise ConfigError(f"--prefer '{entity}': write an entity as it stands in file names, for example run-1")
    return key, value
