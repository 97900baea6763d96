"""Which files a study shows: for each case the image of each arm."""

from __future__ import annotations

import re
from pathlib import Path

from recontrast.errors import ConfigError, LayoutError
from recontrast.io.tables import read_table, require_columns
from recontrast.readers.study import NAME, Arm, Study

_PLACES = ("case", "subject", "session")


def find_study_images(study: Study, folder: Path) -> dict[str, dict[str, Path]]:
    """Case to arm to file, cases in order of their names.

    Args:
        study: The design.
        folder: Folder from which relative paths count: that of the design file.

    Raises:
        ConfigError: An arm says no files, or a path has no {case} and no {subject}.
        LayoutError: A case lacks the image of an arm, or has several.
    """
    if study.table:
        return _from_table(study, folder / study.table)
    for arm in study.arms:
        if "{case}" not in arm.files and "{subject}" not in arm.files:
            raise ConfigError(
                f"arm '{arm.name}': files is '{arm.files}'; give a path with {{case}} or {{subject}}, or a table"
            )
    cases = sorted({*study.cases, *study.training} if study.cases else _cases_of(study.arms[0], folder))
    if not cases:
        raise LayoutError(f"no file matches '{study.arms[0].files}' of arm '{study.arms[0].name}' in {folder}")
    found = {case: {arm.name: _only(case, arm, folder) for arm in study.arms} for case in cases}
    _check_training(study, found)
    return found


def _from_table(study: Study, path: Path) -> dict[str, dict[str, Path]]:
    names = [arm.name for arm in study.arms]
    table = read_table(path, text_columns=("case", *names))
    require_columns(path, table, ("case", *names))
    found: dict[str, dict[str, Path]] = {}
    for row in table.to_dict("records"):
        case = str(row["case"])
        if study.cases and case not in (*study.cases, *study.training):
            continue
        if not NAME.fullmatch(case) or case in found:
            raise LayoutError(
                f"{path}: case '{case}' stands there twice or is no name (letters, digits, '_', '-', '.')"
            )
        for name in names:
            if not isinstance(row[name], str) or not (path.parent / row[name]).is_file():
                raise LayoutError(f"{path}: case {case}: the image of arm '{name}' is not there ({row[name]})")
        found[case] = {name: path.parent / str(row[name]) for name in names}
    missing = [case for case in study.cases if case not in found]
    if missing or not found:
        raise LayoutError(f"{path}: has no row for {', '.join(missing) or 'any case'}")
    _check_training(study, found)
    return dict(sorted(found.items()))


def _check_training(study: Study, found: dict[str, dict[str, Path]]) -> None:
    for case in study.training:
        if case not in found:
            raise LayoutError(f"training case '{case}' is not among the cases: {', '.join(found)}")
    if not set(found) - set(study.training):
        raise ConfigError("every case is a training case; leave at least one for the study")


def _cases_of(arm: Arm, folder: Path) -> list[str]:
    """Cases that the path of an arm matches."""
    parts = re.split(r"(\{(?:case|subject|session)\}|\*+/?)", arm.files)
    seen: set[str] = set()
    pattern = ""
    for part in parts:
        name = part.strip("{}")
        if part.startswith("{"):
            pattern += f"(?P={name})" if name in seen else rf"(?P<{name}>[A-Za-z0-9][A-Za-z0-9_.-]*?)"
            seen.add(name)
        else:
            pattern += {"*": "[^/]*", "**/": "(?:.*/)?"}.get(part, re.escape(part))
    wild = re.sub(r"\{(case|subject|session)\}", "*", arm.files)
    root, relative = _root(folder, wild)
    whole, cases = re.compile(pattern), set()
    for path in root.glob(relative):
        match = whole.fullmatch(path.as_posix() if Path(arm.files).is_absolute() else _below(path, folder))
        if match:
            groups = match.groupdict()
            session = f"_ses-{groups['session']}" if "session" in groups else ""
            cases.add(groups.get("case") or f"sub-{groups['subject']}{session}")
    return sorted(case for case in cases if NAME.fullmatch(case))


def _only(case: str, arm: Arm, folder: Path) -> Path:
    root, relative = _root(folder, _filled(arm.files, case))
    files = sorted(root.glob(relative))
    if len(files) != 1:
        many = f"{len(files)} files: {', '.join(file.name for file in files[:3])}" if files else "no file"
        raise LayoutError(f"case {case}, arm '{arm.name}': {many} for {root / relative}")
    return files[0]


def _filled(pattern: str, case: str) -> str:
    entities = dict(part.split("-", 1) for part in case.split("_") if "-" in part)
    values = {"case": case, "subject": entities.get("sub", case), "session": entities.get("ses", "")}
    for place in _PLACES:
        pattern = pattern.replace(f"{{{place}}}", values[place])
    return pattern


def _root(folder: Path, pattern: str) -> tuple[Path, str]:
    """Where to look, and for what: `glob` wants a relative pattern without steps upwards."""
    path = Path(pattern)
    root = Path(path.anchor) if path.is_absolute() else folder
    parts = list(path.parts[1:] if path.is_absolute() else path.parts)
    while len(parts) > 1 and "*" not in parts[0]:
        root, parts = root / parts[0], parts[1:]
    return root, "/".join(parts)


def _below(path: Path, folder: Path) -> str:
    text, start = path.as_posix(), folder.as_posix()
    return text[len(start) :].lstrip("/") if text.startswith(start) and start != "." else text
