"""How well two regions coincide."""

from __future__ import annotations

import numpy as np

from recontrast.metrics import METRICS, Array, Undefined, metric, voxels_of


@METRICS.register("dice")
@metric(best=1.0, higher_is_better=True, title="Dice")
def dice(
    reference: Array,
    estimate: Array,
    *,
    mask: Array | None = None,
    data_range: float | None = None,
    label: int | None = None,
) -> float:
    """Dice coefficient 2 |A ∩ B| / (|A| + |B|) (Dice 1945, Ecology 26:297).

    Args:
        reference: True region (nonzero inside) or label image, any shape.
        estimate: Region that is judged, same shape.
        mask: Only voxels in it count; None for all.
        data_range: Not used.
        label: Compare the voxels that carry this label; None: the nonzero voxels.

    Returns:
        0 to 1. nan when both regions are empty: there is nothing to agree on, and 1 would flatter.

    Example:
        >>> dice(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
        0.6666666666666666
    """
    true, judged = voxels_of(reference, mask), voxels_of(estimate, mask)
    first, second = (true != 0, judged != 0) if label is None else (true == label, judged == label)
    total = np.count_nonzero(first) + np.count_nonzero(second)
    if total == 0:
        raise Undefined("the region is empty in both images")
    return 2 * np.count_nonzero(first & second) / total
