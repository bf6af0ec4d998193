# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path

import pytest

from atom_core.training.config import CutPasteConfig, TrainingConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),  # batch normalisation needs two
        ("flip_probability", 1.1),
        ("bank_renewal", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("scale_jitter", math.inf),
        ("crop_size", 100),
        ("window_cells", 7),
        ("window_cells", 37),
        ("proposal_sigmas", ()),
        ("proposal_sigmas", (0.1, 0.0)),
        ("odds", {"coco": -1.0}),
    ],
)
def test_wrong_value_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        TrainingConfig(**{name: value})


def test_batch_larger_than_the_bank_is_refused():
    with pytest.raises(ValueError, match="batch_size 64 exceeds bank_pairs 32"):
        TrainingConfig(bank_pairs=32)


def test_file_changes_what_it_names(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("epochs = 3\nproposal_sigmas = [0.1, 0.2]\n[odds]\ncoco = 2.0\n")
    assert TrainingConfig.from_toml(path) == TrainingConfig(epochs=3, proposal_sigmas=(0.1, 0.2), odds={"coco": 2.0})


def test_unknown_setting_is_refused_by_name(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("epoch = 3\n")
    with pytest.raises(ValueError, match="unknown setting 'epoch'"):
        TrainingConfig.from_toml(path)


def test_cut_paste_has_a_table_of_its_own(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[cut_paste]\nshift = 0.25\n")
    assert TrainingConfig.from_toml(path).cut_paste == CutPasteConfig(shift=0.25)
    path.write_text("[cut_paste]\nshifts = 0.25\n")
    with pytest.raises(ValueError, match=r"settings\.toml: unknown setting 'shifts'"):
        TrainingConfig.from_toml(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"twin_probability": 1.1}, "twin_probability is 1.1"),
        ({"odds": {"ccp": -1.0}}, "cut_paste.odds is"),
        ({"min_side": 50.0, "max_side": 40.0}, "min_side 50.0 exceeds max_side 40.0"),
    ],
)
def test_wrong_value_of_cut_paste_is_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        CutPasteConfig(**values)


def test_json_holds_every_setting():
    config = TrainingConfig(epochs=7, odds={"coco": 2.0}, cut_paste=CutPasteConfig(shift=0.25))
    assert TrainingConfig.from_dict(json.loads(config.to_json()), "settings.json") == config


def test_shipped_recipes_are_valid():
    recipes = sorted((Path(__file__).parents[3] / "config").glob("train_*.toml"))
    assert recipes
    for recipe in recipes:
        TrainingConfig.from_toml(recipe)
