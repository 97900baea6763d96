"""`recontrast inspect`: ask a translator, or images somebody made, every question there is."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recontrast.atomic import atomic_file, write_text
from recontrast.errors import ConfigError, RecontrastError
from recontrast.execution.workers import Summary, progress
from recontrast.inspection import QUESTIONS, Answer, NotAsked
from recontrast.inspection.bench import Bench, Material, load_bench
from recontrast.inspection.lines import parse_line
from recontrast.inspection.page import FILE_NAME, Outcome, inspection_page
from recontrast.io.nifti import write_volume
from recontrast.io.tables import write_table
from recontrast.provenance import earlier_result, write_provenance
from recontrast.reporting.figures import png
from recontrast.volume import Volume

log = logging.getLogger(__name__)

_OWN = (Path("figures"), Path("maps"))
"""Folders in OUT whose listed files a later inspection removes."""


@dataclass(frozen=True, kw_only=True)
class InspectSettings:
    """Settings of `recontrast inspect`."""

    run: Path
    """Run or translator folder; or a folder of images that any program made (BIDS names)."""
    prepared: Path
    """Prepared folder with sources, regions and, where they exist, the acquired targets."""
    out: Path
    """Folder for the page, the tables and the figures."""
    questions: tuple[str, ...] = ()
    """Names of the questions to ask; left empty: all."""
    split: str = "test"
    """Split of the prepared folder whose cases are looked at."""
    cases: int = 10
    """Most cases to look at."""
    target: str = ""
    """Contrast of the images, when the folder holds several; what a translator of several contrasts shall make."""
    source: tuple[str, ...] = ()
    """Contrasts the images were made from, when their sidecars do not say; of a translator of several contrasts those
    that it is given (left out: all). Other translators know their own."""
    lines: tuple[str, ...] = ()
    """Lines along which images are compared, CASE:I,J,K:I,J,K (voxels along right, anterior, superior); left out: two
    through the middle of the brain."""
    beside: tuple[Path, ...] = ()
    """Further runs: translators of the same contrasts (their spread is shown), or one back from target to source."""
    seed: int = 0
    """Seed of everything drawn: points, places of lesions, noise."""


def inspect(settings: InspectSettings) -> Summary:
    """Ask every question and write the page, `answers.tsv`, `findings.tsv`, `figures/` and `maps/`.

    Questions the material does not allow are listed as not asked, with the reason.

    Raises:
        ConfigError: A setting is wrong, or the output folder holds something that no earlier `inspect` made.
        LayoutError: There is no case to look at.
        CheckpointError: The translator cannot be read.

    Example:
        >>> inspect(InspectSettings(run=Path("run"), prepared=Path("prepared"), out=Path("out"))).done  # doctest: +SKIP
        ['out/inspection.html: 9 questions answered, 1 not asked']
    """
    if settings.cases < 1:
        raise ConfigError(f"cases is {settings.cases}; look at least at 1")
    names = [name for name, _ in sorted(QUESTIONS.items(), key=lambda item: item[1].order)]
    for name in settings.questions:
        QUESTIONS.get(name)
    names = [name for name in names if not settings.questions or name in settings.questions]
    before = earlier_result(settings.out, "inspect", alone=True)
    bench = load_bench(Material(
        run=settings.run, prepared=settings.prepared, split=settings.split, cases=settings.cases,
        target=settings.target, source=settings.source, seed=settings.seed,
        lines=tuple(parse_line(text) for text in settings.lines), beside=settings.beside,
    ))  # fmt: skip
    outcomes: list[Outcome] = []
    with progress("inspect", len(names)) as advance:
        for name in names:
            outcomes.append(ask(name, bench))
            advance()
    _write(settings, bench, outcomes, _listed(before))
    answered = sum(outcome.answer is not None for outcome in outcomes)
    not_asked = sum(outcome.status == "not asked" for outcome in outcomes)
    lines = [f"{o.name}: {o.answer.sentence if o.answer is not None else f'{o.status}: {o.reason}'}" for o in outcomes]
    lines.append(f"{settings.out / FILE_NAME}: {answered} questions answered, {not_asked} not asked")
    failed = {outcome.name: outcome.reason for outcome in outcomes if outcome.status == "failed"}
    return Summary(lines, {**bench.failed, **failed})


def ask(name: str, bench: Bench) -> Outcome:
    """Ask one question; what stands against it becomes the outcome's reason."""
    question = QUESTIONS.get(name)()
    start = time.perf_counter()
    answer: Answer | None = None
    status, reason = "answered", ""
    try:
        for need in question.needs:
            bench.require(need)
        answer = question.ask(bench)
    except NotAsked as error:
        status, reason = "not asked", str(error)
    except RecontrastError as error:
        status, reason = "failed", str(error)
    seconds = time.perf_counter() - start
    log.info("%s: %s (%.1f s)", name, status, seconds)
    return Outcome(name, question, status, reason, answer, seconds)


def _listed(before: Mapping[str, Any] | None) -> set[str]:
    """Figures and maps that an earlier inspection of the same folder wrote, by its own list."""
    listed = (before or {}).get("files")
    return {str(name) for name in listed if Path(name).parent in _OWN} if isinstance(listed, list) else set()


def _write(settings: InspectSettings, bench: Bench, outcomes: list[Outcome], earlier: set[str]) -> None:
    answered = [(outcome.name, outcome.answer) for outcome in outcomes if outcome.answer is not None]
    figures = {f"{name}_{plate.name}": png(plate.figure) for name, answer in answered for plate in answer.plates}
    maps = {f"{image.case}_desc-{image.name}_map": image for _, answer in answered for image in answer.maps}
    rows = [
        {"question": name, "name": f.name, "value": f.value, "unit": f.unit, "case": f.case or "all", "note": f.note}
        for name, answer in answered
        for f in answer.findings
    ]
    files = sorted([*(f"figures/{name}.png" for name in figures), *(f"maps/{name}.nii.gz" for name in maps)])
    # What an earlier inspection left in this folder would be taken for this one's.
    for name in earlier - set(files):
        (settings.out / name).unlink(missing_ok=True)
    write_provenance(settings.out, "inspect", settings, extra={"files": files})  # first: it says whose the files are
    for name, image in maps.items():
        volume = Volume(image.values, image.affine)
        write_volume(settings.out / "maps" / f"{name}.nii.gz", volume, np.float32, description="recontrast inspect")
    for name, content in figures.items():
        with atomic_file(settings.out / "figures" / f"{name}.png") as partial:
            partial.write_bytes(content)
    answers = [
        {"question": o.name, "title": o.question.title, "status": o.status,
         "answer": o.answer.sentence if o.answer is not None else o.reason, "seconds": round(o.seconds, 1)}
        for o in outcomes
    ]  # fmt: skip
    write_table(settings.out / "answers.tsv", pd.DataFrame(answers))
    columns = ["question", "name", "value", "unit", "case", "note"]
    write_table(settings.out / "findings.tsv", pd.DataFrame(rows, columns=columns))
    write_text(settings.out / FILE_NAME, inspection_page(bench, outcomes, figures))
