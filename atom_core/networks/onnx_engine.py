# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs an exported ONNX file instead of the networks that it was made from, on the CPU with ONNX Runtime.

A file is used only if it computes the same as the weights: loading compares their outputs for a fixed crop.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import TestMaps
from atom_core.networks.onnx_model import FORMAT, INPUT, OUTPUTS, CropNetworks
from atom_core.networks.weights import Network

if TYPE_CHECKING:
    import onnxruntime

SUFFIX = ".onnx"
FEATURES = OUTPUTS[:2]
# Root mean square of the difference / that of the weights' output. Rounding to half precision stays below it; other
# weights, another crop size or another order of colours do not.
TOLERANCE = 0.02


def is_onnx_file(engine: str) -> bool:
    """Whether an engine's name is the path of an ONNX file."""
    return engine.endswith(SUFFIX)


class OnnxEngine:
    """A checked exported file; create it with `load`.

    One run computes a crop's features and its IoU maps. `test_maps` returns the maps of the last crops passed to
    `features`.

    Args:
        session: of the file.
        features_alone: session of the file's part up to the features; None: the whole file is run instead.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, features_alone: onnxruntime.InferenceSession | None = None
    ) -> None:
        self._session = session
        self._session_alone = features_alone or session
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None  # stride 8 and both maps of the last crops

    @classmethod
    def load(cls, path: Path, network: Network, crop_size: int) -> OnnxEngine:
        """The engine of a file.

        Args:
            path: of the file.
            network: that the file must agree with; on the CPU.
            crop_size: px, S, of the crops.

        Raises:
            ValueError: if ONNX Runtime is not installed, or the file is unreadable, made for another network or crop
                size, or computes something else; the message says how large the difference is.
            FileNotFoundError: if there is no such file.
        """
        runtime = import_onnxruntime()
        if not path.is_file():
            raise FileNotFoundError(f"no ONNX file at {path}; `atom-weights export NETWORK --onnx {path}` writes one")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a separate class for each kind of failure
            raise ValueError(f"{path} cannot be read by ONNX Runtime: {error}") from error
        _check_metadata(path, session, network, crop_size)
        part = _features_part(path)
        engine = cls(session, part and runtime.InferenceSession(part, options, providers=["CPUExecutionProvider"]))
        difference = engine.difference(network, crop_size)
        if not difference <= TOLERANCE:  # false for NaN, too
            made_of = session.get_modelmeta().custom_metadata_map.get("weights_sha256", "")
            other = "" if made_of == network.sha256 else f"; it was made of other weights ({made_of[:12] or 'unnamed'})"
            raise ValueError(
                f"{path} does not compute what the weights do: on a fixed crop its outputs differ by {difference:.2g} "
                f"of their size, and {TOLERANCE:g} is tolerated{other}"
            )
        return engine

    @property
    def name(self) -> str:
        """The engine and its version, such as "ONNX Runtime 1.31.1"."""
        return f"ONNX Runtime {version('onnxruntime')}"

    def features(self, crops: Tensor) -> Features:
        """Backbone features of crops (N, 3, S, S), float in 0..255, one after the other."""
        of_each = [self._run(crop) for crop in crops.split(1)]
        stride8, stride16, map8, map16 = (torch.cat(parts) for parts in zip(*of_each, strict=True))
        self._seen = stride8, map8, map16
        return Features(stride8, stride16)

    def features_alone(self, crops: Tensor) -> Features:
        """The same features without IoU maps, in less time; `test_maps` has no maps of these crops."""
        of_each = [_run(self._session_alone, crop, FEATURES) for crop in crops.split(1)]
        return Features(*(torch.cat(parts) for parts in zip(*of_each, strict=True)))

    def test_maps(self, features: Features) -> TestMaps:
        """The IoU predictor's maps of one crop, given its features (1, ...), a slice of the last `features`."""
        if self._seen is None:
            raise RuntimeError("test_maps was called before features")
        stride8, map8, map16 = self._seen
        for number, of_crop in enumerate(stride8.split(1)):
            if of_crop.data_ptr() == features.stride8.data_ptr():
                return TestMaps(map8[number : number + 1], map16[number : number + 1])
        raise RuntimeError("these features are not of the last crops; their maps are gone")

    def difference(self, network: Network, crop_size: int) -> float:
        """The largest difference of the four outputs from the network's own for a fixed crop, see TOLERANCE."""
        crop = fixed_crop(crop_size)
        with torch.no_grad():
            expected = CropNetworks(network.backbone, network.iou_net).eval()(crop)
        return max(_relative(*pair) for pair in zip(self._run(crop), expected, strict=True))

    def _run(self, crop: Tensor) -> list[Tensor]:
        return _run(self._session, crop, OUTPUTS)


def _run(session: onnxruntime.InferenceSession, crop: Tensor, outputs: tuple[str, ...]) -> list[Tensor]:
    """The outputs of these names for a crop (1, 3, S, S)."""
    return [torch.from_numpy(found) for found in session.run(list(outputs), {INPUT: crop.contiguous().numpy()})]


def _features_part(path: Path) -> bytes | None:
    """The file's part up to the features, since ONNX Runtime cannot stop there; None if onnx is not installed."""
    try:
        import onnx
    except ModuleNotFoundError:
        return None
    whole = onnx.load(str(path))
    return onnx.utils.Extractor(whole).extract_model([INPUT], list(FEATURES)).SerializeToString()


def import_onnxruntime() -> ModuleType:
    """The module `onnxruntime`; raises ValueError that says what to install if it is missing."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ValueError(
            "the package onnxruntime, which runs ONNX files, is not installed; pip install onnxruntime, or engine auto"
        ) from error
    return onnxruntime


def fixed_crop(crop_size: int) -> Tensor:
    """The crop (1, 3, S, S) that every file is checked with: coarse squares of random colours."""
    cells = np.random.default_rng(0).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    places = np.arange(crop_size) * 8 // crop_size
    return torch.from_numpy(cells[:, places][:, :, places])[None]


def _relative(result: Tensor, expected: Tensor) -> float:
    return float((result - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def _check_metadata(path: Path, session: onnxruntime.InferenceSession, network: Network, crop_size: int) -> None:
    found = session.get_modelmeta().custom_metadata_map
    wanted = {"format": FORMAT, "network": network.name, "crop_size": str(crop_size)}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ValueError(
                f"{path} does not fit: its {key} is {found.get(key)!r}, not {value!r}; "
                f"`atom-weights export NETWORK --onnx {path} --crop-size {crop_size}` writes one that does"
            )
