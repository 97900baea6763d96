"""Settings of `recontrast evaluate`. Nothing here imports what the work needs, so that workers can start before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PairedTest = Literal["wilcoxon", "t", "auto"]
"""Tests of paired differences; auto: the t test unless Shapiro-Wilk finds them not normal, then Wilcoxon."""


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Settings of `recontrast evaluate`."""

    synthetic: Path
    """Folder of synthetic images: what `recontrast translate` made, or BIDS-named NIfTI files of any other tool."""
    reference: Path
    """Prepared folder, or a BIDS data set or flat folder with acquired images of the target contrast."""
    out: Path
    """Folder for scores.tsv, statistics.tsv, table.tsv (as papers print it), cases.tsv and evaluation.json."""
    protocol: str = "recontrast"
    """How to score (`recontrast list protocols`)."""
    split: str = "test"
    """Split of a prepared folder to evaluate: train, validation or test."""
    controls: tuple[str, ...] = ("identity", "affine", "quantile", "ridge", "boosting")
    """Trivial methods scored beside the synthetic images; give none to leave them out."""
    target: str = ""
    """Contrast to evaluate; left out: the only one among the synthetic images."""
    sources: tuple[str, ...] = ()
    """Contrasts the controls start from; left out: as the sidecars of the synthetic images say."""
    space: str = ""
    """Use only references with this `space` entity (folders that are not prepared)."""
    synthetic_scale: Literal["", "declared", "reference", "own"] = ""
    """Scale of synthetic images: from sidecar, from reference, or fitted on them; left out: as the protocol says."""
    regions: tuple[str, ...] = ()
    """Further regions to score: masks, slices (axial[40:60], coronal[25%:75%]), or both (brain&axial[40:60])."""
    brain_masks: Path | None = None
    """Folder of further brain masks (of the source, say): region brainUnion is their union with the reference's own."""
    tissues_from: str = ""
    """Contrast (T1w, T2w) to find GM, WM and CSF in by the built-in segmentation, for cases without such masks."""
    lpips_weights: Path | None = None
    """Weights of LPIPS (.safetensors or .npz); left out: LPIPS is listed as undefined."""
    resample: bool = False
    """Put synthetic images that lie on another grid onto the reference's instead of refusing them."""
    segmenter: tuple[str, ...] = ()
    """Segment synthetic images and references the same way and compare volumes: tissue, lesion, labels, synthseg …"""
    labels: Path | None = None
    """Folder of label maps made elsewhere, for the segmenter `labels`: subfolders reference and synthetic."""
    keep_labels: Path | None = None
    """Folder that keeps segmentations of the references: evaluations of other images against them take them up."""
    test: PairedTest = "wilcoxon"
    """Paired test over subjects: wilcoxon (signed-rank, exact up to 300 subjects) or t."""
    margins: tuple[str, ...] = ()
    """Margins of non-inferiority and equivalence, fixed beforehand: `metric=value:reason`, in the metric's unit."""
    allow_training_subjects: bool = False
    """Evaluate subjects the translator was trained on; every table then says so."""
    workers: int = 2
    """Number of cases worked on at once."""
    memory_gb: float = 0.0
    """Most memory a worker process may take, GB: a case that needs more fails; 0: no limit."""
    scheduler: str = ""
    """Dask scheduler whose workers do the cases (tcp://host:8786, or its .json file); empty: this machine."""
    seed: int = 0
    """Seed of training voxels, boosting and bootstrap."""
