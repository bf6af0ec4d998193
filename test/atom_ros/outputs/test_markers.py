# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import ImageMarker, Marker

from atom_core.boxes import Box
from atom_ros.frame_buffer import Frame
from atom_ros.outputs.drawing import COLORS
from atom_ros.outputs.markers import (
    PlacedTarget,
    image_marker,
    marker_array,
    point_message,
    pose_message,
    transform_message,
)
from atom_ros.report import Report, Status

HEADER = Header(frame_id="camera_optical")
SIZE = (1000, 500)  # px; lines of 3, letters of 24
BOX = (100.0, 200.0, 50.0, 40.0)


def _report(target_id: int = 1, status: Status = Status.TRACKING, box: Box | None = BOX) -> Report:
    return Report(Frame(1, Image()), target_id, status, box, confidence=0.25, iou=0.5)


def _xyz(point: Point) -> tuple[float, float, float]:
    return point.x, point.y, point.z


def _rgb(color: ColorRGBA) -> tuple[int, ...]:
    return tuple(round(255 * channel) for channel in (color.r, color.g, color.b))


def test_an_image_marker_outlines_the_box() -> None:
    marker = image_marker(HEADER, [_report()], SIZE)
    assert (marker.header, marker.type, marker.action) == (HEADER, ImageMarker.LINE_LIST, ImageMarker.ADD)
    assert marker.scale == 3.0
    corners = [(100, 200), (150, 200), (150, 240), (100, 240)]
    lines = [(start, end) for i in range(4) for start, end in [(corners[i], corners[(i + 1) % 4])]]
    points = [(point.x, point.y) for point in marker.points]
    assert list(zip(points[::2], points[1::2], strict=True))[:4] == lines
    assert len(marker.outline_colors) == len(points) / 2, "a colour for each line"
    assert {_rgb(color) for color in marker.outline_colors} == {COLORS[Status.TRACKING]}


def test_an_image_marker_writes_the_number_and_the_confidence_above_the_box() -> None:
    marker = image_marker(HEADER, [_report()], SIZE)
    # "1 0.25": of seven segments 2 + 6 + 5 + 5, and the point; 24 px high, each digit 12 wide, 36 above the box.
    label = marker.points[8:]
    assert len(label) == 2 * (2 + 6 + 1 + 5 + 5)
    assert [(point.x, point.y) for point in label[:4]] == [(112, 164), (112, 176), (112, 176), (112, 188)], "the 1"
    assert min(point.y for point in label) == 164 and max(point.y for point in label) == 188


def test_at_the_upper_edge_the_label_is_in_the_box() -> None:
    marker = image_marker(HEADER, [_report(box=(100.0, 20.0, 50.0, 60.0))], SIZE)
    assert min(point.y for point in marker.points[8:]) == 32


def test_all_targets_share_an_image_marker() -> None:
    marker = image_marker(HEADER, [_report(1), _report(2, Status.UNCERTAIN), _report(3, Status.LOST, None)], SIZE)
    colors = [_rgb(color) for color in marker.outline_colors]
    assert colors[:4] == [COLORS[Status.TRACKING]] * 4 and colors[-1] == COLORS[Status.UNCERTAIN]
    assert set(colors) == {COLORS[Status.TRACKING], COLORS[Status.UNCERTAIN]}


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.TRACKING, Status.UNCERTAIN)])
def test_without_a_box_the_image_marker_is_removed(status: Status) -> None:
    marker = image_marker(HEADER, [_report(status=status, box=None)], SIZE)
    assert marker.action == ImageMarker.REMOVE
    assert (marker.ns, marker.id) == (image_marker(HEADER, [_report()], SIZE).ns, 0)
    assert not marker.points and not marker.outline_colors


RAY = np.array((0.6, 0.0, 0.8))
CORNERS = np.array([(0.5, -0.1, 0.8), (0.7, -0.1, 0.8), (0.7, 0.1, 0.8), (0.5, 0.1, 0.8)])
CORNERS /= np.linalg.norm(CORNERS, axis=1, keepdims=True)


def test_markers_of_a_target_whose_distance_is_unknown() -> None:
    arrow, outline, label = marker_array(HEADER, [PlacedTarget(_report(7), RAY, CORNERS)]).markers
    for marker in (arrow, outline, label):
        assert (marker.header, marker.id, marker.action) == (HEADER, 7, Marker.ADD)
        assert (_rgb(marker.color), marker.color.a) == (COLORS[Status.TRACKING], 1.0)
        assert marker.lifetime.sec == 1, "goes with its node"
    assert {arrow.ns, outline.ns, label.ns} == {"bearing", "outline", "label"}
    assert arrow.type == Marker.ARROW
    assert [_xyz(point) for point in arrow.points] == [(0, 0, 0), (0.6, 0, 0.8)]
    assert outline.type == Marker.LINE_STRIP
    expected = [(0.5, -0.1, 0.8), (0.7, -0.1, 0.8), (0.7, 0.1, 0.8), (0.5, 0.1, 0.8), (0.5, -0.1, 0.8)]
    np.testing.assert_allclose([_xyz(point) for point in outline.points], expected)
    assert (label.type, label.text) == (Marker.TEXT_VIEW_FACING, "7 TRACKING 0.25")
    np.testing.assert_allclose(_xyz(label.pose.position), (0.6, -0.15, 0.8))


def test_markers_of_a_target_at_a_position() -> None:
    sighting = PlacedTarget(_report(status=Status.UNCERTAIN), RAY, CORNERS, position=2.5 * RAY)
    arrow, outline, label = marker_array(HEADER, [sighting]).markers
    assert _xyz(arrow.points[1]) == (1.5, 0.0, 2.0)
    np.testing.assert_allclose(_xyz(outline.points[0]), (1.25, -0.25, 2.0))  # in the plane z = 2
    assert label.text == "1 UNCERTAIN 0.25 2.50 m"


def test_without_corners_there_is_no_outline() -> None:
    actions = {marker.ns: marker.action for marker in marker_array(HEADER, [PlacedTarget(_report(), RAY)]).markers}
    assert actions == {"bearing": Marker.ADD, "outline": Marker.DELETE, "label": Marker.ADD}


def test_an_outline_beside_a_fisheye_camera_lies_on_a_sphere() -> None:
    behind = CORNERS * (1, 1, -1)
    outline = marker_array(HEADER, [PlacedTarget(_report(), RAY * (1, 1, -1), behind)]).markers[1]
    np.testing.assert_allclose([_xyz(point) for point in outline.points[:4]], behind)


def test_markers_are_deleted() -> None:
    markers = marker_array(HEADER, (), gone=(2, 5)).markers
    assert {(marker.ns, marker.id, marker.action) for marker in markers} == {
        (namespace, target_id, Marker.DELETE) for namespace in ("bearing", "outline", "label") for target_id in (2, 5)
    }


def test_a_number_beyond_a_markers_id_can_be_shown() -> None:
    assert marker_array(HEADER, [PlacedTarget(_report(2**32 - 1), RAY)]).markers[0].id == 2**31 - 1


def test_places() -> None:
    point, pose = point_message(HEADER, RAY), pose_message(HEADER, 2 * RAY)
    assert (point.header, _xyz(point.point)) == (HEADER, (0.6, 0.0, 0.8))
    assert (pose.header, _xyz(pose.pose.position), pose.pose.orientation.w) == (HEADER, (1.2, 0.0, 1.6), 1.0)
    transform = transform_message(HEADER, "target_3", 2 * RAY)
    assert (transform.header, transform.child_frame_id) == (HEADER, "target_3")
    translation, rotation = transform.transform.translation, transform.transform.rotation
    assert (translation.x, translation.y, translation.z) == (1.2, 0.0, 1.6)
    assert math.hypot(rotation.x, rotation.y, rotation.z) == 0 and rotation.w == 1
