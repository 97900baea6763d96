"""Names a contrast from DICOM headers, with the evidence: the sequence's physics and the words people wrote.

The rules are the tables below. Each is a condition and what it speaks for. Physics and words are asked apart; a name is
given when they agree, or when only one of them says anything. When they differ, or neither speaks, the stack stays
unnamed and the message says what would decide.

Ranges follow what textbooks give for clinical fields (Bernstein, King, Zhou: Handbook of MRI Pulse Sequences, 2004).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recontrast.contrasts import Contrast
from recontrast.io.dicom.find import Series
from recontrast.io.dicom.stacks import Stack


@dataclass(frozen=True)
class Facts:
    """What a name is made from; times in ms, angle in degrees, absent values None.

    Attributes:
        gradient: Whether it is a gradient echo; `spin`: a spin echo; `inversion`: an inversion recovery.
        planar: Whether the read-out is echo-planar.
        words: Series description and protocol name, in lower case, words parted by single spaces.
        agent: Contrast agent as the header has it.
        echoes: Number of echoes in the series, `echo` which of them this is, from 1.
    """

    gradient: bool = False
    spin: bool = False
    inversion: bool = False
    planar: bool = False
    tr: float | None = None
    te: float | None = None
    ti: float | None = None
    flip: float | None = None
    words: str = ""
    agent: str = ""
    image_type: tuple[str, ...] = ()
    part: str = "mag"
    planes: int = 1
    echoes: int = 1
    echo: int = 1
    times: int = 1
    diffusion: bool = False


@dataclass(frozen=True)
class Naming:
    """The outcome.

    Attributes:
        contrast: The name; None when there is none.
        evidence: What spoke for it, one phrase each.
        reason: Why there is no name, or why the stack is left out; empty when named.
        excluded: Whether the stack is known, and is no anatomical contrast: it is left out, not doubtful.
        entities: Further BIDS entities (echo).
    """

    contrast: Contrast | None
    evidence: tuple[str, ...] = ()
    reason: str = ""
    excluded: bool = False
    entities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """When `holds`, the header speaks for `suffix`, because of `because` (filled in with the facts)."""

    suffix: str
    because: str
    holds: Callable[[Facts], bool]


def _between(value: float | None, low: float, high: float) -> bool:
    return value is not None and low <= value <= high


PHYSICS = (
    Rule("FLAIR", "inversion {ti:g} ms nulls fluid, TE {te:g} ms", lambda f: not f.gradient
         and _between(f.ti, 1500, 3500) and _between(f.te, 60, 700)),
    Rule("T1w", "gradient echo after inversion {ti:g} ms, TE {te:g} ms", lambda f: f.gradient
         and _between(f.ti, 350, 1500) and _between(f.te, 0.5, 12)),
    Rule("T1w", "spin echo after inversion {ti:g} ms, TE {te:g} ms", lambda f: f.spin
         and _between(f.ti, 350, 1300) and _between(f.te, 2, 40)),
    Rule("T2w", "spin echo, TR {tr:g} ms, TE {te:g} ms", lambda f: f.spin and not f.planar
         and f.ti is None and not f.inversion and _between(f.tr, 1500, 20000) and _between(f.te, 60, 700)),
    Rule("PDw", "spin echo, TR {tr:g} ms, TE {te:g} ms", lambda f: f.spin and not f.planar
         and f.ti is None and not f.inversion and _between(f.tr, 1500, 20000) and _between(f.te, 2, 40)),
    Rule("T1w", "spin echo, TR {tr:g} ms, TE {te:g} ms", lambda f: f.spin and not f.planar
         and f.ti is None and not f.inversion and _between(f.tr, 200, 1100) and _between(f.te, 2, 35)),
    Rule("T2starw", "gradient echo, TE {te:g} ms", lambda f: f.gradient and not f.planar and f.ti is None
         and _between(f.te, 12, 80)),
    Rule("T1w", "short gradient echo, TR {tr:g} ms, flip angle {flip:g} degrees", lambda f: f.gradient
         and not f.planar and f.ti is None and _between(f.tr, 1, 60) and _between(f.te, 0.3, 9)
         and _between(f.flip, 8, 90)),
    Rule("PDw", "short gradient echo, TR {tr:g} ms, flip angle {flip:g} degrees", lambda f: f.gradient
         and not f.planar and f.ti is None and _between(f.tr, 1, 60) and _between(f.te, 0.3, 9)
         and _between(f.flip, 0.5, 4)),
    Rule("T1w", "gradient echo, TR {tr:g} ms, flip angle {flip:g} degrees", lambda f: f.gradient and not f.planar
         and f.ti is None and _between(f.tr, 60, 400) and _between(f.te, 0.3, 9) and _between(f.flip, 40, 120)),
)  # fmt: skip
"""What the sequence speaks for; the first that holds."""

WORDS = (
    ("FLAIR", r"\bt2 ?flair|(?<!t1 )\bflair\b|dark ?fluid|\bdfl?uid"),
    ("T2starw", r"\bt2 ?(?:star\b|\*)|\bt2stern|\bhemo\b|\bswi\b|\bmerge\b"),
    ("T1w", r"\bt1(?![0-9])(?! ?(?:map|rho))|mp ?rage|\bbravo\b|\bspgr\b|\bvibe\b(?!.*\bpd\b)"),
    ("T2w", r"\bt2w?\b(?! ?(?:star|\*|flair|map))(?!.*(?:dark ?fluid|\bflair\b))|\bt2_?tse"),
    ("PDw", r"\bpdw?\b|proton ?density"),
)
"""Suffix and the words in a description that speak for it."""

FINER = {("FLAIR", "T2w"), ("T2starw", "T2w")}
"""What physics says, and the wider word that people also write for it: these agree."""

LOCALIZER = r"locali[sz]er|\bscout|\bsurvey|\bloc\b|3 ?pl\b|3 ?planes?\b|\baah"
AFTER_AGENT = r"\bpost\b|\+ ?c\b|\bgd\b|\bgad|\bkm\b|\bce\b|contrast enh|with contrast|\bpost ?con|\bc\+"
BEFORE_AGENT = r"\bpre\b|\bnative?\b|without contrast|\bnon ?con|\bohne\b"
NO_AGENT = ("", "no", "none", "n/a", "0", "without", "no contrast", "ohne")

EXCLUDED = (
    ("made by Recontrast: a synthetic image", lambda f: "SYNTHETIC" in f.image_type or f.words.startswith("synthetic")),
    ("diffusion", lambda f: f.diffusion or {"DIFFUSION", "ADC", "TRACEW", "FA", "TENSOR"} & set(f.image_type)
     or re.search(r"\b(?:dwi|dti|adc|diff\w*|trace\w*|dki)\b", f.words)),
    ("projection, subtraction or report, not a scan", lambda f: {"MIP", "MINIP", "PROJECTION IMAGE", "SUB", "SUBTRACT",
     "CSA REPORT", "SCREEN SAVE", "POSDISP"} & set(f.image_type)),
    ("parameter map; its units are not in the header", lambda f: bool({"T1 MAP", "T2 MAP", "T2_STAR MAP", "DENSITY MAP"}
     & set(f.image_type)) or re.search(r"\bt[12] ?\*? ?map\b|\bb[01] ?map|field ?map", f.words)),
    ("functional, perfusion or flow series", lambda f: re.search(
     r"\b(?:bold|fmri|asl|pcasl|perf\w*|dsc|rest|resting\w*)\b", f.words) or (f.planar and f.gradient and f.times > 1)),
)  # fmt: skip
"""Known series that are no anatomical contrast: reason and condition, the first that holds."""


def facts_of(series: Series, stack: Stack) -> Facts:
    """Collect what names a stack."""
    texts, frame = series.texts, stack.frames[0]
    sequence = set(texts.get("ScanningSequence", "").upper().split("\\"))
    echo_pulse = texts.get("EchoPulseSequence", "").upper()
    ti = frame.inversion_time_ms or None
    return Facts(
        gradient="GR" in sequence or echo_pulse in ("GRADIENT", "BOTH"),
        spin="SE" in sequence or echo_pulse in ("SPIN", "BOTH"),
        inversion="IR" in sequence or texts.get("InversionRecovery") == "YES" or ti is not None,
        planar="EP" in sequence or texts.get("EchoPlanarPulseSequence") == "YES",
        tr=frame.repetition_time_ms or None,
        te=frame.echo_time_ms or None,
        ti=ti,
        flip=frame.flip_deg or None,
        words=_plain(f"{texts.get('SeriesDescription', '')} | {texts.get('ProtocolName', '')}"),
        agent=texts.get("ContrastBolusAgent", ""),
        image_type=tuple(word.upper() for word in frame.image_type),
        part=frame.part,
        planes=_count(series, "plane"),
        echoes=_count(series, "echo"),
        echo=int(stack.traits.get("echo", 1)),
        times=_count(series, "time"),
        diffusion=(frame.b_value or 0) > 0 or "diffusion" in stack.traits,
    )


def name_contrast(facts: Facts) -> Naming:
    """Name a contrast.

    Example:
        >>> name_contrast(Facts(spin=True, tr=5000, te=100, words="t2 tse tra")).contrast.label
        'T2w'
    """
    for reason, holds in EXCLUDED:
        if holds(facts):
            return Naming(None, reason=reason, excluded=True)
    if facts.part != "mag":
        return Naming(None, reason=f"{facts.part} part of a complex image", excluded=True)
    if facts.echoes > 2:
        return _several_echoes(facts)
    physics = next((rule for rule in PHYSICS if rule.holds(facts)), None)
    # what a sequence is built from is told by its own words first, the protocol's name may say less
    spoken = [(suffix, found[0].strip()) for suffix, pattern in WORDS if (found := re.search(pattern, facts.words))]
    evidence = []
    if physics:
        evidence.append(f"sequence: {physics.because.format(tr=facts.tr, te=facts.te, ti=facts.ti, flip=facts.flip)}")
    evidence += [f"description: '{word}' says {suffix}" for suffix, word in spoken]
    suffixes = {suffix for suffix, _ in spoken}
    if physics and any((physics.suffix, suffix) in FINER for suffix in suffixes):
        suffixes = {physics.suffix}
    doubt = _doubt(physics, suffixes, facts)
    if doubt:
        return _doubtful(doubt, evidence)
    suffix = physics.suffix if physics else next(iter(suffixes))
    return _complete(suffix, facts, evidence)


def _doubt(physics: Rule | None, suffixes: set[str], facts: Facts) -> str:
    """Why what the sequence and the description say gives no name; empty when it does."""
    if len(suffixes) > 1 and (physics is None or physics.suffix not in suffixes):
        return f"the description says {' and '.join(sorted(suffixes))}"
    if physics and suffixes and physics.suffix not in suffixes:
        return f"the sequence speaks for {physics.suffix}, the description for {next(iter(suffixes))}"
    return "" if physics or suffixes else _lacking(facts)


def _complete(suffix: str, facts: Facts, evidence: list[str]) -> Naming:
    """The name with its entities: contrast agent, localizer."""
    agent = _agent(facts, suffix)
    if isinstance(agent, Naming):
        return Naming(None, tuple(evidence) + agent.evidence, agent.reason)
    entities = dict(agent)
    if agent:
        evidence.append(agent["because"])
        del entities["because"]
    local = re.search(LOCALIZER, facts.words)
    if local:
        evidence.append(f"description: '{local[0].strip()}' says localizer")
        entities["acq"] = "localizer"
    ordered = tuple((key, entities[key]) for key in ("acq", "ce") if key in entities)
    return Naming(Contrast(suffix, ordered), tuple(evidence))


def _several_echoes(facts: Facts) -> Naming:
    suffix = "MEGRE" if facts.gradient else "MESE" if facts.spin else ""
    if not suffix:
        return _doubtful(f"{facts.echoes} echoes of an unknown sequence", [])
    kind = "gradient" if facts.gradient else "spin"
    evidence = (f"sequence: {facts.echoes} {kind} echoes, this one at {facts.te or 0:g} ms",)
    return Naming(Contrast(suffix), evidence, entities={"echo": str(facts.echo)})


def _agent(facts: Facts, suffix: str) -> dict[str, str] | Naming:
    """The `ce` entity and its evidence, nothing, or a naming that says why this is doubtful."""
    given = facts.agent.strip().lower() not in NO_AGENT
    after, before = re.search(AFTER_AGENT, facts.words), re.search(BEFORE_AGENT, facts.words)
    if (given or after) and before:
        source = f"the header's agent '{facts.agent}'" if given else f"the description's '{after[0].strip()}'"  # type: ignore[index]
        found = (f"agent: {source} against '{before[0].strip()}' in the description",)
        return Naming(None, found, f"{suffix} before or after contrast agent? {source} speaks for after, "
                      f"'{before[0].strip()}' for before")  # fmt: skip
    if given:
        return {"ce": "gadolinium", "because": f"contrast agent in the header: '{facts.agent}'"}
    if after:
        return {"ce": "gadolinium", "because": f"description: '{after[0].strip()}' says contrast agent"}
    return {}


def _doubtful(reason: str, evidence: list[str]) -> Naming:
    return Naming(None, tuple(evidence), reason)


def _lacking(facts: Facts) -> str:
    absent = [name for name, value in (("TR", facts.tr), ("TE", facts.te), ("flip angle", facts.flip)) if value is None]
    if not (facts.gradient or facts.spin or facts.inversion):
        absent.insert(0, "Scanning Sequence")
    if absent:
        return f"the header lacks {', '.join(absent)} and the description names no contrast"
    kind = "gradient echo" if facts.gradient else "spin echo" if facts.spin else "sequence"
    kind = f"echo-planar {kind}" if facts.planar else kind
    timing = ", ".join(
        f"{name} {value:g} ms" for name, value in (("TR", facts.tr), ("TE", facts.te), ("TI", facts.ti)) if value
    )
    return f"{kind} with {timing}, flip angle {facts.flip or 0:g} degrees fits no rule and the description names none"


def _plain(text: str) -> str:
    """Lower case; underscores, dashes and the like become spaces; `T1W_3D` becomes "t1 3d", `+C` and `T2*` stay."""
    text = re.sub(r"[^a-z0-9+*|]+", " ", text.lower())
    return re.sub(r"\b(t[12]|pd)w?(i|tse|fse|se|ffe|tfe)?\b", lambda m: m[1] + (f" {m[2]}" if m[2] else ""), text)


def _count(series: Series, trait: str) -> int:
    return max(1, len({stack.traits[trait] for stack in series.stacks if trait in stack.traits}))
