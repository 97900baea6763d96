"""The protocol of SynthRAD2025 (MR to CT): Hounsfield units inside the body mask, fixed range."""

from __future__ import annotations

from recontrast.evaluation.protocols import NATIVE, PROTOCOLS, MetricUse, Protocol
from recontrast.evaluation.steps import Clip, Linear

LOW, HIGH = -1024.0, 3071.0

SYNTHRAD2025 = PROTOCOLS.register("synthrad2025")(
    Protocol(
        name="synthrad2025",
        normaliser=NATIVE,
        synthetic_scale="reference",
        data_range=HIGH - LOW,
        regions=("head",),
        primary=("head",),
        metrics=(
            MetricUse(label="mae", metric="mae"),
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}, steps=(Clip(low=LOW, high=HIGH),)),
            MetricUse(
                label="ms_ssim",
                metric="ms_ssim",
                options={"variant": "synthrad2025", "window": "uniform7"},
                steps=(Clip(low=LOW, high=HIGH), Linear(offset=-LOW)),
            ),
        ),
        primary_metric="mae",
        aggregation="one value per volume; sessions averaged within the subject; mean and SD over subjects",
        description="Native units (Hounsfield) inside the body mask; PSNR and MS-SSIM on -1024 to 3071",
        citation="SynthRAD2025; code of SynthRAD2025/evaluation",
    )
)
