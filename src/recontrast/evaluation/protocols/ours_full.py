"""Our protocol with every metric that is not in the default: slower, for a closer look."""

from __future__ import annotations

from dataclasses import replace

from recontrast.evaluation.protocols import AXIAL, PROTOCOLS, MetricUse
from recontrast.evaluation.protocols.ours import RECONTRAST

RECONTRAST_FULL = PROTOCOLS.register("recontrast-full")(
    replace(
        RECONTRAST,
        name="recontrast-full",
        metrics=(
            *RECONTRAST.metrics,
            MetricUse(label="nrmse_mean", metric="nrmse", options={"divisor": "mean_ref"}),
            MetricUse(label="nmi", metric="nmi"),
            MetricUse(label="lncc", metric="lncc"),
            MetricUse(label="cw_ssim_axial", metric="cw_ssim", options={"axis": AXIAL}),
            MetricUse(label="ms_ssim_axial", metric="ms_ssim", options={"axis": AXIAL, "window": "uniform7"}),
            MetricUse(label="gradient_distance", metric="gradient_distance"),
            MetricUse(label="high_frequency_distance", metric="high_frequency_distance"),
            MetricUse(label="lpips_axial", metric="lpips", options={"axis": AXIAL}),
        ),
        description="As recontrast, and NMI, LNCC, CW-SSIM, MS-SSIM, sharpness and (with weights) LPIPS; slower",
    )
)
