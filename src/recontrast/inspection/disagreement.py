"""Maps of where a translator disagrees with itself, with others like it, or with the way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.ndimage import shift

from recontrast.inspection.bench import Array, Bench, InspectedCase

DROPOUT_SAMPLES = 4
"""Translations with dropout left on."""


def disagreements(bench: Bench, case: InspectedCase, made: Array) -> dict[str, Array]:
    """Every map there is material for, by name.

    Args:
        bench: With a translator, and perhaps companions.
        case: Its sources are translated again.
        made: The image that is looked at; the way back starts from it.
    """
    found = {"test-time variants": variant_spread(bench, case)}
    dropped = dropout_spread(bench, case)
    if dropped is not None:
        found["dropout"] = dropped
    together = ensemble_spread(bench, case)
    if together is not None:
        found["ensemble"] = together
    back = cycle_difference(bench, case, made)
    if back is not None:
        found["cycle"] = back
    return found


def variant_spread(bench: Bench, case: InspectedCase) -> Array:
    """Standard deviation of the output over a left-right flip and one-voxel shifts, brought back, and itself."""
    made = [case.synthetic]
    flipped = bench.predict({k: np.ascontiguousarray(v[::-1]) for k, v in case.sources.items()}, case.zeros)
    made.append(flipped[::-1])
    for axis in bench.seen_axes:
        move = [1 if a == axis else 0 for a in range(3)]
        moved = {k: shift(v, move, order=0, mode="nearest") for k, v in case.sources.items()}
        made.append(shift(bench.predict(moved, case.zeros), [-m for m in move], order=0, mode="nearest"))
    return np.asarray(np.std(made, axis=0), np.float32)


def dropout_spread(bench: Bench, case: InspectedCase, samples: int = DROPOUT_SAMPLES) -> Array | None:
    """Standard deviation of the output with dropout left on (Gal 2016, ICML); None for a network without it.

    Networks that see volumes are left out. Norms stay as in use; what is drawn depends on the bench's seed only.
    """
    import torch

    from recontrast.translation.inside import as_tensor

    translator = bench.require_translator()
    about, network = translator.description, translator.network
    if bench.sees_volumes:
        return None
    stack = translator.slices_of([case.sources[label] for label in about.sources])
    shown = stack.with_signal()
    if not shown:
        return None
    drawn = []
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _dropping(network):
        torch.manual_seed(bench.seed)
        probe = as_tensor(network, stack.batch([shown[len(shown) // 2]]))
        if torch.equal(network(probe), network(probe)):
            return None
        for _ in range(samples):
            output = case.synthetic.copy()
            slices = np.moveaxis(output, stack.axis, 0)
            for start in range(0, len(shown), 4):
                indices = shown[start : start + 4]
                slices[indices] = network(as_tensor(network, stack.batch(indices)))[:, 0].float().cpu().numpy()
            output = np.clip(output, *about.network_range) if about.clip_output else output
            drawn.append(translator.delivered(output, case.sources, case.zeros))
    return np.asarray(np.std(drawn, axis=0), np.float32)


@contextmanager
def _dropping(network: object) -> Iterator[None]:
    """The network as in training, but for its norms."""
    from torch import nn

    if not isinstance(network, nn.Module):
        raise TypeError("not a network")
    before = {module: module.training for module in network.modules()}
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    for module in before:
        module.training = not isinstance(module, norms)
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def ensemble_spread(bench: Bench, case: InspectedCase) -> Array | None:
    """Standard deviation of the output over the translators of the same contrasts; None when there is only one."""
    others = [c.translator for c in bench.companions if c.role == "ensemble"]
    if not others:
        return None
    own = case.own or case.sources
    made = [case.synthetic, *(other.predict_scaled(other.description.levelled(own), case.zeros) for other in others)]
    return np.asarray(np.std(made, axis=0), np.float32)


def cycle_difference(bench: Bench, case: InspectedCase, made: Array) -> Array | None:
    """Absolute difference of a source and what a translator back makes of the image; None when there is none."""
    back = next((c.translator for c in bench.companions if c.role == "back"), None)
    if back is None:
        return None
    source = (case.own or case.sources)[back.description.target]
    zeros = {bench.target: bench.require_translator().scaled_zero}
    again = back.predict_scaled(back.description.levelled({bench.target: made}), zeros)
    return np.asarray(np.abs(again - source), np.float32)
