"""The protocol of Tagawa et al. 2025: axial slices with brain, 8 bit, on the network's scale of -1 to 1."""

from __future__ import annotations

from recontrast.evaluation.protocols import AXIAL, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import Linear, Quantise
from recontrast.preparation.normalize import ScaleSettings

# The paper gives neither the formula nor the peak of its PSNR: full scale is the width of the network's range, 2.
# SSIM on -1 to 1 with range 2 is not SSIM on 0 to 1 with range 1: its luminance term sees other means.
TAGAWA2025 = PROTOCOLS.register("tagawa2025")(
    Protocol(
        name="tagawa2025",
        normaliser=ScaleSettings(name="percentile"),
        synthetic_scale="declared",
        steps=(Quantise(levels=255), Linear(gain=2.0, offset=-1.0)),
        data_range=2.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}, unit="slice"),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "gaussian11", "covariance": "population", "axis": AXIAL, "precision": "float64"},
                unit="slice",
            ),
            MetricUse(label="lpips", metric="lpips", options={"network": "alex", "low": -1.0}, unit="slice"),
            MetricUse(label="mae", metric="mae", unit="slice"),
            MetricUse(label="mse", metric="mse", unit="slice"),
            MetricUse(label="rmse", metric="rmse", unit="slice"),
        ),
        primary_metric="psnr",
        slices="brain|head",
        aggregation=(
            "one value per axial slice with brain, background included; mean over the slices of a subject; mean and SD "
            "over subjects (the paper: over slices)"
        ),
        description="8-bit axial slices with brain on [-1, 1]; PSNR peak 2; SSIM gaussian 11, range 2; LPIPS AlexNet",
        citation="Tagawa H et al. 2025; SSIM and LPIPS as in the released training code; PSNR peak and scale are ours",
    )
)
