# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from demo import report
from demo.recording import DROPPED, GIVEN, LOST, SEARCHING, TRACKING, UNCERTAIN, RecordedFrame

REFERENCE = (100.0, 80.0, 40.0, 60.0)
GREEN, RED, VIOLET, WHITE = (60, 220, 60), (60, 60, 255), (230, 110, 230), (255, 255, 255)  # BGR
OCCLUSION = range(8, 12)


def picture() -> np.ndarray:
    return np.zeros((300, 400, 3), np.uint8)


def frame(state: str, index: int = 5) -> RecordedFrame:
    if state in (TRACKING, UNCERTAIN):
        return RecordedFrame(index, state, REFERENCE, (120.0, 90.0, 40.0, 60.0), 0.2632, 0.8, 0.6, 90.0, 5.0)
    if state in (LOST, SEARCHING):
        return RecordedFrame(index, state, REFERENCE, None, 0.0, 0.1, float("nan"), 90.0, 5.0)
    return RecordedFrame(index, state, REFERENCE, REFERENCE if state == GIVEN else None)


def has(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((image == color).all(axis=2).any())


def test_annotation_draws_both_boxes_and_leaves_the_input_alone():
    image = picture()
    result = report.annotate(image, frame(TRACKING), last_index=140)
    assert result.shape == (300 + report.STRIP_HEIGHT, 400, 3)
    assert tuple(result[150, 120]) == GREEN  # left edge of the tracker's box, below the reference
    assert tuple(result[110, 100]) == WHITE  # left edge of the reference
    assert not result[200:280, 200:].any()  # away from the boxes the picture is as it was
    assert not image.any()


@pytest.mark.parametrize(("state", "color"), [(LOST, RED), (SEARCHING, VIOLET)])
def test_a_target_that_is_gone_has_no_box_but_a_frame_round_the_picture(state, color):
    result = report.annotate(picture(), frame(state), last_index=140)
    assert tuple(result[0, 0]) == tuple(result[150, 399]) == color
    inside = result[10:290, 10:390]
    assert has(inside, WHITE)  # the reference
    assert not has(inside, color)


@pytest.mark.parametrize("state", [GIVEN, DROPPED])
def test_frames_without_a_track_show_the_reference_alone(state):
    inside = report.annotate(picture(), frame(state), last_index=140)[:300]
    assert set(map(tuple, inside.reshape(-1, 3).tolist())) <= {(value,) * 3 for value in range(256)}
    assert has(inside, WHITE)


def test_the_meters_show_values_as_lengths():
    """Widths of 100 px stand for 1; confidence 0.8 and overlap 0.2632 -> 80 and 26 px."""
    wide = np.zeros((300, 768, 3), np.uint8)
    strip = report.annotate(wide, frame(TRACKING), last_index=140)[300:]
    row = strip[35]
    assert (row[265:366] == GREEN).all(axis=1).sum() == 81  # both ends included
    assert (row[595:696] == WHITE).all(axis=1).sum() == 27


def test_contact_sheet_is_filled_up_to_whole_rows():
    frames = [frame(TRACKING, index) for index in range(5)]
    sheet = report.contact_sheet([picture()] * 5, frames, columns=4)
    width, height = report.TILE_SIZE
    assert sheet.shape == (2 * height, 4 * width, 3)
    assert has(sheet[height:, :width], GREEN)
    assert not has(sheet[height:, width:], GREEN)


def test_tiles_show_the_reference_enlarged_about_their_middle():
    """The view is 240 px wide, its tile 480: the reference's centre (120, 110) comes to the middle, 40 px are 80."""
    tile = report.contact_sheet([picture()], [frame(DROPPED)], columns=1)
    columns = np.flatnonzero((tile[180] == WHITE).all(axis=1))  # the tile's middle row
    np.testing.assert_allclose([columns.min(), columns.max()], [240 - 40, 240 + 40], atol=2)


def test_a_target_in_the_corner_is_shown_without_leaving_the_picture():
    corner = RecordedFrame(1, DROPPED, (390.0, 290.0, 20.0, 30.0))
    assert report.contact_sheet([picture()], [corner]).shape == (360, 4 * 480, 3)


def test_a_tile_says_so_where_the_tracker_s_box_is_outside_its_view():
    elsewhere = RecordedFrame(1, TRACKING, REFERENCE, (350.0, 250.0, 20.0, 20.0), 0.0, 0.8, 0.6, 90.0, 5.0)
    here = RecordedFrame(1, TRACKING, REFERENCE, REFERENCE, 1.0, 0.8, 0.6, 90.0, 5.0)
    notes = [report.contact_sheet([picture()], [frame], columns=1)[330:350, 10:200] for frame in (elsewhere, here)]
    assert has(notes[0], GREEN)
    assert not has(notes[1], GREEN)


def test_frames_are_chosen_before_during_and_after_the_occlusion():
    frames = [frame(DROPPED if index == 7 else TRACKING, index) for index in range(30)]
    chosen = [f.index for f in report.choose_frames(frames, OCCLUSION, count=9)]
    assert chosen == [0, 3, 6, 8, 9, 11, 12, 20, 29] or chosen == [0, 3, 6, 8, 10, 11, 12, 20, 29]


@pytest.mark.parametrize("suffix", [".avi", ".webm"])
def test_videos_can_be_read_back(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    pictures = [np.full((96, 128, 3), value, np.uint8) for value in (40, 120, 200)]
    report.write_video(path, pictures, fps=10.0)
    video = cv2.VideoCapture(str(path))
    levels = []
    while (read := video.read())[0]:
        assert read[1].shape == (96, 128, 3)
        levels.append(read[1].mean())
    np.testing.assert_allclose(levels, [40, 120, 200], atol=6)
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)


def test_a_video_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no picture to write"):
        report.write_video(tmp_path / "clip.avi", [], fps=10.0)


def test_an_image_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"nowhere/sheet\.png: cannot be written"):
        report.write_image(tmp_path / "nowhere" / "sheet.png", picture())


def test_the_plot_holds_each_state_s_colour_where_it_happened(tmp_path):
    states = [GIVEN] + [TRACKING] * 7 + [LOST] * 4 + [UNCERTAIN] + [DROPPED] + [TRACKING] * 6
    path = tmp_path / "plot.png"
    report.plot(path, [frame(state, index) for index, state in enumerate(states)], OCCLUSION, "title")
    image = cv2.imread(str(path))
    assert image.shape == (1080, 1500, 3)
    rows, columns = np.nonzero((image == RED).all(axis=2))
    band = columns[rows == np.median(rows)]  # a row of the band; the legend's red patch is above it
    # the panel spans 0.07 to 0.98 of 1500 px and 20 frames; frames 8 to 11 are lost
    left, per_frame = 0.07 * 1500, 0.91 * 1500 / 20
    np.testing.assert_allclose([band.min(), band.max()], [left + 8 * per_frame, left + 12 * per_frame], atol=3)
