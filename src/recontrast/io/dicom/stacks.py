"""A series taken apart into stacks: what lies on one grid and shows one thing (echo, part, time, orientation)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from recontrast.errors import GeometryError
from recontrast.io.dicom.geometry import (
    ORIENTATION_TOLERANCE,
    POSITION_FLOOR_MM,
    Grid,
    distance_along,
    grid_of,
    normal_of,
    stored_order,
)
from recontrast.io.dicom.headers import TELLS, Frame, lenient, load_pydicom


@dataclass(frozen=True)
class Stack:
    """Slices of one series that make one volume.

    Attributes:
        frames: Sorted along the normal.
        grid: Where they lie; None when `problem` says why there is none.
        traits: What tells this stack from the others of its series: echo, part, plane, time, … to value.
        problem: Why it cannot be used; empty when it can.
        notes: What was found: duplicates, missing slices, flips, doubtful headers.
    """

    frames: tuple[Frame, ...]
    grid: Grid | None
    traits: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The traits in one word, for keys: "echo-2_plane-sagittal"; empty for a series of one stack."""
        return "_".join(f"{key}-{value}" for key, value in self.traits.items())


_TRAITS: dict[str, Callable[[Frame], object]] = {
    "size": lambda frame: (frame.columns, frame.rows),
    "spacing": lambda frame: tuple(round(s, 4) for s in frame.spacing or ()),
    "part": lambda frame: frame.part,
    "type": lambda frame: frame.image_type,
    "echo": lambda frame: _rounded(frame.echo_time_ms, 2),
    "inversion": lambda frame: _rounded(frame.inversion_time_ms, 1),
    "flip": lambda frame: _rounded(frame.flip_deg, 2),
    "diffusion": lambda frame: _rounded(frame.b_value, 1),
}
"""What no two slices of one volume may differ in."""

_MOSAIC = (
    "each file holds several slices in one picture (a mosaic of Siemens); export the series as Enhanced MR or as "
    "single images"
)


def take_apart(frames: Sequence[Frame]) -> list[Stack]:
    """Split the frames of one series into stacks.

    First by plane, size, spacing, complex part, image type, echo, inversion time, flip angle and diffusion weighting;
    then, where several frames lie at one position, by time position, acquisition or trigger time. Copies of the same
    image are dropped and counted. Frames without a position make a stack with a problem.

    Example:
        >>> [stack.traits for stack in take_apart(frames)]  # doctest: +SKIP
        [{'echo': '1'}, {'echo': '2'}]
    """
    located = [frame for frame in frames if frame.position is not None and frame.orientation is not None]
    lost = tuple(frame for frame in frames if frame.position is None or frame.orientation is None)
    # a name of its own: two stacks of one name would be two results in one place
    stacks = [_stack(lost, {"position": "none"} if located else {})] if lost else []
    unique, copies = _without_copies(located)
    groups = _by_plane(unique)
    planes = _plane_names([group[0] for group in groups])
    for plane, group in zip(planes, groups, strict=True):
        traits = {"plane": plane} if len(groups) > 1 else {}
        stacks += _by_traits(group, traits)
    shared = _sharing_a_uid(unique)
    notes = [f"{copies} copies of images that are there already were left out"] if copies else []
    notes += [f"{shared} images share their SOP Instance UID and differ in their headers: taken as different images"
              ] if shared else []  # fmt: skip
    stacks = [replace(stack, notes=(*stack.notes, *notes)) for stack in stacks]
    return _compared(stacks)


def _by_traits(frames: Sequence[Frame], traits: dict[str, str]) -> list[Stack]:
    keys = {frame: tuple(get(frame) for get in _TRAITS.values()) for frame in frames}
    found: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        found.setdefault(keys[frame], []).append(frame)
    varying = [n for n in range(len(_TRAITS)) if len({key[n] for key in found}) > 1]
    numbers = {n: sorted({key[n] for key in found}, key=_sortable) for n in varying}
    stacks: list[Stack] = []
    for key in sorted(found, key=lambda key: [_sortable(value) for value in key]):
        own = {name: _value(name, key[n], numbers[n]) for n, name in enumerate(_TRAITS) if n in varying}
        stacks += _by_time(found[key], {**traits, **own})
    return stacks


def _value(name: str, value: object, among: Sequence[object]) -> str:
    return str(value) if name == "part" else str(among.index(value) + 1)


def _by_time(frames: Sequence[Frame], traits: dict[str, str]) -> list[Stack]:
    """Split frames that lie several times at one position."""
    positions = [round(distance_along(frame) / POSITION_FLOOR_MM) for frame in frames]
    counts = Counter(positions)
    if max(counts.values()) == 1:
        return [_stack(tuple(frames), traits)]
    for name in TELLS:
        groups: dict[object, list[tuple[int, Frame]]] = {}
        for place, frame in zip(positions, frames, strict=True):
            groups.setdefault(_sortable(dict(frame.tells).get(name)), []).append((place, frame))
        apart = all(len({place for place, _ in group}) == len(group) for group in groups.values())
        if apart and len(groups) == max(counts.values()):  # more: it differs from slice to slice, and tells no times
            ordered = [[frame for _, frame in groups[key]] for key in sorted(groups, key=_sortable)]
            return [_stack(tuple(g), {**traits, "time": str(n)}) for n, g in enumerate(ordered, 1)]
    kept, copies = _without_equal_pixels(frames, positions)
    if copies:
        note = f"{copies} images were there twice under different identifiers; one of each is kept"
        return [replace(stack, notes=(*stack.notes, note)) for stack in _by_time(kept, traits)]
    if len(set(counts.values())) == 1:
        times: list[list[Frame]] = [[] for _ in range(max(counts.values()))]
        seen: Counter[int] = Counter()
        for place, frame in sorted(zip(positions, frames, strict=True), key=lambda pair: pair[1].order):
            times[seen[place]].append(frame)
            seen[place] += 1
        note = f"{len(times)} images at each position, told apart by their instance numbers only"
        return [
            replace(stack, notes=(*stack.notes, note))
            for stack in (_stack(tuple(group), {**traits, "time": str(n)}) for n, group in enumerate(times, 1))
        ]
    many = ", ".join(str(count) for count in sorted(set(counts.values())))
    problem = f"{many} images lie at one position and nothing in the headers tells them apart"
    return [Stack(tuple(frames), None, traits, problem)]


def _stack(frames: tuple[Frame, ...], traits: dict[str, str]) -> Stack:
    if any("MOSAIC" in frame.image_type for frame in frames):
        return Stack(frames, None, traits, _MOSAIC)
    try:
        grid = grid_of(frames)
    except GeometryError as error:
        return Stack(frames, None, traits, str(error))
    ordered = tuple(frames[n] for n in grid.order)
    notes = list(grid.notes)
    if grid.missing:
        listed = ", ".join(str(n + 1) for n in grid.missing[:8]) + (" …" if len(grid.missing) > 8 else "")
        notes.append(f"{len(grid.missing)} of {grid.shape[2]} slices are missing (number {listed} along the normal)")
    if len(ordered) > 1 and stored_order(ordered) == "interleaved":
        notes.append("instance numbers do not follow the positions; sorted by position")
    return Stack(ordered, replace(grid, order=tuple(range(len(ordered)))), traits, notes=tuple(notes))


def _compared(stacks: list[Stack]) -> list[Stack]:
    """Note where a stack covers fewer slices than another of its series with the same plane."""
    most: dict[str, int] = {}
    for stack in stacks:
        plane = stack.traits.get("plane", "")
        most[plane] = max(most.get(plane, 0), len(stack.frames))
    compared = []
    for stack in stacks:
        full = most[stack.traits.get("plane", "")]
        lacking = len(stack.frames) < full and stack.grid is not None
        note = f"has {len(stack.frames)} slices, another stack of the series has {full}"
        compared.append(replace(stack, notes=(*stack.notes, note)) if lacking else stack)
    return compared


def _by_plane(frames: Iterable[Frame]) -> list[list[Frame]]:
    groups: list[list[Frame]] = []
    for frame in frames:
        here = np.asarray(frame.orientation)
        for group in groups:
            if np.abs(np.asarray(group[0].orientation) - here).max() <= ORIENTATION_TOLERANCE:
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _plane_names(frames: Sequence[Frame]) -> list[str]:
    """Axial, coronal, sagittal; numbered where a series has several near one plane, "flipped" where one is mirrored."""
    names: list[str] = []
    for n, frame in enumerate(frames):
        normal = normal_of(frame.orientation or (1, 0, 0, 0, 1, 0))
        name = ("sagittal", "coronal", "axial")[int(np.abs(normal).argmax())]
        for other in frames[:n]:
            if np.abs(np.abs(np.asarray(other.orientation)) - np.abs(frame.orientation or ())).max() < 1e-3:
                name += "flipped"
                break
        taken = sum(known.rstrip("0123456789") == name for known in names)
        names.append(f"{name}{taken + 1}" if taken else name)
    return names


def _without_copies(frames: Sequence[Frame]) -> tuple[list[Frame], int]:
    """Frames that differ in more than their file; the file that sorts first is kept.

    The SOP Instance UID alone does not do: some de-identifiers give every image the same one.
    """
    kept: dict[Frame, Frame] = {}
    for frame in sorted(frames, key=lambda frame: (str(frame.path), frame.index)):
        kept.setdefault(replace(frame, path=Path()) if frame.sop_uid else frame, frame)
    return list(kept.values()), len(frames) - len(kept)


def _sharing_a_uid(frames: Sequence[Frame]) -> int:
    """Number of frames, none of them copies, that have the SOP Instance UID of another."""
    counts = Counter((frame.sop_uid, frame.index) for frame in frames if frame.sop_uid)
    return sum(count for count in counts.values() if count > 1)


def _without_equal_pixels(frames: Sequence[Frame], positions: Sequence[int]) -> tuple[list[Frame], int]:
    """Frames at one position that differ in their pixels; only single-frame files are compared."""
    if any(frame.index for frame in frames):
        return list(frames), 0
    kept: dict[tuple[int, str], Frame] = {}
    for place, frame in zip(positions, frames, strict=True):
        with lenient(frame.path):
            pixels = load_pydicom().dcmread(frame.path, force=True).get("PixelData", b"")
        kept.setdefault((place, hashlib.sha256(pixels).hexdigest()), frame)
    return list(kept.values()), len(frames) - len(kept)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _sortable(value: object) -> tuple[int, float, str]:
    """A key that orders numbers by size, numbers in text too, before other text; absent first."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, tuple) and len(value) == 3 and value[0] in (0, 1, 2) and isinstance(value[2], str):
        return value
    try:
        return (1, float(str(value)), "")
    except ValueError:
        return (2, 0.0, str(value))
