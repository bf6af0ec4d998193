# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A draft of a scene: a target in its world, still or moving, and the camera that follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from atom_core.data.images import read_image
from atom_core.evaluation.clips.material import CutOut, Material, Video, crop_out, cut_out
from atom_core.evaluation.clips.scene import Scene, Sprite
from atom_core.evaluation.still_targets import StillTarget

_VIEW = (320, 240)  # px, at most
_VIEW_SHARE = 0.6  # of the world's sides, at most: the rest is room for the camera
_SMALL_VIEW_SHARE = 0.42  # small enough for the camera to turn away from most targets
_MAX_SHARE = 0.75  # of the view's sides that the target may take
_MIN_VIEW = 220.0  # px, shorter side
_MAX_ENLARGEMENT = 2.0
_FOLLOW = 9  # frames on each side over which the camera's motion is smoothed


@dataclass
class Draft:
    """The parts of a scene decided so far.

    Attributes:
        background: the world's picture in a frame, see `Scene`.
        world: its size (width, height).
        paths: (N, 4) the target's box, world px.
        rng: for all further decisions.
        look_alikes: draws a picture like the target's, see `Sprite`.
        pictures: of the target itself, if it is pasted into the background.
        which: (N,) the picture of each frame.
        view_share: the view's maximum share of the world's sides.
        moves: (N, 2) displacement of a pasted target, world px, which the camera does not follow.
        widths: (N,) factor of a pasted target's width; negative mirrors it.

    Raises:
        ValueError: if the target is too large for the view.
    """

    background: Callable[[int], np.ndarray]
    world: tuple[int, int]
    paths: np.ndarray
    rng: np.random.Generator
    look_alikes: Callable[[], np.ndarray]
    pictures: list[np.ndarray] = field(default_factory=list)
    which: np.ndarray | None = None
    view_share: float = _VIEW_SHARE
    moves: np.ndarray = field(init=False)
    widths: np.ndarray = field(init=False)
    turns: np.ndarray = field(init=False)  # (N, 2) world px, of the camera away from the target
    zooms: np.ndarray = field(init=False)  # (N,) log of the camera's scale
    shakes: np.ndarray = field(init=False)  # (N, 2) world px
    gains: np.ndarray = field(init=False)  # (N, 3)
    blurs: np.ndarray = field(init=False)  # (N,)
    cuts: np.ndarray = field(init=False)  # (N,)
    behind: list[Sprite] = field(default_factory=list)  # the target, if it is pasted
    before: list[Sprite] = field(default_factory=list)
    elsewhere: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.paths)
        self.moves, self.turns, self.shakes = (np.zeros((count, 2)) for _ in range(3))
        self.widths, self.gains = np.ones(count), np.ones((count, 3))
        self.zooms, self.blurs = np.zeros(count), np.zeros(count)
        self.cuts = np.full(count, -1)
        if (self.paths[:, 2:].max(0) > _MAX_SHARE * np.array(self.view)).any():
            raise ValueError("the target is too large for the view")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def is_pasted(self) -> bool:
        """Whether the target is pasted and can be moved."""
        return bool(self.pictures)

    @property
    def side(self) -> float:
        """Mean of sqrt(width * height), world px."""
        return float(np.sqrt(self.paths[:, 2] * self.paths[:, 3]).mean())

    @property
    def view(self) -> tuple[int, int]:
        """(width, height) px."""
        width, height = (int(min(v, self.view_share * w)) for v, w in zip(_VIEW, self.world, strict=True))
        return width, height

    def boxes(self) -> np.ndarray:
        """(N, 4) the target's box with all displacements, world px."""
        size = self.paths[:, 2:] * np.stack((np.abs(self.widths), np.ones(len(self))), axis=1)
        centers = self.paths[:, :2] + self.paths[:, 2:] / 2 + self.moves
        return np.concatenate((centers - size / 2, size), axis=1)

    def scene(self) -> Scene:
        """The scene."""
        boxes = self.boxes()
        sprites = list(self.behind)
        if self.is_pasted:
            assert self.which is not None, "a pasted target has its picture for each frame"
            size = boxes[:, 2:] * np.stack((np.sign(self.widths), np.ones(len(self))), axis=1)
            everywhere = np.ones(len(self), bool)
            centers = boxes[:, :2] + boxes[:, 2:] / 2
            sprites.append(Sprite(self.pictures, self.which, centers, size, everywhere))
        covers = tuple(range(len(sprites), len(sprites) + len(self.before)))
        scales, offsets = self._camera()
        return Scene(
            self.background,
            boxes,
            self.view,
            scales,
            offsets,
            [*sprites, *self.before],
            covers,
            self.cuts,
            self.elsewhere,
            self.gains,
            self.blurs,
            noise=float(self.rng.uniform(0, 5)),
            seed=int(self.rng.integers(2**31)),
        )

    def _camera(self) -> tuple[np.ndarray, np.ndarray]:
        """Scales (N,) and offsets (N, 2) of the camera that follows the target, turns away and shakes."""
        half = np.array(self.view) / 2
        scales = np.maximum(np.exp(self.zooms), (2 * half / self.world).max())
        followed = smoothed(self.paths[:, :2] + self.paths[:, 2:] / 2, _FOLLOW)
        reach = half / scales[:, None]
        inside = np.clip(followed + self.turns, reach - 0.5, np.array(self.world) - 0.5 - reach)
        centers = inside + self.shakes
        return scales, half - 0.5 - centers * scales[:, None]


def draft_still(
    target: StillTarget, count: int, material: Material, rng: np.random.Generator, roomy: bool = False
) -> Draft:
    """A target in a still image: only the camera moves; `roomy`: it has room to turn away from the target."""
    share = _SMALL_VIEW_SHARE if roomy else _VIEW_SHARE
    image = read_image(target.path)
    ratio = _ratio(target.side, image, share, rng)
    world = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    box = _scaled(np.array(target.box), np.array(world.shape[1::-1]) / image.shape[1::-1])
    others = [t for t in material.targets if t.still_set == target.still_set and t.path != target.path]
    others = [t for t in others if t.kind == target.kind] or others or list(material.targets)
    return Draft(
        lambda index: world,
        world.shape[1::-1],
        np.tile(box, (count, 1)),
        rng,
        lambda: _crop_of(others[rng.integers(len(others))]),
        view_share=share,
    )


def draft_object(item: CutOut | Video, count: int, material: Material, rng: np.random.Generator) -> Draft:
    """A cut-out object that moves in a still image."""
    image = read_image(material.backgrounds[rng.integers(len(material.backgrounds))])
    ratio = float(np.clip(rng.uniform(420, 640) / min(image.shape[:2]), 0.5, 3))
    world = cv2.resize(image, None, fx=ratio, fy=ratio)
    if isinstance(item, Video):
        which = ping_pong(len(item.images), count)
        pictures = [cut_out(*files) for files in zip(item.images, item.masks, strict=True)]
        look_alikes = [o for o in material.objects if rng.random() < 0.5] or list(material.objects)
    else:
        which = np.zeros(count, int)
        pictures = [cut_out(item.image, item.mask)]
        look_alikes = [o for o in material.objects if o.still_set == item.still_set and o != item]
    shapes = np.array([picture.shape[1::-1] for picture in pictures], float)
    # In a video, the object's size relative to its first one; pictures may have been shrunk individually.
    relative = (item.boxes[:, 2:] if isinstance(item, Video) else shapes) / np.sqrt(
        np.prod(item.boxes[0, 2:] if isinstance(item, Video) else shapes[0])
    )
    side = np.exp(rng.uniform(*np.log((22, 90))))
    sizes = side * relative[which] * np.exp(smooth_path(rng, count, 0.2))[:, None]
    if sizes.max() > 0.7 * min(world.shape[:2]):
        sizes *= 0.7 * min(world.shape[:2]) / sizes.max()
    amplitude = np.minimum(np.array(world.shape[1::-1]) * 0.3, rng.uniform(1, 5) * side)
    middle = np.array(world.shape[1::-1]) / 2
    centers = middle + np.stack([smooth_path(rng, count, a, start_at_zero=False) for a in amplitude], axis=1)
    return Draft(
        lambda index: world,
        world.shape[1::-1],
        np.concatenate((centers - sizes / 2, sizes), axis=1),
        rng,
        lambda: (
            cut_out(*_files(look_alikes[rng.integers(len(look_alikes))]))
            if look_alikes
            else _crop_of(material.targets[rng.integers(len(material.targets))])
        ),
        pictures,
        which,
    )


def draft_video(video: Video, count: int, material: Material, rng: np.random.Generator) -> Draft:
    """The target of a sequence in its own images, played forwards and backwards."""
    order = ping_pong(len(video.images), count)
    first = read_image(video.images[0])
    ratio = _ratio(float(np.sqrt(np.prod(video.boxes[0, 2:]))), first, _SMALL_VIEW_SHARE, rng)

    @lru_cache(maxsize=len(video.images))
    def picture(index: int) -> np.ndarray:
        image = read_image(video.images[index])
        return cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)

    world = picture(0).shape[1::-1]
    boxes = _scaled(video.boxes[order], np.array(world) / first.shape[1::-1])

    def look_alike() -> np.ndarray:
        index = int(rng.integers(len(video.images)))
        if video.masks and rng.random() < 0.5:
            return cut_out(video.images[index], video.masks[index])
        return crop_out(read_image(video.images[index]), tuple(video.boxes[index]))

    return Draft(lambda index: picture(int(order[index])), world, boxes, rng, look_alike, view_share=_SMALL_VIEW_SHARE)


def smooth_path(rng: np.random.Generator, count: int, amplitude: float, start_at_zero: bool = True) -> np.ndarray:
    """(N,) a sum of three sine waves of 30 to 150 frames, of at most about this amplitude."""
    frames = np.arange(count)
    waves = [np.sin(2 * np.pi * (frames / rng.uniform(30, 150) + rng.random())) for _ in range(3)]
    path = np.array(waves).T @ rng.dirichlet((1, 1, 1)) * amplitude
    return path - path[0] if start_at_zero else path


def shaking(rng: np.random.Generator, count: int, amplitude: float) -> np.ndarray:
    """(N, 2) random shake of this standard deviation, correlated over frames by one half; 0 in the first."""
    steps = amplitude * np.sqrt(0.75) * rng.standard_normal((count, 2))
    path = np.zeros((count, 2))
    for index in range(1, count):
        path[index] = path[index - 1] / 2 + steps[index]
    return path


def smoothed(values: np.ndarray, reach: int) -> np.ndarray:
    """(N, K) averaged over `reach` frames on each side; the ends repeat."""
    padded = np.concatenate((values[:1].repeat(reach, 0), values, values[-1:].repeat(reach, 0)))
    kernel = np.hanning(2 * reach + 3)[1:-1]
    kernel /= kernel.sum()
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def ping_pong(length: int, count: int) -> np.ndarray:
    """(count,) 0, 1, ... length - 1, length - 2, ... 0, 1, ..."""
    period = max(1, 2 * length - 2)
    steps = np.arange(count) % period
    return np.minimum(steps, period - steps)


def _ratio(side: float, image: np.ndarray, view_share: float, rng: np.random.Generator) -> float:
    """The factor to resize an image by: it gives the target a trackable size and the world enough room."""
    wanted = np.exp(rng.uniform(*np.log((22, 70)))) / side
    least = _MIN_VIEW / view_share / min(image.shape[:2])
    return float(min(max(wanted, least), max(_MAX_ENLARGEMENT, least)))


def _scaled(boxes: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Boxes (..., 4) in an image that was resized by a ratio (2,): pixel edges keep their relative positions."""
    return np.concatenate(((boxes[..., :2] + 0.5) * ratio - 0.5, boxes[..., 2:] * ratio), axis=-1)


def _files(item: CutOut) -> tuple[Path, Path]:
    return item.image, item.mask


def _crop_of(target: StillTarget) -> np.ndarray:
    return crop_out(read_image(target.path), target.box)
