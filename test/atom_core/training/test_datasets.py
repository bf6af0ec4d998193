# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import logging
import shutil
from collections import Counter

import numpy as np
import pytest

from atom_core.data.catalog import LazySequence, StillSet
from atom_core.data.frames import ImageFiles, VideoFile
from atom_core.data.sequences import Sequence
from atom_core.training.config import TrainingConfig
from atom_core.training.cut_paste import CutPaste
from atom_core.training.datasets import StillImages, Videos, find_sources

CONFIG = TrainingConfig(min_sequence_frames=5)


def still_images(folder, listed):
    """A source of a set that lists boxes; its images need not exist, since only names are read."""
    boxes = {file: np.array(rows, float).reshape(-1, 4) for file, rows in listed.items()}
    return StillImages("set", [StillSet(folder, boxes)])


def numbered(folder, boxes):
    """A sequence whose frames are named by number; they need not exist either."""
    return Sequence(
        folder.name, ImageFiles(folder, tuple(f"{i}.jpg" for i in range(len(boxes)))), np.array(boxes, float)
    )


def video(folder, boxes):
    return LazySequence(folder, lambda: numbered(folder, boxes))


def damaged(folder):
    def read():
        raise ValueError("groundtruth.txt, line 3: no number")

    return LazySequence(folder, read)


def draws(source, count=300):
    rng = np.random.default_rng(0)
    return [source.draw(rng) for _ in range(count)]


def places(source):
    return {view.path.parent.name for pair in draws(source) for view in pair}


def test_finds_sets_and_groups_videos_by_prefix(data):
    assert [source.name for source in find_sources([data], CONFIG)] == ["shapes", "toy"]


def test_stills_give_one_view_twice(data):
    source = find_sources([data / "shapes"], CONFIG)[0]
    pairs = draws(source, 50)
    assert all(a == b for a, b in pairs)
    assert {a.path for a, _ in pairs} == {data / "shapes" / "images" / f"{i}.png" for i in range(4)}
    assert next(a.box for a, _ in pairs if a.path.name == "0.png") == (19.5, 19.5, 24, 18)


def test_stills_draw_images_and_not_boxes(tmp_path):
    crowd = [[10 * i, 0, 9, 9] for i in range(9)]
    source = still_images(tmp_path, {"crowd.png": crowd, "alone.png": [[0, 0, 50, 50]]})
    share = Counter(a.path.name for a, _ in draws(source, 1000))["alone.png"] / 1000
    assert share == pytest.approx(0.5, abs=0.05)


def test_stills_leave_out_boxes_that_are_too_small(tmp_path):
    listed = {"a.png": [[0, 0, 3.9, 50], [5, 6, 4, 4], [np.nan] * 4], "b.png": [], "c.png": [[0, 0, 1, 1]]}
    source = still_images(tmp_path, listed)
    assert {(a.path.name, a.box) for a, _ in draws(source, 20)} == {("a.png", (5, 6, 4, 4))}
    with pytest.raises(ValueError, match=r"source 'set': .* has no box of at least 4\.0 px a side"):
        still_images(tmp_path, {"c.png": [[0, 0, 1, 1]]})


def test_videos_give_frames_of_one_sequence_within_the_gap(tmp_path):
    boxes = [[i, 0, 10, 10] for i in range(12)]
    sequences = [video(tmp_path / name, boxes) for name in "ab"]
    source = Videos("toy", sequences, TrainingConfig(min_sequence_frames=12, max_frame_gap=3))
    pairs = draws(source)
    assert all(a.path.parent == b.path.parent for a, b in pairs)
    assert places(source) == {"a", "b"}
    assert {int(b.box[0] - a.box[0]) for a, b in pairs} == set(range(-3, 4))
    assert all(int(v.path.stem) == v.box[0] for pair in pairs for v in pair)  # each frame has its own line


def test_videos_leave_out_frames_without_the_object(tmp_path):
    boxes = np.array([[i, 0, 10, 10] for i in range(8)], float)
    boxes[2], boxes[5, 3] = np.nan, 3.9
    source = Videos("toy", [video(tmp_path, boxes)], CONFIG)
    assert {int(v.path.stem) for pair in draws(source) for v in pair} == {0, 1, 3, 4, 6, 7}


def test_videos_leave_out_sequences_with_few_frames(tmp_path):
    seen, hidden = [0, 0, 9, 9], [np.nan] * 4
    sequences = [
        video(tmp_path / "short", [seen] * 9),
        video(tmp_path / "hidden", [seen] * 3 + [hidden] * 9),
        video(tmp_path / "good", [seen] * 4 + [hidden] * 6),
    ]
    config = TrainingConfig(min_sequence_frames=10, min_visible_frames=4)
    assert places(Videos("toy", sequences, config)) == {"good"}
    with pytest.raises(
        ValueError, match="'toy': none of 2 sequences can be read and has min_sequence_frames = 10 frames"
    ):
        Videos("toy", sequences[:2], config)


def test_the_paper_asks_for_20_frames_and_more_than_4_visible():
    assert (TrainingConfig().min_sequence_frames, TrainingConfig().min_visible_frames) == (20, 5)


def test_a_damaged_sequence_is_named_once_and_left_out(tmp_path, caplog):
    sequences = [damaged(tmp_path / "broken"), video(tmp_path / "good", [[0, 0, 9, 9]] * 20)]
    with caplog.at_level(logging.WARNING):
        assert places(Videos("toy", sequences, CONFIG)) == {"good"}
    (record,) = caplog.records
    assert record.getMessage() == f"{tmp_path / 'broken'} is left out: groundtruth.txt, line 3: no number"


def test_a_sequence_in_a_video_file_is_left_out(tmp_path, caplog):
    clip = Sequence("clip", VideoFile(tmp_path / "clip.mp4", 20), np.full((20, 4), 9.0))
    sequences = [LazySequence(tmp_path / "clip", lambda: clip), video(tmp_path / "good", [[0, 0, 9, 9]] * 20)]
    with caplog.at_level(logging.WARNING):
        assert places(Videos("toy", sequences, CONFIG)) == {"good"}
    assert "the frames of clip are in no image files; extract them into img/" in caplog.text


def test_sequences_are_read_when_they_are_drawn(tmp_path):
    """30 000 videos cannot all be read before the first step."""
    read = []

    def sequence(name):
        def load():
            read.append(name)
            return numbered(tmp_path / name, np.full((20, 4), 9.0))

        return LazySequence(tmp_path / name, load)

    source = Videos("toy", [sequence(str(i)) for i in range(1000)], CONFIG)
    draws(source, 5)
    draws(source, 5)  # the same again: nothing is read twice
    assert len(read) == len(set(read)) <= 6


def test_same_seed_same_pairs(data):
    for source in find_sources([data], TrainingConfig(max_frame_gap=2)):
        assert draws(source, 30) == draws(source, 30)


def write_json(path, content):
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def test_a_set_of_backgrounds_is_no_source(tmp_path):
    write_json(tmp_path / "backgrounds" / "boxes.json", {"a.png": [], "b.png": []})
    with pytest.raises(ValueError, match=r"no boxes in .*: only images without any"):
        find_sources([tmp_path], CONFIG)
    write_json(tmp_path / "set" / "boxes.json", {"a.png": [[0, 0, 9, 9]]})
    assert [s.name for s in find_sources([tmp_path], CONFIG)] == ["set"]


def test_masks_make_a_source_of_composed_pairs(tmp_path):
    write_json(tmp_path / "set" / "boxes.json", {"a.png": [[0, 0, 9, 9]]})
    (tmp_path / "set" / "masks").mkdir()
    sources = find_sources([tmp_path], CONFIG)
    assert [s.name for s in sources] == ["set", "cut_paste"]
    assert isinstance(sources[1], CutPaste)


def test_masks_without_backgrounds_are_not_used(tmp_path, data, caplog):
    shutil.copytree(data / "toy__right", tmp_path / "toy__right")
    (tmp_path / "toy__right" / "mask").mkdir()
    with caplog.at_level(logging.WARNING):
        assert [s.name for s in find_sources([tmp_path], CONFIG)] == ["toy"]
    assert "the masks of toy are not used: there are no still images to paste over" in caplog.text


def test_a_damaged_sequence_with_masks_is_left_out(tmp_path, data, caplog):
    """Its masks are looked at when sources are found, when nothing is drawn yet."""
    shutil.copytree(data, tmp_path / "data")
    for name in ("toy__right", "toy__down"):
        (tmp_path / "data" / name / "mask").mkdir()
    (tmp_path / "data" / "toy__right" / "groundtruth_rect.txt").write_text("no numbers\n")
    with caplog.at_level(logging.WARNING):
        assert [s.name for s in find_sources([tmp_path / "data"], CONFIG)] == ["shapes", "toy", "cut_paste"]
    assert "toy__right is left out" in caplog.text
