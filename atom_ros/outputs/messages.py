# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Converts reports to messages. Every output carries its image's header."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rclpy.duration import Duration
from std_msgs.msg import Header

from atom_ros.report import Report
from atom_tracker.msg import Track, TrackArray

try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ImportError:  # an optional package: without it the node publishes no detections
    Detection2DArray = None

_NO_BOX = (math.nan,) * 4
_LONGEST = (2**31 - 1) * 1_000_000_000  # ns that a Duration can hold


def track_message(report: Report, now: int) -> Track:
    """Makes the Track message of a report; `now` is the node's time in nanoseconds, for the latency.

    The latency of an image stamped before 1970 may exceed a Duration; then it is the longest Duration.
    """
    message = Track(header=report.frame.message.header, target_id=report.target_id, status=int(report.status))
    message.x, message.y, message.width, message.height = map(float, report.box or _NO_BOX)
    message.confidence = float(report.confidence)
    message.iou = float(report.iou)
    message.score = float(report.score)
    message.latency = Duration(nanoseconds=min(now - report.frame.stamp, _LONGEST)).to_msg()
    message.processing_time = float(report.processing_ms) / 1000.0
    return message


def track_array_message(header: Header, tracks: Sequence[Track]) -> TrackArray:
    """Makes the TrackArray of one frame's Tracks; without targets these are one of status IDLE."""
    return TrackArray(header=header, tracks=[track for track in tracks if track.status != Track.IDLE])


def detections_message(reports: Sequence[Report], classes: Mapping[int, str]) -> Detection2DArray:
    """Makes a Detection2DArray (vision_msgs) with the visible targets of one frame's reports.

    Args:
        reports: one for each target.
        classes: of the targets that a detector set, by number; the others' class is "target".
    """
    header = reports[0].frame.message.header
    message = Detection2DArray(header=header)
    for report in reports:
        if report.box is None:
            continue
        x, y, width, height = map(float, report.box)
        detection = Detection2D(header=header, id=str(report.target_id))
        detection.bbox.center.position.x = x + width / 2
        detection.bbox.center.position.y = y + height / 2
        detection.bbox.size_x = width
        detection.bbox.size_y = height
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = classes.get(report.target_id, "target")
        hypothesis.hypothesis.score = min(1.0, max(0.0, float(report.confidence)))  # the range that vision_msgs defines
        detection.results.append(hypothesis)
        message.detections.append(detection)
    return message
