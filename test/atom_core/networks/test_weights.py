# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import pickle
import stat

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from atom_core.networks import weights
from atom_core.networks.backbones import BACKBONES

NETWORK = "efficientnet_lite0"


def state(network):
    return {
        **{f"backbone.{k}": v for k, v in network.backbone.state_dict().items()},
        **{f"iou_net.{k}": v for k, v in network.iou_net.state_dict().items()},
    }


@pytest.fixture(scope="module")
def contents(network_file):
    """The tensors and the header of a good file."""
    with safe_open(network_file, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.fixture
def write(tmp_path, contents):
    """Writes a file like the good one, with tensors or header entries changed; None takes an entry out."""

    def build(tensors=None, header=None):
        def changed(old, new):
            return {k: v for k, v in {**old, **(new or {})}.items() if v is not None}

        path = tmp_path / "changed.safetensors"
        save_file(changed(contents[0], tensors), path, metadata=changed(contents[1], header))
        return path

    return build


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """The weights folder of a ROS workspace that the environment names."""
    folder = tmp_path / "install" / "share" / "atom_tracker" / "weights"
    folder.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'install'}")
    return folder


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_round_trip(tmp_path, name):
    torch.manual_seed(1)
    network = weights.build_network(name)
    path = tmp_path / "network.safetensors"
    weights.save(path, network, {"made by": "a test"})
    loaded = weights.load(path)
    assert loaded.name == name
    assert loaded.metadata["made by"] == "a test"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["network.safetensors"]  # no half-written file stays
    expected = state(network)
    assert state(loaded).keys() == expected.keys()
    for key, value in state(loaded).items():
        half = expected[key].half().float() if expected[key].is_floating_point() else expected[key]
        assert torch.equal(value, half), key
    for module in (loaded.backbone, loaded.iou_net):
        assert not module.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())


def test_file_is_float16_and_says_what_it_is(contents):
    tensors, header = contents
    assert {t.dtype for t in tensors.values()} == {torch.float16, torch.int64}  # batch normalisation counts in integers
    assert header["network"] == NETWORK
    assert header["format"] == "atom_tracker 1"


def test_saving_does_not_change_the_network(tmp_path):
    network = weights.build_network(NETWORK)
    before = {k: v.clone() for k, v in state(network).items()}
    weights.save(tmp_path / "network.safetensors", network, {})
    assert all(torch.equal(v, before[k]) for k, v in state(network).items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_numbers_beyond_float16_are_not_written(tmp_path, value):
    network = weights.build_network(NETWORK)
    network.iou_net.conv3_1t[1].running_var[3] = value
    with pytest.raises(ValueError, match=r"not written: 1 tensors .* not finite: iou_net\.conv3_1t\.1\.running_var"):
        weights.save(tmp_path / "network.safetensors", network, {})
    assert list(tmp_path.iterdir()) == []


def test_unknown_network(write):
    with pytest.raises(ValueError, match=r"'vgg'; expected one of efficientnet_lite0, resnet18"):
        weights.load(write(header={"network": "vgg"}))
    with pytest.raises(ValueError, match="names the network ''"):
        weights.load(write(header={"network": None}))
    with pytest.raises(ValueError, match="unknown network 'vgg'"):
        weights.build_network("vgg")


@pytest.mark.parametrize("value", [None, "atom_tracker 2"])
def test_other_format(write, value):
    with pytest.raises(ValueError, match=f"its format is {value!r}, not 'atom_tracker 1'"):
        weights.load(write(header={"format": value}))


def test_tensors_of_another_network(write):
    with pytest.raises(ValueError, match=r"missing: backbone\.bn1\.bias, .*unknown: backbone\.stages"):
        weights.load(write(header={"network": "resnet18"}))


def test_missing_unknown_and_misshapen_tensors_are_all_named(write):
    path = write(
        {
            "iou_net.iou_predictor.bias": None,
            "iou_net.surprise": torch.zeros(2),
            "iou_net.fc3_rt.linear.weight": torch.zeros(256, 5),
        }
    )
    with pytest.raises(ValueError, match="do not fit") as error:
        weights.load(path)
    message = str(error.value)
    assert str(path) in message
    assert "1 missing: iou_net.iou_predictor.bias" in message
    assert "1 unknown: iou_net.surprise" in message
    assert "1 of wrong shape: iou_net.fc3_rt.linear.weight (256, 5), not (256, 6400)" in message


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_not_finite(write, value):
    with pytest.raises(ValueError, match=r"damaged: 1 tensors .* not finite: iou_net\.iou_predictor\.bias"):
        weights.load(write({"iou_net.iou_predictor.bias": torch.tensor([value])}))


@pytest.mark.parametrize("size", [0, 4, 100, 1_000_000])
def test_truncated_file(tmp_path, network_file, size):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(network_file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"cut\.safetensors is not a readable safetensors file"):
        weights.load(path)


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("writer", [pickle.dump, torch.save], ids=["pickle", "torch.save"])
def test_a_pickle_is_refused_and_not_run(tmp_path, writer):
    trace, path = tmp_path / "it_ran", tmp_path / "pickle.safetensors"
    with open(path, "wb") as file:
        writer({"network": Bomb(trace)}, file)
    with pytest.raises(ValueError, match="is not a readable safetensors file"):
        weights.load(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace))).close()
    assert trace.exists()  # it was armed


def test_find_in_a_ros_workspace(workspace):
    path = workspace / "my_network.safetensors"
    path.touch()
    assert weights.find("my_network") == path


def test_unknown_weights_list_the_folders_that_exist_and_no_others(tmp_path, monkeypatch):
    there, missing = tmp_path / "weights", tmp_path / "nowhere"
    there.mkdir()
    (there / "small.safetensors").touch()
    monkeypatch.setattr(weights, "folders", lambda: [missing, there])
    with pytest.raises(FileNotFoundError, match="there are: small") as error:
        weights.find("large")
    assert str(there) in str(error.value) and str(missing) not in str(error.value)
    monkeypatch.setattr(weights, "folders", lambda: [missing])
    with pytest.raises(FileNotFoundError, match="has no folder of weights") as error:
        weights.find("large")
    assert str(missing) not in str(error.value)


def test_default_is_a_shipped_network(workspace):
    (workspace / f"{weights.DEFAULT_NETWORK}.safetensors").touch()
    assert weights.find("default") == weights.find(weights.DEFAULT_NETWORK)


def test_find_takes_a_path(network_file):
    assert weights.find(network_file) == weights.find(str(network_file)) == network_file


def test_find_says_what_there_is(workspace):
    for name in ("one", "two"):
        (workspace / f"{name}.safetensors").touch()
    with pytest.raises(FileNotFoundError) as error:
        weights.find("three")
    message = str(error.value)
    assert "'three'" in message
    assert "one" in message
    assert "two" in message
    assert str(workspace) in message


@pytest.mark.parametrize("name", ["missing.safetensors", "folder/missing", "/missing"])
def test_find_says_that_a_path_is_missing(name):
    with pytest.raises(FileNotFoundError, match=f"no weights file at {name}"):
        weights.find(name)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_shipped_networks_load_and_have_a_card_of_their_own(name):
    folder = weights.folders()[1]
    path = folder / f"{name}.safetensors"
    network = weights.load(path)
    assert network.name == name
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.sha256[:16] in (folder / f"{name}.md").read_text()  # not of an older file
    assert path.stat().st_size <= 25_000_000


def test_lists_of_names_are_cut():
    assert weights.listing(["a", 1]) == "a, 1"
    assert weights.listing(map(str, range(20))).endswith("18, 19")
    assert weights.listing(map(str, range(1000))).endswith("18, 19, ... (1000 in all)")
    assert len(weights.listing(["x" * 10_000])) < 300


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_a_written_file_can_be_read_as_the_umask_says(tmp_path, mask, mode):
    path = tmp_path / "network.safetensors"
    before = os.umask(mask)
    try:
        weights.save(path, weights.build_network("efficientnet_lite0"), {"made by": "a test"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
