# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The exported file, run by ONNX Runtime, against PyTorch's own results."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from atom_core.boxes import as_box, search_region
from atom_core.crop import sample_crop
from atom_core.data.sequences import read_sequence
from atom_core.networks import weights
from atom_core.networks.backbones import BACKBONES
from atom_core.networks.onnx_model import FORMAT, INPUT, OPSET, OUTPUTS, export_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIDE = 160  # px, smaller than by default: the same layers
STREET = Path(__file__).parents[3] / "demo" / "street"
TOLERANCE = 1e-4  # root mean square of the difference, as a share of that of PyTorch's result


def street_crops(count: int) -> list[torch.Tensor]:
    """Search regions (1, 3, SIDE, SIDE) of the first frames of the street clip."""
    street = read_sequence(STREET)
    pairs = zip(street.frames, street.boxes[:count], strict=False)
    regions = [(image, search_region(as_box(map(float, box)), 5.0)) for image, box in pairs]
    return [sample_crop(torch.from_numpy(image), region, SIDE)[None] for image, region in regions]


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def exported(request, tmp_path_factory):
    network = weights.load(request.param)
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export_onnx(network, path, SIDE)
    return network, path


def test_onnx_runtime_gives_what_pytorch_gives_for_real_images(exported) -> None:
    network, path = exported
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for crop in street_crops(3):
        results = session.run(list(OUTPUTS), {INPUT: crop.numpy()})
        with torch.no_grad():
            features = network.backbone(crop)  # with batch normalisation as it is
            maps = network.iou_net.test_maps(features)
        for name, result, expected in zip(OUTPUTS, results, (*features, *maps[:2]), strict=True):
            assert result.shape == tuple(expected.shape), name
            difference = np.square(result - expected.numpy()).mean() ** 0.5
            assert difference <= TOLERANCE * float(expected.square().mean() ** 0.5), name
            assert expected.std() > 0, name


def test_the_file_says_what_it_is(exported) -> None:
    network, path = exported
    model = onnx.load(str(path))
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "format": FORMAT,
        "network": network.name,
        "weights_sha256": network.sha256,
        "crop_size": str(SIDE),
        "opset": "17",
    }
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    assert shapes == {INPUT: [1, 3, SIDE, SIDE]}
    assert [output.name for output in model.graph.output] == list(OUTPUTS)
    assert not {node.op_type for node in model.graph.node} & {"BatchNormalization", "Shape", "Loop", "If"}
    assert not list(path.parent.glob("*.part"))


def test_without_onnx_there_is_an_error_that_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as where it is not installed
    with pytest.raises(ValueError, match="onnx, which writes ONNX files, is not installed; pip install onnx"):
        export_onnx(weights.build_network("efficientnet_lite0"), tmp_path / "a.onnx", SIDE)


def test_a_folder_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(OSError, match=r"missing/a\.onnx cannot be written"):
        export_onnx(weights.build_network("efficientnet_lite0"), tmp_path / "missing" / "a.onnx", 64)
