"""Brain mask of a head: built in by registration to the template, or by an installed program.

The built-in mask needs no download. SynthStrip (Hoopes 2022) and HD-BET (Isensee 2019) are better where they are
installed; they are called as programs and never imported.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from recontrast.errors import DependencyError, FormatError, GeometryError, UnknownNameError
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.mask import find_head
from recontrast.preparation.placement import inverse
from recontrast.preparation.registration import last_line
from recontrast.preparation.resample import resample
from recontrast.preparation.template import TemplateSettings, register_to_template, template_brain
from recontrast.volume import Volume, same_grid

BUILT_IN = "built-in"

_LIMIT_S = 3600
"""A program that takes longer than this is stopped, s."""

_SMALLEST_ML, _LARGEST_ML = 300.0, 2500.0
"""A brain mask of another volume is not that of a brain."""


def find_brain(
    volume: Volume, tool: str = BUILT_IN, what: str = "image", settings: TemplateSettings | None = None
) -> Volume:
    """Brain mask of an image of a head, boolean, on its grid.

    A skull-stripped image gives its support, whatever the tool.

    Args:
        volume: Image of a head, any contrast and orientation; finite values.
        tool: built-in (the template's mask, registered by 12 degrees of freedom), synthstrip, or hd-bet.
        what: Names the image in messages.
        settings: Registration of the built-in mask.

    Raises:
        UnknownNameError: There is no such tool.
        DependencyError: The program is not installed.
        GeometryError: No brain was found.

    Example:
        >>> brain = find_brain(t1w)  # doctest: +SKIP
    """
    if tool not in TOOLS:
        raise UnknownNameError.among("brain mask tool", tool, TOOLS)
    head, stripped = find_head(volume)
    brain = head if stripped else TOOLS[tool](volume, head, what, settings)
    millilitres = float(brain.data.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)
    if not stripped and not _SMALLEST_ML <= millilitres <= _LARGEST_ML:
        raise GeometryError(
            f"{what}: the brain mask ({tool}) has {millilitres:.0f} ml, not that of a head's brain "
            f"({_SMALLEST_ML:.0f} to {_LARGEST_ML:.0f}); try another tool, or put a mask beside the image"
        )
    return brain


def _built_in(volume: Volume, head: Volume, what: str, settings: TemplateSettings | None) -> Volume:
    found = register_to_template(volume, settings, what, (head, False))
    moved = resample(template_brain(), volume, inverse(found.transform), "nearest")
    inside = moved.data.astype(bool) & head.data.astype(bool)
    return volume.with_data(np.asarray(ndimage.binary_fill_holes(inside)))


def _synthstrip(volume: Volume, head: Volume, what: str, settings: TemplateSettings | None) -> Volume:
    return _by_program(
        volume, what, "mri_synthstrip", lambda source, mask: ["-i", str(source), "-m", str(mask)],
        "it comes with FreeSurfer 7.3 or later",
    )  # fmt: skip


def _hd_bet(volume: Volume, head: Volume, what: str, settings: TemplateSettings | None) -> Volume:
    def arguments(source: Path, mask: Path) -> list[str]:
        named = mask.with_name(mask.name.replace("_bet.nii.gz", ".nii.gz"))  # the program appends _bet itself
        return ["-i", str(source), "-o", str(named), "-device", "cpu", "--disable_tta", "--save_bet_mask",
                "--no_bet_image"]  # fmt: skip

    return _by_program(volume, what, "hd-bet", arguments, "install HD-BET 2 in an environment of its own")


TOOLS: dict[str, Callable[[Volume, Volume, str, TemplateSettings | None], Volume]] = {
    BUILT_IN: _built_in,
    "synthstrip": _synthstrip,
    "hd-bet": _hd_bet,
}
"""Ways to find the brain, by name."""


def _by_program(
    volume: Volume, what: str, program: str, arguments: Callable[[Path, Path], list[str]], advice: str
) -> Volume:
    """Write the image, run the program, read the mask; nothing is left behind."""
    executable = shutil.which(program)
    if executable is None:
        raise DependencyError(f"the program {program} is not on the PATH: {advice}, or choose the built-in brain mask")
    with tempfile.TemporaryDirectory(prefix="recontrast-brain-") as folder:
        source, mask = Path(folder) / "head.nii.gz", Path(folder) / "brain_bet.nii.gz"
        write_volume(source, volume)
        command = [executable, *arguments(source, mask)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DependencyError(f"{what}: {program} could not be run ({error})") from error
        if ended.returncode != 0 or not mask.is_file():
            said = last_line(RuntimeError(ended.stderr or ended.stdout or "no message"))
            raise GeometryError(f"{what}: {program} made no brain mask (exit status {ended.returncode}: {said})")
        made = read_volume(mask).reoriented(volume.orientation)
    if not same_grid(made, volume):
        raise FormatError(f"{what}: the mask of {program} is not on the grid of the image")
    return volume.with_data(made.data > 0.5)
