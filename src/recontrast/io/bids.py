"""BIDS names and folders: which image is what, and what a new file is called."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from recontrast.atomic import PARTIAL, write_json, write_text
from recontrast.contrasts import CONTRAST_ENTITIES, Contrast
from recontrast.errors import FormatError, LayoutError, RecontrastWarning
from recontrast.io.nifti import EXTENSIONS, is_nifti

ENTITY_ORDER = (
    "sub", "ses", "acq", "ce", "rec", "run", "echo", "flip", "inv", "mt", "part",
    "from", "to", "mode", "space", "res", "label", "desc",
)  # fmt: skip
"""Order of entities in a file name, as BIDS has it."""

BIDS_VERSION = "1.10.0"

MASK_SUFFIXES = ("mask", "brainmask", "dseg", "probseg")
"""Suffixes of files that are regions, not contrasts."""

_LARGEST_SIDECAR = 2**26

_NAMED = 5
"""Most files that a warning lists."""

_LABEL = "[A-Za-z0-9.+]+"
_ENTITY = re.compile(f"([A-Za-z]+)-({_LABEL})")
_CASE = re.compile(f"sub-({_LABEL})(?:_ses-({_LABEL}))?")


@dataclass(frozen=True, order=True)
class Case:
    """One session of one subject: the unit that is prepared and translated.

    >>> Case("01", "2").key
    'sub-01_ses-2'
    """

    subject: str
    session: str | None = None

    @property
    def key(self) -> str:
        """Name of the case in tables and messages."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session is not None else "")

    @property
    def folder(self) -> Path:
        """Folder of the case below a data set."""
        parts = [f"sub-{self.subject}"] + ([f"ses-{self.session}"] if self.session is not None else [])
        return Path(*parts)

    @classmethod
    def parse(cls, key: str) -> Case:
        """Read `sub-01` or `sub-01_ses-2`.

        Raises:
            LayoutError: It is neither.
        """
        match = _CASE.fullmatch(key)
        if match is None:
            raise LayoutError(f"'{key}' does not name a case; write sub-01 or sub-01_ses-2")
        return cls(match[1], match[2])


@dataclass(frozen=True)
class BidsName:
    """A BIDS file name taken apart.

    >>> BidsName.parse("sub-01_ce-gadolinium_T1w.nii.gz").contrast.label
    'ce-gadolinium_T1w'
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str = ".nii.gz"

    @classmethod
    def parse(cls, name: str) -> BidsName:
        """Take a file name apart.

        Raises:
            LayoutError: It is not `key-value_…_suffix.extension` with a `sub-` entity.
        """
        extension = next((e for e in EXTENSIONS if name.endswith(e)), Path(name).suffix)
        *pairs, suffix = name.removesuffix(extension).split("_")
        entities: dict[str, str] = {}
        for pair in pairs:
            match = _ENTITY.fullmatch(pair)
            if match is None:
                raise LayoutError(f"{name}: '{pair}' is not a BIDS entity (key-value)")
            entities[match[1]] = match[2]
        if "sub" not in entities or not suffix.isalnum():
            raise LayoutError(f"{name}: not a BIDS name (sub-<label>_…_<suffix>{extension})")
        return cls(entities, suffix, extension)

    @classmethod
    def of(cls, case: Case, contrast: Contrast | str, extension: str = ".nii.gz", **entities: str) -> BidsName:
        """Name of an image of `case`; `contrast` may also be a bare suffix such as `mask`.

        >>> BidsName.of(Case("01"), "T2w", desc="synthetic").filename
        'sub-01_desc-synthetic_T2w.nii.gz'
        """
        parsed = contrast if isinstance(contrast, Contrast) else Contrast.parse(contrast)
        named = {"sub": case.subject, **dict(parsed.entities), **entities}
        if case.session is not None:
            named["ses"] = case.session
        return cls(named, parsed.suffix, extension)

    @property
    def case(self) -> Case:
        """Subject and session."""
        return Case(self.entities["sub"], self.entities.get("ses"))

    @property
    def contrast(self) -> Contrast:
        """Suffix with `acq` and `ce`."""
        return Contrast(self.suffix, tuple((k, self.entities[k]) for k in CONTRAST_ENTITIES if k in self.entities))

    @property
    def filename(self) -> str:
        """The name put together, entities in BIDS order."""
        known = [key for key in ENTITY_ORDER if key in self.entities]
        others = sorted(set(self.entities) - set(known))
        pairs = [f"{key}-{self.entities[key]}" for key in [*known, *others]]
        return "_".join([*pairs, self.suffix]) + self.extension

    def with_extension(self, extension: str) -> BidsName:
        """The same name with another extension (the sidecar's `.json`)."""
        return BidsName(self.entities, self.suffix, extension)


@dataclass(frozen=True)
class BidsImage:
    """An image found in a data set: where it is and what its name says."""

    path: Path
    name: BidsName


def is_bids(folder: Path) -> bool:
    """Whether a folder looks like a BIDS data set: it has a description or subject folders."""
    if not folder.is_dir():
        return False
    return (folder / "dataset_description.json").is_file() or any(folder.glob("sub-*/"))


def holds_images(root: Path) -> bool:
    """Whether the subject folders of a data set hold a NIfTI image, whatever its name; looks no further than the first.

    Raises:
        LayoutError: A folder in it cannot be read.
    """
    return any(is_nifti(path) for path in _walk(_subject_folders(root)))


def find_images(root: Path) -> list[BidsImage]:
    """All NIfTI images in the `anat` folders (and others) of a data set's subjects, sorted by path.

    Folders `derivatives` and `sourcedata` are not entered. Names that are not BIDS are left out; see `stray_images`.
    Links that lead out of the data set are left out with a warning: what is outside was not handed over. A link whose
    file is not there (DataLad before `datalad get`) is kept, so that its case fails by name. An image in the folder of
    another subject or session than its name says is left out with a warning, for nobody knows whose it is. A link to a
    folder of a subject's is not entered, with a warning.

    Raises:
        LayoutError: The folder is absent or has no subject folder, or a folder in it cannot be read.
    """
    if not root.is_dir():
        raise LayoutError(f"{root}: no such folder")
    subjects = _subject_folders(root)
    if not subjects:
        raise LayoutError(f"{root}: no sub-* folder in it; a BIDS data set is needed (`recontrast simulate` makes one)")
    found, links, outside, misplaced = list[BidsImage](), list[Path](), list[Path](), list[Path]()
    for path in sorted(_walk(subjects)):
        if not is_nifti(path):
            links.append(path)
            continue
        if _leads_outside(path, root):
            outside.append(path)
            continue
        try:
            name = BidsName.parse(path.name)
        except LayoutError:
            continue
        if _is_in_place(path.relative_to(root), name.case):
            found.append(BidsImage(path, name))
        else:
            misplaced.append(path)
    where = f"{outside[0].name} leads to {outside[0].resolve()}" if outside else ""
    _warn_of(links, root, "links to folders are not entered; put the folders themselves there")
    _warn_of(outside, root, f"images are left out, they are links out of the data set ({where}); copy them in")
    _warn_of(
        misplaced, root,
        "images are left out, their names say another subject or session than their folder; rename or move them",
    )  # fmt: skip
    return found


def stray_images(root: Path) -> list[Path]:
    """Images in subject folders whose names are not BIDS names."""
    stray = []
    for path in sorted(_walk(_subject_folders(root))):
        try:
            if is_nifti(path):
                BidsName.parse(path.name)
        except LayoutError:
            stray.append(path)
    return stray


def warn_of_strays(root: Path, subjects: Collection[str] = ()) -> None:
    """Warn of the `stray_images` of a data set.

    Args:
        root: The data set.
        subjects: Labels of those whose images are meant; empty: all.
    """
    stray = [path for path in stray_images(root) if not subjects or _subject_of(path, root) in subjects]
    _warn_of(stray, root, "files are left out, their names are not BIDS names")


def subjects_without_image(root: Path, cases: Iterable[Case]) -> list[str]:
    """Labels of the subject folders of a data set of which there is no case."""
    there = {case.subject for case in cases}
    return [label for label in (_subject_of(path, root) for path in _subject_folders(root)) if label not in there]


def by_case(images: Iterable[BidsImage]) -> dict[Case, list[BidsImage]]:
    """Images grouped by case, cases sorted."""
    groups: dict[Case, list[BidsImage]] = {}
    for image in images:
        groups.setdefault(image.name.case, []).append(image)
    return dict(sorted(groups.items(), key=lambda item: item[0].key))


def sidecar_path(image: Path) -> Path:
    """The JSON file that goes with an image."""
    extension = next((e for e in EXTENSIONS if image.name.endswith(e)), image.suffix)
    return image.with_name(image.name.removesuffix(extension) + ".json")


def read_sidecar(image: Path) -> dict[str, Any]:
    """Content of the image's JSON file; empty when there is none.

    Raises:
        FormatError: There is one and it is not a JSON object.
    """
    path = sidecar_path(image)
    if not path.is_file():
        return {}
    try:
        size = path.stat().st_size
        if size > _LARGEST_SIDECAR:
            raise FormatError(f"{path}: has {size} bytes, more than any sidecar ({_LARGEST_SIDECAR} at most)")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not valid JSON ({error})") from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: must hold a JSON object")
    return content


def write_sidecar(image: Path, content: Mapping[str, Any]) -> None:
    """Write the JSON file that goes with an image."""
    write_json(sidecar_path(image), dict(content))


def write_description(
    root: Path, name: str, *, version: str, derivative: bool = False, sources: Iterable[str] = ()
) -> None:
    """Write `dataset_description.json`, and a README where there is none, into a data set.

    Args:
        root: The data set's folder.
        name: Its title.
        version: Version of Recontrast.
        derivative: Whether it is computed from other data.
        sources: URLs or paths of the data sets it is computed from (derivatives only).
    """
    description: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative" if derivative else "raw",
        "GeneratedBy": [{"Name": "recontrast", "Version": version}],
    }
    if sources:
        description["SourceDatasets"] = [{"URL": source} for source in sources]
    write_json(root / "dataset_description.json", description)
    if not (root / "README.md").exists():
        write_text(root / "README.md", f"# {name}\n\nMade by Recontrast {version}. See `provenance.json`.\n")


def _subject_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("sub-*") if path.is_dir())


def _subject_of(path: Path, root: Path) -> str:
    """Label of the subject whose folder a path is or lies in."""
    return path.relative_to(root).parts[0].removeprefix("sub-")


def _walk(folders: Iterable[Path]) -> Iterator[Path]:
    """Images in folders and below, and links to folders, which are not entered, as they come; nothing hidden.

    Unlike `rglob` this says which folder cannot be read.
    """
    for folder in folders:
        for parent, below, names in os.walk(folder, onerror=_cannot_list):
            below[:] = [name for name in below if not name.startswith(".")]  # those of git hold images of any name
            yield from (path for name in below if (path := Path(parent) / name).is_symlink())
            paths = [Path(parent) / name for name in names if is_nifti(Path(name))]
            yield from (path for path in paths if not path.name.startswith((PARTIAL, ".")))


def _cannot_list(error: OSError) -> None:
    raise LayoutError(
        f"{error.filename}: this folder of the data set cannot be read ({error.strerror}); change its permissions, "
        "or leave the subject out"
    ) from error


def _warn_of(paths: Sequence[Path], root: Path, what: str) -> None:
    """Warn of paths in a data set, where there are any; `what` follows their number."""
    if paths:
        names = ", ".join(path.relative_to(root).as_posix() for path in paths[:_NAMED])
        message = f"{root}: {len(paths)} {what}: {names}{' …' if len(paths) > _NAMED else ''}"
        warnings.warn(message, RecontrastWarning, stacklevel=3)


def _is_in_place(path: Path, case: Case) -> bool:
    """Whether the folders of a subject and a session that an image lies in are those of its case."""
    folders = [folder for folder in path.parts[:-1] if folder.startswith(("sub-", "ses-"))]
    return set(folders) <= set(case.folder.parts)


def _leads_outside(path: Path, root: Path) -> bool:
    """Whether a path leaves the data set by a link; content that git-annex keeps for the data set belongs to it."""
    there = path.resolve()
    return not there.is_relative_to(root.resolve()) and (".git", "annex") not in pairwise(there.parts)
