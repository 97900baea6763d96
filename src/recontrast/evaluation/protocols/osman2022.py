"""The protocol of Osman and Tamam 2022 (J Appl Clin Med Phys), as published."""

from __future__ import annotations

from recontrast.evaluation.protocols import AXIAL, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.preparation.normalize import ScaleSettings

# z-score followed by scaling to [0, 1], as the paper has it, is plain min-max: the two linear maps cancel.
OSMAN2022 = PROTOCOLS.register("osman2022")(
    Protocol(
        name="osman2022",
        normaliser=ScaleSettings(name="minmax"),
        synthetic_scale="declared",
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(label="mae", metric="mae", unit="slice"),
            MetricUse(label="mse", metric="mse", unit="slice"),
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}, unit="slice"),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "uniform7", "covariance": "sample", "axis": AXIAL},
                unit="slice",
            ),
        ),
        primary_metric="psnr",
        aggregation=(
            "one value per axial slice that touches the head, background included; mean over the slices of a subject; "
            "mean and SD over subjects (the paper: over slices)"
        ),
        description="Min-max [0, 1] by subject; axial slices with background; PSNR peak 1; SSIM uniform 7, range 1",
        citation="Osman AFI, Tamam NM. J Appl Clin Med Phys 2022; 23:e13530",
    )
)
