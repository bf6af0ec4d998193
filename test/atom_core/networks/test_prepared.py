# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Which engine and which precision a choice leads to."""

import dataclasses

import pytest
import torch

from atom_core.networks import engine, int8, prepared, weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return weights.build_network("efficientnet_lite0")


@pytest.mark.parametrize(("has_it", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_processor_has_it(network, monkeypatch, has_it, chosen):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    for module in (engine, prepared):
        monkeypatch.setattr(module, "has_bfloat16", lambda: has_it)
    networks = prepared.prepare_networks(network, CPU, 64, "auto")
    assert networks.engine.startswith("OpenVINO ") and networks.engine.endswith(f", {chosen}")
    assert networks.sample_type == getattr(torch, chosen)
    features = networks.features(255 * torch.rand(2, 3, 64, 64))
    assert features.stride16.dtype == torch.float32 and features.stride16.shape == (2, 112, 4, 4)


@pytest.mark.parametrize(("has_it", "chosen"), [(True, "int8 and bfloat16"), (False, "float32")])
def test_auto_is_int8_for_the_shipped_resnet18(monkeypatch, has_it, chosen):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    for module in (engine, prepared):
        monkeypatch.setattr(module, "has_bfloat16", lambda: has_it)
    networks = prepared.prepare_networks(weights.load("resnet18"), CPU, 64, "auto")
    assert networks.engine.endswith(f", {chosen}")


def test_pytorch_computes_in_float32_where_auto_is_asked_for(network):
    networks = prepared.prepare_networks(network, CPU, 64, "auto", "torch")
    assert networks.engine == f"PyTorch {torch.__version__}, float32"


def test_what_cannot_be_used_is_named(network):
    with pytest.raises(ValueError, match="unknown precision 'int4'; expected one of auto, float32"):
        prepared.prepare_networks(network, CPU, 64, "int4")
    with pytest.raises(ValueError, match="not in float16; use engine 'torch'"):
        prepared.prepare_networks(network, CPU, 64, "float16", "openvino")


def test_int8_needs_ranges_and_openvino(network):
    with pytest.raises(ValueError, match="needs OpenVINO on the CPU"):
        prepared.prepare_networks(network, CPU, 64, "int8", "torch")
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    with pytest.raises(ValueError, match="'atom-weights int8 NETWORK --images FOLDER --output FILE'"):
        prepared.prepare_networks(network, CPU, 64, "int8")
    too_few = dataclasses.replace(network, metadata={int8.HEADER_KEY: int8.to_json([int8.Range(0.0, 1.0)])})
    with pytest.raises(ValueError, match="1 activation ranges for 32 convolutions"):
        prepared.prepare_networks(too_few, CPU, 64, "int8")


@pytest.mark.parametrize(("has_it", "beside"), [(True, "bfloat16"), (False, "float32")])
def test_int8_is_of_the_backbone_alone(network, monkeypatch, has_it, beside):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setattr(engine, "has_bfloat16", lambda: has_it)
    ranges = int8.measure_ranges(network.backbone, [255 * torch.rand(1, 3, 64, 64)])
    with_ranges = dataclasses.replace(network, metadata={int8.HEADER_KEY: int8.to_json(ranges)})
    networks = prepared.prepare_networks(with_ranges, CPU, 64, "int8")
    assert networks.engine.endswith(f", int8 and {beside}")
    assert networks.sample_type == getattr(torch, beside)
    assert networks.features(255 * torch.rand(2, 3, 64, 64)).stride16.shape == (2, 112, 4, 4)
