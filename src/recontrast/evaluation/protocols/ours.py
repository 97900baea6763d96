"""Our default protocol: percentile scale, regions, whole volumes."""

from __future__ import annotations

from recontrast.evaluation.protocols import AXIAL, PROTOCOLS, MetricUse, Protocol
from recontrast.preparation.normalize import ScaleSettings

RECONTRAST = PROTOCOLS.register("recontrast")(
    Protocol(
        name="recontrast",
        normaliser=ScaleSettings(name="percentile"),
        synthetic_scale="declared",
        data_range=1.0,
        regions=(),
        primary=("brain", "head"),
        metrics=(
            MetricUse(label="mae", metric="mae"),
            MetricUse(label="mse", metric="mse"),
            MetricUse(label="rmse", metric="rmse"),
            MetricUse(label="nrmse", metric="nrmse", options={"divisor": "range_ref"}),
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}),
            MetricUse(label="ssim", metric="ssim", options={"window": "gaussian11", "covariance": "population"}),
            MetricUse(
                label="ssim_axial",
                metric="ssim",
                options={"window": "gaussian11", "covariance": "population", "axis": AXIAL},
            ),
        ),
        primary_metric="psnr",
        aggregation="one value per volume and region; sessions averaged within the subject; mean and SD over subjects",
        description="Zero to the 99.9th percentile of the head becomes [0, 1]; each region by itself; whole volumes",
        citation="this project; SSIM: Wang et al. 2004, IEEE Trans Image Process 13:600 (gaussian 11, sigma 1.5)",
    )
)
