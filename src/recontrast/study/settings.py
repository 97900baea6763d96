"""What a study file may say: typed settings, one class a table. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recontrast.config import build_settings, check_keys, merge, read_toml
from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.settings import EvaluateSettings
from recontrast.phantom.cohort import SimulateSettings
from recontrast.preparation.pipeline import PrepareSettings
from recontrast.study.volumes import is_volume
from recontrast.training.plan import SCALES

UNTRANSLATED = "untranslated"
"""Method whose images are the sources themselves."""

TIERS_OF_TESTS = ("good", "low")
"""Test subjects by the quality of their source: good or medium, and low, as Bottani 2024 kept them apart."""


@dataclass(frozen=True, kw_only=True)
class Direction:
    """What is made from what."""

    source: tuple[str, ...]
    """Contrasts that are given."""

    target: str
    """Contrast that is made."""

    name: str = ""
    """Name in tables and folders; left out: sources, a dash, the target."""

    @property
    def label(self) -> str:
        """Name in tables and folders."""
        return self.name or f"{'+'.join(self.source)}-{self.target}"


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where the prepared subjects come from, when the prepared folder is not there yet."""

    summary: str = ""
    """What these data are and how they differ from the paper's; stands in the report."""

    simulate: dict[str, Any] = field(default_factory=dict)
    """Settings of `recontrast simulate`; empty: real scans, whose folder is given with --bids."""

    synthetic_mri: bool = False
    """Fit maps to the raw series first, and put them and the synthetic contrasts they give beside the raw images."""

    prepare: dict[str, Any] = field(default_factory=dict)
    """Settings of `recontrast prepare`: contrasts, subjects, validation, test, space …"""

    directions: tuple[Direction, ...] = ()
    """Directions on these data, where they are not the study's."""

    set: tuple[str, ...] = ()
    """Preset settings on these data, as `data.slices=head`."""

    def __post_init__(self) -> None:
        """Check the names of the settings."""
        check_keys(SimulateSettings, self.simulate, "the study's data, simulate")
        check_keys(PrepareSettings, self.prepare, "the study's data, prepare")
        if self.simulate and not self.simulate.get("contrasts"):
            raise ConfigError("the study's data, simulate: name the contrasts to simulate")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A preset with its settings; with a grid it gives several candidates, one of which is selected."""

    preset: str
    """Name of a preset, or path of a TOML file like those in `presets/`."""

    name: str = ""
    """Name in tables and folders; left out: the preset's."""

    set: tuple[str, ...] = ()
    """Settings to override, as `recipe.options.loss=l1`."""

    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Setting to the values it takes; all combinations are candidates."""

    start: str = ""
    """Method whose weights this one starts from (two-stage training): given to recipe.options.start."""

    target: str = ""
    """Contrast this method learns, where it is not the direction's (a first stage)."""

    judged: bool = True
    """Whether its images are selected, scored and shown; false for a first stage."""

    @property
    def label(self) -> str:
        """Name in tables and folders."""
        return self.name or Path(self.preset).stem


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One budget for every run, in place of the presets' own; the tables state it. All zero: the presets' own."""

    steps: int = 0
    """Optimiser steps."""

    epochs: int = 0
    """Passes over the training slices."""

    minutes: float = 0.0
    """Wall-clock minutes of each run."""

    validations: int = 0
    """Validations over the run's steps; 0: as the preset says."""

    snapshots: tuple[float, ...] = ()
    """Fractions of the run, 0 to 1, after which the weights are candidates of their own; left out: the end alone."""

    @property
    def in_words(self) -> str:
        """The budget as the tables state it."""
        parts = [
            f"{self.steps} steps" if self.steps else "",
            f"{self.epochs} epochs" if self.epochs else "",
            f"{self.minutes:g} minutes" if self.minutes else "",
        ]
        given = " or ".join(part for part in parts if part)
        return f"{given} for every run" if given else "each preset's own budget"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How one candidate of each direction and method is chosen, on the validation subjects."""

    protocol: str = "recontrast-selection"
    """Protocol by which candidates are scored."""

    region: str = ""
    """Region that decides; left out: the protocol's primary one."""

    metric: str = ""
    """Metric that decides; left out: LPIPS for adversarial recipes, else the protocol's primary metric."""

    blend: tuple[str, ...] = ()
    """Metrics whose ranks are added; the smallest sum is chosen. Wins over `metric`."""

    stand_in: tuple[str, ...] = ("ssim_axial", "gradient_distance")
    """Rank blend in place of LPIPS where its weights are not given."""

    also: tuple[str, ...] = ()
    """Further metrics: what each of them alone would choose is tested as well."""

    sheet_slices: int = 8
    """Brain slices of each candidate on the selection sheet."""

    def __post_init__(self) -> None:
        """Check the names of the metrics."""
        protocol = PROTOCOLS.get(self.protocol)
        for label in (*self.blend, *self.stand_in, *self.also, *([self.metric] if self.metric else [])):
            protocol.use(label)
        if self.sheet_slices < 1:
            raise ConfigError(f"selection.sheet_slices is {self.sheet_slices}; show at least 1")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One scoring of the selected translators on the test subjects."""

    protocol: str = "recontrast"
    """Name of the protocol."""

    options: dict[str, Any] = field(default_factory=dict)
    """Further settings of `recontrast evaluate`: controls, regions, segmenter, margins …"""

    def __post_init__(self) -> None:
        """Check the names."""
        PROTOCOLS.get(self.protocol)
        check_keys(EvaluateSettings, self.options, "the study's evaluations")


@dataclass(frozen=True, kw_only=True)
class Side:
    """What stands on one side of a comparison, or in a row of the published table. Empty: all, each by itself."""

    direction: str = ""
    """Name of a direction."""

    method: str = ""
    """Name of a method."""

    estimator: str = "synthetic"
    """synthetic, or the name of a control."""

    rule: str = ""
    """Selection rule (a metric of `selection.also`); left out: the study's own choice."""

    tier: str = ""
    """good: only subjects whose source is of good or medium quality; low: only those whose source is of low quality."""

    def __post_init__(self) -> None:
        """Check the name of the tier."""
        if self.tier not in ("", *TIERS_OF_TESTS):
            raise UnknownNameError.among("tier of test subjects", self.tier, TIERS_OF_TESTS)


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """An ordering the paper claims, to be checked with an interval over test subjects."""

    claim: str
    """What the paper says, in words."""

    where: str = ""
    """Page or table of the paper."""

    better: Side
    """The side the paper found better."""

    worse: Side
    """The other side; an empty method or direction is that of the better side."""

    protocol: str = "recontrast"
    """Protocol of one of the evaluations."""

    metric: str = ""
    """Metric; left out: the protocol's primary one."""

    region: str = ""
    """Region; left out: the protocol's primary one."""

    margin: float = 0.0
    """How much worse is still no worse, in the metric's unit: for a claim that two sides do not differ."""

    def __post_init__(self) -> None:
        """Check the margin."""
        if not 0 <= self.margin < float("inf"):
            raise ConfigError(f"{self.claim}: the margin is {self.margin}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A row of a published table: what it says, and which of our results belongs beside it."""

    label: str
    """Name of the row."""

    values: tuple[str, ...]
    """Entries as printed, one a metric."""

    ours: Side = field(default_factory=Side)
    """Our result that belongs beside it."""

    metrics: tuple[str, ...] = ()
    """Metrics of this row, where they are not the table's."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A table of the paper."""

    title: str
    """What it shows."""

    where: str
    """Page and number of the table."""

    metrics: tuple[str, ...] = ()
    """Metrics of the columns, by their labels in the protocol; `a+b` is the mean of both."""

    rows: tuple[PublishedRow, ...]
    """Its rows."""

    protocol: str = "recontrast"
    """Protocol of ours that measures as the paper did."""

    region: str = ""
    """Region; left out: the protocol's primary one."""

    note: str = ""
    """What must be known to compare the two."""

    layout: str = "scores"
    """How ours is put beside it (`study/layouts`)."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study file."""

    summary: str
    """One line for lists."""

    citation: str = ""
    """The paper."""

    notes: tuple[str, ...] = ()
    """What must be known of this reproduction: what differs from the paper and why."""

    data: dict[str, DataSource] = field(default_factory=dict)
    """Data the study can run on; the first is taken unless --data names another."""

    directions: tuple[Direction, ...]
    """What is made from what."""

    methods: tuple[Method, ...]
    """How it is learned."""

    seeds: tuple[int, ...] = (0,)
    """Seeds; each gives candidates of its own."""

    set: tuple[str, ...] = ()
    """Preset settings for every method."""

    budget: Budget = field(default_factory=Budget)
    """How long every run lasts."""

    selection: Selection = field(default_factory=Selection)
    """How candidates are chosen."""

    evaluations: tuple[Evaluation, ...] = (Evaluation(),)
    """How the chosen ones are scored on the test subjects."""

    untranslated: bool = False
    """Also test the source itself as if it were a translator's image, under the name of a method: untranslated."""

    as_is: dict[str, str] = field(default_factory=dict)
    """Further images that the cases have already, tested as a translator's are: name of the method = contrast."""

    orderings: tuple[Ordering, ...] = ()
    """What the paper found, to be checked."""

    published: tuple[Published, ...] = ()
    """The paper's tables."""

    def __post_init__(self) -> None:
        """Check that names fit together."""
        _require_once([d.label for d in self.directions], "direction")
        methods = [method.label for method in self.methods]
        _require_once([*methods, *self.as_is], "method")
        for direction in self.directions:
            for label in (*direction.source, direction.target):
                Contrast.parse(label)
        for method in self.methods:
            if method.start and method.start not in methods[: methods.index(method.label)]:
                raise ConfigError(f"method {method.label} starts from {method.start}, which must stand before it")
        if self.untranslated and UNTRANSLATED in (*methods, *self.as_is):
            raise ConfigError(f"'{UNTRANSLATED}' is the source itself; call the method otherwise")
        for name, label in self.as_is.items():
            Contrast.parse(label)
            if not name.isalnum():
                raise ConfigError(f"as_is: '{name}' becomes the desc of files; give it letters and digits only")
        for label in (*(o.metric for o in self.orderings), *(m for p in self.published for m in p.metrics)):
            is_volume(label)
        scored = [evaluation.protocol for evaluation in self.evaluations]
        _require_once(scored, "protocol of an evaluation")
        for protocol in (*(o.protocol for o in self.orderings), *(p.protocol for p in self.published)):
            if protocol not in scored:
                raise UnknownNameError.among("protocol among the study's evaluations", protocol, scored)

    def images_as_they_are(self, direction: Direction) -> dict[str, str]:
        """Methods that nothing is learned for, and the contrast of the cases that each stands for."""
        return {**({UNTRANSLATED: direction.source[0]} if self.untranslated else {}), **self.as_is}

    def source(self, name: str) -> DataSource:
        """The data called `name`; empty: the first.

        Raises:
            UnknownNameError: The study names no such data.
        """
        if not self.data and not name:
            return DataSource()
        name = name or next(iter(self.data))
        if name not in self.data:
            raise UnknownNameError.among("data of the study", name, self.data)
        return self.data[name]


Scale = Literal["paper", "cpu"]


def study_paths() -> dict[str, Path]:
    """Names of the studies that come with Recontrast, and their files."""
    here = Path(__file__).resolve()
    folders = (here.parents[1] / "studies", here.parents[3] / "studies")  # installed; in a checkout
    found = {path.stem: path for folder in folders for path in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def read_study(study: str | Path, scale: str) -> Study:
    """Read a study file.

    The common part is merged with its part for the scale (`[paper.budget]`, `[cpu.budget]`); lists are replaced whole.

    Args:
        study: Path of a TOML file, or the name of a study that comes with Recontrast.
        scale: paper or cpu.

    Raises:
        UnknownNameError: No such study, scale, setting, protocol or metric.
        ConfigError: A value is of the wrong type, or names do not fit together.

    Example:
        >>> len(read_study("osman2022", "cpu").directions)
        6
    """
    if scale not in SCALES:
        raise UnknownNameError.among("scale", scale, SCALES)
    path, known = Path(study), study_paths()
    if path.suffix != ".toml":
        if str(study) not in known:
            raise UnknownNameError.among("study", str(study), known)
        path = known[str(study)]
    content = read_toml(path)
    values = {key: value for key, value in content.items() if key not in SCALES}
    for name in SCALES:
        part = content.get(name, {})
        check_keys(Study, part, f"{path} [{name}]")
        if name == scale:
            values = merge(values, part)
    return build_settings(Study, values, str(path))


def _require_once(labels: list[str], kind: str) -> None:
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"the study names the {kind} {label} twice")
        if "/" in label or not label:
            raise ConfigError(f"the {kind} '{label}' cannot be the name of a folder")
