"""Relaxation of the tissues of the head at 1.5 and 3 T, and how it varies.

The numbers are rounded from the papers below and stand for healthy adults; where a paper gives one field only, the
other is scaled with the neighbours. They are means: `draw_relaxation` varies them from subject to subject.

- Grey and white matter, 3 T: Wansapura 1999 (J Magn Reson Imaging 9:531), Stanisz 2005 (Magn Reson Med 54:507).
- Grey and white matter, CSF, 1.5 T: Rooney 2007 (Magn Reson Med 57:308).
- T2* of grey and white matter: Peters 2007 (Magn Reson Imaging 25:748).
- Fat, marrow and muscle: Gold 2004 (AJR 183:343). These T2 come from echo trains; that is why fat is bright in
  turbo spin echo (Henkelman 1994, J Magn Reson Imaging 4:533). Its short T2* stands for the beats of its lines.
- Blood: Stanisz 2005; Lu 2004 (Magn Reson Med 52:679). CSF T2: Spijkerman 2018 (MAGMA 31:415).
- Spinal cord and optic nerve: Smith 2008 (Magn Reson Med 60:213), rounded.
- Cortical bone: Techawiboonwong 2008 (Radiology 248:824).
- Water content (proton density): Neeb 2006 (NeuroImage 31:1156).
- MS lesions: Hagiwara 2019 (AJNR 40:224) nominal values. Tumour and oedema: within the ranges of
  Badve 2017 (Neuro-Oncology 19:128); gliosis, mucosa, skin, dura and lens: our choice, near like tissues.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, UnknownNameError

Values = NDArray[np.float64]

FIELDS_T = (1.5, 3.0)
"""Field strengths for which relaxation times are known."""


@dataclass(frozen=True)
class Tissue:
    """One tissue at one field strength.

    Attributes:
        t1_s: Longitudinal relaxation time, s.
        t2_s: Transverse relaxation time, s.
        t2star_s: Effective transverse relaxation time, s.
        pd: Proton density; CSF is 1.
        uptake_mmol_l: Gadolinium concentration some minutes after a standard dose of 0.1 mmol/kg.
        texture: Relative standard deviation of T1 within the tissue.
        flowing: Share of the tissue that flows (blood).
        fat: Share of the signal that fat saturation removes.
    """

    t1_s: float
    t2_s: float
    t2star_s: float
    pd: float
    uptake_mmol_l: float = 0.0
    texture: float = 0.03
    flowing: float = 0.0
    fat: float = 0.0


_FAT_SHARE = {"fat": 0.85, "marrow": 0.65}

# T1, T2, T2* in ms at 1.5 T, the same at 3 T, proton density, uptake in mmol/l, texture, flowing share
_TABLE: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], float, float, float, float]] = {
    "GM": ((1190, 100, 84), (1330, 100, 66), 0.82, 0.012, 0.035, 0.0),
    "WM": ((660, 74, 66), (840, 74, 53), 0.70, 0.006, 0.025, 0.0),
    "CSF": ((4100, 2000, 1000), (4300, 1800, 700), 1.00, 0.0, 0.01, 0.0),
    "deepGM": ((980, 82, 60), (1150, 74, 42), 0.80, 0.012, 0.04, 0.0),
    "pallidum": ((800, 66, 40), (930, 54, 26), 0.76, 0.01, 0.03, 0.0),
    "vessels": ((1440, 220, 100), (1650, 150, 50), 0.85, 0.90, 0.03, 1.0),
    "meninges": ((800, 55, 40), (950, 50, 35), 0.65, 0.35, 0.04, 0.0),
    "skull": ((190, 0.5, 0.4), (220, 0.5, 0.4), 0.20, 0.0, 0.05, 0.0),
    "marrow": ((330, 120, 14), (400, 100, 10), 0.60, 0.05, 0.08, 0.0),
    "fat": ((290, 165, 20), (370, 133, 12), 0.90, 0.02, 0.04, 0.0),
    "muscle": ((1130, 35, 28), (1420, 32, 25), 0.82, 0.10, 0.06, 0.0),
    "scalp": ((780, 36, 20), (950, 34, 16), 0.70, 0.20, 0.06, 0.0),
    "eyes": ((4000, 1500, 900), (4200, 1300, 700), 0.98, 0.0, 0.005, 0.0),
    "lens": ((950, 35, 25), (1100, 30, 20), 0.65, 0.0, 0.02, 0.0),
    "nerve": ((720, 76, 50), (880, 72, 42), 0.70, 0.006, 0.02, 0.0),
    "mucosa": ((1200, 95, 55), (1400, 90, 45), 0.90, 0.50, 0.06, 0.0),
    "lesion": ((1250, 145, 110), (1500, 135, 95), 0.86, 0.05, 0.08, 0.0),
    "oedema": ((1250, 165, 120), (1450, 155, 105), 0.87, 0.02, 0.05, 0.0),
    "tumour": ((1400, 150, 100), (1600, 140, 85), 0.88, 0.10, 0.10, 0.0),
    "enhancing": ((1250, 120, 80), (1450, 110, 70), 0.86, 0.65, 0.08, 0.0),
    "necrosis": ((2300, 480, 250), (2500, 430, 200), 0.95, 0.02, 0.05, 0.0),
    "gliosis": ((1250, 150, 110), (1450, 140, 95), 0.86, 0.03, 0.08, 0.0),
}

HEALTHY = ("GM", "WM", "CSF", "deepGM", "pallidum", "vessels", "meninges", "skull", "marrow", "fat", "muscle", "scalp",
           "eyes", "lens", "nerve", "mucosa")  # fmt: skip
"""Tissues of a healthy head, in the order of the truth's label numbers; air is 0."""

LESIONAL = ("lesion", "oedema", "tumour", "enhancing", "necrosis", "gliosis")
"""Tissues of pathology; their label numbers follow the healthy ones."""

BRAIN = ("GM", "WM", "CSF", "deepGM", "pallidum", *LESIONAL)
"""Tissues inside the brain mask (CSF only where it lies between the others)."""


def tissues_at(field_strength_t: float) -> dict[str, Tissue]:
    """All tissues at a field strength.

    Args:
        field_strength_t: 1.5 or 3.0.

    Raises:
        ConfigError: Another field strength.

    Example:
        >>> tissues_at(3.0)["CSF"].t1_s
        4.3
    """
    if field_strength_t not in FIELDS_T:
        raise ConfigError(
            f"field_strength_t {field_strength_t:g}: relaxation times are known at "
            f"{' and '.join(f'{f:g}' for f in FIELDS_T)} T; choose one of these"
        )
    found = {}
    for name, (low, high, pd, uptake, texture, flowing) in _TABLE.items():
        t1, t2, t2star = (value / 1000 for value in (low if field_strength_t == 1.5 else high))
        found[name] = Tissue(t1, t2, t2star, pd, uptake, texture, flowing, _FAT_SHARE.get(name, 0.0))
    return found


@dataclass(frozen=True)
class Relaxation:
    """What a sequence needs to know of some tissues or voxels; all arrays have one shape.

    Attributes:
        t1_s: Longitudinal relaxation time, s.
        t2_s: Transverse relaxation time, s.
        t2star_s: Effective transverse relaxation time, s.
        pd: Proton density, 0 to about 1.

    Example:
        >>> Relaxation.of([tissues_at(3.0)["WM"]]).t1_s
        array([0.84])
    """

    t1_s: Values
    t2_s: Values
    t2star_s: Values
    pd: Values

    @classmethod
    def of(cls, tissues: Iterable[Tissue]) -> Relaxation:
        """Columns of a list of tissues."""
        rows = np.array([(t.t1_s, t.t2_s, t.t2star_s, t.pd) for t in tissues], dtype=np.float64).reshape(-1, 4)
        return cls(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3])

    def scaled(self, t1: Values | float = 1.0, t2: Values | float = 1.0, pd: Values | float = 1.0) -> Relaxation:
        """The same with times and density multiplied; T2* changes with T2."""
        return Relaxation(self.t1_s * t1, self.t2_s * t2, self.t2star_s * t2, self.pd * pd)

    def with_gadolinium(
        self, concentration_mmol_l: Values, r1_l_mmol_s: float = 5.0, r2_l_mmol_s: float = 7.1
    ) -> Relaxation:
        """Relaxation with a gadolinium chelate: 1/T' = 1/T + r C for T1, T2 and T2*.

        Args:
            concentration_mmol_l: Concentration, mmol/l; 0 changes nothing.
            r1_l_mmol_s: Longitudinal relaxivity, l/(mmol s).
            r2_l_mmol_s: Transverse relaxivity, l/(mmol s).

        The default relaxivities are those of gadobutrol in plasma at 37 degrees and 3 T
        (Rohrer 2005, Invest Radiol 40:715; at 1.5 T 5.2 and 6.1).
        """
        concentration = np.asarray(concentration_mmol_l, dtype=np.float64)
        r1, r2 = r1_l_mmol_s * concentration, r2_l_mmol_s * concentration
        return Relaxation(1 / (1 / self.t1_s + r1), 1 / (1 / self.t2_s + r2), 1 / (1 / self.t2star_s + r2), self.pd)


RELAXIVITY = {1.5: (5.2, 6.1), 3.0: (5.0, 7.1)}
"""r1 and r2 of gadobutrol in l/(mmol s) by field strength (Rohrer 2005)."""


def draw_tissues(rng: np.random.Generator, tissues: Mapping[str, Tissue]) -> dict[str, Tissue]:
    """Vary the tissues of a subject around their means.

    T1 and T2 vary log-normally by 4 % and 5 %, partly together; proton density by 1.5 %; uptake by 20 %.
    T2* keeps its ratio to T2.
    """
    drawn = {}
    for name, tissue in tissues.items():
        common, first, second, density, dose = rng.standard_normal(5)
        t1 = float(np.exp(0.03 * common + 0.026 * first))
        t2 = float(np.exp(0.03 * common + 0.04 * second))
        pd = min(tissue.pd * (1 + 0.015 * float(density)), 1.0)
        drawn[name] = replace(
            tissue,
            t1_s=tissue.t1_s * t1,
            t2_s=tissue.t2_s * t2,
            t2star_s=tissue.t2star_s * t2,
            pd=pd,
            uptake_mmol_l=tissue.uptake_mmol_l * float(np.exp(0.2 * dose)),
        )
    return drawn


def require_tissues(names: Iterable[str], known: Mapping[str, Tissue]) -> None:
    """Raise `UnknownNameError` for the first of `names` that is not a tissue."""
    for name in names:
        if name not in known:
            raise UnknownNameError.among("tissue", name, known)
