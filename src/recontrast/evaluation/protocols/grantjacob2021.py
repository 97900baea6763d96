"""The protocol of Grant-Jacob et al. 2021: 8-bit slices of all three planes, each plane by itself."""

from __future__ import annotations

from typing import Literal

from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import PLANES, Quantise
from recontrast.preparation.normalize import ScaleSettings

Plane = Literal["sagittal", "coronal", "axial"]


def _of(plane: Plane) -> tuple[MetricUse, ...]:
    window = {"window": "gaussian11", "covariance": "population", "axis": PLANES[plane], "precision": "float64"}
    return (
        MetricUse(label=f"nrmse_{plane}", metric="nrmse", options={"divisor": "range_ref"}, unit="slice", plane=plane),
        MetricUse(label=f"psnr_{plane}", metric="psnr", options={"peak": "max_both"}, unit="slice", plane=plane),
        MetricUse(label=f"ssim_{plane}", metric="ssim", options=window, unit="slice", plane=plane),
    )


# How grey levels became 8 bit, and the SSIM window, are not stated: min-max and the window of Wang 2004 are ours.
GRANTJACOB2021 = PROTOCOLS.register("grantjacob2021")(
    Protocol(
        name="grantjacob2021",
        normaliser=ScaleSettings(name="minmax"),
        synthetic_scale="declared",
        steps=(Quantise(levels=255),),
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(*_of("coronal"), *_of("sagittal"), *_of("axial")),
        primary_metric="psnr_axial",
        slices="varying",
        aggregation=(
            "one value per slice, background included; mean over the slices of a plane; mean and SD over subjects (the "
            "paper has one subject: over slices)"
        ),
        description=(
            "8-bit slices of three planes with background; NRMSE by the slice's range, PSNR peak = larger maximum of "
            "the two slices, SSIM range 255 levels"
        ),
        citation="Grant-Jacob JA et al. 2021 (T1 to T2 of the hand); data doi 10.5258/SOTON/D1634",
    )
)
