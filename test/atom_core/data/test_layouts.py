# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Miniatures of the benchmarks' folders, read by us and, where it reads them too, by the got10k toolkit."""

import json
from pathlib import Path

import got10k.datasets
import numpy as np
import pytest

from atom_core.data.layouts import uav_recording
from atom_core.data.sequences import Sequence, read_sequences

NAN = [np.nan] * 4


def make_images(folder: Path, names: str, numbers: range) -> None:
    """Empty files: no test here looks into an image."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / names.format(number)).touch()


def write_boxes(path: Path, count: int, separator: str = ",") -> np.ndarray:
    """Random whole-pixel boxes, as in the file."""
    boxes = np.random.default_rng(count).integers(5, 90, (count, 4)).astype(float)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(separator.join(f"{value:g}" for value in row) for row in boxes) + "\n")
    return boxes


def by_name(root: Path, layout: str) -> dict[str, Sequence]:
    return {sequence.name: sequence for sequence in read_sequences(root, layout)}


def file_names(sequence: Sequence) -> list[str]:
    return [path.name for path in sequence.frames.paths]


def assert_same_as_toolkit(ours: Sequence, theirs: tuple[list[str], np.ndarray], first_pixel: float) -> None:
    """The same files; boxes that differ by the coordinate of the first pixel only."""
    files, boxes = theirs
    assert [str(path) for path in ours.frames.paths] == files
    np.testing.assert_allclose(ours.boxes, boxes - [first_pixel, first_pixel, 0, 0], rtol=0, atol=1e-12)


# --- OTB ---


@pytest.fixture
def otb(tmp_path):
    for name, images, boxes, separator in (
        ("Basketball", range(1, 5), 4, ","),
        ("David", range(1, 771), 471, "\t"),
        ("Football1", range(1, 82), 74, " "),
        ("BlurCar1", range(247, 989), 742, "\t"),
    ):
        make_images(tmp_path / name / "img", "{:04d}.jpg", images)
        write_boxes(tmp_path / name / "groundtruth_rect.txt", boxes, separator)
    make_images(tmp_path / "Jogging/img", "{:04d}.jpg", range(1, 4))
    make_images(tmp_path / "Human4/img", "{:04d}.jpg", range(1, 4))
    write_boxes(tmp_path / "Jogging/groundtruth_rect.1.txt", 3)
    (tmp_path / "Jogging/groundtruth_rect.2.txt").write_text("11,12,13,14\n" * 3)
    (tmp_path / "Human4/groundtruth_rect.1.txt").write_text("\n")
    write_boxes(tmp_path / "Human4/groundtruth_rect.2.txt", 3)
    return tmp_path


def test_otb_agrees_with_the_got10k_toolkit(otb):
    sequences = by_name(otb, "otb")
    toolkit = got10k.datasets.OTB(str(otb), version=2015, download=False)
    renamed = {"Jogging.1": "Jogging-1", "Jogging.2": "Jogging-2"}
    assert {renamed.get(name, name) for name in toolkit.seq_names} == set(sequences)
    for name in toolkit.seq_names:
        assert_same_as_toolkit(sequences[renamed.get(name, name)], toolkit[name], first_pixel=1)


def test_otb_gives_the_annotated_frames_in_our_pixels(otb):
    sequences = by_name(otb, "otb")
    assert sorted(sequences) == ["Basketball", "BlurCar1", "David", "Football1", "Human4", "Jogging-1", "Jogging-2"]
    david = file_names(sequences["David"])
    assert (david[0], david[-1], len(david)) == ("0300.jpg", "0770.jpg", 471)
    assert sequences["Jogging-2"].boxes.tolist() == [[10, 11, 13, 14]] * 3
    assert sequences["Jogging-2"].layout == "otb"


def test_otb_is_found_by_its_frames_numbers_where_only_those_annotated_are_kept(tmp_path):
    make_images(tmp_path / "David/img", "{:04d}.jpg", range(300, 771))
    write_boxes(tmp_path / "David/groundtruth_rect.txt", 471)
    assert file_names(by_name(tmp_path / "David", "otb")["David"])[0] == "0300.jpg"


def test_what_looks_like_otb_is_taken_for_our_layout_unless_said(tmp_path):
    make_images(tmp_path / "Deer/img", "{:04d}.jpg", range(1, 3))
    (tmp_path / "Deer/groundtruth_rect.txt").write_text("7,8,9,9\n7,8,9,9\n")
    assert by_name(tmp_path, "auto")["Deer"].boxes[0].tolist() == [7, 8, 9, 9]
    assert by_name(tmp_path, "otb")["Deer"].boxes[0].tolist() == [6, 7, 9, 9]


def test_otb_needs_numbers_for_names(tmp_path):
    make_images(tmp_path / "Deer/img", "a{}.jpg", range(2))
    write_boxes(tmp_path / "Deer/groundtruth_rect.txt", 2)
    with pytest.raises(ValueError, match=r"a0\.jpg: expected a number as the name"):
        read_sequences(tmp_path, "otb")


# --- UAV123 ---


@pytest.fixture
def uav(tmp_path):
    make_images(tmp_path / "data_seq/UAV123/uav6", "{:06d}.jpg", range(1, 110))
    make_images(tmp_path / "data_seq/UAV123/bird1", "{:06d}.jpg", range(1, 1478))
    write_boxes(tmp_path / "anno/UAV123/uav6.txt", 109)
    write_boxes(tmp_path / "anno/UAV123/bird1_2.txt", 703)
    path = tmp_path / "anno/UAV123/uav6.txt"
    path.write_text("\n".join([*path.read_text().split()[:-1], "NaN,NaN,NaN,NaN"]))
    write_boxes(tmp_path / "anno/UAV20L/bird1.txt", 1477)
    for name in ("code", "results"):  # the toolkit takes a folder of less than four entries for a broken one
        (tmp_path / name).mkdir()
    return tmp_path


def test_uav123_agrees_with_the_got10k_toolkit(uav):
    sequences = by_name(uav, "auto")
    toolkit = got10k.datasets.UAV123(str(uav))
    assert set(toolkit.seq_names) == set(sequences) == {"uav6", "bird1_2"}
    for name, sequence in sequences.items():
        assert_same_as_toolkit(sequence, toolkit[name], first_pixel=1)
    assert file_names(sequences["bird1_2"])[0] == "000775.jpg"
    assert np.isnan(sequences["uav6"].boxes[-1]).all()
    assert sequences["uav6"].layout == "uav123"


def test_the_long_sequences_of_uav123(uav):
    sequences = by_name(uav, "uav20l")
    assert list(sequences) == ["bird1"]
    assert file_names(sequences["bird1"])[0] == "000001.jpg"


def test_uav123_at_10_frames_a_second_keeps_each_third_image(tmp_path):
    # Images 775 to 1477 of the recording are the 259th to the 493rd: its configSeqs.m says so.
    make_images(tmp_path / "data_seq/UAV123_10fps/bird1", "{:06d}.jpg", range(1, 814))
    write_boxes(tmp_path / "anno/UAV123_10fps/bird1_2.txt", 235)
    (sequence,) = read_sequences(tmp_path)
    assert sequence.layout == "uav123_10fps"
    assert (file_names(sequence)[0], file_names(sequence)[-1]) == ("000259.jpg", "000493.jpg")


def test_parts_of_uav123_agree_with_the_got10k_toolkit():
    listed = json.loads((Path(got10k.datasets.__file__).parent / "uav123.json").read_text())
    expected = {
        name: (entry["folder_name"], entry["start_frame"])
        for subset in listed.values()
        for name, entry in subset.items()
    }
    assert len(expected) > 123
    assert {name: uav_recording(name) for name in expected} == expected


@pytest.mark.parametrize("name", ["car1_4", "car1_0", "person1_s", "car1"])
def test_what_is_no_part_of_a_recording_of_uav123_stands_for_itself(name):
    assert uav_recording(name) == (name, 1)


def test_uav123_names_a_missing_image(uav):
    (uav / "data_seq/UAV123/bird1/000800.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000800\.jpg is missing; .*bird1_2\.txt needs images 775 to 001477"):
        read_sequences(uav)


# --- NfS ---


def write_nfs(path: Path, count: int) -> None:
    """Boxes of 11 x 7 px that move right by 1 px a frame, as VATIC writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f'0 {i} 20 {i + 11} 27 {i + 1} 0 0 1 "soccer"\n' for i in range(count)))


@pytest.fixture
def nfs(tmp_path):
    for name, images, boxes in (("airboard_1", 3, 3), ("bowling", 10, 80), ("parkour", 20, 145), ("fox", 10, 79)):
        make_images(tmp_path / name / "30" / name, "{:05d}.jpg", range(1, images + 1))
        write_nfs(tmp_path / name / "30" / f"{name}.txt", boxes)
    make_images(tmp_path / "fox/240/fox", "{:05d}.jpg", range(1, 80))
    write_nfs(tmp_path / "fox/240/fox.txt", 79)
    return tmp_path


@pytest.mark.parametrize("layout, rate", [("auto", 30), ("nfs", 30), ("nfs240", 240)])
def test_nfs_agrees_with_the_got10k_toolkit(nfs, layout, rate):
    sequences = by_name(nfs, layout)
    toolkit = got10k.datasets.NfS(str(nfs), fps=rate)
    assert set(toolkit.seq_names) == set(sequences)
    for name, sequence in sequences.items():
        assert_same_as_toolkit(sequence, toolkit[name], first_pixel=0)


def test_nfs_takes_each_eighth_box_at_30_frames_a_second(nfs):
    sequences = by_name(nfs, "nfs")
    assert sequences["bowling"].boxes[:3].tolist() == [[0, 20, 11, 7], [8, 20, 11, 7], [16, 20, 11, 7]]
    assert sequences["airboard_1"].boxes[2].tolist() == [2, 20, 11, 7]  # annotated at 30 frames a second
    assert len(sequences["parkour"]) == 19  # a box less than images
    assert by_name(nfs, "nfs240")["fox"].boxes[2].tolist() == [2, 20, 11, 7]


# --- LaSOT ---


@pytest.fixture
def lasot(tmp_path):
    for name, count in (("airplane-1", 5), ("airplane-13", 3), ("bear-2", 3)):
        folder = tmp_path / name.partition("-")[0] / name
        make_images(folder / "img", "{:08d}.jpg", range(1, count + 1))
        (folder / "groundtruth.txt").write_text("11,12,13,14\n" * count)
        (folder / "full_occlusion.txt").write_text(",".join("01000"[:count]))
        (folder / "out_of_view.txt").write_text(",".join("00001"[:count]) + "\n")
    return tmp_path


def test_lasot_frames_without_the_target_have_no_box(lasot):
    sequences = by_name(lasot, "auto")
    assert list(sequences) == ["airplane-1", "airplane-13", "bear-2"]
    box = [10, 11, 13, 14]
    np.testing.assert_array_equal(sequences["airplane-1"].boxes, [box, NAN, box, box, NAN])
    assert sequences["airplane-1"].layout == "lasot"
    assert file_names(sequences["bear-2"]) == ["00000001.jpg", "00000002.jpg", "00000003.jpg"]


def test_lasot_is_read_without_its_folders_of_classes_too(lasot):
    assert list(by_name(lasot / "airplane", "auto")) == ["airplane-1", "airplane-13"]
    assert list(by_name(lasot / "bear/bear-2", "auto")) == ["bear-2"]


def test_lasot_is_limited_to_its_testing_set(lasot):
    (lasot / "testing_set.txt").write_text("bear-2\nairplane-13\n")
    assert list(by_name(lasot, "auto")) == ["bear-2", "airplane-13"]
    (lasot / "testing_set.txt").write_text("bear-2\nzebra-1\n")
    with pytest.raises(FileNotFoundError, match=r"testing_set\.txt names zebra-1, which is not in"):
        read_sequences(lasot)


def test_lasot_cuts_monkey_17_as_its_toolkit_does(tmp_path):
    make_images(tmp_path / "monkey-17/img", "{:08d}.jpg", range(1, 2271))
    write_boxes(tmp_path / "monkey-17/groundtruth.txt", 2265)
    (sequence,) = read_sequences(tmp_path)
    assert len(sequence) == len(sequence.frames) == 2260


def test_lasot_refuses_flags_of_another_length(lasot):
    (lasot / "bear/bear-2/out_of_view.txt").write_text("0,0")
    with pytest.raises(ValueError, match=r"out_of_view\.txt holds 2 labels; expected one for each of 3 frames"):
        read_sequences(lasot)


# --- GOT-10k ---


@pytest.fixture
def got10k_val(tmp_path):
    folder = tmp_path / "val/GOT-10k_Val_000001"
    make_images(folder, "{:08d}.jpg", range(1, 5))
    write_boxes(folder / "groundtruth.txt", 4)
    (folder / "cover.label").write_text("8\n3\n0\n8\n")
    (folder / "absence.label").write_text("0\n0\n1\n0\n")
    (folder / "cut_by_image.label").write_text("0\n0\n0\n0\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\nurl: x\nresolution: (1280, 720)\n")
    (tmp_path / "val/list.txt").write_text("GOT-10k_Val_000001\n")
    return tmp_path


def test_got10k_agrees_with_its_toolkit_but_for_hidden_targets(got10k_val):
    (sequence,) = read_sequences(got10k_val / "val")
    files, boxes = got10k.datasets.GOT10k(str(got10k_val), subset="val")[0]
    boxes[2] = np.nan  # nothing of the target is to be seen there: the toolkit leaves the frame out when it scores
    assert_same_as_toolkit(sequence, (files, boxes), first_pixel=1)
    assert (sequence.layout, sequence.image_size) == ("got10k", (1280, 720))
    assert sequence.has_ground_truth


@pytest.mark.parametrize("file, label", [("cover.label", 0), ("absence.label", 1)])
def test_got10k_hides_by_either_label_but_keeps_the_first_box(got10k_val, file, label):
    folder = got10k_val / "val/GOT-10k_Val_000001"
    (folder / "cover.label").write_text("8\n" * 4)
    (folder / "absence.label").write_text("0\n" * 4)
    (folder / file).write_text(f"{label}\n{label}\n{8 - 8 * label}\n{8 - 8 * label}\n")
    (sequence,) = read_sequences(got10k_val / "val")
    assert np.isnan(sequence.boxes).all(axis=1).tolist() == [False, True, False, False]


def test_got10k_test_set_has_the_first_box_only(tmp_path):
    make_images(tmp_path / "GOT-10k_Test_000001", "{:08d}.jpg", range(1, 4))
    (tmp_path / "GOT-10k_Test_000001/groundtruth.txt").write_text("11,12,13,14\n")
    for root in (tmp_path, tmp_path / "GOT-10k_Test_000001"):
        (sequence,) = read_sequences(root)
        np.testing.assert_array_equal(sequence.boxes, [[10, 11, 13, 14], NAN, NAN])
        assert (sequence.has_ground_truth, sequence.image_size) == (False, None)


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("cover.label", "8\n8\n", r"cover\.label holds 2 labels; expected one for each of 4 frames"),
        (
            "meta_info.ini",
            "[METAINFO]\nresolution: big\n",
            r"meta_info\.ini: expected .* 'resolution: \(width, height\)'",
        ),
        ("meta_info.ini", "resolution: (1, 2)\n", r"meta_info\.ini: expected a section METAINFO"),
        (
            "groundtruth.txt",
            "1,2,3,4\n" * 3,
            "sequence GOT-10k_Val_000001: 4 frames but 3 boxes; expected one box a frame$",
        ),
    ],
)
def test_got10k_names_a_damaged_file(got10k_val, file, content, message):
    if file == "groundtruth.txt":
        for labels in ("cover.label", "absence.label"):
            (got10k_val / "val/GOT-10k_Val_000001" / labels).unlink()
    (got10k_val / "val/GOT-10k_Val_000001" / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_sequences(got10k_val / "val")


# --- TrackingNet ---


def test_trackingnet_test_set_in_the_order_of_its_numbers(tmp_path):
    make_images(tmp_path / "TEST/frames/0-6LB4FqxoE_0", "{}.jpg", range(12))
    (tmp_path / "TEST/anno").mkdir()
    (tmp_path / "TEST/anno/0-6LB4FqxoE_0.txt").write_text("11.5,12,13,14\n")
    for root in (tmp_path, tmp_path / "TEST"):
        (sequence,) = read_sequences(root)
        assert (sequence.name, sequence.layout) == ("0-6LB4FqxoE_0", "trackingnet")
        assert file_names(sequence) == [f"{index}.jpg" for index in range(12)]
        np.testing.assert_array_equal(sequence.boxes, [[11.5, 12, 13, 14], *[NAN] * 11])
        assert not sequence.has_ground_truth


# --- VOT ---


def make_vot(root: Path, regions: str, images: int = 3, channel: str = "color") -> Path:
    make_images(root / "bag" / channel, "{:08d}.jpg", range(1, images + 1))
    (root / "bag/groundtruth.txt").write_text(regions)
    (root / "list.txt").write_text("bag\n")
    return root


def test_vot_polygons_become_upright_rectangles(tmp_path):
    # A diamond about (20, 30), 8 px to the left and right, 4 px up and down; a special code; a rectangle.
    make_vot(tmp_path, "20,26,28,30,20,34,12,30\n1\n5,6,7.5,8\n")
    (sequence,) = read_sequences(tmp_path)
    np.testing.assert_array_equal(sequence.boxes, [[12, 26, 16, 8], NAN, [5, 6, 7.5, 8]])
    assert (sequence.name, sequence.layout) == ("bag", "vot")
    assert sequence.frames.paths[0] == tmp_path / "bag/color/00000001.jpg"


def test_vot_masks_become_the_rectangle_about_their_pixels(tmp_path):
    # Offset (10, 20), 4 x 3 pixels, row by row: 0000 / 0110 / 1000. The second mask is empty.
    make_vot(tmp_path, "m10,20,4,3,5,2,1,1\nm0,0,4,3,12\nm7,8,2,2,0,4\n")
    (sequence,) = read_sequences(tmp_path)
    np.testing.assert_array_equal(sequence.boxes, [[10, 21, 3, 2], NAN, [7, 8, 2, 2]])


def test_vot_properties_name_the_channel_and_what_is_not_published_is_not_known(tmp_path):
    make_vot(tmp_path, "1,1,1,1\n", channel="left")
    (tmp_path / "bag/sequence").write_text("name=bag\nchannels.color=left/%08d.jpg\nfps=30\ngroundtruth=regions.txt\n")
    (tmp_path / "bag/regions.txt").write_text("5,6,7,8\n")
    for root in (tmp_path, tmp_path / "bag"):
        (sequence,) = read_sequences(root)
        assert sequence.name == "bag"
        assert sequence.frames.paths[2] == tmp_path / "bag/left/00000003.jpg"
        np.testing.assert_array_equal(sequence.boxes, [[5, 6, 7, 8], NAN, NAN])


def test_old_vot_keeps_images_beside_the_boxes(tmp_path):
    make_vot(tmp_path, "5,6,7,8\n" * 3, channel="")
    (sequence,) = read_sequences(tmp_path)
    assert file_names(sequence) == ["00000001.jpg", "00000002.jpg", "00000003.jpg"]


def test_vot_objects_are_sequences_of_their_own(tmp_path):
    make_vot(tmp_path, "1,1,1,1\n")
    for name, box in (("ann", "5,6,7,8\n"), ("bob", "1,2,3,4\n")):
        (tmp_path / f"bag/groundtruth_{name}.txt").write_text(box * 3)
    sequences = by_name(tmp_path, "auto")
    assert {name: sequence.boxes[1].tolist() for name, sequence in sequences.items()} == {
        "bag_ann": [5, 6, 7, 8],
        "bag_bob": [1, 2, 3, 4],
    }


@pytest.mark.parametrize(
    "regions, message",
    [
        ("1,2,3,4,5,6\n", r"groundtruth\.txt, line 1: .* holds 6 numbers; expected 1 or 4 or 8"),
        ("1,2,3,4\nm1,2\n", r"groundtruth\.txt, line 2: a mask of 2 numbers"),
        ("m0,0,2,2,3,2\n", r"line 1: the mask's runs hold 5 pixels; expected at most 2 x 2"),
        ("m0,0,2,2,3,-2\n", r"line 1: the mask's runs hold 1 pixels"),
    ],
)
def test_vot_names_a_malformed_region(tmp_path, regions, message):
    make_vot(tmp_path, regions)
    with pytest.raises(ValueError, match=message):
        read_sequences(tmp_path)


@pytest.mark.parametrize(
    "layout", ["uav123", "uav123_10fps", "uav20l", "trackingnet", "got10k", "nfs", "nfs240", "lasot", "vot", "otb"]
)
def test_a_folder_without_the_named_layout_is_refused(tmp_path, layout):
    with pytest.raises(ValueError, match=f"no sequence here; layout '{layout}' expects "):
        read_sequences(tmp_path, layout)
