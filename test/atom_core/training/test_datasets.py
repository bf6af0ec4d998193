# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
from collections import Counter

import numpy as np
import pytest

from atom_core.training.config import TrainingConfig
from atom_core.training.datasets import StillImages, Videos, find_sources


def still_set(folder, listed):
    """A set that lists boxes; its images need not exist, since only names are read."""
    folder.mkdir(parents=True)
    (folder / "boxes.json").write_text(listed if isinstance(listed, str) else json.dumps(listed))
    return folder


def video(folder, lines, frames=None):
    (folder / "img").mkdir(parents=True)
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    for i in range(len(lines) if frames is None else frames):
        (folder / "img" / f"{i:04}.jpg").touch()
    return folder


def draws(source, count=300):
    rng = np.random.default_rng(0)
    return [source.draw(rng) for _ in range(count)]


def test_finds_sets_and_groups_videos_by_prefix(data):
    assert [source.name for source in find_sources([data], TrainingConfig())] == ["shapes", "toy"]


def test_stills_give_one_view_twice(data):
    source = StillImages(data / "shapes")
    pairs = draws(source, 50)
    assert all(a == b for a, b in pairs)
    assert {a.path.name for a, _ in pairs} == {"0.png", "1.png", "2.png", "3.png"}
    assert next(a.box for a, _ in pairs if a.path.name == "0.png") == (19.5, 19.5, 24, 18)


def test_stills_draw_images_and_not_boxes(tmp_path):
    crowd = [[10 * i, 0, 9, 9] for i in range(9)]
    source = StillImages(still_set(tmp_path / "set", {"crowd.png": crowd, "alone.png": [[0, 0, 50, 50]]}))
    share = Counter(a.path.name for a, _ in draws(source, 1000))["alone.png"] / 1000
    assert share == pytest.approx(0.5, abs=0.05)


def test_stills_leave_out_boxes_that_are_too_small(tmp_path):
    listed = {"a.png": [[0, 0, 3.9, 50], [5, 6, 4, 4], [0, 0, 50, -1]], "b.png": [], "c.png": [[0, 0, 1, 1]]}
    source = StillImages(still_set(tmp_path / "set", listed))
    assert {(a.path.name, a.box) for a, _ in draws(source, 20)} == {("a.png", (5, 6, 4, 4))}


def test_videos_give_frames_of_one_sequence_within_the_gap(tmp_path):
    lines = [f"{i},0,10,10" for i in range(12)]
    source = Videos("toy", [video(tmp_path / "toy__a", lines), video(tmp_path / "toy__b", lines)], max_frame_gap=3)
    pairs = draws(source)
    assert all(a.path.parent == b.path.parent for a, b in pairs)
    assert {a.path.parents[1].name for a, _ in pairs} == {"toy__a", "toy__b"}
    assert {int(b.box[0] - a.box[0]) for a, b in pairs} == set(range(-3, 4))
    assert all(int(v.path.stem) == v.box[0] for pair in pairs for v in pair)  # each frame has its own line


def test_videos_leave_out_frames_without_the_object(tmp_path):
    lines = [f"{i},0,10,10" for i in range(8)]
    lines[2], lines[5] = "NaN,NaN,NaN,NaN", "5,0,0,0"
    source = Videos("toy", [video(tmp_path / "toy__a", lines)], max_frame_gap=50)
    assert {int(v.path.stem) for pair in draws(source) for v in pair} == {0, 1, 3, 4, 6, 7}


def test_videos_leave_out_sequences_with_few_frames(tmp_path):
    short = video(tmp_path / "toy__short", ["0,0,9,9"] * 4)
    long = video(tmp_path / "toy__long", ["0,0,9,9"] * 5)
    assert {a.path.parents[1].name for a, _ in draws(Videos("toy", [short, long], 50))} == {"toy__long"}
    with pytest.raises(ValueError, match="source 'toy': no sequence has 5 frames with a usable box"):
        Videos("toy", [short], 50)


def test_same_seed_same_pairs(data):
    for source in find_sources([data], TrainingConfig(max_frame_gap=2)):
        assert draws(source, 30) == draws(source, 30)


def test_counts_that_do_not_match(tmp_path):
    video(tmp_path / "toy__a", ["0,0,9,9"] * 6, frames=5)
    with pytest.raises(ValueError, match=r"toy__a: 6 lines in groundtruth_rect\.txt but 5 images in img/"):
        find_sources([tmp_path], TrainingConfig())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0,0,9,9", "0,0,nine,9"], r"groundtruth_rect\.txt: .*nine.*; expected a line x,y,width,height"),
        (["0,0,9"] * 6, r"groundtruth_rect\.txt has 3 numbers a line; expected x,y,width,height"),
    ],
)
def test_damaged_groundtruth_is_named(tmp_path, lines, message):
    video(tmp_path / "toy__a", lines)
    with pytest.raises(ValueError, match=message):
        find_sources([tmp_path], TrainingConfig())


def test_sequence_without_frames_is_named(tmp_path):
    (tmp_path / "toy__a").mkdir()
    (tmp_path / "toy__a" / "groundtruth_rect.txt").write_text("0,0,9,9\n")
    with pytest.raises(ValueError, match="toy__a has no folder img/"):
        find_sources([tmp_path], TrainingConfig())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a.png": [[1, 2', r"set/boxes\.json is no JSON file"),
        ("[1, 2]", r"set/boxes\.json holds a list; expected an object"),
        ({"a.png": [[1, 2, 3]]}, r"boxes of 'a\.png' are \[\[1, 2, 3\]\]; expected \[\[x, y, width, height\]"),
        ({"a.png": [[0, 0, 2, 2]]}, r"set/boxes\.json lists no box of at least 4\.0 px a side"),
    ],
)
def test_damaged_boxes_are_named(tmp_path, content, message):
    still_set(tmp_path / "set", content)
    with pytest.raises(ValueError, match=message):
        find_sources([tmp_path], TrainingConfig())


def test_a_set_of_backgrounds_is_no_source(tmp_path):
    still_set(tmp_path / "backgrounds", {"a.png": [], "b.png": []})
    still_set(tmp_path / "set", {"a.png": [[0, 0, 9, 9]]})
    assert [s.name for s in find_sources([tmp_path], TrainingConfig())] == ["set"]


def test_nothing_found_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"no boxes\.json and no groundtruth_rect\.txt in the folders below"):
        find_sources([tmp_path], TrainingConfig())
    with pytest.raises(ValueError, match="missing is not a folder"):
        find_sources([tmp_path / "missing"], TrainingConfig())
