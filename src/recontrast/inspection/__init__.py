"""Questions asked of a translator: what it has learned, and where it invents. One file per question.

A question looks at a `Bench` (a translator, some cases, what it made of them) and gives an `Answer`: numbers, figures
and one sentence of reading. What cannot be asked of the material says so with `NotAsked`; the others go on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from recontrast.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from recontrast.inspection.bench import Bench

GOOD, BAD, PLAIN = "beats", "worse", "unknown"
"""How an answer is shown on the page: green, red, grey."""


def several(count: int, word: str) -> str:
    """A number and what it counts.

    >>> several(1, "case"), several(3, "case")
    ('1 case', '3 cases')
    """
    return f"{count} {word}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """A share in per cent, with a true minus.

    >>> percent(0.42), percent(-0.16)
    ('42 %', '−16 %')
    """
    return f"{100 * share:.0f} %".replace("-", "−")


class NotAsked(Exception):
    """Raised by a question whose material is not there; the message is the reason, in words for the page."""


@dataclass(frozen=True)
class Finding:
    """One number of an answer.

    Attributes:
        name: What was measured, in field words.
        value: The number; NaN when it does not exist.
        unit: Its unit; "" for a ratio or a count.
        case: The case it belongs to; "" for all of them together.
        note: What one must know to read it.
        key: Whether it stands on the page; the others are in the table only.
    """

    name: str
    value: float
    unit: str = ""
    case: str = ""
    note: str = ""
    key: bool = False


@dataclass(frozen=True, eq=False)
class Plate:
    """A figure of an answer: name of its file, the figure, its caption."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True, eq=False)
class CaseMap:
    """An image of an answer that is written as a NIfTI file: `maps/CASE_desc-NAME_map.nii.gz`.

    Attributes:
        case: Its case.
        name: What it shows, letters and digits only.
        values: Shape (I, J, K), axes along R, A, S.
        affine: Voxel indices to RAS+ mm.
    """

    case: str
    name: str
    values: NDArray[np.float32]
    affine: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a question found.

    Attributes:
        sentence: One sentence of reading, with the number that carries it.
        findings: All numbers.
        plates: Figures.
        tone: `GOOD`, `BAD` or `PLAIN`.
        maps: Images for every case.
    """

    sentence: str
    findings: Sequence[Finding]
    plates: Sequence[Plate] = field(default_factory=tuple)
    tone: str = PLAIN
    maps: Sequence[CaseMap] = ()


class Question(ABC):
    """One question.

    Attributes:
        title: The question, in words.
        order: Its place on the page.
        method: How it is answered, two or three sentences.
        source: Where the method comes from.
        needs: What it needs of the bench: translator, sources, reference, lesion (any of these words).
    """

    title: ClassVar[str]
    order: ClassVar[int]
    method: ClassVar[str]
    source: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def ask(self, bench: Bench) -> Answer:
        """Answer the question.

        Raises:
            NotAsked: The material does not allow it.
        """


QUESTIONS: Registry[type[Question]] = Registry("question", "recontrast.inspection.questions")
