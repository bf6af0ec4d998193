# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The backbone in 8-bit integers, against PyTorch's float32 and a rounding by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from atom_core.networks import engine, weights
from atom_core.networks.int8 import (
    HEADER_KEY,
    Range,
    find_ranges,
    fingerprint,
    from_json,
    measure_ranges,
    quantize,
    to_json,
)
from atom_core.networks.openvino_model import convert, import_openvino

pytest.importorskip("openvino", reason="OpenVINO is not installed")


class TwoLayers(nn.Module):
    """A convolution that keeps its input, and one whose rounding can be done by hand."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 1, 1, bias=False)
        self.second = nn.Conv2d(1, 2, 1, bias=False)
        with torch.no_grad():
            self.first.weight.fill_(1.0)
            self.second.weight.copy_(torch.tensor(weight).view(2, 1, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def run(model, pixels: np.ndarray) -> np.ndarray:
    compiled = import_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(compiled([pixels]).values()))


def test_inputs_and_weights_are_rounded_and_clipped() -> None:
    model = convert(TwoLayers([0.5, -2.0]), ((1, 1, 2, 2),))
    quantize(model, (Range(0.0, 2.55),))  # steps of 0.01
    pixels = np.array([[[[0.004, 0.006], [1.234, 9.0]]]], np.float32)
    rounded = np.array([[0.0, 0.01], [1.23, 2.55]])  # each channel's largest weight is one of its levels
    np.testing.assert_allclose(run(model, pixels)[0], [0.5 * rounded, -2 * rounded], atol=1e-5)


def test_ranges_and_convolutions_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="0 activation ranges for 1 convolutions"):
        quantize(convert(TwoLayers([1.0, 1.0]), ((1, 1, 2, 2),)), ())


def test_the_range_leaves_out_single_large_values() -> None:
    values = torch.rand(1, 1, 200, 200)
    values[0, 0, 0, 0] = 3.0  # 1 of 40000: its clipping costs less than the others' coarser steps
    (measured,) = measure_ranges(TwoLayers([1.0, 1.0]), [values])
    assert measured.low == 0.0 and 0.9 <= measured.high <= 1.2


def test_a_range_of_both_signs_has_the_same_step_at_0() -> None:
    values = torch.linspace(-0.5, 1.0, 10000).view(1, 1, 100, 100)
    (measured,) = measure_ranges(TwoLayers([1.0, 1.0]), [values])
    step = (measured.high - measured.low) / 255
    assert measured.low / step == pytest.approx(-128) and measured.high == pytest.approx(1.0, rel=0.05)


def test_without_pictures_there_are_no_ranges() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        measure_ranges(TwoLayers([1.0, 1.0]), [])


def test_the_header_s_text_and_back() -> None:
    ranges = (Range(0.0, 1.25), Range(-3.0, 2.5))
    assert from_json(to_json(ranges)) == ranges


@pytest.mark.parametrize("text", ["", "{}x", "[1]", "[[1]]", "[[0, null]]", "[[0, NaN]]", "[[1, 2]]", "[[0, 0]]"])
def test_a_damaged_header_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="activation range"):
        from_json(text)


def test_a_header_s_ranges_count_more_than_the_shipped_ones() -> None:
    network = weights.load("default")
    assert len(find_ranges(network.backbone, {})) == 32
    assert find_ranges(network.backbone, {HEADER_KEY: "[[0, 2]]"}) == (Range(0.0, 2.0),)


def test_other_weights_have_another_fingerprint_and_no_ranges() -> None:
    backbone = weights.build_network("resnet18").backbone
    before = fingerprint(backbone)
    assert before == fingerprint(backbone)
    next(backbone.parameters()).view(-1)[0] += 1.0
    assert fingerprint(backbone) != before
    with pytest.raises(ValueError, match="'atom-weights int8 NETWORK --images FOLDER --output FILE'"):
        find_ranges(backbone, {})


@pytest.mark.parametrize(("name", "cosine"), [("resnet18", 0.98), ("efficientnet_lite0", 0.97)])
def test_the_features_are_nearly_those_of_float32(name: str, cosine: float) -> None:
    network = weights.load(name)
    backbone, ranges = network.backbone, find_ranges(network.backbone, network.metadata)
    generator = torch.Generator().manual_seed(0)
    coarse = 255 * torch.rand(1, 3, 12, 12, generator=generator)
    crops = nn.functional.interpolate(coarse, size=(96, 96), mode="bilinear")
    expected = backbone(crops)
    for feature, reference in zip(engine.compile_openvino(backbone, 96, "int8", ranges)(crops), expected, strict=True):
        assert torch.cosine_similarity(feature.flatten(), reference.flatten(), dim=0) > cosine
        assert not torch.equal(feature, reference)
