"""What can go wrong, as a tree. Catch `RecontrastError` for all of it.

    RecontrastError
    ├── ConfigError            a setting is wrong
    │   └── UnknownNameError   a name is not one of those that exist
    ├── DataError              the data cannot be used
    │   ├── FormatError        a file cannot be read as what it claims to be
    │   ├── LayoutError        files are not where, or not named as, they must be
    │   └── MissingContrastError
    ├── GeometryError          grids, affines or orientations do not fit
    ├── IntensityError         values are empty, constant or not finite
    ├── CheckpointError        a run or translator folder cannot be used
    ├── TrainingError          learning went wrong (for example a loss that is not finite)
    ├── StatisticsError        too little data for the statistic asked for
    ├── DependencyError        an optional package or program is not installed
    └── OutputError            a result cannot be written (full disk, read-only folder)

Every message says what is wrong, where (path, subject), what was got and expected, and what to do.
The command line turns any of these into one line and exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RecontrastError(Exception):
    """Base of all errors a user of Recontrast can mend. The message is one line, whatever file names hold."""

    def __str__(self) -> str:
        """The message on one line."""
        return " ".join(super().__str__().splitlines())


class ConfigError(RecontrastError):
    """A setting is wrong."""


class UnknownNameError(ConfigError):
    """A name is not one of those that exist; the message lists the nearest."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Build the error for an unknown `name` of a `kind` of thing.

        Args:
            kind: What is named, in field words ("metric", "setting of TrainSettings").
            name: The name that was asked for.
            known: The names that exist.
        """
        return cls(f"unknown {kind} '{name}': {nearest(name, known)}")


class DataError(RecontrastError):
    """The data cannot be used."""


class FormatError(DataError):
    """A file cannot be read as what it claims to be."""


class LayoutError(DataError):
    """Files are not where, or not named as, they must be."""


class MissingContrastError(DataError):
    """A contrast that is needed is not there."""


class GeometryError(RecontrastError):
    """Grids, affines or orientations do not fit."""


class IntensityError(RecontrastError):
    """Voxel values are empty, constant or not finite where they must not be."""


class CheckpointError(RecontrastError):
    """A run or translator folder cannot be used."""


class TrainingError(RecontrastError):
    """Learning went wrong."""


class StatisticsError(RecontrastError):
    """Too little data for the statistic asked for."""


class DependencyError(RecontrastError):
    """An optional package or program is not installed."""


class OutputError(RecontrastError):
    """A result cannot be written."""


class RecontrastWarning(UserWarning):
    """Something is doubtful but usable; the message names the subject."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or list them all.

    >>> nearest("T2", ["T1w", "T2w"])
    "did you mean 'T2w'? (there is: T1w, T2w)"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listing = f"there is: {', '.join(names)}" if names else "there is none"
    return f"did you mean '{close[0]}'? ({listing})" if close else listing
