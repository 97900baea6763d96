"""`recontrast readers new`: from a design file to a study folder that can be served."""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scipy import stats

from recontrast.atomic import atomic_file, atomic_folder
from recontrast.config import write_settings
from recontrast.errors import ConfigError
from recontrast.evaluation.statistics import smallest_effect, subjects_needed
from recontrast.execution.workers import Summary, progress
from recontrast.provenance import write_provenance
from recontrast.readers.blinding import blind_case, to_bytes
from recontrast.readers.folder import (
    DESIGN,
    IMAGES,
    Grid,
    Plan,
    hash_of,
    items_of,
    new_token,
    write_links,
    write_plan,
)
from recontrast.readers.images import find_study_images
from recontrast.readers.order import plan_reader, reader_seed
from recontrast.readers.study import Study, read_study

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NewSettings:
    """Settings of `recontrast readers new`."""

    design: Path
    """Design of the study, a TOML file."""
    out: Path
    """Study folder to make; must not exist."""
    address: str = "http://127.0.0.1:8642"
    """Address of the server in the links of the readers."""


def new_study(settings: NewSettings) -> Summary:
    """Make a study folder: blinded images, an order for each reader, secret links, the key.

    Raises:
        ConfigError: The design is wrong, or the folder exists: a study is never changed after it was made.
        LayoutError: An image is missing.

    Example:
        >>> new_study(NewSettings(design=Path("study.toml"), out=Path("study"))).done  # doctest: +SKIP
    """
    study = read_study(settings.design)
    study = study if study.seed else replace(study, seed=secrets.randbits(48))
    if settings.out.exists():
        raise ConfigError(f"{settings.out} exists; a study is never changed once made, choose another folder")
    images = find_study_images(study, settings.design.parent)
    cases = [case for case in images if case not in study.training]
    seeds = {reader: reader_seed(study.seed, reader) for reader in study.readers}
    showings = {reader: plan_reader(study, cases, seed) for reader, seed in seeds.items()}
    tokens = {reader: new_token() for reader in study.readers}
    with atomic_folder(settings.out) as folder:
        names, grids = _write_images(folder / IMAGES, study, images)
        items = {reader: items_of(shown, names) for reader, shown in showings.items()}
        plan = Plan(study, seeds, items, grids, {hash_of(token): reader for reader, token in tokens.items()})
        write_plan(folder, plan)
        write_links(folder, tokens, settings.address.rstrip("/"))
        write_settings(folder / DESIGN, study)
        inputs = [path for arms in images.values() for path in arms.values()]
        write_provenance(folder, "readers new", settings, [settings.design, *inputs], {"seeds": seeds})
        for path in folder.rglob("*"):  # the key lies here: for its owner only
            path.chmod(0o700 if path.is_dir() else 0o600)
        folder.chmod(0o700)
    shown = max(len(order) for order in items.values())
    lines = [
        f"{settings.out}: {len(cases)} cases, {len(study.arms)} arms, {len(study.readers)} readers, {shown} items each",
        f"{settings.out / 'links.tsv'}: one secret link a reader; serve with `recontrast readers serve {settings.out}`",
        *size_help(study, len(cases)),
    ]
    return Summary(lines)


def size_help(study: Study, cases: int) -> list[str]:
    """What a study of this size can find, in words."""
    lines = []
    if len(study.arms) > 1 and cases >= 2:
        effect = smallest_effect(cases)
        lines.append(
            f"with {cases} cases a paired difference of {effect:.2f} SD of the differences is found with a chance of "
            "80 % (paired t, two-sided 5 %, one reader); "
            + ", ".join(f"{half / 10:.1f} SD needs {subjects_needed(half / 10, test='t')} cases" for half in (8, 5, 3))
        )
    if any(question.kind in ("origin", "which") for question in study.questions):
        lines.append(_guessing_help(study, cases))
    widest = max((len(q.choices) for q in study.questions if q.kind == "choice"), default=0)
    if widest > 2 and len(study.arms) > 1 and cases >= 10:
        half = 1.96 * math.sqrt(0.8 * 0.2) / 0.55 / math.sqrt(cases)
        lines.append(f"a kappa near 0.8 comes with an interval of about ±{half:.2f} (one rating a case and reader)")
    return lines


def _guessing_help(study: Study, cases: int) -> str:
    """From how many right answers on a reader is better than guessing, by the test that the analysis does."""
    if not study.paired and len(study.arms) == 1:
        return "one arm: whoever always says the same is always right or never, so guessing cannot be told"
    if not study.paired and len(study.arms) > 2:
        tables = (
            (right, [[right, cases - right], [cases - right, right]]) for right in range((cases + 1) // 2, cases + 1)
        )
        least = next((right for right, table in tables if stats.fisher_exact(table).pvalue <= 0.05), None)
        words = f"{least} of {cases} right in each" if least is not None else f"nothing: {cases} cases are too few"
        return (
            "one reader tells an arm from the acquired one (Fisher's test, two-sided 5 %, if readings were "
            f"independent) from {words}"
        )
    readings = cases * (1 if study.paired else 2)
    needed = next((k for k in range(readings // 2, readings + 1) if _tail(k, readings) <= 0.05), None)
    words = f"{needed} of {readings} right" if needed is not None else f"nothing: {readings} readings are too few"
    return f"one reader is better than guessing (two-sided 5 %, if readings were independent) from {words}"


def _tail(right: int, readings: int) -> float:
    return float(stats.binomtest(right, readings).pvalue) if right * 2 > readings else 1.0


def _write_images(
    folder: Path, study: Study, images: Mapping[str, Mapping[str, Path]]
) -> tuple[dict[tuple[str, str], str], dict[str, Grid]]:
    """Blinded images under random names, with equal times."""
    names: dict[tuple[str, str], str] = {}
    grids: dict[str, Grid] = {}
    with progress("blinding", len(images)) as advance:
        for case, files in images.items():
            blind = blind_case(
                case, files, study.acquired,
                scale=study.scale, mask_background=study.mask_background, seed=study.seed,
            )  # fmt: skip
            first = next(iter(blind.images.values()))
            i, j, k = first.shape
            affine = tuple(tuple(float(value) for value in row) for row in blind.affine)
            grids[case] = Grid((i, j, k), blind.spacing, affine)
            for arm, levels in blind.images.items():
                names[case, arm] = f"{secrets.token_hex(16)}.raw"
                with atomic_file(folder / names[case, arm]) as partial:
                    partial.write_bytes(to_bytes(levels))
            advance()
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    return names, grids
