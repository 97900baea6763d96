"""What the code released with Bottani et al. 2024 computes: whole volumes, and an SSIM of one global window."""

from __future__ import annotations

from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import KeepRegion
from recontrast.preparation.normalize import ScaleSettings

# The constants are not squared, and variances are divided by N - 1 but the covariance by N: a flat image scores high.
BOTTANI2024_CODE = PROTOCOLS.register("bottani2024-code")(
    Protocol(
        name="bottani2024-code",
        normaliser=ScaleSettings(name="minmax"),
        synthetic_scale="declared",
        steps=(KeepRegion(region="brainUnion|brain|head"),),
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(label="mae_percent", metric="mae_percent"),
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}),
            MetricUse(label="ssim", metric="ssim_global", options={"c1": 0.01, "c2": 0.03, "variance": "sample"}),
        ),
        primary_metric="mae_percent",
        aggregation="one value per volume; sessions averaged within the subject; mean and SD over subjects",
        description="As bottani2024, but zero outside the brain and averaged over the whole volume; SSIM of one window",
        citation="code released with Bottani S et al. 2024; the published numbers cannot come from it",
    )
)
