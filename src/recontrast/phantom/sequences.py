"""Signal equations of the pulse sequences: from relaxation times and proton density to the transverse signal.

All signals are in units of the equilibrium magnetisation at proton density 1, real and signed (an inverted
magnetisation gives a negative signal): magnitude and noise come later, in `acquisition`. To add a sequence, write a
frozen dataclass like those below and name a scan that uses it in `protocols`.

Symbols: E1 = exp(-TR/T1), E2 = exp(-TE/T2); TR repetition, TE echo, TI inversion time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from recontrast.errors import ConfigError
from recontrast.phantom.tissues import Relaxation, Values


class Sequence(Protocol):
    """What every sequence offers."""

    blood_signal: ClassVar[float]
    """Share of its signal that flowing blood keeps: spin echoes lose it between their pulses (flow void)."""

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        ...

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names and in BIDS units (s, degrees)."""
        ...


def _decay(time_s: float, constant_s: Values) -> Values:
    return np.asarray(np.exp(-time_s / constant_s))


class _Checked:
    """Refuses non-finite parameters, and negative ones but for `_signed`."""

    _signed: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.name in self._signed and -1 <= value <= 1:
                continue
            if isinstance(value, int | float) and not (np.isfinite(value) and value >= 0):
                raise ConfigError(f"{type(self).__name__}: {field.name} must be a number of at least 0, got {value}")


@dataclass(frozen=True)
class SpoiledGradientEcho(_Checked):
    """Spoiled gradient echo in the steady state: FLASH, VIBE, localizers.

    S = PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*), Ernst and Anderson 1966 (Rev Sci Instrum 37:93),
    Haase 1986 (J Magn Reson 67:258). Largest at the Ernst angle, cos(a) = E1.

    Attributes:
        repetition_time_s: TR, s.
        echo_time_s: TE, s.
        flip_angle_deg: Excitation angle a, degrees.
    """

    repetition_time_s: float
    echo_time_s: float
    flip_angle_deg: float
    blood_signal: ClassVar[float] = 1.0

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        angle = np.deg2rad(self.flip_angle_deg)
        e1 = _decay(self.repetition_time_s, tissue.t1_s)
        steady = np.sin(angle) * (1 - e1) / (1 - np.cos(angle) * e1)
        return np.asarray(tissue.pd * steady * _decay(self.echo_time_s, tissue.t2star_s))

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names."""
        return {
            "PulseSequenceType": "Spoiled gradient echo (FLASH)",
            "ScanningSequence": "GR",
            "SequenceVariant": "SP",
            "RepetitionTime": self.repetition_time_s,
            "EchoTime": self.echo_time_s,
            "FlipAngle": self.flip_angle_deg,
            "SpoilingState": True,
        }


@dataclass(frozen=True)
class InversionPreparedGradientEcho(_Checked):
    """MPRAGE: inversion, a wait, a train of spoiled gradient echoes, a wait; repeated until steady.

    Each interval maps the longitudinal magnetisation m linearly, m -> f m + g:
    inversion m -> -q m; a wait t m -> 1 + (m - 1) exp(-t/T1); an excitation followed by the echo spacing e
    m -> 1 + (m cos(a) - 1) exp(-e/T1). The steady state is the fixed point of all of them in a row; the signal is
    sin(a) times m before the pulse at the centre of k-space. Brant-Zawadzki 1992 (Radiology 182:769),
    Deichmann 2000 (NeuroImage 12:112), Marques 2010 (NeuroImage 49:1271).

    Attributes:
        repetition_time_s: Time between inversions, s.
        inversion_time_s: From inversion to the centre of the train, s.
        echo_time_s: TE, s.
        flip_angle_deg: Excitation angle, degrees.
        echo_spacing_s: Time between excitations, s.
        excitations: Length of the train.
        inversion_efficiency: q, 1 for a perfect inversion, 0 for a saturation; below 0 the pulse turned by less than 90
            degrees.
    """

    repetition_time_s: float
    inversion_time_s: float
    echo_time_s: float
    flip_angle_deg: float
    echo_spacing_s: float
    excitations: int
    inversion_efficiency: float = 0.96
    blood_signal: ClassVar[float] = 0.8
    _signed: ClassVar[tuple[str, ...]] = ("inversion_efficiency",)

    def __post_init__(self) -> None:
        """Check that the train fits between two inversions."""
        super().__post_init__()
        before, after = self._waits()
        if before < 0 or after < 0:
            raise ConfigError(
                f"MPRAGE: a train of {self.excitations} x {self.echo_spacing_s} s centred at TI "
                f"{self.inversion_time_s} s does not fit between inversions {self.repetition_time_s} s apart"
            )

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        before, after = self._waits()
        half = self.excitations // 2
        inversion = (-self.inversion_efficiency * np.ones_like(tissue.t1_s), np.zeros_like(tissue.t1_s))
        to_centre = _chain(_chain(inversion, self._wait(before, tissue)), self._train(half, tissue))
        rest = _chain(self._train(self.excitations - half, tissue), self._wait(after, tissue))
        factor, offset = _chain(to_centre, rest)
        steady = offset / (1 - factor)
        at_centre = to_centre[0] * steady + to_centre[1]
        angle = np.deg2rad(self.flip_angle_deg)
        return np.asarray(tissue.pd * np.sin(angle) * at_centre * _decay(self.echo_time_s, tissue.t2star_s))

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names."""
        return {
            "PulseSequenceType": "Inversion-prepared gradient echo (MPRAGE)",
            "ScanningSequence": ["GR", "IR"],
            "SequenceVariant": ["SP", "MP"],
            "RepetitionTime": self.repetition_time_s,
            "RepetitionTimeExcitation": self.echo_spacing_s,
            "RepetitionTimePreparation": self.repetition_time_s,
            "InversionTime": self.inversion_time_s,
            "EchoTime": self.echo_time_s,
            "FlipAngle": self.flip_angle_deg,
            "NumberShots": self.excitations,
            "SpoilingState": True,
        }

    def _waits(self) -> tuple[float, float]:
        half = self.excitations // 2
        before = self.inversion_time_s - half * self.echo_spacing_s
        after = self.repetition_time_s - self.inversion_time_s - (self.excitations - half) * self.echo_spacing_s
        return before, after

    @staticmethod
    def _wait(time_s: float, tissue: Relaxation) -> tuple[Values, Values]:
        e = _decay(time_s, tissue.t1_s)
        return e, 1 - e

    def _train(self, count: int, tissue: Relaxation) -> tuple[Values, Values]:
        e = _decay(self.echo_spacing_s, tissue.t1_s)
        one = np.cos(np.deg2rad(self.flip_angle_deg)) * e
        # The geometric series of `count` equal maps m -> one * m + (1 - e).
        return one**count, (1 - e) * (1 - one**count) / (1 - one)


def _chain(first: tuple[Values, Values], then: tuple[Values, Values]) -> tuple[Values, Values]:
    """The map `then` after `first`; a map (f, g) sends m to f m + g."""
    return then[0] * first[0], then[0] * first[1] + then[1]


@dataclass(frozen=True)
class SpinEcho(_Checked):
    """Spin echo with 90 and 180 degree pulses.

    S = PD (1 - 2 exp(-(TR - TE/2)/T1) + E1) E2: the refocusing pulse also inverts what has regrown before it.
    Hahn 1950 (Phys Rev 80:580); Hendrick in Stark and Bradley, Magnetic Resonance Imaging, 1999.

    Attributes:
        repetition_time_s: TR, s.
        echo_time_s: TE, s.
    """

    repetition_time_s: float
    echo_time_s: float
    blood_signal: ClassVar[float] = 0.05

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        after_refocusing = self.repetition_time_s - self.echo_time_s / 2
        grown = 1 - 2 * _decay(after_refocusing, tissue.t1_s) + _decay(self.repetition_time_s, tissue.t1_s)
        return np.asarray(tissue.pd * grown * _decay(self.echo_time_s, tissue.t2_s))

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names."""
        return {
            "PulseSequenceType": "Spin echo",
            "ScanningSequence": "SE",
            "SequenceVariant": "NONE",
            "RepetitionTime": self.repetition_time_s,
            "EchoTime": self.echo_time_s,
            "FlipAngle": 90,
        }


@dataclass(frozen=True)
class TurboSpinEcho(_Checked):
    """Turbo spin echo (RARE) with an effective echo time; FLAIR when an inversion time is given.

    The train holds the longitudinal magnetisation near zero, so it grows during TR - T_last only, where T_last is the
    last echo: S = PD (1 - exp(-(TR - T_last)/T1)) exp(-TE/T2). Hennig 1986 (Magn Reson Med 3:823), with the recovery
    of Meara and Barker 2005 (Magn Reson Med 54:241). With an inversion of efficiency q at TI before the excitation:
    S = PD (1 - (1 + q) exp(-TI/T1) + q exp(-(TR - T_last)/T1)) exp(-TE/T2); Hajnal 1992 (J Comput Assist Tomogr
    16:841). For q = 1 and T_last = 0 that is PD (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2).

    Attributes:
        repetition_time_s: TR, s.
        echo_time_s: Effective TE, the echo at the centre of k-space, s.
        echo_spacing_s: Time between echoes, s.
        echo_train_length: Number of echoes after one excitation.
        inversion_time_s: TI, s; 0: no inversion.
        inversion_efficiency: q, 1 for a perfect inversion.
    """

    repetition_time_s: float
    echo_time_s: float
    echo_spacing_s: float
    echo_train_length: int
    inversion_time_s: float = 0.0
    inversion_efficiency: float = 1.0
    blood_signal: ClassVar[float] = 0.05

    def __post_init__(self) -> None:
        """Check that train and inversion fit into TR."""
        super().__post_init__()
        if self.repetition_time_s <= self.inversion_time_s + self._last_echo:
            raise ConfigError(
                f"turbo spin echo: TI {self.inversion_time_s} s and a train of {self._last_echo:.3g} s do not fit "
                f"into TR {self.repetition_time_s} s"
            )

    @property
    def _last_echo(self) -> float:
        return self.echo_spacing_s * self.echo_train_length

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        recovery = _decay(self.repetition_time_s - self._last_echo, tissue.t1_s)
        if self.inversion_time_s > 0:
            q = self.inversion_efficiency
            grown = 1 - (1 + q) * _decay(self.inversion_time_s, tissue.t1_s) + q * recovery
        else:
            grown = 1 - recovery
        return np.asarray(tissue.pd * grown * _decay(self.echo_time_s, tissue.t2_s))

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names."""
        inverted = self.inversion_time_s > 0
        return {
            "PulseSequenceType": "Inversion-recovery turbo spin echo (FLAIR)" if inverted else "Turbo spin echo",
            "ScanningSequence": ["SE", "IR"] if inverted else "SE",
            "SequenceVariant": "SK",
            "RepetitionTime": self.repetition_time_s,
            "EchoTime": self.echo_time_s,
            **({"InversionTime": self.inversion_time_s} if inverted else {}),
            "FlipAngle": 90,
            "EchoTrainLength": self.echo_train_length,
        }


@dataclass(frozen=True)
class VariableFlipTurboSpinEcho(_Checked):
    """3D turbo spin echo with low, variable refocusing angles: SPACE, CUBE, VISTA.

    Low angles store magnetisation along z part of the time, where it decays with T1: with a share w of the time in
    the transverse plane, S = PD (1 - exp(-(TR - T_last)/T1)) exp(-TE (w/T2 + (1 - w)/T1)). Busse 2006
    (Magn Reson Med 55:1030), Mugler 2014 (J Magn Reson Imaging 39:745). w = 1 is an ordinary turbo spin echo.

    Attributes:
        repetition_time_s: TR, s.
        echo_time_s: Time of the echo at the centre of k-space, s; the contrast is that of about w times it.
        echo_spacing_s: Time between echoes, s.
        echo_train_length: Number of echoes after one excitation.
        transverse_share: w, 0 to 1.
    """

    repetition_time_s: float
    echo_time_s: float
    echo_spacing_s: float
    echo_train_length: int
    transverse_share: float = 0.4
    blood_signal: ClassVar[float] = 0.02

    def __post_init__(self) -> None:
        """Check the share and that the train fits into TR."""
        super().__post_init__()
        if self.transverse_share > 1 or self.repetition_time_s <= self.echo_spacing_s * self.echo_train_length:
            raise ConfigError("SPACE: the transverse share must be at most 1 and the echo train shorter than TR")

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        last_echo = self.echo_spacing_s * self.echo_train_length
        grown = 1 - _decay(self.repetition_time_s - last_echo, tissue.t1_s)
        w = self.transverse_share
        kept = np.exp(-self.echo_time_s * (w / tissue.t2_s + (1 - w) / tissue.t1_s))
        return np.asarray(tissue.pd * grown * kept)

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names."""
        return {
            "PulseSequenceType": "3D turbo spin echo with variable refocusing angles (SPACE)",
            "ScanningSequence": "SE",
            "SequenceVariant": "SK",
            "RepetitionTime": self.repetition_time_s,
            "EchoTime": self.echo_time_s,
            "FlipAngle": 90,
            "EchoTrainLength": self.echo_train_length,
        }


@dataclass(frozen=True)
class SaturationRecovery(_Checked):
    """One image of a multi-delay multi-echo saturation-recovery acquisition (QRAPMASTER, synthetic MRI).

    A slice is saturated by an angle b, waits the delay TD, is excited by a and gives spin echoes, every TR:
    S = PD sin(a) (1 - (1 - cos b) exp(-TD/T1) - cos b E1) / (1 - cos b cos a E1) exp(-TE/T2), in the limit of echo
    trains short beside TR. Warntjes 2008 (Magn Reson Med 60:320); timing of Hagiwara 2019 (AJNR 40:224).

    Attributes:
        repetition_time_s: TR, s.
        delay_s: Time TD from saturation to excitation, s.
        echo_time_s: TE, s.
        saturation_angle_deg: Angle b, degrees; above 90 it inverts in part.
        flip_angle_deg: Excitation angle a, degrees.
    """

    repetition_time_s: float
    delay_s: float
    echo_time_s: float
    saturation_angle_deg: float = 120.0
    flip_angle_deg: float = 90.0
    blood_signal: ClassVar[float] = 0.05

    def signal(self, tissue: Relaxation) -> Values:
        """Signed signal of each tissue."""
        saturation = np.cos(np.deg2rad(self.saturation_angle_deg))
        excitation = np.deg2rad(self.flip_angle_deg)
        e1 = _decay(self.repetition_time_s, tissue.t1_s)
        grown = 1 - (1 - saturation) * _decay(self.delay_s, tissue.t1_s) - saturation * e1
        steady = np.sin(excitation) * grown / (1 - saturation * np.cos(excitation) * e1)
        return np.asarray(tissue.pd * steady * _decay(self.echo_time_s, tissue.t2_s))

    def sidecar(self) -> dict[str, Any]:
        """Parameters under their BIDS names."""
        return {
            "PulseSequenceType": "Multi-delay multi-echo saturation recovery",
            "ScanningSequence": "SE",
            "SequenceVariant": ["SK", "MP"],
            "RepetitionTime": self.repetition_time_s,
            "EchoTime": self.echo_time_s,
            "SaturationDelay": self.delay_s,
            "SaturationAngle": self.saturation_angle_deg,
            "FlipAngle": self.flip_angle_deg,
        }


def ernst_angle_deg(repetition_time_s: float, t1_s: float) -> float:
    """The excitation angle of the largest spoiled gradient-echo signal, cos(a) = exp(-TR/T1), in degrees."""
    return float(np.rad2deg(np.arccos(np.exp(-repetition_time_s / t1_s))))


def nulling_inversion_time_s(t1_s: float, recovery_s: float) -> float:
    """The TI at which a tissue gives no signal: T1 (ln 2 - ln(1 + exp(-recovery/T1))).

    Args:
        t1_s: T1 of the tissue to null, s.
        recovery_s: TR less the duration of the echo train, s.

    Example:
        >>> round(nulling_inversion_time_s(4.3, 9.0), 2)
        2.48
    """
    return float(t1_s * (np.log(2) - np.log1p(np.exp(-recovery_s / t1_s))))


def signal_at(sequence: Sequence, tissue: Relaxation, transmit: float) -> Values:
    """Signal where the transmit field is not nominal.

    Excitation and saturation angles are multiplied by the field. Spin echoes, with nominal angles of 90 and 180
    degrees, keep sin(b 90 deg) of the excitation, a single one sin^2(b 90 deg) of the refocusing, a train sin(b 90 deg)
    of it (pseudo steady state: Alsop 1997, Magn Reson Med 37:176). Inversion pulses are adiabatic and do not change.

    Args:
        sequence: Any sequence.
        tissue: Relaxation of the tissues.
        transmit: Field b relative to nominal.

    Example:
        >>> tissue = Relaxation(*(np.array([v]) for v in (0.84, 0.074, 0.053, 0.7)))
        >>> flash = SpoiledGradientEcho(0.02, 0.0, 10.0)
        >>> bool(signal_at(flash, tissue, 1.2)[0] == SpoiledGradientEcho(0.02, 0.0, 12.0).signal(tissue)[0])
        True
    """
    angles = ("flip_angle_deg", "saturation_angle_deg")
    changed: dict[str, Any] = {name: getattr(sequence, name) * transmit for name in angles if hasattr(sequence, name)}
    signal = (replace(sequence, **changed) if changed else sequence).signal(tissue)  # type: ignore[type-var]
    kept = float(np.sin(transmit * np.pi / 2))
    powers: dict[type[Any], int] = {SaturationRecovery: 1, TurboSpinEcho: 2, VariableFlipTurboSpinEcho: 1, SpinEcho: 3}
    return np.asarray(signal * kept ** powers.get(type(sequence), 0))
