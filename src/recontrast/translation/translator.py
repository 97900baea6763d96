"""A translator: a trained network with everything needed to use it on native images. Saved without pickle."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from recontrast.atomic import atomic_folder, output_error, write_json, write_text
from recontrast.errors import IntensityError, MissingContrastError, RecontrastWarning
from recontrast.preparation.acquisition import Acquisition, known
from recontrast.preparation.context import context_channels
from recontrast.preparation.normalize import Scale
from recontrast.provenance import sha256_of
from recontrast.relaxometry.coverage import SignalCoverage
from recontrast.translation.card import model_card
from recontrast.translation.checks import fit_source, require_finite_images, require_one_grid, warn_of_spacing
from recontrast.translation.description import (
    CARD,
    DESCRIPTION,
    WEIGHTS,
    Member,
    TranslatorDescription,
    description_to_json,
    direction_name,
    read_description,
    subject_hash,
    translator_folder,
)
from recontrast.translation.distance import Distance, TrainingDistribution, describe, load_distribution
from recontrast.translation.engines.choice import (
    PROBE_SLICES,
    PROBE_VOXELS,
    WIDER_SLICES,
    Choice,
    Engines,
    EngineSettings,
)
from recontrast.translation.engines.pytorch import memory_of_device_gb
from recontrast.translation.memory import working_bytes
from recontrast.translation.slices import SliceStack, from_ras, not_acquired, ras_spacing, to_ras
from recontrast.translation.support import load_training_signals, rarity_of, share_outside
from recontrast.translation.uncertainty import ONLY, ErrorBars, load_error_bars, packed
from recontrast.translation.weights import build_network, fill_network, read_weights, require_finite
from recontrast.translation.windows import (
    blend_windows,
    fitting_window,
    place_windows,
    signal_box,
)
from recontrast.volume import Volume

log = logging.getLogger(__name__)

__all__ = [
    "Member",
    "Translation",
    "Translator",
    "TranslatorDescription",
    "load_translator",
    "save_translator",
    "subject_hash",
]


@dataclass(frozen=True)
class Translation:
    """A synthetic image and how it was made.

    Attributes:
        volume: The image, on the sources' grid, in native units of the target.
        scales: Scale of each source.
        choice: Engine that made it, and how close it is to PyTorch in fp32.
        slices: Number of slices (of windows, where it sees volumes) that went through the network.
        rarity: Where the sources' signals are rare among those of training (0 never seen, 1 common); None for
            translators that look at neighbourhoods, or when nobody asked.
        outside: Share of the voxels with signal that are rarer than one in a thousand; None without `rarity`.
        distance: How far the sources are from the training scans; None when the translator does not know them.
        uncertainty: Half of each voxel's interval, in units of the image; None when the translator has no error bars.
    """

    volume: Volume
    scales: Mapping[str, Scale]
    choice: Choice
    slices: int
    rarity: Volume | None = None
    outside: float | None = None
    distance: Distance | None = None
    uncertainty: Volume | None = None


class Translator:
    """Makes the target contrast from source images.

    Same input, same bytes on a processor: nothing depends on time, chance or the cases before. Several threads may use
    one translator: images are scaled side by side, the network works for one of them at a time.

    The attribute `signals` holds the distribution of the training signals of a voxel-wise translator; set it to None
    when no map of rarity is wanted. The attribute `training` holds the training scans in numbers; with it every scan is
    held against them and one that is unlike them gives a warning. `with_error_bars` gives one that makes an interval
    around every voxel, or none. `acquired` is what the network is told of how its sources were acquired (`given`).

    Args:
        network: The network; its weights must not change while this object is used.
        description: What it is.
        settings: Engine, precision and device; default: the fastest that agrees with fp32.
        folder: Where it was loaded from.

    Raises:
        CheckpointError: The network's channels do not fit the description.

    Example:
        >>> translator = load_translator(Path("run"))  # doctest: +SKIP
        >>> synthetic = translator.translate({"T1w": read_volume(Path("sub-01_T1w.nii.gz"))})  # doctest: +SKIP
    """

    def __init__(
        self,
        network: nn.Module,
        description: TranslatorDescription,
        settings: EngineSettings | None = None,
        folder: Path | None = None,
    ) -> None:
        self.network = network
        self.description = description
        self.folder = folder
        self.settings = settings or EngineSettings()
        self.signals: SignalCoverage | None = None
        self.training: TrainingDistribution | None = None
        self._bars: Mapping[str, ErrorBars] = {}
        self.acquired: Mapping[str, Acquisition] = {}
        self._one_at_a_time = threading.Lock()
        volumes = description.spatial_dims == 3
        self._voxel_bytes = 0.0
        self._engines = Engines(network, description.network_range, self.settings, volumes=volumes)

    @property
    def device(self) -> str:
        """Where the network runs: cpu or cuda."""
        return self._engines.device

    def given(self, there: Collection[str], acquired: Mapping[str, Acquisition] | None = None) -> Translator:
        """This translator, with the same network, for a case with these sources (see `making`), acquired like this."""
        other = self._described(self.description.given(there))
        other.acquired = known(other.description.acquisition or {}, acquired or {}, other.description.sources)
        return other

    def making(self, target: str) -> Translator:
        """This translator, with the same network, for one of the targets it can make."""
        return self._described(self.description.making(target))

    def _described(self, description: TranslatorDescription) -> Translator:
        other = copy.copy(self)
        other.description = description
        return other

    @property
    def error_bars(self) -> ErrorBars | None:
        """What makes an interval around every voxel, for the direction that was chosen; None: nothing does."""
        about = self.description
        return self._bars.get(ONLY if about.bank is None else direction_name(about.sources, about.target))

    def with_error_bars(self, bars: Mapping[str, ErrorBars]) -> Translator:
        """This translator with the error bars of each direction (`load_error_bars`); with none at all if empty."""
        other = copy.copy(self)
        other._bars = bars
        return other

    def translate(
        self, sources: Mapping[str, Volume], *, scales: Mapping[str, Scale] | None = None, where: str = ""
    ) -> Volume:
        """The target contrast on the very grid of the sources, in native units of the target; see `run`."""
        return self.run(sources, scales=scales, where=where).volume

    def run(
        self, sources: Mapping[str, Volume], *, scales: Mapping[str, Scale] | None = None, where: str = ""
    ) -> Translation:
        """Translate one case and say how it was done.

        Where nothing was acquired (`not_acquired`) the result is zero in native units, whatever the network makes of
        it; slices that are empty throughout are not shown to it. `predict_scaled` gives the same image.

        Args:
            sources: Contrast label to image, native units, any orientation, all on one grid.
            scales: Contrast label to intensity scale; left out: fitted to each image as in preparation.
            where: Subject or path that stands at the start of messages.

        Raises:
            MissingContrastError: A source the translator needs is not given.
            GeometryError: The sources are not on one grid.
            IntensityError: A source is all zero, constant, or holds NaN or infinity.
        """
        where = where or "translate"
        volumes = self.in_order(sources, where)
        require_one_grid(volumes, where)
        grid = next(iter(volumes.values()))
        warn_of_spacing(grid, self.description, where)
        fitted = {
            label: scales[label] if scales else fit_source(volume, self.description, label, where)
            for label, volume in volumes.items()
        }
        native = {label: to_ras(volume) for label, volume in volumes.items()}
        scaled = self.description.levelled({label: fitted[label].apply(image) for label, image in native.items()})
        with self._one_at_a_time:
            output, choice, slices = self._predict(scaled)
            distance = self.distance_of(scaled, ras_spacing(grid))
        if distance is not None and distance.beyond:
            warnings.warn(distance.warning(where), RecontrastWarning, stacklevel=2)
        if not np.isfinite(output).all():
            raise IntensityError(f"{where}: the network made values that are not finite; try --precision fp32")
        output = self.delivered(output, native, {})  # native zero is zero
        made = Translation(
            from_ras(self.description.target_scale.invert(output), grid), fitted, choice, slices, distance=distance,
            uncertainty=self._uncertainty(scaled, output, grid),
        )  # fmt: skip
        if self.signals is None:
            return made
        labels = self.description.sources
        rarity = rarity_of(self.signals, scaled, labels, where)
        outside = share_outside(rarity, scaled, labels)
        return dataclasses.replace(made, rarity=from_ras(rarity, grid), outside=outside)

    def _uncertainty(
        self, scaled: Mapping[str, NDArray[np.float32]], output: NDArray[np.float32], grid: Volume
    ) -> Volume | None:
        if self.error_bars is None:
            return None
        sources = [scaled[label] for label in self.description.sources]
        half = self.error_bars.half_widths(sources, output, ras_spacing(grid))
        return from_ras(half * np.float32(self.description.target_scale.factor), grid)

    def distance_of(
        self, scaled: Mapping[str, NDArray[np.float32]], spacing: tuple[float, float, float]
    ) -> Distance | None:
        """How far sources at their level (axes R, A, S) are from the training scans; None when those are unknown."""
        if self.training is None:
            return None
        row = describe(self.description, scaled, spacing, self.network)
        return self.training.distance(row) if row else None

    def predict_scaled(
        self, sources: Mapping[str, NDArray[np.float32]], zeros: Mapping[str, float]
    ) -> NDArray[np.float32]:
        """The image that `run` delivers, in network range, from sources in network range.

        Args:
            sources: Contrast label to scaled array (I, J, K), axes along R, A, S, at their level.
            zeros: Contrast label to the scaled value of native zero, by which what was not acquired is known; 0 where
                it is not named, as for every scale that keeps intensity zero.

        Returns:
            Same shape, clipped when the description says so; `scaled_zero` where nothing was acquired.

        Raises:
            MissingContrastError: A source is not given.
        """
        return self.delivered(self.network_output(sources), sources, zeros)

    def network_output(self, sources: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """As `predict_scaled`, but with what the network makes of everything it is shown, acquired or not.

        For questions about the network that show it pieces of an image, or shuffled voxels. No image to look at.
        """
        return self._predict({label: sources[label] for label in self._require(sources, "predict")})[0]

    def delivered(
        self, output: NDArray[np.float32], sources: Mapping[str, NDArray[np.float32]], zeros: Mapping[str, float]
    ) -> NDArray[np.float32]:
        """What the network made, with no signal where nothing was acquired: every image goes through here.

        Args:
            output: In network range; it is overwritten.
            sources: Native, or scaled.
            zeros: As for `predict_scaled`; empty for native ones.
        """
        labels = self.description.sources
        output[not_acquired([sources[n] for n in labels], [zeros.get(n, 0.0) for n in labels])] = self.scaled_zero
        return output

    def _predict(self, scaled: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], Choice, int]:
        about = self.description
        sources = [scaled[label] for label in about.sources]
        if about.spatial_dims == 3:
            return self._predict_volume(np.stack(sources))
        stack = self.slices_of(sources)
        output = np.full(stack.shape, self.scaled_zero, dtype=np.float32)
        slices = np.moveaxis(output, stack.axis, 0)
        shown = stack.with_signal()
        choice = self._engines.choose(
            stack.batch(_spread(shown or [0], PROBE_SLICES)), lambda: stack.batch(_spread(shown or [0], WIDER_SLICES))
        )
        for start in range(0, len(shown), self._engines.batch):
            indices = shown[start : start + self._engines.batch]
            slices[indices] = choice.engine(stack.batch(indices))[:, 0]
        if about.clip_output:
            np.clip(output, *about.network_range, out=output)
        return output, choice, len(shown)

    def slices_of(self, sources: Sequence[NDArray[np.float32]]) -> SliceStack:
        """What the network sees of scaled sources (I, J, K), in the translator's order: their slices and their context.

        Only for translators that see slices.
        """
        about, bank = self.description, self.description.bank
        if bank is None:
            further = context_channels(sources, about.context_voxels, about.context_steep)
            return SliceStack(sources, about.plane, about.neighbours, further)
        there = dict(zip(about.sources, sources, strict=True))
        seen = about.context_voxels, about.context_steep
        around = {label: context_channels([image], *seen) for label, image in there.items()}
        planes = bank.filled(there, around, about.target, np.zeros_like(sources[0]), about.told(self.acquired))
        images = len(bank.sources)
        return SliceStack(planes[:images], about.plane, about.neighbours, planes[images:])

    def _predict_volume(self, source: NDArray[np.float32]) -> tuple[NDArray[np.float32], Choice, int]:
        """As `_predict`, from the box of (C, I, J, K) that shows anything; the number is that of the windows."""
        about, settings = self.description, self.settings
        output = np.full(source.shape[1:], self.scaled_zero, dtype=np.float32)
        box = signal_box(source)
        shown = source[:, *box]
        limit = settings.memory_gb or memory_of_device_gb(self.device) / 2
        self._voxel_bytes = self._voxel_bytes or working_bytes(self.network, len(source))
        size = fitting_window(shown.shape[1:], self._voxel_bytes, limit)
        if settings.window:
            size = tuple(min(length, settings.window) for length in size)
        windows = place_windows(shown.shape[1:], size, settings.overlap)
        if len(windows.starts) > 1:
            whole, part = "x".join(map(str, shown.shape[1:])), "x".join(map(str, windows.size))
            log.info("a volume of %s voxels is translated in %d windows of %s", whole, len(windows.starts), part)
        middle = [slice(max(0, (n - m) // 2), (n + m) // 2) for n, m in zip(shown.shape[1:], PROBE_VOXELS, strict=True)]
        choice = self._engines.choose(np.ascontiguousarray(shown[:, *middle])[None])
        output[box], count = blend_windows(shown, windows, choice.engine, self.scaled_zero)
        if about.clip_output:
            np.clip(output, *about.network_range, out=output)
        return output, choice, count

    @property
    def scaled_zero(self) -> float:
        """Value of no signal in the image, in network range."""
        zero = self.description.target_scale.zero
        return float(np.clip(zero, *self.description.network_range)) if self.description.clip_output else zero

    def _require(self, sources: Mapping[str, Any], where: str) -> tuple[str, ...]:
        missing = [label for label in self.description.sources if label not in sources]
        if missing:
            raise MissingContrastError(
                f"{where}: the translator needs {', '.join(self.description.sources)}, "
                f"{', '.join(missing)} is not there (got {', '.join(sources) or 'nothing'})"
            )
        return self.description.sources

    def in_order(self, sources: Mapping[str, Volume], where: str) -> dict[str, Volume]:
        """The images the translator needs, in the order of its channels.

        Raises:
            MissingContrastError: One is not given.
            IntensityError: One holds NaN or infinity.
        """
        volumes = {label: sources[label] for label in self._require(sources, where)}
        require_finite_images(volumes, where)
        return volumes


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """At most so many of the indices, evenly spread."""
    return sorted({indices[(2 * n + 1) * len(indices) // (2 * count)] for n in range(count)})


def save_translator(
    folder: Path,
    network: nn.Module,
    description: TranslatorDescription,
    error_bars: Mapping[str, ErrorBars] | None = None,
) -> Path:
    """Write a translator's folder: weights, description, model card. The folder is either the old one or the new one.

    Args:
        folder: The folder to make or replace.
        network: The network; all its parameters and buffers are stored, on the CPU.
        description: What it is; the hash of the weights is filled in.
        error_bars: Its error bars by direction (`ONLY` where there is one), which become part of the description.

    Raises:
        CheckpointError: A weight is not finite, or the network does not fit the description.
        OutputError: The folder cannot be written.

    Example:
        >>> save_translator(Path("run/translator"), network, description)  # doctest: +SKIP
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    require_finite(weights, str(folder))
    with atomic_folder(folder) as partial:
        try:
            save_file(weights, partial / WEIGHTS)
        except (OSError, SafetensorError) as error:
            if isinstance(error, OSError):
                raise output_error(folder / WEIGHTS, error) from error
            raise output_error(folder / WEIGHTS, OSError(0, str(error))) from error
        complete = dataclasses.replace(description, weights_sha256=sha256_of(partial / WEIGHTS))
        if error_bars:
            calibrations = packed(error_bars, partial)
            only = calibrations.pop(ONLY, None)
            complete = dataclasses.replace(complete, calibration=only, calibrations=calibrations)
        write_json(partial / DESCRIPTION, description_to_json(complete))
        write_text(partial / CARD, model_card(complete))
    return folder


def load_translator(folder_or_run: Path, settings: EngineSettings | None = None, target: str = "") -> Translator:
    """Load a translator from its folder, or from the run that holds it. Nothing in the folder is executed.

    Args:
        folder_or_run: RUN or RUN/translator.
        settings: Engine, precision and device.
        target: Which contrast to make, where it makes several.

    Raises:
        ConfigError: It makes several contrasts and none is named.
        UnknownNameError: It does not make the target.
        CheckpointError: The folder is absent, damaged, of another format, or its parts do not belong together.
        DependencyError: The engine or device asked for is not there.

    Example:
        >>> load_translator(Path("run")).description.target  # doctest: +SKIP
        'T2w'
    """
    folder = translator_folder(folder_or_run)
    description = read_description(folder)
    path = folder / WEIGHTS
    weights = read_weights(path, description.weights_sha256)
    network = build_network(description, folder)
    fill_network(network, weights, path)
    translator = Translator(network, description, settings, folder)
    translator.signals = load_training_signals(folder)
    translator.training = load_distribution(folder)
    return translator.with_error_bars(load_error_bars(folder, description)).making(target)
