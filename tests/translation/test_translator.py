from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from recontrast.atomic import PARTIAL
from recontrast.errors import (
    CheckpointError,
    GeometryError,
    IntensityError,
    MissingContrastError,
    OutputError,
    RecontrastWarning,
)
from recontrast.models import MODELS
from recontrast.preparation.normalize import Scale, ScaleSettings, fit_scale
from recontrast.provenance import sha256_of
from recontrast.translation.description import CARD, DESCRIPTION, WEIGHTS, Member, TranslatorDescription
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Translator, load_translator, save_translator
from recontrast.volume import Volume

FP32 = EngineSettings(engine="torch", precision="fp32", device="cpu")
UNET = Member(name="unet", options={"width": 4, "depth": 2})
ORIENTATIONS = sorted(
    "".join(codes)
    for axes in permutations(("LR", "PA", "IS"))
    for codes in product(*axes)
)  # fmt: skip


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_goes_in_comes_out_on_the_same_grid(
    save: Callable[..., Path], make_volume: Callable[..., Volume], orientation: str
) -> None:
    volume = make_volume().reoriented(orientation)
    translator = load_translator(save(target_scale=fit_scale(volume)), FP32)
    result = translator.translate({"T1w": volume})
    assert result.shape == volume.shape
    assert np.abs(result.affine - volume.affine).max() == 0
    assert np.abs(result.data - volume.data).max() <= 1e-4 * np.ptp(volume.data)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_every_plane_and_the_middle_of_the_neighbours(
    save: Callable[..., Path], make_volume: Callable[..., Volume], plane: str
) -> None:
    volume = make_volume().reoriented("PIL")
    scale = fit_scale(volume)
    model = Member(name="copy", options={"channel": 2})
    run = save(plane=plane, neighbours=2, model=model, target_scale=scale)
    result = load_translator(run, FP32).translate({"T1w": volume})
    assert np.abs(result.data - volume.data).max() <= 1e-4 * np.ptp(volume.data)


def test_several_sources_go_to_their_channels_in_any_order(
    save: Callable[..., Path], make_volume: Callable[..., Volume]
) -> None:
    first, second = make_volume(seed=1), make_volume(seed=2)
    second = second.with_data(3 * second.data)
    run = save(
        sources=("T1w", "PDw"), model=Member(name="copy", options={"channel": 1}), target_scale=fit_scale(second)
    )
    result = load_translator(run, FP32).translate({"PDw": second, "T1w": first})
    assert np.abs(result.data - second.data).max() <= 1e-4 * np.ptp(second.data)


def test_the_result_is_in_native_units_of_the_target_and_clipped(
    save: Callable[..., Path], make_volume: Callable[..., Volume]
) -> None:
    volume = make_volume()
    translator = load_translator(save(target_scale=Scale("percentile", 50.0, 2000.0), clip_output=True), FP32)
    made = translator.run({"T1w": volume})
    expected = np.clip(fit_scale(volume).apply(volume.data), 0, 1) * 2000 + 50
    assert np.allclose(made.volume.data, expected, atol=0.1)
    assert made.volume.data.max() == 2050.0


def test_given_scales_are_used_instead_of_fitted_ones(
    save: Callable[..., Path], make_volume: Callable[..., Volume]
) -> None:
    volume = make_volume()
    result = load_translator(save(), FP32).translate({"T1w": volume}, scales={"T1w": Scale("fixed", 0.0, 100.0)})
    assert np.allclose(result.data, volume.data * 10, rtol=1e-5)


def test_slices_without_signal_become_zero_and_are_not_shown_to_the_network(
    save: Callable[..., Path], make_volume: Callable[..., Volume]
) -> None:
    volume = make_volume(noise=0.0)
    data = volume.data.copy()
    data[..., :4] = 0
    translator = load_translator(save(model=UNET), FP32)
    made = translator.run({"T1w": volume.with_data(data)})
    assert made.slices == np.count_nonzero(data.any(axis=(0, 1))) < 18
    assert not made.volume.data[..., :4].any()
    assert made.volume.data[..., 9].any()


@pytest.mark.parametrize("plane", ["axial", "volume"])
def test_nothing_is_made_where_nothing_was_acquired(
    save: Callable[..., Path], make_volume: Callable[..., Volume], plane: str
) -> None:
    data = make_volume().data.copy() + 1
    data[:2] = 0
    data[5, 4, 3] = 0  # a dark voxel within the head
    member = Member(name="unet", options={**UNET.options, "spatial_dims": 3 if plane == "volume" else 2})
    translator = load_translator(save(model=member, plane=plane), FP32)
    made = translator.run({"T1w": make_volume().with_data(data)}).volume.data
    assert (made[:2] == 0).all()
    assert made[5, 4, 3] != 0
    assert (made[2:] != 0).mean() > 0.9, "the network makes something of everything else"


def test_predict_scaled_is_translate_without_scales(
    save: Callable[..., Path], make_volume: Callable[..., Volume]
) -> None:
    volume = make_volume().reoriented("RAS")
    translator = load_translator(save(model=UNET), FP32)
    scaled = translator.predict_scaled({"T1w": fit_scale(volume).apply(volume.data)}, {})
    assert np.allclose(scaled * 1000.0, translator.translate({"T1w": volume}).data, atol=1e-3)


@pytest.mark.parametrize("plane", ["axial", "volume"])
@pytest.mark.parametrize(
    ("way", "target_scale"),
    [("percentile", Scale("percentile", 0.0, 1000.0)), ("zscore", Scale("zscore", 400.0, 200.0))],
)
def test_every_way_of_asking_gives_the_delivered_image(
    save: Callable[..., Path], make_volume: Callable[..., Volume], plane: str, way: str, target_scale: Scale
) -> None:
    """In native units and scaled, also where zero does not stay zero; only the network itself paints in the dark."""
    data = make_volume().data.copy() + 1
    data[:3], data[:, -2:], data[9, 9, 9] = 0, 0, 0
    volume = make_volume().with_data(data).reoriented("RAS")
    member = Member(name="unet", options={**UNET.options, "spatial_dims": 3 if plane == "volume" else 2})
    settings = ScaleSettings(name=way)
    about = {"model": member, "plane": plane, "scale_settings": settings, "target_scale": target_scale}
    translator = load_translator(save(**about), FP32)
    scale = fit_scale(volume, settings)
    sources = {"T1w": scale.apply(volume.data)}
    scaled = translator.predict_scaled(sources, {"T1w": scale.zero})
    delivered = translator.run({"T1w": volume}).volume.data
    np.testing.assert_array_equal(target_scale.invert(scaled), delivered)
    np.testing.assert_array_equal(scaled[:3], np.float32(target_scale.zero))
    painted = translator.network_output(sources)
    acquired = np.ones(data.shape, bool)
    acquired[:3] = acquired[:, -2:] = False
    np.testing.assert_array_equal(painted[acquired], scaled[acquired])
    assert (painted[~acquired] != scaled[~acquired]).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", [FP32, EngineSettings(device="cpu"), EngineSettings(engine="torch", precision="bf16", device="cpu")]
)
def test_same_input_same_bytes_whatever_came_before(
    save: Callable[..., Path], make_volume: Callable[..., Volume], engine: EngineSettings
) -> None:
    run = save(model=UNET)
    translator = load_translator(run, engine)
    first = translator.translate({"T1w": make_volume()}).data
    translator.translate({"T1w": make_volume((26, 20, 22), seed=4)})
    assert translator.translate({"T1w": make_volume()}).data.tobytes() == first.tobytes()
    assert load_translator(run, engine).translate({"T1w": make_volume()}).data.tobytes() == first.tobytes()


def test_input_is_not_changed_and_the_network_is_left_in_its_mode(
    describe: Callable[..., TranslatorDescription], make_volume: Callable[..., Volume]
) -> None:
    volume = make_volume()
    before = volume.data.copy()
    network = MODELS.build("unet", {"width": 4, "depth": 2, "dropout": (0.5,)})
    network.train()
    translator = Translator(network, describe(model=UNET), FP32)
    first, again = (translator.translate({"T1w": volume}).data for _ in range(2))
    assert np.array_equal(first, again)
    assert network.training
    assert np.array_equal(volume.data, before)


def test_bad_sources_have_one_line_each(save: Callable[..., Path], make_volume: Callable[..., Volume]) -> None:
    translator = load_translator(save(sources=("T1w", "PDw")), FP32)
    good = make_volume()
    with pytest.raises(MissingContrastError, match=r"sub-09: .*PDw is not there"):
        translator.translate({"T1w": good}, where="sub-09")
    with pytest.raises(GeometryError, match=r"sub-09: T1w and PDw: .*recontrast prepare"):
        translator.translate({"T1w": good, "PDw": make_volume((20, 24, 17))}, where="sub-09")
    for value in (np.nan, np.inf):
        data = good.data.copy()
        data[3, 4, 5] = value
        with pytest.raises(IntensityError, match="sub-09: PDw holds NaN or infinity in 1 voxels"):
            translator.translate({"T1w": good, "PDw": good.with_data(data)}, where="sub-09")
    with pytest.raises(IntensityError, match="sub-09: T1w: "):
        translator.translate({"T1w": good.with_data(np.zeros_like(good.data)), "PDw": good}, where="sub-09")


def test_other_voxel_sizes_than_in_training_are_doubtful(
    save: Callable[..., Path], make_volume: Callable[..., Volume]
) -> None:
    translator = load_translator(save(spacing_mm=(1.0, 1.5, 1.0)), FP32)
    with pytest.warns(RecontrastWarning, match=r"sub-07: voxels of 1x1.5x3 mm, the translator learned on 1x1.5x1 mm"):
        translator.translate({"T1w": make_volume().reoriented("SLP")}, where="sub-07")


def test_saving_replaces_the_whole_folder_and_gives_the_same_bytes(save: Callable[..., Path]) -> None:
    run = save()
    folder = run / "translator"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "stray.txt").write_text("old")
    save(run)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(before) == [CARD, DESCRIPTION, WEIGHTS]
    assert [path.name for path in run.iterdir()] == ["translator"]


def test_a_failed_save_leaves_the_old_translator(
    save: Callable[..., Path], describe: Callable[..., TranslatorDescription], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save()
    before = {path.name: path.read_bytes() for path in (run / "translator").iterdir()}
    network = MODELS.build("copy")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("recontrast.translation.translator.save_file", full)
        with pytest.raises(OutputError, match="disk is full"):
            save_translator(run / "translator", network, describe(trained_steps=8))
    with torch.no_grad():
        network.weight.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="not finite"):
        save_translator(run / "translator", network, describe())
    assert {path.name: path.read_bytes() for path in (run / "translator").iterdir()} == before
    assert not list(run.glob(f"{PARTIAL}*"))


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "cannot be read"),
        (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-20]), "truncated"),
        (lambda folder: edit(folder, model={"name": "unett", "options": {}}), "unett.*did you mean 'unet'"),
        (lambda folder: edit(folder, model={"name": "unet", "options": {"wdth": 4}}), "wdth.*'width'"),
        (lambda folder: edit(folder, model={"name": "unet", "options": {"width": "wide"}}), "cannot be built|width"),
        (lambda folder: edit(folder, model={"name": "unet", "options": {"width": 8, "depth": 2}}), "shape"),
        (lambda folder: edit(folder, model={"name": "unet", "options": {"width": 4, "depth": 3}}), "lacks"),
        (lambda folder: edit(folder, model={"name": "unet", "options": {"in_channels": 2}}), "in_channels 2.*need 1"),
        (lambda folder: edit(folder, model={"name": "copy", "options": {}}), "lacks weight"),
        (lambda folder: reweigh(folder, lambda weights: {**weights, "extra": torch.zeros(1)}), "unlike.*extra"),
        (lambda folder: reweigh(folder, lambda weights: {k: v * torch.nan for k, v in weights.items()}), "not finite"),
    ],
)
def test_each_defect_of_the_folder_has_one_line(
    save: Callable[..., Path], defect: Callable[[Path], Any], words: str
) -> None:
    run = save(model=UNET)
    defect(run / "translator")
    with pytest.raises(CheckpointError, match=words) as error:
        load_translator(run)
    assert "\n" not in str(error.value)
    assert str(run / "translator") in str(error.value)


def test_weights_that_are_not_safetensors_are_refused(save: Callable[..., Path]) -> None:
    folder = save() / "translator"
    (folder / WEIGHTS).write_bytes(b"\x80\x05K\x01.")
    edit(folder, weights_sha256=sha256_of(folder / WEIGHTS))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_translator(folder)


def test_no_pickle_is_ever_loaded(save: Callable[..., Path], tmp_path: Path) -> None:
    """Files that would run a program when unpickled lie in the folder; loading and translating leaves them alone."""
    run = save()
    touched = tmp_path / "touched"
    bomb = b"cos\nsystem\n(S'touch " + str(touched).encode() + b"'\ntR."
    for name in ("weights.pt", "weights.pkl", "pytorch_model.bin", "translator.pkl"):
        (run / "translator" / name).write_bytes(bomb)
    assert load_translator(run).description.target == "T2w"
    assert not touched.exists()
    source = Path(sys.modules[Translator.__module__].__file__ or "").parent
    for path in source.rglob("*.py"):
        assert "torch.load(" not in path.read_text(encoding="utf-8"), path
        assert "pickle" not in path.read_text(encoding="utf-8").replace("without pickle", ""), path


@pytest.mark.slow
def test_describing_a_translator_needs_no_torch() -> None:
    code = (
        "import sys, recontrast.translation.description as _, recontrast.translation.command\n"
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


def edit(folder: Path, **changes: Any) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reweigh(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)
    edit(folder, weights_sha256=sha256_of(folder / WEIGHTS))
