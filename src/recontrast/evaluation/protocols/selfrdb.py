"""The protocol of SelfRDB's code: masked slices divided by their own mean; the reference's maximum as full scale."""

from __future__ import annotations

from recontrast.evaluation.protocols import AXIAL, NATIVE, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import Divide, KeepRegion, Magnitude

SELFRDB = PROTOCOLS.register("selfrdb")(
    Protocol(
        name="selfrdb",
        normaliser=NATIVE,
        synthetic_scale="reference",
        steps=(
            KeepRegion(region="brain|head"),
            Magnitude(),
            Divide(statistic="mean", of="own", over="slice"),
            # PSNR and SSIM of full scale max(reference slice) are those of range 1 after this division.
            Divide(statistic="max", of="reference", over="slice"),
        ),
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}, unit="slice"),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "uniform7", "covariance": "sample", "axis": AXIAL, "precision": "float64"},
                unit="slice",
            ),
        ),
        primary_metric="psnr",
        slices="brain|head",
        aggregation="one value per axial slice; mean over the slices of a subject; mean and SD over subjects",
        description="Masked slices divided by their own mean (forgives gain errors); full scale: reference maximum",
        citation="Arslan F et al. Med Image Anal 2025 (SelfRDB); code of icon-lab/SelfRDB, SSIM there in percent",
    )
)
