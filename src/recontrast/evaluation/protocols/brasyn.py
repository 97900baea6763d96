"""The protocol of the BraTS synthesis challenge's tool (GaNDLF), without its fault in inverting masks."""

from __future__ import annotations

from recontrast.evaluation.protocols import NATIVE, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import PercentileScale

# The tool hands (1, X, Y, Z) arrays to a metric that takes X for colour channels: its windows lie in sagittal slices.
# It inverts an 8-bit mask bit by bit, so without a void image its scale is about 254 times too wide; not so here.
BRASYN = PROTOCOLS.register("brasyn")(
    Protocol(
        name="brasyn",
        normaliser=NATIVE,
        synthetic_scale="reference",
        steps=(PercentileScale(low=0.5, high=99.5),),
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(
                label="ssim",
                metric="ssim",
                options={
                    "window": "gaussian11",
                    "covariance": "population",
                    "axis": 0,
                    "border": "reflect",
                    "whole": True,
                    "precision": "float64",
                },
            ),
            MetricUse(label="mse", metric="mse"),
            MetricUse(label="rmse", metric="rmse"),
            MetricUse(label="mae", metric="mae"),
            MetricUse(label="psnr", metric="psnr", options={"peak": "range_ref"}),
            MetricUse(label="psnr_01", metric="psnr", options={"peak": "data_range"}),
        ),
        primary_metric="ssim",
        aggregation="one value per volume; sessions averaged within the subject; mean and SD over subjects",
        description="0.5 to 99.5 percentile of the reference clipped to [0, 1], with background; sagittal SSIM",
        citation="BraTS synthesis challenges 2023-2025 (BraSyn, arXiv 2305.09011); code of mlcommons/GaNDLF",
    )
)
