# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import pickle

import numpy as np
import pytest

from atom_core.data.held_back import held_back
from atom_core.data.sequences import read_sequence
from atom_core.evaluation import command
from atom_core.evaluation.clips.material import find_material
from atom_core.evaluation.clips.source import CLIPS, make_clips, save_sequence
from atom_core.evaluation.metrics import overlap


def test_the_material_is_held_back(stills):
    material = find_material([stills])
    assert len(material.objects) == len(material.backgrounds) == 8
    paths = [t.path for t in material.targets] + [o.image for o in material.objects] + list(material.backgrounds)
    assert all(map(held_back, paths))


def bright_box(image):
    """The box of the largest white thing, or None."""
    rows, columns = np.nonzero(image.min(2) > 170)
    return (columns.min() - 0.5, rows.min() - 0.5, np.ptp(columns) + 1, np.ptp(rows) + 1) if len(rows) else None


def test_short_clips_have_true_boxes(stills):
    """Of clips whose target is the whole ellipse: the truth is measured from the pixels."""
    material = find_material([stills])
    whole = tuple(t for t in material.targets if t.kind == "whole")
    material = type(material)(whole, (), (), material.backgrounds)
    for seed in range(4):
        scene = CLIPS["short"](material, seed)
        truth = scene.truth()
        assert len(truth) == 30
        for index in (0, 15, 29):
            x, y, width, height = truth[index]
            inside = x > 0 and y > 0 and x + width < scene.size[0] - 1 and y + height < scene.size[1] - 1
            if inside:
                measured = np.array([bright_box(scene.frame(index))])
                assert overlap(measured, truth[index : index + 1])[0] > 0.9


def test_long_clips_come_and_go(stills):
    clips = make_clips([stills], "long", 6)
    assert [clip.name for clip in clips] == ["long0000", "long0002", "long0004", "long0006", "long0008", "long0010"]
    assert all(200 <= len(clip) <= 400 for clip in clips)
    absent = [np.isnan(clip.boxes).any(axis=1) for clip in clips]
    assert all(not a[:30].any() for a in absent) and sum(a.any() for a in absent) >= 3
    # At least one target returns: it is seen, absent, and seen again.
    assert any((np.diff(a.astype(int)) == -1).any() for a in absent)


def test_clips_put_aside_have_odd_seeds(stills):
    assert [clip.name for clip in make_clips([stills], "short", 3, put_aside=True)] == [
        "short0001",
        "short0003",
        "short0005",
    ]


def test_a_clip_is_the_same_each_time_also_in_another_process(stills):
    (clip,) = make_clips([stills], "short", 1)
    (again,) = make_clips([stills], "short", 1)
    copied = pickle.loads(pickle.dumps(clip))
    first = list(clip.frames)
    assert len(first) == len(clip) == 30 and first[0].dtype == np.uint8
    assert (clip.boxes == again.boxes).all()
    for one, other, third in zip(first, again.frames, copied.frames, strict=True):
        assert (one == other).all() and (one == third).all()


def test_a_saved_clip_is_read_again(stills, tmp_path):
    (clip,) = make_clips([stills], "long", 1)
    save_sequence(clip, tmp_path)
    read = read_sequence(tmp_path / clip.name)
    np.testing.assert_allclose(read.boxes, clip.boxes, atol=0.01)
    difference = next(iter(read.frames)).astype(int) - next(iter(clip.frames))
    assert np.abs(difference).mean() < 4  # grey levels, by jpeg


def test_unknown_clips_are_named(stills):
    with pytest.raises(ValueError, match="unknown clips 'endless'"):
        make_clips([stills], "endless", 1)


def test_the_command_evaluates_clips(stills, tmp_path, capsys):
    arguments = [str(stills), "--clips", "short", "--count", "2", "--trackers", "identity"]
    assert command.main([*arguments, "--output", str(tmp_path / "results")]) == 0
    assert "short0000" in (printed := capsys.readouterr().out) and "short0002" in printed
    assert "short clips from" in (tmp_path / "results" / "report.html").read_text()


def test_the_command_writes_clips(stills, tmp_path):
    arguments = ["clips", str(stills), "--clips", "short", "--count", "1", "--output", str(tmp_path)]
    assert command.main(arguments) == 0
    assert len(read_sequence(tmp_path / "short0000")) == 30
