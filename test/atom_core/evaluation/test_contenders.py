# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pickle

import pytest

from atom_core.config import TrackerConfig
from atom_core.evaluation.contenders import change_config, parse_contenders, tracker_modules
from atom_core.networks import weights


def test_changes_take_each_field_s_type():
    config = change_config(TrackerConfig(), ["memory_size=100", "learning_rate=0.02", "use_hann_window=true"])
    assert config == TrackerConfig(memory_size=100, learning_rate=0.02, use_hann_window=True)
    assert change_config(TrackerConfig(), ["seed=3", "vot"]) == TrackerConfig.vot(seed=3)


@pytest.mark.parametrize(
    "change, message",
    [
        ("memory_size", "expected KEY=VALUE or vot"),
        ("memory_size=many", "'many' is not a value of type int"),
        ("use_hann_window=1", "'1' is not a value of type bool"),
        ("learning_rate=2", r"expected a value in \[0.0, 1.0\]"),
    ],
)
def test_wrong_changes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change_config(TrackerConfig(), [change])


def test_networks_files_and_baselines_are_named_in_one_list(network_file):
    base = TrackerConfig(memory_size=100)
    names = ["default", "default:proposals=5:seed=2", "default:vot", str(network_file), "ours", "mil", "identity"]
    default, changed, vot, file, ours, mil, identity = parse_contenders(names, base, ours=str(network_file))
    assert [c.name for c in (default, changed, vot, file, ours, mil, identity)] == names
    assert default.weights == weights.find("default").resolve()
    assert default.config == base
    assert changed.config == TrackerConfig(memory_size=100, proposals=5, seed=2)
    assert vot.config == TrackerConfig.vot()
    assert file.weights == ours.weights == network_file
    assert mil.weights is None
    assert identity.settings(seed=0) == {"baseline": "identity"}


@pytest.mark.parametrize(
    "names, message",
    [
        (["default", "mil", "default"], "default is named twice"),
        (["mil:vot"], "mil takes no settings"),
        (["default:memory_sise=9"], "did you mean memory_size"),
    ],
)
def test_wrong_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        parse_contenders(names, TrackerConfig())


def test_an_unknown_network_is_told_with_what_there_is():
    with pytest.raises(
        FileNotFoundError, match=r"--trackers goturn: .*there are: .*; or one of kcf, csrt, mil, identity"
    ):
        parse_contenders(["goturn"], TrackerConfig())


def test_only_what_draws_is_run_with_several_seeds(network_file):
    ours, mil, identity = parse_contenders([f"{network_file}:seed=4", "mil", "identity"], TrackerConfig())
    assert ours.seeds(None) == (4,)
    assert ours.seeds([0, 1]) == mil.seeds([0, 1]) == (0, 1)
    assert identity.seeds([0, 1]) == (0,)


def test_settings_tell_seed_configuration_and_weights(network_file):
    contender = pickle.loads(pickle.dumps(parse_contenders([str(network_file)], TrackerConfig(), device="cpu")[0]))
    settings = contender.settings(seed=9)
    assert settings["config"]["seed"] == contender.build(seed=9).config.seed == 9
    assert settings["weights_sha256"] == weights.load(network_file).sha256
    assert settings["device"] == "cpu"


def test_the_code_that_results_depend_on_is_found():
    modules = tracker_modules()
    assert {
        "tracker",
        "classifier.localize",
        "classifier.gauss_newton",
        "networks.prroi_pool",
    } <= modules  # the last two are imported by others
    assert not {"networks.weights", "evaluation.contenders"} & modules
