# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import argparse
from pathlib import Path

import pytest

from atom_core.offline.events import TargetEvent
from atom_core.offline.session import add_arguments, is_complete, journal_folder, read_targets

BOX = "59.5,39.5,32,32"


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--box", BOX, *words])


def test_defaults() -> None:
    arguments = parse()
    assert (arguments.weights, arguments.device, arguments.frames, arguments.checkpoint) == (
        "default",
        "auto",
        None,
        30,
    )
    assert not arguments.resume and not arguments.overwrite


@pytest.mark.parametrize("words", [["--frames", "0"], ["--frames", "-1"], ["--boxes", "a.csv"]])
def test_wrong_options_are_refused(words) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(*words)


def test_a_box_counts_from_the_first_frame_or_from_a_stamp() -> None:
    assert read_targets(parse()) == [TargetEvent(1, (59.5, 39.5, 32.0, 32.0), frame=0)]
    assert read_targets(parse(), stamp=5) == [TargetEvent(1, (59.5, 39.5, 32.0, 32.0), stamp=5)]


def test_a_new_run_may_begin(tmp_path: Path) -> None:
    assert not is_complete(parse(), [tmp_path / "a.csv", tmp_path / "a.mp4"])


def test_results_are_in_the_way_unless_they_may_be_replaced(tmp_path: Path) -> None:
    outputs = [tmp_path / "a.csv", tmp_path / "a.mp4"]
    outputs[1].touch()
    with pytest.raises(FileExistsError, match=r"a\.mp4 is there already"):
        is_complete(parse(), outputs)
    assert not is_complete(parse("--overwrite"), outputs)
    assert not is_complete(parse("--resume"), outputs), "the main result is missing"
    outputs[0].touch()
    assert is_complete(parse("--resume"), outputs)


def test_an_unfinished_run_is_resumed_or_thrown_away(tmp_path: Path) -> None:
    outputs = [tmp_path / "a.csv"]
    journal_folder(outputs[0]).mkdir()
    assert journal_folder(outputs[0]) == tmp_path / "a.csv.resume"
    with pytest.raises(FileExistsError, match="continue with --resume, or start over with --overwrite"):
        is_complete(parse(), outputs)
    assert not is_complete(parse("--resume"), outputs) and journal_folder(outputs[0]).exists()
    assert not is_complete(parse("--overwrite"), outputs) and not journal_folder(outputs[0]).exists()
