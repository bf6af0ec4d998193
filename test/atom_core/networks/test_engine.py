# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import os
import threading
from importlib.util import find_spec

import pytest
import torch

from atom_core.networks.backbones import build_backbone
from atom_core.networks.engine import accelerate, fold_batch_norm

CPU = torch.device("cpu")
SIDE = 64

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


def trained_like(name):
    """A backbone whose activations stay of order one, as in a trained network."""
    torch.manual_seed(0)
    backbone = build_backbone(name)
    for key, value in backbone.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.2, 1)
        elif key.endswith("running_mean"):
            value.normal_(0, 0.3)
    return backbone


@pytest.fixture(scope="module", params=["efficientnet_lite0", "resnet18"])
def pair(request):
    """A backbone and what OpenVINO makes of it."""
    backbone = trained_like(request.param)
    return backbone, accelerate(backbone, CPU, SIDE, "openvino")


@needs_openvino
@pytest.mark.parametrize("batch", [1, 3])
def test_openvino_equals_torch(pair, batch):
    backbone, fast = pair
    crops = 255 * torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(batch))
    for ours, theirs in zip(fast(crops), backbone(crops), strict=True):
        assert ours.dtype == torch.float32
        assert ours.shape == theirs.shape
        assert theirs.std() > 1e-3
        torch.testing.assert_close(ours, theirs, atol=1e-4 * theirs.abs().max().item(), rtol=1e-4)


@needs_openvino
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the processors of a thread are Linux's")
def test_one_thread_stays_free_to_run_on_every_processor():
    # Bound to processor 0, two trackers of one thread each would share it and leave the others idle.
    allowed = os.sched_getaffinity(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fast = accelerate(trained_like("efficientnet_lite0"), CPU, 2 * SIDE, "openvino")
        seen, ended, thread = set(), threading.Event(), threading.get_native_id()

        def watch():
            while not ended.is_set():
                seen.add(frozenset(os.sched_getaffinity(thread)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(100):
            fast(torch.zeros(1, 3, 2 * SIDE, 2 * SIDE))
        ended.set()
        watcher.join()
    finally:
        torch.set_num_threads(before)
    assert seen == {frozenset(allowed)}


@needs_openvino
def test_openvino_takes_views_and_keeps_earlier_results(pair):
    backbone, fast = pair
    images = 255 * torch.rand(2, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    crops = images.permute(0, 3, 1, 2)  # not contiguous
    first = fast(crops[:1])
    kept = first.stride16.clone()
    fast(crops[1:])
    torch.testing.assert_close(first.stride16, kept)
    theirs = backbone(crops[:1]).stride16
    torch.testing.assert_close(kept, theirs, atol=1e-4 * theirs.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_torch_is_the_backbone_without_its_batch_normalisation(name):
    backbone = trained_like(name)
    folded = accelerate(backbone, CPU, SIDE, "torch")
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    crops = 255 * torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(folded(crops), backbone(crops), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4 * theirs.abs().max().item(), rtol=1e-4)


def test_a_folded_module_exists_once_on_each_device():
    backbone = trained_like("efficientnet_lite0")
    folded = fold_batch_norm(backbone)
    assert fold_batch_norm(backbone) is folded
    moved = accelerate(backbone.to("meta"), torch.device("meta"), SIDE)
    assert next(moved.parameters()).is_meta
    assert not next(folded.parameters()).is_meta


@needs_openvino
def test_auto_is_openvino_on_the_cpu(pair):
    backbone, _ = pair
    assert accelerate(backbone, CPU, SIDE) is not backbone


def test_wrong_engine_is_refused_by_name():
    backbone = build_backbone("efficientnet_lite0")
    with pytest.raises(ValueError, match=r"'openvino', 'torch' or the path of an \.onnx file"):
        accelerate(backbone, CPU, SIDE, "tensorrt")
    with pytest.raises(ValueError, match="runs on the CPU, not on cuda:1"):
        accelerate(backbone, torch.device("cuda:1"), SIDE, "openvino")
