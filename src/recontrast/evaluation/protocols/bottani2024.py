"""The protocol of Bottani et al. 2024, as published: inside the brain mask only."""

from __future__ import annotations

from recontrast.evaluation.protocols import PROTOCOLS, MetricUse, Protocol
from recontrast.preparation.normalize import ScaleSettings

BOTTANI2024 = PROTOCOLS.register("bottani2024")(
    Protocol(
        name="bottani2024",
        normaliser=ScaleSettings(name="minmax"),
        synthetic_scale="declared",
        data_range=1.0,
        regions=("brainUnion|brain|head",),
        primary=("brainUnion", "brain", "head"),
        metrics=(
            MetricUse(label="mae_percent", metric="mae_percent"),
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "gaussian11", "covariance": "population", "precision": "float64"},
            ),
        ),
        primary_metric="mae_percent",
        aggregation="one value per volume; sessions averaged within the subject; mean and SD over subjects",
        description="Min-max [0, 1] of each volume, union of brain masks; MAE in %, PSNR peak 1, 3D SSIM gaussian 11",
        citation="Bottani S et al. 2024 (contrast-enhanced to non-enhanced T1w); SSIM: Wang et al. 2004",
    )
)
