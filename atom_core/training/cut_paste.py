# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A source of composed training pairs: a masked object is cut out and pasted onto two other images, with motion.

The object comes from one still image or from two frames of a video, so that it deforms as it did in front of the
camera. Place, size, aspect, rotation, light, blur and background differ between the two views. Other objects lie beside
the target, some of the same kind, or partly in front of it; the box still covers the whole target, as in the tracking
benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from atom_core.boxes import Box
from atom_core.data.images import read_image
from atom_core.training.config import CutPasteConfig
from atom_core.training.views import ComposedView

_CANVAS_SIDES = (288, 512)  # px: backgrounds are resized so that the shorter side is at least, the longer at most this
_PATCH_SIDE = 256  # px; larger objects are made smaller
_PATCH_MARGIN = 16  # px of empty border around a cut-out object, into which blur spreads
_MIN_OBJECT_SIDE = 12.0  # px of sqrt(width * height) in the source image; smaller objects show too little
_PIXEL_CORNERS = np.array([(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)])
_MAX_ENLARGEMENT = 1.5  # of an object when pasted


@dataclass(frozen=True)
class MaskedObject:
    """An object in an image: the image's file, its mask's file (nonzero on the object), and its box in px."""

    image: Path
    mask: Path
    box: Box


class Patch(NamedTuple):
    """A cut-out object.

    Attributes:
        pixels: (h, w, 4) uint8: RGB, 0 outside the object, and the mask, 0 or 255.
        hull: (K, 2) float64, px: corners of its convex hull, pixel edges included.
    """

    pixels: np.ndarray
    hull: np.ndarray


@dataclass(frozen=True)
class Pose:
    """A patch's pose on a canvas: its centre (2,) in px, scales of its axes (2,), angle in radians."""

    place: np.ndarray
    scale: np.ndarray
    angle: float

    def matrix(self, patch: Patch) -> np.ndarray:
        """The affine map (2, 3) from patch px to canvas px."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]]) * self.scale
        middle = (patch.hull.min(0) + patch.hull.max(0)) / 2
        return np.column_stack((linear, self.place - linear @ middle))

    def corners(self, patch: Patch) -> np.ndarray:
        """Top left and bottom right (2, 2) of the pasted object, canvas px."""
        matrix = self.matrix(patch)
        points = patch.hull @ matrix[:, :2].T + matrix[:, 2]
        return np.stack((points.min(0), points.max(0)))


class CutPaste:
    """Pairs of composed images.

    Args:
        objects: the tracks of each set: the object in each frame, None where it is not visible; a still image's track
            has one frame.
        backgrounds: image files to paste onto.
        max_frame_gap: frames between the two views of a track.
        config: the settings.

    Raises:
        ValueError: if there is no object or no background, or every set has odds 0.
    """

    name = "cut_paste"

    def __init__(
        self,
        objects: dict[str, list[list[MaskedObject | None]]],
        backgrounds: list[Path],
        max_frame_gap: int,
        config: CutPasteConfig,
    ) -> None:
        unknown = sorted(set(config.odds) - set(objects))
        if unknown:
            raise ValueError(f"cut_paste.odds names {unknown[0]!r}; sets with masks: {', '.join(objects) or 'none'}")
        odds = np.array([config.odds.get(name, 1.0) for name in objects])
        if not odds.any():
            raise ValueError(f"cut_paste.odds are 0 for every set of {', '.join(objects)}; name one above 0")
        if not backgrounds:
            raise ValueError("cut_paste has objects but no background; name a folder with still images")
        self._sets = [
            [[v for v in enumerate(track) if v[1] is not None] for track in tracks] for tracks in objects.values()
        ]
        self._odds = odds / odds.sum()
        self._backgrounds, self._max_gap, self._config = backgrounds, max_frame_gap, config

    def draw(self, rng: np.random.Generator) -> tuple[ComposedView, ComposedView]:
        """Two composed views of one object.

        Raises:
            ValueError: if an image or a mask cannot be used; the message names the file.
        """
        config = self._config
        kind = rng.choice(len(self._sets), p=self._odds)
        target = self._draw_object(kind, rng)
        backgrounds = self._draw_backgrounds(rng)
        height, width, _ = backgrounds[0].shape
        canvas = np.array([width, height], float)

        poses = _target_poses(target, canvas, config, rng)
        layers = [[(patch, pose)] for patch, pose in zip(target, poses, strict=True)]
        if rng.random() < config.distractor_probability:
            twin = rng.random() < config.twin_probability
            other = target[::-1] if twin else self._draw_object(kind, rng)
            for layer, patch, pose in zip(layers, other, _beside(target, poses, other, (0.7, 1.8), rng), strict=True):
                layer.insert(0, (patch, pose))
        if rng.random() < config.occluder_probability:
            other = self._draw_object(rng.choice(len(self._sets), p=self._odds), rng)
            layers[1].append((other[1], _beside(target, poses, other, (0.5, 1.0), rng)[1]))

        views = []
        for background, layer, patch, pose in zip(backgrounds, layers, target, poses, strict=True):
            start, end = pose.corners(patch)
            views.append(ComposedView(_compose(background, layer, config, rng), (*start, *(end - start))))
        return views[0], views[1]

    def _draw_object(self, kind: int, rng: np.random.Generator) -> tuple[Patch, Patch]:
        """One object's patch in each view."""
        tracks = self._sets[kind]
        track = tracks[rng.integers(len(tracks))]
        index, first = track[rng.integers(len(track))]
        near = [other for i, other in track if abs(i - index) <= self._max_gap]
        return _cut(first), _cut(near[rng.integers(len(near))])

    def _draw_backgrounds(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Two images of one size, mostly the same one, shifted; read-only."""
        config = self._config
        first = _read_background(self._backgrounds[rng.integers(len(self._backgrounds))])
        height, width, _ = first.shape
        second = first
        if rng.random() < config.background_change:
            second = _read_background(self._backgrounds[rng.integers(len(self._backgrounds))])
            second = cv2.resize(second, (width, height), interpolation=cv2.INTER_AREA)
        zoom = np.exp(config.background_zoom * rng.standard_normal())
        shift = config.background_shift * max(width, height) * rng.standard_normal(2)
        middle = np.array([width - 1, height - 1]) / 2
        matrix = np.column_stack((np.eye(2) * zoom, middle * (1 - zoom) + shift))
        return first, cv2.warpAffine(second, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def _target_poses(
    target: tuple[Patch, Patch], canvas: np.ndarray, config: CutPasteConfig, rng: np.random.Generator
) -> tuple[Pose, Pose]:
    """The object's pose in each view: of random size, inside the canvas (width, height)."""
    side = np.exp(rng.uniform(np.log(config.min_side), np.log(config.max_side)))
    scale = min(side / _side(target[0]), _MAX_ENLARGEMENT)
    mirror = np.array([rng.choice((-1, 1)), 1])
    angle = np.radians(config.rotation)
    # Mostly central, so that the search region is not filled with replicated border.
    first = Pose(canvas * rng.normal(0.5, 0.17, 2), scale * mirror, angle * rng.standard_normal())
    first = _fit(target[0], first, canvas)
    moved = Pose(
        first.place + config.shift * side * rng.standard_normal(2),
        first.scale * np.exp(config.scale_jitter * rng.standard_normal()) * _stretch(config.stretch_jitter, rng),
        angle * rng.standard_normal(),
    )
    return first, _fit(target[1], moved, canvas)


def _fit(patch: Patch, pose: Pose, canvas: np.ndarray) -> Pose:
    """The pose, shrunk if it does not fit, and moved inside the canvas."""
    start, end = pose.corners(patch)
    pose = replace(pose, scale=pose.scale * min(1.0, *(0.9 * canvas / (end - start))))
    start, end = pose.corners(patch)
    return replace(pose, place=pose.place + np.maximum(0, -start) - np.maximum(0, end - (canvas - 1)))


def _beside(
    target: tuple[Patch, Patch],
    poses: tuple[Pose, Pose],
    other: tuple[Patch, Patch],
    distance: tuple[float, float],
    rng: np.random.Generator,
) -> list[Pose]:
    """Poses of another object about as large as the target, beside it in each view.

    Args:
        distance: range of the distance between the two centres; at 1 two axis-aligned boxes would touch.
    """
    relative = np.exp(rng.normal(-0.1, 0.3))
    mirror = np.array([rng.choice((-1, 1)), 1])
    direction = rng.uniform(0, 2 * np.pi)
    found = []
    for patch, pose, neighbour in zip(target, poses, other, strict=True):
        start, end = pose.corners(patch)
        size = relative * np.sqrt(np.prod(end - start)) / _side(neighbour)
        scale = min(size, _MAX_ENLARGEMENT) * mirror * _stretch(0.2, rng)
        lying = Pose(pose.place, scale, np.radians(10) * rng.standard_normal())
        first, last = lying.corners(neighbour)
        direction += 0.4 * rng.standard_normal()
        heading = np.array([np.cos(direction), np.sin(direction)])
        heading /= np.abs(heading).max()  # on the border of a square, so that 1 means that boxes touch
        found.append(
            replace(lying, place=pose.place + rng.uniform(*distance) * heading * (end - start + last - first) / 2)
        )
    return found


def _stretch(jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Factors for width and height that change the aspect and keep the area."""
    factor = np.exp(jitter * rng.standard_normal() / 2)
    return np.array([factor, 1 / factor])


def _compose(
    background: np.ndarray, layers: list[tuple[Patch, Pose]], config: CutPasteConfig, rng: np.random.Generator
) -> np.ndarray:
    """The background (H, W, 3) with layers pasted on it, back to front; uint8."""
    image = cv2.LUT(background, np.clip(_light(np.arange(256.0), 1.0, config, rng), 0, 255).astype(np.uint8))
    for patch, pose in layers:
        _paste(image, patch, pose, config, rng)
    if rng.random() < config.blur_probability:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5))
    return image


def _paste(image: np.ndarray, patch: Patch, pose: Pose, config: CutPasteConfig, rng: np.random.Generator) -> None:
    """Pastes a patch into an image in place, with a soft edge and sometimes motion blur."""
    matrix = pose.matrix(patch)
    scale = float(np.sqrt(np.abs(pose.scale).prod()))
    # Colours are already multiplied by the mask, so blur does not bring in the object's old surroundings. 0.4 px on the
    # canvas is what shrinking needs against aliasing.
    soft = cv2.GaussianBlur(patch.pixels, (0, 0), rng.uniform(0.4, 1.0) / scale)
    start, end = pose.corners(patch)
    kernel = None
    if rng.random() < config.blur_probability:
        kernel = _motion_kernel(rng.uniform(2, max(3.0, 0.15 * float(np.sqrt(np.prod(end - start))))), rng)
    margin = 4 + (0 if kernel is None else len(kernel) // 2)
    limit = np.array(image.shape[1::-1])
    left, top = np.clip(np.floor(start).astype(int) - margin, 0, limit)
    right, bottom = np.clip(np.ceil(end).astype(int) + margin, 0, limit)
    if left >= right or top >= bottom:
        return
    matrix = np.column_stack((matrix[:, :2], matrix[:, 2] - (left, top)))
    pasted: np.ndarray = cv2.warpAffine(soft, matrix, (int(right - left), int(bottom - top))).astype(np.float32)
    if kernel is not None:
        pasted = cv2.filter2D(pasted, -1, kernel)
    cover = pasted[..., 3:] / 255
    lit = np.clip(_light(pasted[..., :3], cover, config, rng), 0, 255 * cover)
    under = image[top:bottom, left:right]
    under[:] = np.rint(under * (1 - cover) + lit)


def _light(
    values: np.ndarray, cover: np.ndarray | float, config: CutPasteConfig, rng: np.random.Generator
) -> np.ndarray:
    """Pixel values, multiplied by a mask in 0..1, with another contrast and brightness."""
    contrast = 1 + rng.uniform(-config.contrast, config.contrast)
    brightness = rng.uniform(-config.brightness, config.brightness)
    return contrast * values + (128 * (1 - contrast) + brightness) * cover


def _motion_kernel(length: float, rng: np.random.Generator) -> np.ndarray:
    """A line of some px through the middle of a square kernel, of sum 1."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    dx, dy = round(half * np.cos(angle)), round(half * np.sin(angle))
    cv2.line(kernel, (half - dx, half - dy), (half + dx, half + dy), 1.0)
    return kernel / kernel.sum()


def _side(patch: Patch) -> float:
    return float(np.sqrt(np.prod(patch.hull.max(0) - patch.hull.min(0))))


@lru_cache(maxsize=64)
def _read_background(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, enlarged where it is small, so that the search region is not filled with replicated border."""
    image = read_image(path)
    ratio = _CANVAS_SIDES[0] / min(image.shape[:2])
    if ratio > 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio)
    return _shrink(image, _CANVAS_SIDES[1])


@lru_cache(maxsize=256)  # about 0.1 MB each
def _cut(item: MaskedObject) -> Patch:
    """Cuts an object out.

    Raises:
        ValueError: if a file cannot be read, the mask has another size, or the object in the box is too small.
    """
    image = read_image(item.image)
    try:
        mask = cv2.cvtColor(read_image(item.mask), cv2.COLOR_RGB2GRAY)
    except ValueError as error:
        raise ValueError(f"cannot read the mask: {error}") from error
    if mask.shape != image.shape[:2]:
        raise ValueError(f"{item.mask} has {mask.shape[::-1]} px, but its image {image.shape[1::-1]} px")
    x, y, w, h = item.box
    rows = slice(max(0, round(y)), max(0, round(y + h) + 1))
    columns = slice(max(0, round(x)), max(0, round(x + w) + 1))
    mask = np.where(mask[rows, columns] > 0, np.uint8(255), np.uint8(0))
    pixels = np.dstack((image[rows, columns] * (mask[..., None] > 0), mask))
    margin = _PATCH_MARGIN
    pixels = cv2.copyMakeBorder(_shrink(pixels, _PATCH_SIDE), margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    outlines, _ = cv2.findContours((pixels[..., 3] > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        raise ValueError(f"{item.mask} is empty within the box {item.box}")
    centers = cv2.convexHull(np.concatenate(outlines))[:, 0].astype(float)
    patch = Patch(pixels, (centers[:, None] + _PIXEL_CORNERS).reshape(-1, 2))
    if _side(patch) < _MIN_OBJECT_SIDE:
        raise ValueError(f"{item.mask}: the object within the box {item.box} is too small to be pasted")
    return patch


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    """The image, made smaller where its longer side exceeds `side` px."""
    ratio = side / max(image.shape[:2])
    return image if ratio >= 1 else cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
