"""Names of MR contrasts: a BIDS suffix, with the entities that change what the image shows.

`T1w`, `FLAIR` and `ce-gadolinium_T1w` are contrasts. Any BIDS suffix is allowed: the data decide which exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from recontrast.errors import ConfigError

CONTRAST_ENTITIES = ("acq", "ce")
"""BIDS entities that make another contrast of the same suffix, in BIDS order."""

DESCRIPTIONS = {
    "T1w": "T1-weighted",
    "T2w": "T2-weighted",
    "PDw": "proton-density-weighted",
    "FLAIR": "fluid-attenuated inversion recovery",
    "T2starw": "T2*-weighted",
    "T1map": "longitudinal relaxation time, s",
    "T2map": "transverse relaxation time, s",
    "R1map": "longitudinal relaxation rate, 1/s",
    "R2map": "transverse relaxation rate, 1/s",
    "PDmap": "proton density",
    "MESE": "multi-echo spin echo",
}

_LABEL = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, order=True)
class Contrast:
    """A contrast: `suffix` and the entities `acq` and `ce`, as (key, value) pairs in BIDS order.

    >>> Contrast.parse("ce-gadolinium_T1w").suffix
    'T1w'
    """

    suffix: str
    entities: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, label: str) -> Contrast:
        """Read a label such as `T1w` or `ce-gadolinium_T1w`.

        Raises:
            ConfigError: The label is not a BIDS suffix with optional `acq-` and `ce-` before it.
        """
        *pairs, suffix = label.split("_")
        entities: dict[str, str] = {}
        for pair in pairs:
            key, dash, value = pair.partition("-")
            if not dash or key not in CONTRAST_ENTITIES or not _LABEL.fullmatch(value):
                raise ConfigError(
                    f"contrast '{label}': '{pair}' is not one of {', '.join(f'{e}-…' for e in CONTRAST_ENTITIES)}; "
                    "write for example T1w or ce-gadolinium_T1w"
                )
            entities[key] = value
        if not _LABEL.fullmatch(suffix):
            raise ConfigError(f"contrast '{label}' does not end in a BIDS suffix such as T1w, T2w or FLAIR")
        return cls(suffix, tuple((key, entities[key]) for key in CONTRAST_ENTITIES if key in entities))

    @property
    def label(self) -> str:
        """The name as it stands in files and on the command line."""
        return "_".join([*(f"{key}-{value}" for key, value in self.entities), self.suffix])

    @property
    def description(self) -> str:
        """The name in words, for reports."""
        words = DESCRIPTIONS.get(self.suffix, self.suffix)
        details = ", ".join(f"{key} {value}" for key, value in self.entities)
        return f"{words} ({details})" if details else words

    def __str__(self) -> str:
        """Same as `label`."""
        return self.label
