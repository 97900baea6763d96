"""The protocol by which a study chooses among candidates: error, structure, sharpness and (with weights) LPIPS."""

from __future__ import annotations

from dataclasses import replace

from recontrast.evaluation.protocols import AXIAL, PROTOCOLS, MetricUse
from recontrast.evaluation.protocols.ours import RECONTRAST

RECONTRAST_SELECTION = PROTOCOLS.register("recontrast-selection")(
    replace(
        RECONTRAST,
        name="recontrast-selection",
        regions=("brain|head",),
        metrics=(
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}),
            MetricUse(label="mae", metric="mae"),
            RECONTRAST.use("ssim_axial"),
            MetricUse(label="gradient_distance", metric="gradient_distance"),
            MetricUse(label="high_frequency_distance", metric="high_frequency_distance"),
            MetricUse(label="lpips_axial", metric="lpips", options={"axis": AXIAL}),
        ),
        description="Few metrics of each kind in the brain, to choose among candidates on validation subjects",
    )
)
