"""Images that cases have already, as if a translator had made them: the source itself, or what a scanner computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from recontrast.atomic import make_folder
from recontrast.config import to_plain
from recontrast.io.bids import BidsName, sidecar_path, write_description, write_sidecar
from recontrast.preparation.cohort import PreparedCase, PreparedCohort
from recontrast.preparation.normalize import ScaleSettings
from recontrast.provenance import version


def write_as_is(
    cases: tuple[PreparedCase, ...], label: str, target: str, name: str, folder: Path, settings: ScaleSettings
) -> list[str]:
    """Copy one contrast of each case under the target's name, with the scale that the case has for it.

    Evaluated like a translator's images, they give what no control of the scores has: numbers that no gain was fitted
    to, and volumes of tissue as a segmentation sees them there. What an earlier call left of cases that are not given,
    or lack a contrast now, is removed.

    Args:
        cases: Test cases.
        label: Contrast that is copied.
        target: Contrast it is held against.
        name: Method it stands for; the `desc` of the files.
        folder: BIDS derivative to write.
        settings: How the scales of the cases were fitted; protocols of other percentiles need to know.

    Returns:
        Cases that lack the contrast or the target; they are left out.

    Example:
        >>> write_as_is((), "T1w", "T2w", "untranslated", Path("out"), ScaleSettings())  # doctest: +SKIP
        []
    """
    absent, made = [], set[Path]()
    make_folder(folder)
    write_description(folder, f"{label} images as they are, not translated", version=version(), derivative=True)
    for case in cases:
        if label not in case.images or target not in case.images:
            absent.append(case.key)
            continue
        path = folder / case.case.folder / "anat" / BidsName.of(case.case, target, desc=name).filename
        make_folder(path.parent)
        shutil.copyfile(case.images[label], path)
        write_sidecar(
            path,
            {
                "Description": f"{label} as it is, not translated, under the name of {target}",
                "Sources": [str(case.images[label])],
                "Scale": case.scales[label].to_dict(),
                "ScaleSettings": to_plain(settings),
            },
        )
        made |= {path, sidecar_path(path)}
    for path in sorted(folder.rglob(f"sub-*_desc-{name}_*")):
        if path not in made:
            path.unlink()
    return absent


def as_is_origin(name: str, label: str, cohort: PreparedCohort) -> str:
    """What the images of `write_as_is` are: an evaluation of images of the same origin is kept.

    What their sidecars say of the scale counts: protocols of other percentiles judge them by it, and an older version,
    whose sidecars did not say it, was too hard or too kind.

    Args:
        name: Method they stand for.
        label: Contrast that is copied.
        cohort: The prepared folder they are from.

    Example:
        >>> as_is_origin("untranslated", "T1w", PreparedCohort(Path("/prepared"), ScaleSettings(), (), {}))[:40]
        '["untranslated", "/prepared", "T1w", {"n'
    """
    return json.dumps([name, str(cohort.folder.resolve()), label, to_plain(cohort.scale_settings)])
