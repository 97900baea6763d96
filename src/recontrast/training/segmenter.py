"""The command `train-segmenter`: a prepared folder in, a small network that tells tissues of one contrast apart out.

Its features are what the loss `segmentation` compares. Where the labels come from: see `tissue_maps`.
"""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from recontrast.atomic import atomic_folder, make_folder
from recontrast.errors import ConfigError, LayoutError, RecontrastWarning, TrainingError
from recontrast.execution.workers import Summary
from recontrast.io.tables import write_table
from recontrast.metrics.overlap import dice
from recontrast.preparation.cohort import PreparedCase, read_cohort
from recontrast.provenance import FILE_NAME, earlier_result, refuse_other_settings, write_provenance
from recontrast.training.learned_from import require_contrasts
from recontrast.training.log import LiveLine
from recontrast.training.tissue_maps import MAP, classes_of, with_tissue_map
from recontrast.translation.description import subject_hash

if TYPE_CHECKING:
    from torch import Tensor

    from recontrast.datasets.cases import CachedCase
    from recontrast.datasets.patches import SliceBatches
    from recontrast.losses.segmentation import SegmenterDescription
    from recontrast.models.unet import UNet

STAGE = "train-segmenter"
"""Name of the command."""

TABLE = "dice.tsv"
"""Dice of each class in each validation case."""

_PATCH = (64, 64, 64)
"""Voxels of a patch of a volume."""

_AT_ONCE = 8
"""Slices that are segmented together."""


@dataclass(frozen=True, kw_only=True)
class TeachSettings:
    """Settings of the training of a segmenter."""

    prepared: Path
    """Folder written by `recontrast prepare`, the one the translator is trained on."""

    out: Path
    """Folder for the segmenter."""

    contrast: str = ""
    """Contrast whose tissues it tells apart: the target of the translator (FLAIR)."""

    plane: Literal["axial", "coronal", "sagittal", "volume"] = "axial"
    """Slices of which plane it reads; volume: it is a three-dimensional network. As the translator's data.plane."""

    steps: int = 600
    """Steps it is trained for."""

    batch: int = 0
    """Slices in a step, or patches of 64 x 64 x 64 voxels; 0: 8 slices, 2 patches."""

    width: int = 8
    """Channels of the first level of its U-Net."""

    depth: int = 3
    """How often the U-Net halves the resolution."""

    learning_rate: float = 5e-3
    """Learning rate of the first step; it falls to zero."""

    seed: int = 0
    """Seed of weights, batches and random changes; on a processor the same seed gives the same segmenter."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if min(self.steps, self.batch + 1, self.width, self.depth) < 1 or not self.learning_rate > 0:
            raise ConfigError("steps, width and depth must be at least 1, batch at least 0, the learning rate above 0")


def teach_segmenter(settings: TeachSettings) -> Summary:
    """Train a segmenter on the training subjects, and measure its Dice on the validation subjects.

    Voxels of CSF, grey matter, white matter and, where a case has a mask of them, lesions are told apart, and all of
    them from the rest. The weights of the last step are kept: no subject chose them.

    Raises:
        ConfigError: No contrast is named, a setting is out of range, or the folder holds something else, be it a
            segmenter that was trained with other settings.
        MissingContrastError: No case has the contrast, or there is nothing to find tissues in.
        LayoutError: There is no training subject.
        DataError: The tissues of a case cannot be found.
        TrainingError: The loss is not finite.

    Example:
        >>> teach_segmenter(TeachSettings(prepared="prepared", out="segmenter", contrast="FLAIR"))  # doctest: +SKIP
    """
    if not settings.contrast:
        raise ConfigError("name the contrast, the target of the translator: --contrast FLAIR")
    refuse_other_settings(settings.out, earlier_result(settings.out, STAGE, alone=True), settings)
    cohort = read_cohort(settings.prepared)
    require_contrasts(cohort, [settings.contrast])
    train, judged = (
        tuple(case for case in cohort.split(split) if settings.contrast in case.images)
        for split in ("train", "validation")
    )
    if not train:
        raise LayoutError(f"{settings.prepared}: no training subject has {settings.contrast}; prepare more subjects")
    if not judged:
        warnings.warn(
            f"{settings.prepared}: no validation subject has {settings.contrast}: nothing tells how good it is",
            RecontrastWarning,
            stacklevel=2,
        )
    from recontrast.losses.segmentation import SegmenterDescription, save_segmenter

    about = SegmenterDescription(
        contrast=settings.contrast,
        plane=settings.plane,
        classes=classes_of(train),
        width=settings.width,
        depth=settings.depth,
        training_subjects=tuple(sorted({subject_hash(case.case.subject) for case in train})),
    )
    inputs = (settings.prepared / FILE_NAME, settings.prepared / "splits.tsv")
    with atomic_folder(settings.out) as partial:
        cache = make_folder(partial / "cache")
        network, table = _learn(settings, about, train, judged, cache)
        shutil.rmtree(cache)
        save_segmenter(partial, network, about)
        write_table(partial / TABLE, table)
        write_provenance(partial, STAGE, settings, inputs)
    return Summary([*_lines(table, len(judged)), f"segmenter: {settings.out}"])


def _learn(
    settings: TeachSettings,
    about: SegmenterDescription,
    train: Sequence[PreparedCase],
    judged: Sequence[PreparedCase],
    cache: Path,
) -> tuple[UNet, pd.DataFrame]:
    """The network after the last step, and its Dice in cases that it did not learn from."""
    import torch

    from recontrast.datasets.augment import AugmentSettings
    from recontrast.datasets.cases import cache_cases
    from recontrast.datasets.patches import SliceBatches
    from recontrast.datasets.settings import DataSettings
    from recontrast.datasets.volumes import VolumeBatches

    patch, usual = (_PATCH, 2) if settings.plane == "volume" else (None, 8)
    # A synthetic image is darker, flatter or smoother in places; and tissues of mirrored heads are the same tissues.
    changes = AugmentSettings(shift_voxels=8, source_gain=0.1, source_gamma=0.1, source_noise=0.02, mirror=True)
    data = DataSettings(
        batch=settings.batch or usual,
        plane=settings.plane,
        patch=patch,
        clip_target=False,
        keep_cache=True,
        augment=changes,
    )
    told = [with_tissue_map(case, about.classes, settings.contrast, cache) for case in (*train, *judged)]
    cached = cache_cases(told, [settings.contrast], MAP, data, cache)
    kind = VolumeBatches if settings.plane == "volume" else SliceBatches
    batches = kind(cached[: len(train)], data, settings.seed)
    torch.manual_seed(settings.seed)
    network = about.build().to("cuda" if torch.cuda.is_available() else "cpu")
    _descend(network, batches, settings)
    network.eval()
    rows = [row for case in cached[len(train) :] for row in _agreement(network, case, about.classes)]
    return network, pd.DataFrame(rows, columns=["case", "class", "dice"])


def _descend(network: UNet, batches: SliceBatches, settings: TeachSettings) -> None:
    import torch

    device = next(network.parameters()).device
    descent = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(descent, settings.steps)
    began = time.perf_counter()
    with LiveLine() as live:
        for step in range(settings.steps):
            batch = batches.batch(step)
            image, labels = batch.source.to(device).clamp(0, 1), batch.target[:, 0].to(device).long()
            loss = _disagreement(network(image), labels)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(f"{settings.out}: the loss of step {step + 1} is {value}; try --learning-rate 1e-3")
            descent.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            descent.step()
            falling.step()
            live.step(step + 1, value, (step + 1) / settings.steps, time.perf_counter() - began)


def _disagreement(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy and one minus the mean soft Dice of all classes but the first.

    In the cross-entropy a class counts by the root of how rare it is in the batch, or the network would do without
    lesions. F. Milletari et al., V-Net, 3DV 2016 (the Dice term, here without squares).
    """
    import torch
    from torch.nn import functional

    shares = logits.softmax(dim=1)
    wanted = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(shares.dtype)
    axes = [0, *range(2, logits.ndim)]
    both, sizes, voxels = (shares * wanted).sum(dim=axes), (shares + wanted).sum(dim=axes), wanted.sum(dim=axes)
    overlap = (2 * both[1:] + 1) / (sizes[1:] + 1)
    rarity = (voxels.sum() / voxels.clamp(min=1)).sqrt()
    return functional.cross_entropy(logits, labels, weight=rarity) + torch.mean(1 - overlap)


def _agreement(network: UNet, case: CachedCase, classes: Sequence[str]) -> list[tuple[str, str, float]]:
    """Dice of each class but the first in a whole case; nan where a class is in neither."""
    found, truth = _segmented(network, case), np.rint(case.images[:, case.sources.stop]).astype(np.uint8)
    return [(case.key, name, float(dice(truth, found, label=number))) for number, name in enumerate(classes) if number]


def _segmented(network: UNet, case: CachedCase) -> Any:
    """Number of the class of each voxel, as a stack of slices (N, I, J)."""
    import torch

    device = next(network.parameters()).device
    stack = torch.from_numpy(np.array(case.images[:, case.sources])).clamp(0, 1)
    with torch.no_grad():
        if network.head.weight.ndim == 5:
            volume = stack.movedim(0, -1)[None].to(device)
            return network(volume)[0].argmax(dim=0).movedim(-1, 0).cpu().numpy()
        parts = [network(part.to(device)).argmax(dim=1).cpu() for part in torch.split(stack, _AT_ONCE)]
    return torch.cat(parts).numpy()


def _lines(table: pd.DataFrame, cases: int) -> list[str]:
    if not cases:
        return []
    means = table.groupby("class", sort=False)["dice"].mean()
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return [f"mean Dice in {cases} validation case{'s' if cases > 1 else ''}: {told}"]
