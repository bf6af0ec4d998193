# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""All pixel conventions: boxes, the crop <-> image map, the score map <-> crop map.

Conventions of the whole package:

* A box is (x, y, width, height) in continuous pixels, (x, y) its top-left corner; the centre of the first pixel is at
  0, so an image of width W covers [-0.5, W - 0.5]. Tensors hold boxes in their last dimension, shape (..., 4).
* Points are (x, y), shape (..., 2). Images are (H, W, 3) or (..., 3, H, W), rows first.
* A search region is (x0, y0, side): the square of `side` x `side` image pixels whose first pixel is (x0, y0), all three
  whole numbers. It is resized to `crop_size` crop pixels, so image x and crop u are related by
  x = (u + 0.5) * side / crop_size - 0.5 + x0. The map is exact and is inverted exactly.
* Cell i of a feature map at stride s is centred on crop pixel s * i. The even filter's output cell i sees the feature
  cells i - 2 .. i + 1, whose centre is i - 0.5: score cell i is at crop pixel 16 * (i - 0.5).

`search_region` and `keep_in_image` run on the host and take and return plain numbers. The maps between image and crop
take tensors on any device, `meta` included, or NumPy arrays, and do not change them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Box = tuple[float, float, float, float]
Region = tuple[float, float, float]  # a search region
Array = TypeVar("Array", Tensor, np.ndarray)
Cells = TypeVar("Cells", Tensor, np.ndarray, float)

SCORE_STRIDE = 16  # crop px per score cell
SCORE_OFFSET = -0.5  # cells; the even filter's half-cell


def as_box(values: Iterable[float]) -> Box:
    """Four numbers as a box; raises ValueError if there are more or fewer."""
    x, y, width, height = values
    return x, y, width, height


def center(boxes: Array) -> Array:
    """Centres (..., 2) of boxes (..., 4)."""
    return boxes[..., :2] + boxes[..., 2:] / 2


def from_center(centers: Array, sizes: Array) -> Array:
    """Boxes (..., 4) from centres (..., 2) and sizes (..., 2) = (width, height)."""
    return _join(centers - sizes / 2, sizes)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (...), in 0..1, of boxes a and b (..., 4), broadcast; 0 if both are empty."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - intersection
    # Rounding can make the intersection of two equal boxes larger than either.
    return (intersection / union.clamp(min=torch.finfo(union.dtype).tiny)).clamp(max=1)


def search_region(box: Box, factor: float) -> Region:
    """The square of side factor * sqrt(width * height) around a box.

    The side is rounded up and the position to the nearest pixel, so that crop, label and result use the same integer
    position. The target's aspect ratio never changes the crop.
    """
    x, y, width, height = box
    side = max(1.0, float(math.ceil(factor * math.sqrt(width * height))))
    return float(round(x + width / 2 + 0.5 - side / 2)), float(round(y + height / 2 + 0.5 - side / 2)), side


def points_to_crop(points: Array, region: Array, crop_size: int) -> Array:
    """Image points (..., 2) -> crop points (..., 2)."""
    return (points - region[..., :2] + 0.5) * (crop_size / region[..., 2:]) - 0.5


def points_to_image(points: Array, region: Array, crop_size: int) -> Array:
    """Crop points (..., 2) -> image points (..., 2)."""
    return (points + 0.5) * (region[..., 2:] / crop_size) - 0.5 + region[..., :2]


def image_to_crop(boxes: Array, region: Array, crop_size: int) -> Array:
    """Boxes (..., 4) in the image -> the same boxes in the crop of a search region (..., 3)."""
    corner = points_to_crop(boxes[..., :2], region, crop_size)
    return _join(corner, boxes[..., 2:] * (crop_size / region[..., 2:]))


def crop_to_image(boxes: Array, region: Array, crop_size: int) -> Array:
    """Boxes (..., 4) in the crop of a search region (..., 3) -> the same boxes in the image."""
    corner = points_to_image(boxes[..., :2], region, crop_size)
    return _join(corner, boxes[..., 2:] * (region[..., 2:] / crop_size))


def score_to_crop(cells: Cells) -> Cells:
    """Score-map coordinates in cells -> crop px, elementwise."""
    return SCORE_STRIDE * (cells + SCORE_OFFSET)


def crop_to_score(pixels: Cells) -> Cells:
    """Crop px -> score-map coordinates in cells, elementwise."""
    return pixels / SCORE_STRIDE - SCORE_OFFSET


def longest_side(image_width: int, image_height: int) -> float:
    """The longest side, px, that a target's box may have: twice the image's longer side."""
    return 2.0 * max(image_width, image_height)


def rescale(box: Box, old_size: tuple[int, int], new_size: tuple[int, int]) -> Box:
    """Converts a box from px of one image to px of another image of the same view, given their sizes (width, height).

    Both images show the same width of the view around the same centre, as after scaling, or when a camera crops strips
    above and below.
    """
    scale = new_size[0] / old_size[0]
    x, y = (
        (at - (old - 1) / 2) * scale + (new - 1) / 2 for at, old, new in zip(box[:2], old_size, new_size, strict=True)
    )
    return x, y, box[2] * scale, box[3] * scale


def keep_in_image(box: Box, image_width: int, image_height: int, min_side: float, margin: float) -> Box:
    """The box moved and bounded so that it stays trackable.

    Args:
        box: in image px.
        image_width: px.
        image_height: px.
        min_side: image px; each side is at least this long, and at most `longest_side`.
        margin: share of the box's width (height) that stays inside the image, or half the image's if that is less; the
            box moves to keep it. The box overlaps the image for every margin above 0.
    """
    longest = longest_side(image_width, image_height)
    x, width = _keep_in_line(box[0], box[2], image_width, min_side, longest, margin)
    y, height = _keep_in_line(box[1], box[3], image_height, min_side, longest, margin)
    return x, y, width, height


def _keep_in_line(
    start: float, side: float, length: int, shortest: float, longest: float, margin: float
) -> tuple[float, float]:
    """Start and side of the box along one axis."""
    middle, side = start + side / 2, min(max(side, shortest), longest)
    # A small image cannot hold that share of a large box: then the box reaches the image's centre.
    inside = min(margin * side, length / 2)
    low, high = -0.5 - side / 2 + inside, length - 0.5 + side / 2 - inside
    return min(max(middle, low), high) - side / 2, side


def _join(first: Array, second: Array) -> Array:
    """Concatenates in the last dimension."""
    return torch.cat((first, second), -1) if isinstance(first, Tensor) else np.concatenate((first, second), -1)
