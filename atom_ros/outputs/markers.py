# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts reports to messages for viewers and robots: lines over an image, and positions in the camera's frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, PointStamped, PoseStamped, TransformStamped, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import ImageMarker, Marker, MarkerArray

from atom_core.boxes import Box
from atom_ros.outputs.drawing import COLORS
from atom_ros.report import Report

NAMESPACES = ("bearing", "outline", "label")  # of a target's markers, whose id is the target's number
_LIFETIME = Duration(sec=1)  # a viewer drops markers that are not renewed, even after the node or the camera died
_MIN_FORWARD = 0.05  # z of a unit vector; a box further to the side is drawn on a sphere

# A digit's strokes in a cell half as wide as high: the segments of a seven-segment display.
_CORNERS = {"nw": (0.0, 0.0), "ne": (0.5, 0.0), "w": (0.0, 0.5), "e": (0.5, 0.5), "sw": (0.0, 1.0), "se": (0.5, 1.0)}
_SEGMENTS = {
    "a": ("nw", "ne"),
    "b": ("ne", "e"),
    "c": ("e", "se"),
    "d": ("sw", "se"),
    "e": ("w", "sw"),
    "f": ("nw", "w"),
    "g": ("w", "e"),
}
_DIGITS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


@dataclass(frozen=True)
class PlacedTarget:
    """A visible target, and its position in the camera's optical frame.

    Attributes:
        report: with a box.
        ray: unit vector (3,) to the box's centre.
        corners: unit vectors (4, 3) to the corners of the box's part inside the image, in the order of its outline, the
            upper two first; None if they have no ray.
        position: (3,) in metres; None if the distance is unknown.
    """

    report: Report
    ray: np.ndarray
    corners: np.ndarray | None = None
    position: np.ndarray | None = None

    @property
    def box(self) -> Box:
        """The report's box, in image px."""
        assert self.report.box is not None, "a target with a position is visible"
        return self.report.box

    @property
    def point(self) -> np.ndarray:
        """The position; if it is unknown, the point on the ray at 1 m."""
        return self.ray if self.position is None else self.position


def point_message(header: Header, point: np.ndarray) -> PointStamped:
    """Makes a PointStamped of a point (3,)."""
    return PointStamped(header=header, point=_point(point))


def pose_message(header: Header, position: np.ndarray) -> PoseStamped:
    """Makes a PoseStamped of a position (3,); its axes are the header frame's: the target's own are unknown."""
    message = PoseStamped(header=header)
    message.pose.position = _point(position)
    return message


def transform_message(header: Header, child_frame: str, position: np.ndarray) -> TransformStamped:
    """Makes the transform from the header's frame to a frame at a position (3,), with the same axes."""
    message = TransformStamped(header=header, child_frame_id=child_frame)
    message.transform.translation = Vector3(**dict(zip("xyz", map(float, position), strict=True)))
    return message


def marker_array(header: Header, targets: Iterable[PlacedTarget], gone: Iterable[int] = ()) -> MarkerArray:
    """Makes the markers of each target: an arrow to it, the outline of its box at its distance, and a label.

    Args:
        header: of the image.
        targets: the visible targets.
        gone: ids of targets whose markers are deleted.
    """
    deleted = [_marker(header, namespace, target_id, Marker.DELETE) for target_id in gone for namespace in NAMESPACES]
    added = [marker for target in targets for marker in _markers(header, target)]
    return MarkerArray(markers=deleted + added)


def _markers(header: Header, target: PlacedTarget) -> list[Marker]:
    report, target_id = target.report, target.report.target_id
    color = _color(report)
    reach = float(np.linalg.norm(target.point))
    arrow = _marker(header, "bearing", target_id, color=color, type=Marker.ARROW)
    arrow.points = [Point(), _point(target.point)]
    # The shaft's and the head's diameter, the head's length: they look the same at any distance.
    arrow.scale = Vector3(x=0.01 * reach, y=0.03 * reach, z=0.06 * reach)

    outline = _marker(header, "outline", target_id, color=color, type=Marker.LINE_STRIP)
    corners = _corners(target, reach)
    outline.points = [_point(corner) for corner in (*corners, corners[0])] if len(corners) else []
    outline.scale.x = 0.01 * reach
    if not outline.points:
        outline.action = Marker.DELETE

    label = _marker(header, "label", target_id, color=color, type=Marker.TEXT_VIEW_FACING)
    top = corners[:2].mean(axis=0) if len(corners) else target.point
    label.pose.position = _point(top - (0, 0.05 * reach, 0))  # above: y points down
    label.scale.z = 0.05 * reach
    label.text = f"{target_id} {report.status.name} {report.confidence:.2f}"
    if target.position is not None:
        label.text += f" {reach:.2f} m"
    return [arrow, outline, label]


def _corners(target: PlacedTarget, reach: float) -> np.ndarray:
    """The outline's corners (4, 3), in the plane of the target's depth; (0, 3) if there are none."""
    if target.corners is None:
        return np.empty((0, 3))
    if (target.corners[:, 2] > _MIN_FORWARD).all() and target.ray[2] > _MIN_FORWARD:
        return target.corners * (target.point[2] / target.corners[:, 2:])
    return target.corners * reach


def _marker(
    header: Header,
    namespace: str,
    target_id: int,
    action: int = Marker.ADD,
    color: ColorRGBA | None = None,
    type: int = Marker.ARROW,
) -> Marker:
    # A marker's id is signed, a target's number unsigned.
    marker = Marker(header=header, ns=namespace, id=target_id & 0x7FFFFFFF, action=action, type=type)
    if color is not None:
        marker.color, marker.lifetime = color, _LIFETIME
    return marker


def image_marker(header: Header, reports: Sequence[Report], image_size: tuple[int, int]) -> ImageMarker:
    """Makes the lines to draw over an image (width, height): box, number and confidence of every visible target.

    All targets are in one message, since a viewer (Foxglove) shows the newest message of a topic. A line has the colour
    of its target's state. Without a visible target it has no lines and the action REMOVE.
    """
    unit = max(image_size) / 1000.0
    marker = ImageMarker(header=header, ns="targets", type=ImageMarker.LINE_LIST, action=ImageMarker.REMOVE)
    marker.lifetime, marker.scale = _LIFETIME, max(1.0, 3.0 * unit)
    for report in reports:
        if report.box is None:
            continue
        x, y, width, height = report.box
        box = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
        size = max(10.0, 24.0 * unit)
        above = y - 1.5 * size
        label = _strokes(
            f"{report.target_id} {report.confidence:.2f}", x, above if above >= 0 else y + 0.5 * size, size
        )
        lines = np.concatenate((np.stack((box, np.roll(box, -1, axis=0)), axis=1), label))
        marker.points += [Point(x=float(px), y=float(py)) for px, py in lines.reshape(-1, 2)]
        marker.outline_colors += [_color(report)] * len(lines)
        marker.action = ImageMarker.ADD
    if marker.outline_colors:
        marker.outline_color = marker.outline_colors[0]
    return marker


def _strokes(text: str, x: float, y: float, size: float) -> np.ndarray:
    """Lines (N, 2, 2) that draw digits, points and spaces, since the message has no text; (x, y) is the top left."""
    lines = []
    for character in text:
        if character.isdigit():
            cell = {name: (x + size * u, y + size * v) for name, (u, v) in _CORNERS.items()}
            lines += [[cell[end] for end in _SEGMENTS[segment]] for segment in _DIGITS[int(character)]]
        elif character == ".":
            lines.append([(x, y + size), (x + 0.1 * size, y + size)])
        x += size * (0.35 if character == "." else 0.75)
    return np.array(lines).reshape(-1, 2, 2)


def _color(report: Report) -> ColorRGBA:
    red, green, blue = (channel / 255.0 for channel in COLORS[report.status])
    return ColorRGBA(r=red, g=green, b=blue, a=1.0)


def _point(point: np.ndarray) -> Point:
    x, y, z = map(float, point)
    return Point(x=x, y=y, z=z)
