"""What the code released with Osman and Tamam 2022 computes: 64 middle slices, SSIM with a data range of 2."""

from __future__ import annotations

from dataclasses import replace

from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.protocols.osman2022 import OSMAN2022
from recontrast.evaluation.steps import Linear

# scikit-image before 0.20 took 2 as the range of floating-point images; SSIM of range 2 is that of halved images.
OSMAN2022_CODE = PROTOCOLS.register("osman2022-code")(
    replace(
        OSMAN2022,
        name="osman2022-code",
        slices="head:64",
        metrics=tuple(
            replace(use, steps=(Linear(gain=0.5),)) if use.metric == "ssim" else use for use in OSMAN2022.metrics
        ),
        aggregation=(
            "one value per axial slice, the 64 in the middle of the head, background included; mean over the slices of "
            "a subject; mean and SD over subjects (the code: over slices)"
        ),
        description="As osman2022, but the 64 middle slices, and SSIM of range 2 for images in [0, 1] (too high)",
        citation="code released with Osman AFI, Tamam NM. J Appl Clin Med Phys 2022; 23:e13530",
    )
)
