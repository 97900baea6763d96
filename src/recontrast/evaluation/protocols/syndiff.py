"""The protocol of SynDiff's test code: slices divided by their own maximum, cropped; peak of the estimate."""

from __future__ import annotations

from recontrast.evaluation.protocols import NATIVE, PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.steps import CentreCrop, Divide

# Slices are padded with zeros to 256 x 256 when loaded; the crop takes 152 across the head and all 256 front to back.
SYNDIFF = PROTOCOLS.register("syndiff")(
    Protocol(
        name="syndiff",
        normaliser=NATIVE,
        synthetic_scale="reference",
        steps=(Divide(statistic="max", of="own", over="slice"), CentreCrop(size=(152, 256, 0))),
        data_range=1.0,
        regions=(WHOLE_IMAGE,),
        primary=(WHOLE_IMAGE,),
        metrics=(MetricUse(label="psnr", metric="psnr", options={"peak": "max_eval"}, unit="slice"),),
        primary_metric="psnr",
        slices="brain|head",
        aggregation="one value per axial slice; mean over the slices of a subject; mean and SD over subjects",
        description="Slices divided by their own maximum (forgives gain errors), 152 x 256; peak of the estimate",
        citation="Özbey M et al. IEEE Trans Med Imaging 2023; 42:3524; test code of icon-lab/SynDiff",
    )
)
