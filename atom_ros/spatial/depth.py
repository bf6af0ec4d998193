# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The distance of a target from an aligned depth image (REP 118). A box also holds background."""

from __future__ import annotations

import math

import numpy as np
from sensor_msgs.msg import Image

from atom_core.boxes import Box
from atom_ros.images import values

_METRES = {"16UC1": 0.001, "mono16": 0.001, "32FC1": 1.0}  # metres per unit of each encoding

_SAMPLES = 96  # along a box's longer side, at most; more would not improve the median
_WEIGHT_SIGMA = 0.25  # of the box's sides: a box's centre shows the target, its rim the background
_BIN = math.log(1.05)  # depths within 5 % share a bin: noise grows with the distance
_EMPTY_BIN = 0.01  # a bin with less than this share of the weight separates two surfaces
_MIN_VALID = 0.05  # of a box's weight; with less, the depth may not be the target's
_MIN_PIXELS = 4
_ASPECT_TOLERANCE = 0.01  # cameras' sizes are whole pixels: 848 x 480 counts as 16 to 9


def depth_values(message: Image) -> tuple[np.ndarray, float]:
    """Returns the pixels (height, width), a view in the message's own type, and metres per unit.

    Raises:
        ValueError: if this is not a depth image, or its fields contradict each other.
    """
    if message.encoding not in _METRES:
        raise ValueError(
            f"depth image has encoding '{message.encoding}'; expected 16UC1 or mono16 (millimetres), or 32FC1 (metres)"
        )
    return values(message), _METRES[message.encoding]


def box_in_depth_image(box: Box, image_size: tuple[int, int], depth_size: tuple[int, int]) -> Box:
    """Maps a box of the image to the aligned depth image; both sizes are (width, height), px.

    Raises:
        ValueError: if the two images differ in aspect ratio: they cannot show the same view.
    """
    scale_x, scale_y = depth_size[0] / image_size[0], depth_size[1] / image_size[1]
    if abs(scale_x - scale_y) > _ASPECT_TOLERANCE * max(scale_x, scale_y):
        raise ValueError(
            f"depth image is {depth_size[0]} x {depth_size[1]}, the image {image_size[0]} x {image_size[1]}; expected "
            "the same aspect ratio: a depth image that is aligned to the image (registered)"
        )
    x, y, width, height = box
    return (x + 0.5) * scale_x - 0.5, (y + 0.5) * scale_y - 0.5, width * scale_x, height * scale_y


def distance(depth: np.ndarray, metres: float, box: Box) -> float | None:
    """The depth (z) in metres of the target in a box; None if too little of the box has a valid depth.

    A plain median fails if the target fills less than half of its box, the most frequent depth if a flat wall is behind
    a target of varying depth. So the depths, weighted towards the box's centre, are split into surfaces at gaps of some
    5 %; the result is the median of the surface with the largest weight.

    Args:
        depth: (height, width) in units; 0, negative and non-finite values are invalid.
        metres: per unit.
        box: in pixels of the depth image.
    """
    rows, row_weights = _samples(box[1], box[3], depth.shape[0])
    columns, column_weights = _samples(box[0], box[2], depth.shape[1])
    if rows.size == 0 or columns.size == 0:
        return None
    depths = depth[rows[:, None], columns].astype(np.float64) * metres
    weights = np.outer(row_weights, column_weights)
    valid = np.isfinite(depths) & (depths > 0)
    needed = min(_MIN_PIXELS, depths.size)
    if valid.sum() < needed or weights[valid].sum() < _MIN_VALID * weights.sum():
        return None
    return _median_of_the_weightiest_surface(depths[valid], weights[valid])


def _samples(start: float, length: float, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the box's pixels inside the image along one axis, and their weights."""
    first, last = max(0, math.ceil(start)), min(limit - 1, math.floor(start + length))
    if last < first and length < 1:  # the box lies between two pixels
        first = last = round(start + length / 2)
    indices = np.arange(max(first, 0), min(last, limit - 1) + 1, max(1, math.ceil(length / _SAMPLES)))
    offset = (indices - (start + length / 2)) / (_WEIGHT_SIGMA * max(length, 1.0))
    return indices, np.exp(-0.5 * offset**2)


def _median_of_the_weightiest_surface(depths: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(depths)
    depths, weights = depths[order], weights[order]
    bins = np.floor(np.log(depths) / _BIN).astype(np.int64)
    names, of_bin = np.unique(bins, return_inverse=True)
    bin_weights = np.bincount(of_bin, weights)
    filled = bin_weights >= _EMPTY_BIN * bin_weights.sum()
    if filled.any():  # otherwise every depth is alone in its bin: all are one surface
        names, keep = names[filled], filled[of_bin]
        depths, weights, of_bin = depths[keep], weights[keep], (np.cumsum(filled) - 1)[of_bin[keep]]
        surface = np.concatenate(([0], np.cumsum(np.diff(names) > 1)))[of_bin]
        weightiest = surface == np.argmax(np.bincount(surface, weights))
        depths, weights = depths[weightiest], weights[weightiest]
    cumulated = np.cumsum(weights)
    return float(depths[np.searchsorted(cumulated, cumulated[-1] / 2)])
