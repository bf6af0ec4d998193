# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import logging

import numpy as np
import pytest

from atom_core.data.catalog import find_data

NONE = [np.nan] * 4


def write(path, content=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def only_source(found, name):
    """The sequences of the one source that was found."""
    assert not found.stills
    assert list(found.sequences) == [name]
    return found.sequences[name]


def check(lazy, files, boxes):
    for file in files:  # until they are read, nothing needs the images
        write(file)
    sequence = lazy.read()
    np.testing.assert_array_equal(sequence.boxes, boxes)
    assert [sequence.frame_path(i) for i in range(len(boxes))] == files


def test_lasot(tmp_path):
    cat = tmp_path / "cat" / "cat-2"
    write(cat / "groundtruth.txt", "1,1,10,20\n2,3,10,20\n2,3,10,20\n5,6,7,8\n")
    write(cat / "full_occlusion.txt", "0,1,0,0")
    write(cat / "out_of_view.txt", "0,0,1,0")
    (cat / "img").mkdir()
    write(tmp_path / "training_set.txt", "cat-2\n")
    (sequence,) = only_source(find_data([tmp_path]), "lasot")
    files = [cat / "img" / f"0000000{number}.jpg" for number in (1, 2, 3, 4)]
    check(sequence, files, [[0, 0, 10, 20], NONE, NONE, [4, 5, 7, 8]])  # the first pixel is 1 there and 0 here


def lasot_sequences(root, names):
    for name in names:
        write(root / name.partition("-")[0] / name / "groundtruth.txt", "1,1,9,9\n")
        (root / name.partition("-")[0] / name / "img").mkdir()


@pytest.mark.parametrize(
    ("lists", "used"),
    [
        ({"training_set.txt": "cat-1\ndog-1\n"}, ["cat-1", "dog-1"]),
        ({"testing_set.txt": "cat-1\n"}, ["cat-2", "dog-1"]),
        ({"training_set.txt": "dog-1\n", "testing_set.txt": "cat-1\n"}, ["dog-1"]),
        ({}, ["cat-1", "cat-2", "dog-1"]),
    ],
)
def test_lasot_trains_on_its_training_set(tmp_path, lists, used, caplog):
    lasot_sequences(tmp_path, ["cat-1", "cat-2", "dog-1"])
    for name, content in lists.items():
        write(tmp_path / name, content)
    with caplog.at_level(logging.WARNING):
        sequences = only_source(find_data([tmp_path]), "lasot")
    assert [sequence.place.name for sequence in sequences] == used
    assert ("has no training_set.txt" in caplog.text) == (not lists)


def test_lasot_class_folder(tmp_path):
    lasot_sequences(tmp_path, ["cat-1", "dog-1"])
    assert [s.place.name for s in only_source(find_data([tmp_path / "cat"]), "lasot")] == ["cat-1"]


def test_trackingnet(tmp_path):
    for chunk, video in (("TRAIN_0", "a_1"), ("TRAIN_11", "b_2"), ("TEST", "c_3")):
        write(tmp_path / chunk / "anno" / f"{video}.txt", " 1.50,2.00,30.00,40.00\n-3.00,2.00,30.00,40.00\n")
        (tmp_path / chunk / "frames" / video).mkdir(parents=True)
    sequences = only_source(find_data([tmp_path]), "trackingnet")
    assert [s.place.stem for s in sequences] == ["a_1", "b_2"]  # not the test set
    files = [tmp_path / "TRAIN_0" / "frames" / "a_1" / name for name in ("0.jpg", "1.jpg")]
    check(sequences[0], files, [[1.5, 2, 30, 40], [-3, 2, 30, 40]])
    (alone,) = only_source(find_data([tmp_path / "TRAIN_11"]), "trackingnet")
    assert alone.place.stem == "b_2"


def test_chunks_named_apart_make_one_source(tmp_path):
    for chunk in ("TRAIN_0", "TRAIN_1"):
        write(tmp_path / chunk / "anno" / f"in_{chunk}.txt", "1,2,30,40\n")
        (tmp_path / chunk / "frames").mkdir()
    found = find_data([tmp_path / "TRAIN_0", tmp_path / "TRAIN_1"])
    assert [s.place.stem for s in only_source(found, "trackingnet")] == ["in_TRAIN_0", "in_TRAIN_1"]


def test_got10k(tmp_path):
    video = tmp_path / "train" / "GOT-10k_Train_000007"
    write(video / "groundtruth.txt", "1.0000,1.0000,10.0000,20.0000\n3,4,10,20\n3,4,10,20\n")
    write(video / "absence.label", "0\n1\n0\n")
    write(video / "cover.label", "8\n8\n0\n")
    write(tmp_path / "val" / "GOT-10k_Val_000001" / "groundtruth.txt", "1,1,9,9\n")
    write(tmp_path / "train" / "list.txt", "GOT-10k_Train_000007\n")
    (sequence,) = only_source(find_data([tmp_path]), "got10k")
    check(sequence, [video / f"0000000{n}.jpg" for n in (1, 2, 3)], [[0, 0, 10, 20], NONE, NONE])
    (held_out,) = only_source(find_data([tmp_path / "val"]), "got10k")  # only where it is asked for
    assert held_out.place.name == "GOT-10k_Val_000001"


@pytest.mark.parametrize("parent", ["", "images"])
def test_coco(tmp_path, parent):
    images = tmp_path / parent / "train2017"
    images.mkdir(parents=True)
    content = {
        "images": [{"id": 5, "file_name": "005.jpg"}, {"id": 9, "file_name": "009.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 5, "bbox": [10.5, 20, 30, 40], "iscrowd": 0},
            {"id": 2, "image_id": 5, "bbox": [0, 0, 300, 300], "iscrowd": 1},
            {"id": 3, "image_id": 5, "bbox": [1, 2, 3, 0], "iscrowd": 0},
        ],
    }
    write(tmp_path / "annotations" / "instances_train2017.json", content)
    write(tmp_path / "annotations" / "instances_val2017.json", "not read")
    found = find_data([tmp_path])
    assert not found.sequences
    (still_set,) = found.stills["coco"]
    assert still_set.images == images
    # COCO's 0 is the corner of the first pixel, ours its centre.
    np.testing.assert_array_equal(still_set.boxes["005.jpg"], [[10, 19.5, 30, 40], NONE])
    assert still_set.boxes["009.jpg"].shape == (0, 4)


def test_coco_without_images(tmp_path):
    write(tmp_path / "annotations" / "instances_train2017.json", {"images": [], "annotations": []})
    with pytest.raises(
        ValueError, match=r"instances_train2017.json is there but not its images; expected .*/train2017"
    ):
        find_data([tmp_path])


@pytest.mark.parametrize(
    "content", [[], {"images": []}, {"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}]
)
def test_damaged_coco_is_named(tmp_path, content):
    (tmp_path / "train2017").mkdir()
    write(tmp_path / "annotations" / "instances_train2017.json", content)
    with pytest.raises(ValueError, match=r"instances_train2017\.json is no COCO instances file"):
        find_data([tmp_path])


def simple_video(folder, lines, frames=None):
    write(folder / "groundtruth_rect.txt", "\n".join(lines) + "\n")
    for i in range(len(lines) if frames is None else frames):
        write(folder / "img" / f"{i:04}.jpg")


def test_simple_layouts(tmp_path):
    write(tmp_path / "set" / "boxes.json", {"a.png": [[1, 2, 30, 40]], "b.png": []})
    (tmp_path / "set" / "masks").mkdir()
    simple_video(tmp_path / "toy__a", ["0,1,8,9", "NaN,NaN,NaN,NaN", "0,0,0,0"])
    simple_video(tmp_path / "toy__b", ["0,1,8,9"])
    (tmp_path / "toy__b" / "mask").mkdir()
    (tmp_path / "something else").mkdir()
    found = find_data([tmp_path])
    (still_set,) = found.stills["set"]
    assert (still_set.images, still_set.masks) == (tmp_path / "set" / "images", tmp_path / "set" / "masks")
    np.testing.assert_array_equal(still_set.boxes["a.png"], [[1, 2, 30, 40]])
    first, second = found.sequences["toy"]
    check(first, [tmp_path / "toy__a" / "img" / f"000{i}.jpg" for i in range(3)], [[0, 1, 8, 9], NONE, NONE])
    assert (first.masks, second.masks) == (None, tmp_path / "toy__b" / "mask")


def test_one_sequence_or_set_may_be_named_itself(tmp_path):
    simple_video(tmp_path / "toy__a", ["0,1,8,9"])
    write(tmp_path / "set" / "boxes.json", {})
    found = find_data([tmp_path / "toy__a", tmp_path / "set"])
    assert (list(found.sequences), list(found.stills)) == (["toy"], ["set"])


def test_simple_video_with_other_counts(tmp_path):
    simple_video(tmp_path / "toy__a", ["0,0,9,9"] * 6, frames=5)
    (sequence,) = find_data([tmp_path]).sequences["toy"]
    with pytest.raises(ValueError, match=r"toy__a: 5 frames but 6 boxes; expected one box a frame"):
        sequence.read()


@pytest.mark.parametrize(
    ("layout", "labels"),
    [
        ("lasot", "full_occlusion.txt"),
        ("lasot", "out_of_view.txt"),
        ("got10k", "absence.label"),
        ("got10k", "cover.label"),
    ],
)
def test_labels_of_another_length_are_named(tmp_path, layout, labels):
    folder = tmp_path / "cat" / "cat-1" if layout == "lasot" else tmp_path / "GOT-10k_Train_000001"
    (folder / "img").mkdir(parents=True)
    write(folder / "groundtruth.txt", "1,1,9,9\n1,1,9,9\n")
    write(folder / labels, "0\n0\n0\n")
    (sequence,) = only_source(find_data([tmp_path]), layout)
    with pytest.raises(ValueError, match=rf"{labels} holds 3 labels; expected one for each of 2 frames"):
        sequence.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a.png": [[1, 2', r"set/boxes\.json is no JSON file"),
        ("[1, 2]", r"set/boxes\.json holds a list; expected an object"),
        ({"a.png": [[1, 2, 3]]}, r"boxes of 'a\.png' are \[\[1, 2, 3\]\]; expected \[\[x, y, width, height\]"),
        ({"a.png": None}, r"boxes of 'a\.png' are None; expected"),
        ({"a.png": [["x", 0, 1, 2]]}, r"boxes of 'a\.png' are \[\['x', 0, 1, 2\]\]; expected"),
    ],
)
def test_damaged_boxes_of_still_images_are_named(tmp_path, content, message):
    write(tmp_path / "set" / "boxes.json", content)
    with pytest.raises(ValueError, match=message):
        find_data([tmp_path])


def test_wrong_folder_is_named_with_what_was_looked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty has no known layout; looked for NAME/boxes\.json, .*LaSOT"):
        find_data([tmp_path / "empty"])
    with pytest.raises(ValueError, match="missing is not a folder"):
        find_data([tmp_path / "missing"])
