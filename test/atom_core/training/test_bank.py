# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from atom_core.networks.backbones import build_backbone
from atom_core.training.bank import FeatureBank
from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import find_sources
from atom_core.training.sampling import make_pair

CONFIG = TrainingConfig(crop_size=96, window_cells=8, bank_pairs=11, batch_size=4)
PAIRS = CONFIG.bank_pairs


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return build_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def sources(data):
    return find_sources([data], TrainingConfig())


@pytest.fixture(scope="module")
def new_bank(sources, backbone):
    def build(versions, config=CONFIG, stream=0, sources=sources):
        bank = FeatureBank(sources, backbone, backbone, config, PAIRS, stream)
        bank.fill(torch.as_tensor(versions))
        return bank

    return build


@pytest.fixture(scope="module")
def bank(new_bank):
    return new_bank([0] * PAIRS)


def tensors(bank, slots=slice(None)):
    return [t[slots] for side in (bank.reference, bank.test) for t in side]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_shapes_and_types(bank):
    for side in bank.batch(torch.tensor([4, 0, 7])):
        assert side.stride8.shape == (3, 40, 8, 8)
        assert side.stride16.shape == (3, 112, 5, 5)  # half the window + 1
        assert side.stride8.dtype == torch.float16
        assert side.features().stride8.dtype == torch.float32
        assert side.boxes.shape == (3, 1, 4)
        assert side.origins.shape == (3, 4)
        assert [c.shape for origin in side.window() for c in origin] == [(3, 1)] * 4


def test_pair_is_a_function_of_seed_slot_version_and_stream(new_bank, bank):
    versions = [0, 1, 0, 2, 0, 0, 3, 0, 1, 0, 0]
    direct = new_bank(versions)
    step_by_step = new_bank([0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0])
    step_by_step.fill(torch.tensor(versions))
    assert equal(tensors(direct), tensors(step_by_step))
    assert step_by_step.versions.tolist() == versions
    unchanged = torch.tensor(versions) == 0
    assert equal(tensors(direct, unchanged), tensors(bank, unchanged))
    for slot in (1, 3, 6, 8):
        assert not torch.equal(direct.test.boxes[slot], bank.test.boxes[slot])
    for other in (new_bank([0] * PAIRS, replace(CONFIG, seed=1)), new_bank([0] * PAIRS, stream=1)):
        assert (other.test.boxes != bank.test.boxes).any(2).all()
    assert len(bank.test.boxes.unique(dim=0)) == PAIRS  # slots differ


def test_fill_draws_only_what_is_out_of_date(new_bank):
    bank = new_bank([0] * PAIRS)
    bank.test.boxes[2] = -1.0  # a mark, which drawing slot 2 again would overwrite
    bank.fill(torch.tensor([1, 1] + [0] * (PAIRS - 2)))
    assert bank.test.boxes[2].tolist() == [[-1, -1, -1, -1]]


def test_windows_are_cut_from_the_crops_features(bank, backbone, sources):
    for slot in range(PAIRS):
        rng = np.random.default_rng((CONFIG.seed, 0, slot, 0))
        source = sources[rng.choice(2, p=[0.5, 0.5])]
        crops = make_pair(*source.draw(rng), CONFIG, rng)
        for side, crop in zip((bank.reference, bank.test), crops, strict=True):
            torch.testing.assert_close(side.boxes[slot], crop.boxes)
            maps = backbone(crop.pixels[None])
            x8, y8, x16, y16 = (int(v) for v in side.origins[slot])
            for kept, whole, x, y, cells in (
                (side.stride8, maps.stride8, x8, y8, 8),
                (side.stride16, maps.stride16, x16, y16, 5),
            ):
                expected = whole[0, :, y : y + cells, x : x + cells]
                assert expected.shape[-2:] == (cells, cells)
                torch.testing.assert_close(kept[slot].float(), expected, atol=2e-3, rtol=2e-3)  # float16


def test_window_is_about_the_object_as_far_as_the_crop_goes(bank):
    for side in (bank.reference, bank.test):
        middle = side.boxes[:, 0, :2] + side.boxes[:, 0, 2:] / 2
        for first, stride, cells in ((side.origins[:, :2], 8, 8), (side.origins[:, 2:], 16, 5)):
            wanted = (middle / stride - (cells - 1) / 2).round().clamp(0, 96 // stride - cells)
            assert torch.equal(first, wanted)


def test_window_may_be_the_whole_map(new_bank):
    bank = new_bank([0] * PAIRS, replace(CONFIG, window_cells=12))
    assert bank.test.stride8.shape[-2:] == (12, 12)
    assert bank.test.stride16.shape[-2:] == (6, 6)
    assert bank.test.origins.abs().max() == 0


def test_odds(new_bank, sources):
    only_stills = new_bank([0] * PAIRS, replace(CONFIG, odds={"toy": 0.0}))
    alone = new_bank([0] * PAIRS, sources=[s for s in sources if s.name == "shapes"])
    assert equal(tensors(only_stills), tensors(alone))
    with pytest.raises(ValueError, match="odds are 0 for every source of shapes, toy"):
        new_bank([0] * PAIRS, replace(CONFIG, odds={"toy": 0.0, "shapes": 0.0}))


def test_unreadable_image_costs_a_pair_and_not_the_run(tmp_path, data, new_bank, caplog):
    folder = tmp_path / "broken"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "good.png").write_bytes((data / "shapes" / "images" / "0.png").read_bytes())
    (folder / "images" / "damaged.png").write_bytes(b"no image")
    box = [19.5, 19.5, 24, 18]
    (folder / "boxes.json").write_text(json.dumps({"good.png": [box], "damaged.png": [box], "missing.png": [box]}))
    with caplog.at_level(logging.WARNING):
        bank = new_bank([0] * PAIRS, sources=find_sources([folder], CONFIG))
    assert all(torch.isfinite(t.float()).all() for t in tensors(bank))
    assert "damaged.png: its 8 bytes are damaged or of an unknown format; another pair is drawn" in caplog.text
    assert "missing.png" in caplog.text

    (folder / "boxes.json").write_text(json.dumps({"damaged.png": [box], "missing.png": [box]}))
    with pytest.raises(OSError, match="100 pairs in a row could not be read"):
        new_bank([0] * PAIRS, sources=find_sources([folder], CONFIG))
