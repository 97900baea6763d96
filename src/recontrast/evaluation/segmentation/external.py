"""Programs that segment: find them, run them, say clearly when they are absent. None runs unless asked for by name."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from recontrast.errors import DataError, DependencyError
from recontrast.evaluation.segmentation import (
    UNKNOWN_VERSION,
    Segmentation,
    SegmentationInput,
    Segmenter,
    require_contrast,
)
from recontrast.io.nifti import write_volume
from recontrast.volume import Volume

log = logging.getLogger(__name__)

_LAST_LINES = 3


class External(Segmenter):
    """A segmenter that is another program.

    Attributes:
        program: Name of its executable, looked for in PATH.
        package: What must be installed.
        contrasts: BIDS suffixes it is made for; empty: any.
        compressed: Whether it reads `.nii.gz`.
    """

    program: ClassVar[str]
    package: ClassVar[str]
    contrasts: ClassVar[tuple[str, ...]] = ()
    compressed: ClassVar[bool] = True

    @abstractmethod
    def read(self, image: Path, folder: Path, given: SegmentationInput) -> Segmentation:
        """Run the program on the file `image`, with `folder` for its output, and read what it made."""

    def segment(self, given: SegmentationInput) -> Segmentation:
        """Write the image to a temporary folder, run the program on it, read its labels.

        Raises:
            DependencyError: The program is not installed.
            DataError: It is not made for the contrast, or it failed.
        """
        self.executable()
        if self.contrasts:
            require_contrast(given, self.contrasts, self.program)
        with tempfile.TemporaryDirectory(prefix="recontrast-") as name:
            folder = Path(name)
            image = folder / ("image.nii.gz" if self.compressed else "image.nii")
            write_volume(image, self.prepared(given))
            output = folder / "output"
            output.mkdir()
            return self.read(image, output, given)

    def prepared(self, given: SegmentationInput) -> Volume:
        """The image as the program wants it."""
        return given.image

    def executable(self) -> str:
        """Path of the program.

        Raises:
            DependencyError: It is not in PATH.
        """
        found = shutil.which(self.program)
        if found is None:
            raise DependencyError(
                f"'{self.program}' was not found: install {self.package} and put it into PATH, "
                "or segment elsewhere and give the label maps with --segmenter labels --labels FOLDER"
            )
        return found

    def run(self, command: Sequence[str], what: str) -> None:
        """Run a command line; its output goes to the log.

        Raises:
            DependencyError: The program is not installed.
            DataError: It ended with an error; the message holds its last lines.
        """
        done = subprocess.run([self.executable(), *command[1:]], capture_output=True, text=True, check=False)
        log.info("%s: %s\n%s%s", what, " ".join(command), done.stdout, done.stderr)
        if done.returncode != 0:
            said = "; ".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:]) or "it said nothing"
            raise DataError(f"{what}: {self.program} failed with status {done.returncode}: {said}")

    def ask(self, *arguments: str) -> str:
        """First line with a digit that the program prints for some arguments; "unknown" if it fails or prints none."""
        done = subprocess.run([self.executable(), *arguments], capture_output=True, text=True, check=False)
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if re.search(r"\d", line)]
        return lines[0] if lines and done.returncode == 0 else UNKNOWN_VERSION
