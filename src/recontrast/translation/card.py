"""The model card of a translator, in plain words."""

from __future__ import annotations

from recontrast.contrasts import Contrast
from recontrast.translation.conformal import words_of_several
from recontrast.translation.description import TranslatorDescription


def model_card(about: TranslatorDescription) -> str:
    """Text of the `README.md` that lies in a translator's folder."""
    sources = ", ".join(f"{label} ({Contrast.parse(label).description})" for label in about.sources)
    spacing = " x ".join(f"{value:.3g}" for value in about.spacing_mm)
    subjects = len(about.training_subjects)
    slices = f"{about.plane} slices" + (f", each with {about.neighbours} on either side" if about.neighbours else "")
    if about.plane == "volume":
        slices = "whole volumes"
    begun = "random weights"
    if about.begun_with:
        begun = f"weights of another translator (SHA-256 {about.begun_with}); its subjects and images are counted here"
    bars = "none" if about.calibration is None else about.calibration.words()
    if about.bank is not None and about.calibrations:
        bars = words_of_several(about.calibrations, len(about.bank.directions()))
    makes, units = _made(about, sources)
    few = "That is few: expect failures on other scanners and patients.\n" if subjects < 20 else ""
    return f"""# Translator: {about.direction}

**Synthetic: not for diagnosis.** {about.synthetic_statement}

## What it makes, and from what

{makes}
It looks at {slices}. All sources of a case must lie on one grid. The result lies on that same grid.
Its intensities are in the units of the training images: {units} of them are the network's 1.

## How it was trained

| | |
|---|---|
| subjects | {subjects} |
| images | {len(about.training_images)} |
| voxel size (right x anterior x superior) | {spacing} mm (median) |
| preset | {about.preset} |
| network | {about.model.name} |
| way of learning | {about.recipe.name} |
| begun with | {begun} |
| steps | {about.trained_steps} |
| precision | {about.precision_trained} |
| error bars | {bars} |
| saved by | Recontrast {about.version} |

{few}
## Where it must not be used

- Not for diagnosis, not for treatment planning, and not as a replacement for a scan that a patient needs.
- Not on images unlike those it was trained on: another part of the body, another field strength, other sequence
  parameters, another voxel size, a brain without skull when it learned with skull (or the other way round), a disease
  it has not seen. It gives a plausible image there as well, and nothing in that image warns the reader.
- Not for finding what the sources do not show. What is invisible in them can only be guessed.
- Not without evaluation on subjects of your own: `recontrast evaluate` compares it with simple controls.

## Files

`weights.safetensors` holds the weights (SHA-256 {about.weights_sha256 or "not yet saved"}), `translator.json` the
rest. Neither can hold a program. Use them with `recontrast translate`.
"""


def _made(about: TranslatorDescription, sources: str) -> tuple[str, str]:
    """What it makes from what, and how much of each target's unit is the network's 1."""
    if about.bank is None:
        target = f"{about.target} ({Contrast.parse(about.target).description})"
        return f"It makes {target} images from {sources}.", f"{about.target_scale.factor:.6g}"
    targets = ", ".join(f"{label} ({Contrast.parse(label).description})" for label in about.bank.targets)
    units = ", ".join(f"{scale.factor:.6g} ({label})" for label, scale in about.bank.targets.items())
    words = f"It makes images of each of {targets}, from whatever a case has of {sources}, but never from the target."
    return words, units
