# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from atom_core.config import TrackerConfig


def test_defaults_are_those_of_the_paper_s_table() -> None:
    config = TrackerConfig()
    assert (config.crop_size, config.search_area_factor) == (288, 5)
    assert (config.learning_rate, config.hard_negative_learning_rate) == (0.01, 0.02)
    assert (config.not_found_threshold, config.distractor_threshold, config.hard_negative_threshold) == (0.25, 0.8, 0.5)
    assert (config.first_frame_gn_steps, config.first_frame_cg_iterations, config.update_cg_iterations) == (6, 10, 5)


def test_vot_settings_differ_where_the_table_says() -> None:
    config = TrackerConfig.vot(seed=3)
    assert (config.crop_size, config.search_area_factor, config.learning_rate) == (224, 4, 0.0075)
    assert (config.near_limit, config.hard_negative_threshold, config.first_frame_weight) == (0.7, 0.3, 0)
    assert config.use_hann_window and config.seed == 3


def test_every_field_has_a_text_and_every_number_a_range() -> None:
    numbers = {f.name for f in dataclasses.fields(TrackerConfig) if f.type != "bool"}
    settings = TrackerConfig.settings()
    assert numbers == {name for name, setting in settings.items() if setting.bounds is not None}
    assert set(settings) == {f.name for f in dataclasses.fields(TrackerConfig)}
    assert all(setting.text.endswith(".") for setting in settings.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1.5}, r"learning_rate is 1.5; expected a value in \[0.0, 1.0\]"),
        ({"not_found_threshold": float("nan")}, "not_found_threshold is nan"),
        ({"crop_size": 300}, "multiple of 32 .*: 288 or 320"),
        ({"filter_size": 3}, "filter_size is 3; expected an even number"),
        ({"proposals": 2}, "top_proposals is 3; expected at most proposals = 2"),
        ({"memory_size": 30}, "more than the 30 samples of the first frame"),
    ],
)
def test_values_out_of_range_are_named(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        TrackerConfig(**changes)


def test_a_configuration_is_frozen_and_knows_its_fields() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrackerConfig().seed = 1
    with pytest.raises(TypeError, match="learning_rat"):
        TrackerConfig(learning_rat=0.1)
