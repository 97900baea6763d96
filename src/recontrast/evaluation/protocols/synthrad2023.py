"""The protocol of SynthRAD2023 (MR to CT): Hounsfield units inside the body mask, fixed range."""

from __future__ import annotations

from recontrast.evaluation.protocols import NATIVE, PROTOCOLS, MetricUse, Protocol
from recontrast.evaluation.steps import Clip, KeepRegion, Linear

LOW, HIGH = -1024.0, 3000.0

SYNTHRAD2023 = PROTOCOLS.register("synthrad2023")(
    Protocol(
        name="synthrad2023",
        normaliser=NATIVE,
        synthetic_scale="reference",
        data_range=HIGH - LOW,
        regions=("head",),
        primary=("head",),
        metrics=(
            MetricUse(label="mae", metric="mae"),
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}, steps=(Clip(low=LOW, high=HIGH),)),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "uniform7", "covariance": "sample", "precision": "float64"},
                steps=(Clip(low=LOW, high=HIGH), KeepRegion(region="head", fill=LOW), Linear(offset=-LOW)),
            ),
        ),
        primary_metric="mae",
        aggregation="one value per volume; sessions averaged within the subject; mean and SD over subjects",
        description="Native units (Hounsfield) inside the body mask; PSNR and 3D SSIM (uniform 7) on -1024 to 3000",
        citation="Huijben EMC et al. Med Image Anal 2024; 97:103276; code of SynthRAD2023/metrics",
    )
)
