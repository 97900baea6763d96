"""The protocol of MRIxFields2026: the reference clipped at its 99.5th percentile, whole volumes, axial SSIM."""

from __future__ import annotations

from recontrast.evaluation.protocols import AXIAL, NATIVE, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import Divide, PercentileScale

# Submissions there are on [0, 1] already; here the estimate is in the reference's units and gets the reference's scale.
MRIXFIELDS = PROTOCOLS.register("mrixfields")(
    Protocol(
        name="mrixfields",
        normaliser=NATIVE,
        synthetic_scale="reference",
        steps=(PercentileScale(high=99.5, clip=("reference",)),),
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(label="nrmse", metric="nrmse", options={"divisor": "rms_ref"}),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "uniform7", "covariance": "sample", "axis": AXIAL, "precision": "float64"},
                unit="slice",
                slices="varying",
                steps=(Divide(statistic="range", of="reference", over="volume"),),
            ),
            MetricUse(label="lpips", metric="lpips", options={"network": "alex"}, unit="slice", slices=WHOLE_IMAGE),
        ),
        primary_metric="ssim",
        aggregation="one value per volume (SSIM, LPIPS: mean over axial slices); mean and SD over subjects",
        description="Zero to the 99.5th percentile of the reference, with background; SSIM uniform 7 in axial slices",
        citation="MRIxFields2026; Evaluation/evaluate.py of MRIxFields/MRIxFields2026",
    )
)
