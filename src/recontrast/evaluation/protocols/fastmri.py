"""The protocol of fastMRI: native units, the volume's maximum as full scale, every slice."""

from __future__ import annotations

from recontrast.evaluation.protocols import AXIAL, NATIVE, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import Divide

# fastMRI crops both images to a square first, which takes away oversampling; prepared images have none.
FASTMRI = PROTOCOLS.register("fastmri")(
    Protocol(
        name="fastmri",
        normaliser=NATIVE,
        synthetic_scale="reference",
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(
            MetricUse(label="mse", metric="mse"),
            MetricUse(label="nmse", metric="nmse", options={"divisor": "rms_ref"}),
            MetricUse(label="psnr", metric="psnr", options={"peak": "max_ref"}),
            MetricUse(
                label="ssim",
                metric="ssim",
                options={"window": "uniform7", "covariance": "sample", "axis": AXIAL, "precision": "float64"},
                unit="slice",
                steps=(Divide(statistic="max", of="reference", over="volume"),),
            ),
        ),
        primary_metric="ssim",
        slices=WHOLE_IMAGE,
        aggregation="one value per volume (SSIM: mean over all axial slices); mean and SD over subjects",
        description="Native units with background; full scale: maximum of the reference volume; SSIM uniform 7, 2D",
        citation="Zbontar J et al. 2018, arXiv 1811.08839; fastmri/evaluate.py of facebookresearch/fastMRI",
    )
)
