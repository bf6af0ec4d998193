# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import os
from collections import OrderedDict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torchvision.models import resnet18

from atom_core.checkpoint import official
from atom_core.networks import weights

COUNTER = "num_batches_tracked"


class Bomb:
    """Unpickling it runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def tensors_of_a_network(counters=True):
    """Random numbers in the authors' layout."""
    generator = torch.Generator().manual_seed(0)
    net = OrderedDict()
    for name, tensor in official.layout().items():
        if name.endswith(COUNTER):
            if counters:
                net[name] = torch.tensor(12345)
        else:
            net[name] = torch.rand(tensor.shape, generator=generator) * 0.1 + 1e-9  # needs more bits than float16 has
    return net


def small_tensors():
    """The layout's names and shapes, each tensor one number repeated, so that a file of them is small."""
    return OrderedDict((k, torch.ones((), dtype=v.dtype).expand(v.shape)) for k, v in official.layout().items())


def save_small(tmp_path, net):
    path = tmp_path / "small.pth"
    torch.save({"net": net}, path)
    return path


def contents(path):
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.fixture(scope="module", params=["zip", "legacy without counters"])
def imported(request, tmp_path_factory):
    """(the authors' tensors, the file of ours that was made of them)."""
    folder = tmp_path_factory.mktemp("official")
    canary, source, output = (folder / name for name in ("it_ran", "atom_default.pth", "ours.safetensors"))
    net = tensors_of_a_network(counters=request.param == "zip")
    content = {"epoch": 40, "actor_type": "AtomActor", "net_type": "ATOMnet", "net": net, "constructor": None}
    content["settings"] = Bomb(f"touch '{canary}'")
    torch.save(content, source, _use_new_zipfile_serialization=request.param == "zip")
    official.import_checkpoint(source, output)
    assert not canary.exists()
    return net, output


def test_layout_has_the_official_number_of_tensors():
    assert len(official.layout()) == 201
    # torchvision's ResNet-18 has 11 689 512 parameters; ATOM_SPEC's 5.6 million are those of the IoU predictor.
    names = [name for name in official.layout() if name.endswith(("weight", "bias"))]
    sizes = {part: sum(official.layout()[n].numel() for n in names if n.startswith(part)) for part in ("feat", "bb_")}
    assert sizes["feat"] == 11_689_512
    assert sizes["bb_"] == pytest.approx(5.6e6, rel=0.01)


def test_the_import_is_a_network_with_the_same_features(imported):
    net, output = imported
    network = weights.load(output)
    assert network.name == "resnet18" and network.metadata["imported from"] == "atom_default.pth"
    backbone = {k.removeprefix("feature_extractor."): v for k, v in net.items() if k.startswith("feature_extractor.")}
    theirs = resnet18(weights=None)
    assert all(name.endswith(COUNTER) for name in theirs.load_state_dict(backbone, strict=False).missing_keys)
    crop = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 255
    maps = []
    for layer in (theirs.layer2, theirs.layer3):
        layer.register_forward_hook(lambda module, inputs, result: maps.append(result))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        theirs.eval()((crop / 255 - mean) / std)
        ours = network.backbone(crop)
    for expected, found in zip(maps, ours, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4)
    for name, value in network.iou_net.state_dict().items():
        assert torch.equal(value, net.get(f"bb_regressor.{name}", torch.tensor(0))), name


def test_round_trip_is_exact(imported, tmp_path):
    net, output = imported
    exported, again = tmp_path / "exported.pth", tmp_path / "again.safetensors"
    assert official.export_checkpoint(output, exported) == []
    content = torch.load(exported, weights_only=True)
    assert type(content["net"]) is OrderedDict and list(content["net"]) == list(net)
    for name, tensor in content["net"].items():
        assert tensor.dtype == net[name].dtype and torch.equal(tensor, net[name]), name
    assert [content[key] for key in ("epoch", "actor_type", "net_type")] == [40, "AtomActor", "ATOMnet"]
    assert content["constructor"] is None and content["settings"] is None
    official.import_checkpoint(exported, again)
    (first, header), (second, other_header) = contents(output), contents(again)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert header["official"] == other_header["official"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "exported.pth"]


def test_export_of_a_network_of_our_own(tmp_path):
    torch.manual_seed(0)
    ours, exported, again = (tmp_path / name for name in ("ours.safetensors", "ours.pth", "again.safetensors"))
    weights.save(ours, weights.build_network("resnet18"), {})
    filled = official.export_checkpoint(ours, exported)
    net = torch.load(exported, weights_only=True)["net"]
    assert {k: v.shape for k, v in net.items()} == {k: v.shape for k, v in official.layout().items()}
    assert {name.split(".")[1] for name in filled} == {"layer4", "fc"} and len(filled) == 32  # 5 x (1 + 5) and 2
    assert all(net[name].count_nonzero() == 0 for name in filled)
    official.import_checkpoint(exported, again)
    first, second = (weights.load(path).modules.state_dict() for path in (ours, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_only_resnet18_has_the_layout(network_file, tmp_path):
    with pytest.raises(ValueError, match="holds efficientnet_lite0; the authors' layout has room for resnet18 only"):
        official.export_checkpoint(network_file, tmp_path / "out.pth")
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_told_by_their_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"out\.pth does not end in \.safetensors"):
        official.import_checkpoint(tmp_path / "in.pth", tmp_path / "out.pth")
    with pytest.raises(ValueError, match=r"out\.safetensors ends in \.safetensors"):
        official.export_checkpoint("default", tmp_path / "out.safetensors")


def test_missing_unknown_and_misshapen_tensors_are_all_named(tmp_path):
    net = small_tensors()
    del net["feature_extractor.layer4.0.conv1.weight"], net["bb_regressor.fc3_rt.linear.bias"]
    del net["bb_regressor.fc3_rt.bn.num_batches_tracked"]  # may be missing
    net["bb_regressor.surprise"] = torch.ones(1)
    net["bb_regressor.iou_predictor.weight"] = torch.ones(1, 3)
    path = save_small(tmp_path, net)
    with pytest.raises(ValueError, match="do not fit") as error:
        official.import_checkpoint(path, tmp_path / "out.safetensors")
    assert str(error.value) == (
        f"the tensors of {path} do not fit: "
        "2 missing: bb_regressor.fc3_rt.linear.bias, feature_extractor.layer4.0.conv1.weight; "
        "1 unknown: bb_regressor.surprise; "
        "1 of wrong shape: bb_regressor.iou_predictor.weight (1, 3), not (1, 512)"
    )
    assert not (tmp_path / "out.safetensors").exists()


def test_narrower_numbers_are_imported_exactly(tmp_path):
    net = OrderedDict((k, v * 0.3 if v.is_floating_point() else v) for k, v in small_tensors().items())
    bias = "bb_regressor.iou_predictor.bias"
    net[bias] = torch.tensor([1.0 + 2**-7], dtype=torch.bfloat16)
    official.import_checkpoint(save_small(tmp_path, net), tmp_path / "out.safetensors")
    tensors, _ = contents(tmp_path / "out.safetensors")
    assert tensors["iou_net.iou_predictor.bias"].dtype == torch.float32
    assert tensors["iou_net.iou_predictor.bias"].item() == 1.0078125


def test_wrong_types_and_other_entries_are_named(tmp_path):
    net = small_tensors()
    net["bb_regressor.iou_predictor.bias"] = torch.ones(1, dtype=torch.float64)
    net["bb_regressor.fc3_rt.bn.num_batches_tracked"] = torch.tensor(1.0)
    with pytest.raises(ValueError, match="are not float32") as error:
        official.import_checkpoint(save_small(tmp_path, net), tmp_path / "out.safetensors")
    assert "iou_predictor.bias float64" in str(error.value) and f"{COUNTER} float32" in str(error.value)
    net["bb_regressor.iou_predictor.bias"] = "a text"
    with pytest.raises(ValueError, match=r"1 entries of 'net' .* are no tensors: bb_regressor\.iou_predictor\.bias"):
        official.import_checkpoint(save_small(tmp_path, net), tmp_path / "out.safetensors")


def test_prefix_of_data_parallel_is_taken_off(tmp_path):
    net = OrderedDict((f"module.{name}", tensor) for name, tensor in small_tensors().items())
    file = official.read_torch_file(save_small(tmp_path, net))
    assert list(official.read_records(file)) == list(official.layout())


def test_a_file_without_net_is_refused_with_its_keys(tmp_path):
    path = tmp_path / "state.pth"
    torch.save({"conv1.weight": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"no mapping named 'net'; .* its keys: conv1\.weight"):
        official.import_checkpoint(path, tmp_path / "out.safetensors")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    net = tensors_of_a_network()
    net["feature_extractor.layer4.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    path = tmp_path / "nan.pth"
    torch.save({"net": net}, path)
    with pytest.raises(ValueError, match=r"not finite: official\.feature_extractor\.layer4\.0\.conv1\.weight"):
        official.import_checkpoint(path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    "header", ["no JSON", "[]", "{}", json.dumps({"names": ["surprise"], "fields": {}}), json.dumps({"names": 1})]
)
def test_damaged_header_is_refused(tmp_path, header):
    ours, damaged = tmp_path / "ours.safetensors", tmp_path / "damaged.safetensors"
    weights.save(ours, weights.build_network("resnet18"), {})
    tensors, metadata = contents(ours)
    save_file(tensors, damaged, metadata={**metadata, "official": header})
    with pytest.raises(ValueError, match="'official' in its header"):
        official.export_checkpoint(damaged, tmp_path / "out.pth")
