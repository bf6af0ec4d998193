# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import hashlib

import cv2
import numpy as np
import pytest
import torch

from atom_core.checkpoint import official
from atom_core.checkpoint.command import main as weights_main
from atom_core.checkpoint.command import middle_square
from atom_core.networks import int8, weights
from atom_core.networks.prepared import prepare_networks


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A random network in the authors' layout."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("command")
    weights.save(folder / "ours.safetensors", weights.build_network("resnet18"), {})
    official.export_checkpoint(folder / "ours.safetensors", folder / "atom.pth")
    return folder / "atom.pth"


def test_info_prints_the_file_and_its_digest(network_file, capsys):
    assert weights_main(["info", str(network_file)]) == 0
    printed = capsys.readouterr().out
    assert str(network_file) in printed and weights.load(network_file).sha256 in printed
    assert "unused" not in printed


def test_int8_writes_ranges_that_the_tracker_uses(network_file, tmp_path, capsys):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    rng = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 255, (80, 120, 3), np.uint8))
    output = tmp_path / "with_ranges.safetensors"
    options = ["--images", str(tmp_path), "--count", "2", "--output", str(output)]
    assert weights_main(["int8", str(network_file), *options]) == 0
    assert "from 2 images" in capsys.readouterr().out
    before, after = weights.load(network_file), weights.load(output)
    ranges = int8.from_json(after.metadata[int8.HEADER_KEY])
    assert {**after.metadata, **before.metadata} == after.metadata
    for name, tensor in before.modules.state_dict().items():
        assert torch.equal(tensor, after.modules.state_dict()[name])
    networks = prepare_networks(after, torch.device("cpu"), 64, "int8")
    assert "int8" in networks.engine
    assert weights_main(["info", str(output)]) == 0
    assert f"activation ranges of {len(ranges)} convolutions" in capsys.readouterr().out


def test_int8_without_images_is_refused(network_file, tmp_path, capsys):
    options = ["--images", str(tmp_path), "--output", str(tmp_path / "out.safetensors")]
    assert weights_main(["int8", str(network_file), *options]) == 2
    assert "holds 0 images" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_the_middle_square_by_hand():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 200  # the middle
    assert torch.equal(middle_square(image, 4), torch.full((1, 3, 4, 4), 200.0))


def test_info_of_a_checkpoint(exported, capsys):
    assert weights_main(["info", str(exported)]) == 0
    printed = capsys.readouterr().out
    assert hashlib.sha256(exported.read_bytes()).hexdigest() in printed
    assert "container  legacy" in printed
    assert "keys       epoch, actor_type, net_type, net, net_info, constructor, optimizer, stats, settings" in printed
    assert "foreign    none" in printed
    assert "net        201 tensors" in printed
    assert "bb_regressor.fc3_rt" in printed and "(256, 6400)" in printed
    assert "layout     as expected" in printed


def test_info_says_how_a_checkpoint_differs(tmp_path, capsys):
    path = tmp_path / "other.pth"
    torch.save({"net": {"bb_regressor.iou_predictor.bias": torch.zeros(1)}}, path)
    assert weights_main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "layout     other than expected: " in printed and "missing: bb_regressor.conv3_1r.0.bias" in printed


def test_import_and_export(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ours = tmp_path / "ours.safetensors"
    assert weights_main(["import", str(exported), "--output", str(ours)]) == 0
    assert weights_main(["info", str(ours)]) == 0
    assert weights_main(["export", str(ours)]) == 0
    printed = capsys.readouterr().out
    assert f"written: {ours}" in printed and "unused     8.91 million" in printed and "written: ours.pth" in printed
    assert "zeros" not in printed  # they are kept since the import
    one, other = (torch.load(path, weights_only=True)["net"] for path in (exported, tmp_path / "ours.pth"))
    assert list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_export_tells_what_is_filled(tmp_path, capsys):
    weights.save(tmp_path / "mine.safetensors", weights.build_network("resnet18"), {})
    assert weights_main(["export", str(tmp_path / "mine.safetensors"), "--output", str(tmp_path / "mine.pth")]) == 0
    assert "32 tensors that the tracker does not use are zeros" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "missing.pth"], "missing.pth is missing"),
        (["import", "."], "is a folder"),
        (["import", "text.pth"], "text.pth cannot be read as a file of torch.save"),
        (["info", "text.pth"], "text.pth cannot be read as a file of torch.save"),
        (["info", "nothing"], "no shipped weights named 'nothing'"),
        (["export", "text.pth"], "`atom-weights import` reads the authors' checkpoint"),
        (["export", "efficientnet_lite0"], "the authors' layout has room for resnet18 only"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("a text\n")
    assert weights_main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["text.pth"]


def test_an_output_folder_that_is_missing_is_named(exported, tmp_path, capsys):
    assert weights_main(["import", str(exported), "--output", str(tmp_path / "no" / "x.safetensors")]) == 2
    assert "x.safetensors cannot be written" in capsys.readouterr().err


def test_export_as_onnx(network_file, tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "network.onnx"
    assert weights_main(["export", str(network_file), "--onnx", str(file), "--crop-size", "96"]) == 0
    assert f"written: {file}; opset 17, input crop 1x3x96x96 float32" in capsys.readouterr().out
    metadata = {prop.key: prop.value for prop in onnx.load(str(file)).metadata_props}
    assert metadata["weights_sha256"] == weights.load(network_file).sha256 and metadata["crop_size"] == "96"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--crop-size", "100"], "crop_size is 100; expected a multiple of 32"),
        (["--output", "a.pth"], "--output is the file of the authors' layout, and --onnx that of ONNX"),
    ],
)
def test_mistakes_in_exporting_onnx_are_told(more, message, network_file, tmp_path, capsys):
    assert weights_main(["export", str(network_file), "--onnx", str(tmp_path / "a.onnx"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_help_names_the_opset(capsys):
    with pytest.raises(SystemExit):
        weights_main(["export", "--help"])
    assert "opset 17" in " ".join(capsys.readouterr().out.split())
