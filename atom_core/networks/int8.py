# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A backbone in 8-bit integers for OpenVINO on the CPU.

The convolutions' weights are rounded to 255 levels for each output channel, and their inputs to 256 levels of a fixed
range; OpenVINO then computes their products in integers. The first convolution sees pixels and stays as it is. The
ranges are measured once, on photographs (`measure_ranges`, `atom-weights int8`), so that no picture is needed to load a
network. Those of the shipped backbones are in `atom_core.networks.int8_ranges`, others in the header of the network's
file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from atom_core.networks.backbones import Backbone
from atom_core.networks.int8_ranges import SHIPPED
from atom_core.networks.openvino_model import convert, import_openvino, import_operations

if TYPE_CHECKING:
    import openvino

HEADER_KEY = "activation_ranges"  # of the network's file
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_WEIGHT_LEVELS = 255  # symmetric about 0, which stays 0
_INPUT_LEVELS = 256
_VALUES = 4000  # of each input and picture from which its range is fitted
_SHARES = np.linspace(0.3, 1.0, 36)  # of the largest value, of which the best range is taken
_SHORTEST = 1e-12  # not to divide by 0


class Range(NamedTuple):
    """The values that a convolution's input is rounded to: from `low` to `high`; what lies outside is clipped."""

    low: float
    high: float


def to_json(ranges: Iterable[Range]) -> str:
    """The text for the header of the network's file."""
    return json.dumps([[float(f"{low:.6g}"), float(f"{high:.6g}")] for low, high in ranges])


def from_json(text: str) -> tuple[Range, ...]:
    """The ranges from the header of a network's file.

    Raises:
        ValueError: if the text holds none.
    """
    try:
        ranges = tuple(Range(float(low), float(high)) for low, high in json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(f"activation ranges {text[:100]!r} cannot be read: {error}") from error
    for low, high in ranges:
        if not (math.isfinite(low) and math.isfinite(high) and low <= 0 < high):
            raise ValueError(
                f"activation range {low} to {high}; expected finite numbers, the first at most 0 < the second"
            )
    return ranges


def fingerprint(backbone: Backbone) -> str:
    """Tells backbones of other weights apart: the start of a checksum of the weights in float16, as files hold them."""
    digest = hashlib.sha256()
    for name, tensor in backbone.state_dict().items():
        digest.update(name.encode() + tensor.cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def find_ranges(backbone: Backbone, metadata: Mapping[str, str]) -> tuple[Range, ...]:
    """The ranges of a network's backbone, from its file's header or the shipped ones.

    Raises:
        ValueError: if there are none, or the header's cannot be read.
    """
    if HEADER_KEY in metadata:
        return from_json(metadata[HEADER_KEY])
    shipped = SHIPPED.get(fingerprint(backbone))
    if shipped is None:
        raise ValueError(
            "precision int8 needs the backbone's activation ranges, which the network's file does not hold; write them "
            "with 'atom-weights int8 NETWORK --images FOLDER --output FILE', or use precision 'auto'"
        )
    return tuple(Range(*values) for values in shipped)


def measure_ranges(backbone: Backbone, crops: Iterable[Tensor], seed: int = 0) -> tuple[Range, ...]:
    """The ranges of a backbone's convolutions but the first, which keep the inputs' rounding error least.

    Args:
        backbone: on the CPU, in evaluation mode.
        crops: (1, 3, S, S) each, float in 0..255, all of one size.
        seed: of the choice of values.

    Raises:
        ValueError: if there are no crops.
        ModuleNotFoundError: if OpenVINO is not installed.
    """
    crops = list(crops)
    if not crops:
        raise ValueError("activation ranges need at least one picture")
    rng = np.random.default_rng(seed)
    run = _inputs_of_convolutions(backbone, tuple(crops[0].shape))
    drawn = [[rng.choice(values.ravel(), _VALUES) for values in run(crop)] for crop in crops]
    return tuple(_best_range(np.concatenate(of_one)) for of_one in zip(*drawn, strict=True))


def _inputs_of_convolutions(backbone: Backbone, shape: tuple[int, ...]) -> Callable[[Tensor], list[np.ndarray]]:
    """A function that computes the inputs of all convolutions but the first, for a crop of this shape."""
    ov = import_openvino()
    model = convert(backbone, (shape,))
    model.reshape(list(shape))
    inputs = [node.input_value(0) for node in _quantized(model)]
    # An input of two convolutions (a block and its shortcut) is one output, so each is numbered.
    places = {(value.get_node().get_friendly_name(), value.get_index()): value for value in inputs}
    order = [list(places).index((v.get_node().get_friendly_name(), v.get_index())) for v in inputs]
    compiled = ov.Core().compile_model(ov.Model(list(places.values()), model.get_parameters()), "CPU")

    def run(crop: Tensor) -> list[np.ndarray]:
        outputs = list(compiled(crop.numpy()).values())
        return [outputs[i] for i in order]

    return run


def _best_range(values: np.ndarray) -> Range:
    """The range of least squared rounding error. Of inputs that can be negative, both signs have the same step at 0."""
    largest, least = float(values.max()), min(float(values.min()), 0.0)
    tried = []
    for share in _SHARES:
        limit = max(largest, -least, _SHORTEST) * float(share)
        low = -limit * 128 / 127 if least < 0 else 0.0
        step = (limit - low) / (_INPUT_LEVELS - 1)
        rounded = np.clip(np.round((values - low) / step), 0, _INPUT_LEVELS - 1) * step + low
        tried.append((float(np.square(rounded - values).mean()), Range(low, limit)))
    return min(tried)[1]


def quantize(model: openvino.Model, ranges: tuple[Range, ...]) -> None:
    """Rounds the inputs and weights of a model's convolutions but the first, in place.

    Raises:
        ValueError: if the model has another number of convolutions.
    """
    nodes = _quantized(model)
    if len(nodes) != len(ranges):
        raise ValueError(
            f"there are {len(ranges)} activation ranges for {len(nodes)} convolutions; write them anew with "
            "'atom-weights int8'"
        )
    for node, (low, high) in zip(nodes, ranges, strict=True):
        node.input(0).replace_source_output(_rounded(node.input_value(0), np.float32(low), np.float32(high)))
        weights = _constant(node.input_value(1))
        axes = tuple(range(1 if node.get_type_name() == "Convolution" else 2, weights.ndim))
        limit = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), _SHORTEST)
        rounded = _rounded(import_operations().constant(weights), -limit, limit, _WEIGHT_LEVELS)
        node.input(1).replace_source_output(rounded)


def _quantized(model: openvino.Model) -> list[openvino.Node]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() in _CONVOLUTIONS][1:]


def _rounded(value: Any, low: Any, high: Any, levels: int = _INPUT_LEVELS) -> Any:
    operations = import_operations()
    bounds = [operations.constant(np.asarray(bound, np.float32)) for bound in (low, high, low, high)]
    return operations.fake_quantize(value, *bounds, levels).output(0)


def _constant(value: openvino.Output) -> np.ndarray:
    """The numbers of a part of a model that depends on no input."""
    ov = import_openvino()
    compiled = ov.Core().compile_model(ov.Model([value], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(next(iter(compiled([]).values())))
