"""The source as if it were a translator's image: what a study's tables call untranslated."""

from __future__ import annotations

import shutil
from pathlib import Path

from recontrast.atomic import make_folder
from recontrast.io.bids import BidsName, write_description, write_sidecar
from recontrast.preparation.cohort import PreparedCase
from recontrast.provenance import version
from recontrast.study.settings import UNTRANSLATED, Direction


def write_untranslated(cases: tuple[PreparedCase, ...], direction: Direction, folder: Path) -> list[str]:
    """Copy the first source of each case under the target's name, with the scale it has as a source.

    Evaluated like a translator's images, they give what no control of the scores has: volumes of tissue as a
    segmentation sees them in the source.

    Args:
        cases: Test cases.
        direction: Sources and target.
        folder: BIDS derivative to write.

    Returns:
        Cases that lack the source or the target; they are left out.

    Example:
        >>> write_untranslated((), Direction(source=("T1w",), target="T2w"), Path("out"))  # doctest: +SKIP
        []
    """
    label, absent = direction.source[0], []
    make_folder(folder)
    write_description(folder, "Sources, not translated", version=version(), derivative=True)
    for case in cases:
        if label not in case.images or direction.target not in case.images:
            absent.append(case.key)
            continue
        path = folder / case.case.folder / "anat" / BidsName.of(case.case, direction.target, desc=UNTRANSLATED).filename
        make_folder(path.parent)
        shutil.copyfile(case.images[label], path)
        write_sidecar(
            path,
            {
                "Description": f"{label} as acquired, not translated, under the name of {direction.target}",
                "Sources": [str(case.images[label])],
                "Scale": case.scales[label].to_dict(),
            },
        )
    return absent
