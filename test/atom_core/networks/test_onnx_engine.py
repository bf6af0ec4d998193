# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""An exported file in place of the networks: the same boxes, and what is refused."""

import sys

import pytest
import torch

from atom_core import AtomTracker, TrackerConfig
from atom_core.benchmark.scene import DrawnScene
from atom_core.networks import weights
from atom_core.networks.onnx_engine import FEATURES, TOLERANCE, OnnxEngine, fixed_crop
from atom_core.networks.onnx_model import OUTPUTS, describe, export_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")
SIDE = 96


@pytest.fixture(scope="module")
def network():
    return weights.load("default")


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("engine") / "network.onnx"
    export_onnx(network, path, SIDE)
    return path


def change(file, path, edit) -> None:
    model = onnx.load(str(file))
    edit(model)
    onnx.save(model, str(path))


def test_a_tracker_with_an_exported_file_finds_the_same_boxes(network, file) -> None:
    config = TrackerConfig(crop_size=SIDE, update_interval=3)
    tracker = AtomTracker(network, CPU, config, engine=str(file))
    plain = AtomTracker(network, CPU, config, engine="torch")
    assert tracker.engine.startswith("ONNX Runtime ") and tracker.engine.endswith(", network.onnx")
    scene = DrawnScene(160, 120)
    for one in (tracker, plain):
        one.initialize(scene.image(0), scene.box(0))
    for index in range(1, 8):
        result, expected = (one.track(scene.image(index)) for one in (tracker, plain))
        assert result.state is expected.state
        assert result.box == pytest.approx(expected.box, abs=0.05)


def test_maps_are_those_of_each_of_the_last_crops(network, file) -> None:
    engine = OnnxEngine.load(file, network, SIDE)
    with pytest.raises(RuntimeError, match="before features"):
        engine.test_maps(network.backbone(torch.zeros(1, 3, SIDE, SIDE)))
    crops = torch.cat((fixed_crop(SIDE), 255 - fixed_crop(SIDE)))
    features = engine.features(crops)
    expected = network.iou_net.test_maps(network.backbone(crops))
    for number in range(2):
        one = type(features)(*(f[number : number + 1] for f in features))
        maps = engine.test_maps(one)
        torch.testing.assert_close(maps.t3, expected.t3[number : number + 1], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(maps.t4, expected.t4[number : number + 1], rtol=1e-3, atol=1e-4)
    engine.features(crops)
    with pytest.raises(RuntimeError, match="not of the last crops"):
        engine.test_maps(features)


@pytest.mark.parametrize("has_onnx", [True, False])
def test_features_alone_are_the_same(network, file, monkeypatch, has_onnx) -> None:
    """Where onnx is installed, by a part of the file; where it is not, by the whole of it."""
    if not has_onnx:
        monkeypatch.setitem(sys.modules, "onnx", None)
    outputs = []
    run = onnxruntime.InferenceSession.run

    def record(session, *arguments):
        outputs.append([output.name for output in session.get_outputs()])
        return run(session, *arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", record)
    engine, crops = OnnxEngine.load(file, network, SIDE), torch.cat((fixed_crop(SIDE), 255 - fixed_crop(SIDE)))
    outputs.clear()
    alone = engine.features_alone(crops)
    assert outputs == [list(FEATURES if has_onnx else OUTPUTS)] * 2
    for one, other in zip(alone, engine.features(crops), strict=True):
        torch.testing.assert_close(one, other)


def test_a_file_of_other_weights_is_refused_with_the_difference(network, tmp_path) -> None:
    torch.manual_seed(0)
    export_onnx(weights.build_network("efficientnet_lite0"), tmp_path / "other.onnx", SIDE)
    with pytest.raises(ValueError, match=r"on a fixed crop its outputs differ by .*; it was made of other weights"):
        OnnxEngine.load(tmp_path / "other.onnx", network, SIDE)


@pytest.mark.parametrize(("factor", "is_refused"), [(1.01, False), (1.05, True)])
def test_the_tolerance_is_two_hundredths(network, file, tmp_path, factor, is_refused) -> None:
    """The last convolution of the coarser map, scaled: with ReLU behind it, so is that output."""

    def scale(model) -> None:
        producers = {name: node for node in model.graph.node for name in node.output}
        conv = producers[producers["iou_map16"].input[0]]
        for tensor in model.graph.initializer:
            if tensor.name in conv.input[1:]:
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * factor, tensor.name))

    change(file, tmp_path / "scaled.onnx", scale)
    assert TOLERANCE == 0.02
    if not is_refused:
        assert OnnxEngine.load(tmp_path / "scaled.onnx", network, SIDE).difference(network, SIDE) == pytest.approx(
            factor - 1, rel=0.01
        )
        return
    with pytest.raises(ValueError, match=r"differ by 0\.05 of their size, and 0\.02 is tolerated$"):
        OnnxEngine.load(tmp_path / "scaled.onnx", network, SIDE)


def test_a_file_that_computes_nan_is_refused(network, file, tmp_path) -> None:
    def spoil(model) -> None:
        tensor = model.graph.initializer[0]
        spoiled = onnx.numpy_helper.to_array(tensor) * float("nan")
        tensor.CopyFrom(onnx.numpy_helper.from_array(spoiled, tensor.name))

    change(file, tmp_path / "nan.onnx", spoil)
    with pytest.raises(ValueError, match="differ by nan"):
        OnnxEngine.load(tmp_path / "nan.onnx", network, SIDE)


@pytest.mark.parametrize("key", ["format", "network", "crop_size"])
def test_a_file_for_something_else_is_refused_by_what_it_says(network, file, tmp_path, key) -> None:
    def edit(model) -> None:
        onnx.helper.set_model_props(model, describe(network, SIDE) | {key: "32"})

    change(file, tmp_path / "changed.onnx", edit)
    with pytest.raises(ValueError, match=f"does not fit: its {key} is '32', not"):
        OnnxEngine.load(tmp_path / "changed.onnx", network, SIDE)


def test_what_cannot_be_used_is_named(network, file, tmp_path, monkeypatch) -> None:
    config = TrackerConfig(crop_size=SIDE)
    with pytest.raises(FileNotFoundError, match=r"no ONNX file at .*absent\.onnx"):
        AtomTracker(network, CPU, config, engine=str(tmp_path / "absent.onnx"))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.onnx cannot be read by ONNX Runtime"):
        AtomTracker(network, CPU, config, engine=str(tmp_path / "text.onnx"))
    with pytest.raises(ValueError, match="computes as the file says, not in bfloat16"):
        AtomTracker(network, CPU, config, "bfloat16", str(file))
    with pytest.raises(ValueError, match="runs on the CPU, not on cuda"):
        AtomTracker(network, torch.device("cuda"), config, engine=str(file))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as where it is not installed
    with pytest.raises(ValueError, match="onnxruntime, which runs ONNX files, is not installed"):
        AtomTracker(network, CPU, config, engine=str(file))
