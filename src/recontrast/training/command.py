"""The command `train`: a prepared folder in, a run with a translator out."""

from __future__ import annotations

import dataclasses
import logging
import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recontrast.atomic import make_folder
from recontrast.config import to_plain, write_settings
from recontrast.errors import ConfigError, RecontrastWarning
from recontrast.execution.runtime import choose_precision
from recontrast.execution.workers import Summary
from recontrast.preparation.acquisition import usual_of
from recontrast.preparation.bank import Bank
from recontrast.preparation.cohort import PreparedCase, PreparedCohort, read_cohort
from recontrast.preparation.normalize import Scale
from recontrast.provenance import FILE_NAME, write_provenance
from recontrast.training.automatic import AUTO
from recontrast.training.beginning import Beginning, former_of_recipe, read_beginning
from recontrast.training.former import (
    MASKS,
    PERCEPTUAL_WEIGHTS,
    PREPARED_IMAGES,
    RECIPE_START,
    SEGMENTERS,
    has_begun,
    is_finished,
    last_weights,
)
from recontrast.training.launch import launch
from recontrast.training.learned_from import (
    Cases,
    choose_cases,
    describe_prepared,
    require_contrasts,
    require_lesions,
    require_names,
    require_targets,
    sha256_of_masks,
)
from recontrast.training.levels import at_source_levels, source_levels
from recontrast.training.outcome import lines_of, save_translators
from recontrast.training.plan import Plan, read_plan
from recontrast.training.planning import Wanted, gives_source_back, makes_several, model_options, plan_run
from recontrast.translation.description import FOLDER, OPEN_SCALE, Member, TranslatorDescription, subject_hash

if TYPE_CHECKING:
    import torch

    from recontrast.training.loop import Job

log = logging.getLogger(__name__)

ANY_TO_ANY = "any-to-any"
"""Preset that `auto` stands for when several targets are named."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training."""

    prepared: Path
    """Folder written by `recontrast prepare`."""

    run: Path
    """Folder for the run: log, checkpoints and the translator."""

    source: tuple[str, ...] = ()
    """Contrasts that are given, in the order of the network's channels (T1w T2w)."""

    target: str | tuple[str, ...] = ""
    """Contrast that is made (FLAIR); several: one translator makes each from whatever other sources a case has. None
    where the preset gives its source back (masked-reconstruction)."""

    preset: str = AUTO
    """Way of training: a name (`recontrast list presets`) or a TOML file like those in presets/ or RUN/plan.toml.
    auto with several targets: any-to-any."""

    minutes: float = 0.0
    """Wall-clock minutes the training may take; as many steps are planned as fit. 0: as the preset says (auto: 10)."""

    start_from: Path | None = None
    """Run or translator whose network this training begins with (fine-tuning): same network, as many sources. Controls
    are fitted anew. None: begin with random weights."""

    scale: Literal["paper", "cpu"] = "cpu"
    """paper (the published size) or cpu (the same method made small enough for two cores)."""

    set: tuple[str, ...] = ()
    """Entries of the preset to override, like loop.steps=100 or recipe.options.loss=l1."""

    resume: bool = False
    """Go on from the last checkpoint; budgets (loop.steps, loop.epochs, loop.minutes, loop.patience) may be changed."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Contrasts that are made."""
        given = (self.target,) if isinstance(self.target, str) else self.target
        return tuple(label for label in given if label)


def train(settings: TrainSettings) -> Summary:
    """Learn a translator from prepared cases.

    The run is validated on the subjects of the validation split with a named protocol; the weights of the best
    validation become `RUN/translator`. Killed, it goes on from its last checkpoint with `resume`, and on a processor
    ends with the very weights of a run that was never stopped.

    Raises:
        ConfigError: A setting is wrong, or the run folder holds another training.
        MissingContrastError: No case has the source or target.
        LayoutError: There is no training subject.
        CheckpointError: What it is to start from is absent or damaged.
        TrainingError: A loss is not finite; the last good checkpoint is kept.

    Example:
        >>> train(TrainSettings(prepared="prepared", run="run", source=("T1w",), target="T2w"))  # doctest: +SKIP
    """
    require_names(settings.source, settings.targets)
    if not 0 <= settings.minutes < math.inf:
        raise ConfigError(f"--minutes is {settings.minutes:g}: give a number of minutes, 0 for as the preset says")
    if settings.preset == AUTO and len(settings.targets) > 1:
        settings = dataclasses.replace(settings, preset=ANY_TO_ANY)
        log.info("several targets: preset %s, one network for all of them", ANY_TO_ANY)
    plan = read_plan(settings.preset, settings.scale, settings.set)
    reconstructs = gives_source_back(plan)
    if reconstructs:
        settings = dataclasses.replace(settings, target=settings.targets or settings.source)
    require_targets(settings.source, settings.targets, reconstructs=reconstructs)
    beginning = read_beginning(settings.start_from) if settings.start_from is not None else None
    begins = beginning.settings(plan) if beginning else {}
    if begins:
        plan = read_plan(settings.preset, settings.scale, settings.set, begins)
    cohort = read_cohort(settings.prepared)
    require_contrasts(cohort, (*settings.source, *settings.targets))
    several = _makes_several(settings, plan)
    cases = choose_cases(cohort, settings.source, settings.targets, paired=plan.data.paired, partly=several)
    if reconstructs:
        cases = Cases(cases.train, ())  # nothing is hidden in validation: its score would say nothing
    asked = (settings.preset, settings.scale, settings.set, settings.source, settings.minutes, len(settings.targets))
    started = "" if settings.start_from is None else str(settings.start_from)
    wanted = Wanted(settings.run, *asked, begins, started, _ways(settings, cases) if several else 1)
    planned = plan_run(wanted, plan, cases.train, cases.validation)
    job = _job(settings, planned.plan, cohort, cases, beginning, several=several)
    job, weights = _checked(job)
    facts = _facts(job, cohort) | weights
    if is_finished(settings.run, facts, resume=settings.resume):
        return Summary([f"{settings.run / FOLDER}: finished before, with these settings; nothing was done"])
    if beginning is not None:
        splits = ("validation", "test", *(["train"] if planned.plan.data.held_out else []))
        beginning.warn_of_namesakes({case.case.subject for split in splits for case in cohort.split(split)})
        beginning.warn_of_differences(cohort.scale_settings, cohort.preparation, planned.plan.data.plane)
    make_folder(settings.run)
    planned.write(settings.run)
    config = {"train": settings, "plan": planned.plan, "planned_with": planned.made_with}
    write_settings(settings.run / "config.toml", config)
    inputs = (settings.prepared / FILE_NAME, settings.prepared / "splits.tsv")
    write_provenance(settings.run, "train", settings, inputs, facts)
    learned = launch(job)
    result = save_translators(job, learned)
    write_provenance(settings.run, "train", settings, inputs, facts | {"result": result})
    return Summary(lines_of(job, learned, [result[name] for name in ("error_bars", "distance") if name in result]))


def _makes_several(settings: TrainSettings, plan: Plan) -> bool:
    """Whether one network is trained for whatever sources there are; a preset that makes one target gets one."""
    several = makes_several(plan)  # imports torch
    if len(settings.targets) > 1 and not several:
        raise ConfigError(
            f"preset {settings.preset} makes one target, not {' '.join(settings.targets)}: train it once for each, or "
            f"take the preset {ANY_TO_ANY}"
        )
    if several:
        from recontrast.training.any_to_any import require_bank_plan

        require_bank_plan(plan)
    return several


def _ways(settings: TrainSettings, cases: Cases) -> int:
    """In how many ways targets can be made of sources that training cases have."""
    bank = Bank(sources=settings.source, targets=dict.fromkeys(settings.targets, OPEN_SCALE))
    return len({way for case in cases.train for way in bank.directions(case.images)})


def _job(
    settings: TrainSettings,
    plan: Plan,
    cohort: PreparedCohort,
    cases: Cases,
    beginning: Beginning | None,
    *,
    several: bool,
) -> Job:
    learn_from, validation = cases.train, cases.validation
    options = model_options(plan, len(settings.source), len(settings.targets))
    if beginning is not None:
        beginning.check(settings.source, settings.targets, plan.data)
    before = beginning.description if beginning is not None else None
    scales = {
        label: _median_scale([case.scales[label] for case in learn_from if label in case.scales])
        for label in dict.fromkeys((*settings.source, *settings.targets))
    }
    levels = source_levels(learn_from, settings.source) if plan.data.level_sources else {}
    usual = usual_of([case.acquired for case in learn_from], settings.source) if plan.data.acquisition else None
    if beginning is not None:
        levels, usual = beginning.as_learned(settings.source, levels, usual)
    if levels and not several:  # of several each is a target, too, which stays on its scale: see `BankBatches`
        learn_from, validation = at_source_levels(learn_from, levels), at_source_levels(validation, levels)
    bank = Bank(sources=settings.source, targets={label: scales[label] for label in settings.targets})
    description = TranslatorDescription(
        preset=settings.preset,
        sources=settings.source,
        target="" if several else settings.targets[0],
        model=Member(name=plan.model.name, options=options),
        recipe=Member(name=plan.recipe.name, options=plan.recipe.options),
        target_scale=OPEN_SCALE if several else scales[settings.targets[0]],
        source_scales={label: scales[label] for label in settings.source},
        acquisition=usual,
        scale_settings=cohort.scale_settings,
        preparation=cohort.preparation,
        spacing_mm=(1.0, 1.0, 1.0),
        plane=plan.data.plane,
        neighbours=plan.data.neighbours,
        context_voxels=plan.data.context_voxels,
        context_steep=plan.data.context_steep,
        source_levels=levels,
        clip_output=plan.data.clip_target,
        training_subjects=_hashes(learn_from),
        validation_subjects=_hashes(validation),
        begun_with=before.weights_sha256 if before else "",
        bank=bank if several else None,
    )
    from recontrast.training.loop import Job  # imports torch: late, so that a wrong setting is answered at once

    return Job(
        run=settings.run,
        preset=settings.preset,
        scale=settings.scale,
        plan=plan,
        train=learn_from,
        validation=validation,
        description=description,
        precision="",
        resume=settings.resume,
        beginning=beginning,
    )


def _checked(job: Job) -> tuple[Job, dict[str, list[str]]]:
    """The job, once network and recipe were built without memory: a wrong option is answered before any writing.

    Its translator then also knows the subjects that the segmenters of its losses learned from, and the run that its
    recipe starts from. With it: hashes of the weights that its losses look through.
    """
    import torch

    from recontrast.evaluation.protocols import PROTOCOLS
    from recontrast.losses.perceptual import weights_of_perceptual
    from recontrast.losses.segmentation import weights_of_segmenters
    from recontrast.losses.terms import weigh_lesions
    from recontrast.models import MODELS
    from recontrast.recipes import build_recipe

    plan, options = job.plan, job.description.model.options
    PROTOCOLS.get(plan.loop.protocol)
    choose_precision(plan.loop.precision, accelerated=True)
    if plan.data.batch % (plan.loop.devices * plan.loop.accumulate):
        raise ConfigError(
            f"data.batch {plan.data.batch} cannot be shared by {plan.loop.devices} ranks (loop.devices) in "
            f"{plan.loop.accumulate} parts (loop.accumulate): make it a multiple"
        )
    if plan.data.batch == plan.loop.devices and options.get("norm") == "batch":
        warnings.warn(
            "model.options.norm is batch, and a batch holds one image: training normalises each image by itself, but "
            "the translator by averages over images, which makes it visibly worse; norm=batch_of_one keeps to training",
            RecontrastWarning,
            stacklevel=3,
        )

    def build_network(in_channels: int, out_channels: int) -> torch.nn.Module:
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        built: torch.nn.Module = MODELS.build(plan.model.name, {**options, **channels})
        return built

    with torch.device("meta"):
        network = build_network(options["in_channels"], options["out_channels"])
        if job.beginning is not None:
            job.beginning.check_network(network)
        recipe = build_recipe(
            plan.recipe.name,
            plan.recipe.options,
            network,
            build_network,
            options["in_channels"],
            plan.data.spatial_dims,
        )
    _warn_without_anchor(recipe, network)
    if weigh_lesions(plan.recipe.options):
        require_lesions(job.train, plan.data.lesion_regions)
    most = getattr(recipe, "most_steps", None)
    if most is not None and (most == 0 or (plan.loop.steps > most and not plan.loop.epochs)):
        raise ConfigError(
            f"recipe {plan.recipe.name}: stage two begins after {most} steps and needs a discriminator; raise "
            "recipe.options.first_steps to loop.steps, or name a discriminator"
        )
    cut_by_mask = plan.data.spatial_dims == 3 or set(plan.data.learned_planes) != {"axial"}
    if plan.data.held_out and cut_by_mask and not getattr(recipe, "masked", False):
        raise ConfigError(
            "data.held_out keeps a slab from learning by the mask of the loss, which this recipe does not heed: set "
            "recipe.options.masked=true (recipes supervised, pixelwise), learn from axial slices alone, or leave it out"
        )
    if recipe.paired != plan.data.paired:
        wanted = "true" if recipe.paired else "false"
        raise ConfigError(
            f"recipe {plan.recipe.name} learns from {'paired' if recipe.paired else 'unpaired'} slices: "
            f"set data.paired={wanted}"
        )
    weights = {SEGMENTERS: weights_of_segmenters(recipe), PERCEPTUAL_WEIGHTS: weights_of_perceptual(recipe)}
    return dataclasses.replace(job, description=_knowing(job, recipe)), weights


def _knowing(job: Job, recipe: torch.nn.Module) -> TranslatorDescription:
    """The description, with whom the segmenters of the losses learned from, and the runs that were begun with."""
    from recontrast.losses.segmentation import subjects_of_segmenters

    about, data = job.description, job.plan.data
    planes = data.learned_planes if data.spatial_dims == 2 else (data.plane,)
    started_from = former_of_recipe(recipe, begun=has_begun(job.run))
    former = [one for one in (started_from, job.beginning.description if job.beginning else None) if one is not None]
    segmented = subjects_of_segmenters(recipe, about.target, planes)

    def united(name: str, *more: str) -> tuple[str, ...]:
        return tuple(sorted({subject for one in (about, *former) for subject in getattr(one, name)}.union(more)))

    return dataclasses.replace(
        about,
        training_subjects=united("training_subjects", *segmented),
        validation_subjects=united("validation_subjects"),
        training_images=united("training_images"),
    )


def _warn_without_anchor(recipe: torch.nn.Module, network: torch.nn.Module) -> None:
    """Warn where a loss forgives shifts, and nothing says where the synthetic image belongs."""
    anchored = getattr(network, "has_control", False) or getattr(network, "voxelwise", False)
    if getattr(recipe, "misaligned_voxels", 0) and not anchored:
        other = ", or another model.options.start than none" if hasattr(network, "has_control") else ""
        warnings.warn(
            "recipe.options.misaligned_voxels forgives shifts of the synthetic image, too, and this network adds to no "
            "control that says where it belongs: it may lie voxels off; take a preset with a control (auto, "
            f"any-to-any){other}",
            RecontrastWarning,
            stacklevel=4,
        )


def _hashes(cases: Sequence[PreparedCase]) -> tuple[str, ...]:
    return tuple(sorted({subject_hash(case.case.subject) for case in cases}))


def _median_scale(scales: Sequence[Scale]) -> Scale:
    return Scale(
        scales[0].name,
        statistics.median(scale.offset for scale in scales),
        statistics.median(scale.factor for scale in scales),
    )


def _facts(job: Job, cohort: PreparedCohort) -> dict[str, Any]:
    """What decides how the training goes; a run is only continued when these are the same."""
    from recontrast.losses.terms import weigh_lesions

    about, cases = job.description, (*job.train, *job.validation)
    lesions = job.plan.data.lesion_regions if weigh_lesions(job.plan.recipe.options) else ()
    targets = about.bank.targets if about.bank else (about.target,)
    start = job.plan.recipe.options.get("start")
    return {
        "plan": to_plain(job.plan),
        "sources": list(about.sources),
        "target": list(targets) if about.bank else about.target,
        "train_cases": [case.key for case in job.train],
        "validation_cases": [case.key for case in job.validation],
        "seed": job.plan.loop.seed,
        "start_from": job.beginning.description.weights_sha256 if job.beginning is not None else None,
        RECIPE_START: last_weights(Path(start)) if start else None,
        PREPARED_IMAGES: describe_prepared(cohort, cases, tuple(dict.fromkeys((*about.sources, *targets)))),
        MASKS: sha256_of_masks(cases, ("head", "brain", *lesions)),
    }
