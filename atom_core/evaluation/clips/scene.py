# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A scene of N frames and its rendering: a background, a camera that moves over it, objects that move in it.

World px are those of the background. The camera's window shows world point p at `scale * p + offset` in view px. Boxes
and points follow `atom_core.boxes`: the first pixel's centre is at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

MIN_VISIBLE = 0.2  # share of the target's box; with less of it visible, the target is absent
_EDGE = 0.7  # view px, of the soft edge of a pasted object


@dataclass(frozen=True)
class Sprite:
    """A picture pasted into the scene.

    Attributes:
        patches: pictures (h, w, 4) uint8: RGB and, in the last channel, the object's mask; its box is the whole patch.
        which: (N,) the picture in each frame.
        centers: (N, 2) world px.
        sizes: (N, 2) width and height in world px; a negative width mirrors it.
        shown: (N,) bool.
    """

    patches: list[np.ndarray]
    which: np.ndarray
    centers: np.ndarray
    sizes: np.ndarray
    shown: np.ndarray

    def boxes(self) -> np.ndarray:
        """(N, 4) world px."""
        sizes = np.abs(self.sizes)
        return np.concatenate((self.centers - sizes / 2, sizes), axis=1)


@dataclass(frozen=True)
class Scene:
    """The content of each frame.

    Attributes:
        background: the world's picture (H, W, 3) uint8 RGB in a frame.
        target: (N, 4) world px, the target's box; NaN where it does not exist.
        size: (width, height) of the view, px.
        scales: (N,) of the camera.
        offsets: (N, 2) of the camera, view px.
        sprites: back to front.
        covers: indices of the sprites that occlude the target.
        cuts: (N,) index into `elsewhere` that the frame shows instead, -1 for the scene.
        elsewhere: pictures of the view's size or larger.
        gains: (N, 3) factors of the colours.
        blurs: (N,) sigma in view px; 0 for none.
        noise: standard deviation of the sensor's noise in grey levels.
        seed: of that noise.
    """

    background: Callable[[int], np.ndarray]
    target: np.ndarray
    size: tuple[int, int]
    scales: np.ndarray
    offsets: np.ndarray
    sprites: list[Sprite] = field(default_factory=list)
    covers: tuple[int, ...] = ()
    cuts: np.ndarray | None = None
    elsewhere: list[np.ndarray] = field(default_factory=list)
    gains: np.ndarray | None = None
    blurs: np.ndarray | None = None
    noise: float = 0.0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.target)

    def truth(self) -> np.ndarray:
        """(N, 4) view px: the whole box, even if it is partly hidden or outside; NaN where the target is absent."""
        boxes = self.in_view(self.target)
        return np.where((self.visible() >= MIN_VISIBLE)[:, None], boxes, np.nan)

    def in_view(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (N, 4), one per frame, from world to view px."""
        scales = self.scales[:, None]
        return np.concatenate((boxes[:, :2] * scales + self.offsets, boxes[:, 2:] * scales), axis=1)

    def visible(self) -> np.ndarray:
        """(N,) share of the target's box that is in the view and that no covering sprite's box hides."""
        boxes = self.in_view(self.target)
        view = np.tile((-0.5, -0.5, *self.size), (len(self), 1))
        inside = _intersection(boxes, view)
        hidden = np.zeros(len(self))
        for index in self.covers:
            cover = _intersection(inside, self.in_view(self.sprites[index].boxes()))
            hidden = np.maximum(hidden, np.where(self.sprites[index].shown, _area(cover), 0))
        with np.errstate(invalid="ignore"):
            shares = (_area(inside) - hidden) / _area(boxes)
        shares = np.nan_to_num(shares)
        return shares if self.cuts is None else np.where(self.cuts >= 0, 0.0, shares)

    def frames(self) -> Iterator[np.ndarray]:
        """Images (height, width, 3) uint8 RGB."""
        for index in range(len(self)):
            yield self.frame(index)

    def frame(self, index: int) -> np.ndarray:
        """One image."""
        image = self._elsewhere(index) if self.cuts is not None and self.cuts[index] >= 0 else self._here(index)
        if self.blurs is not None and self.blurs[index] > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), float(self.blurs[index]))
        rng = np.random.default_rng((self.seed, index))
        values = image.astype(np.float32)
        if self.gains is not None:
            values *= self.gains[index].astype(np.float32)
        if self.noise:
            values += self.noise * rng.standard_normal(values.shape, dtype=np.float32)
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def _here(self, index: int) -> np.ndarray:
        scale, (x, y) = self.scales[index], self.offsets[index]
        matrix = np.array(((scale, 0, x), (0, scale, y)))
        image = cv2.warpAffine(self.background(index), matrix, self.size, borderMode=cv2.BORDER_REPLICATE)
        for sprite in self.sprites:
            if sprite.shown[index]:
                center = scale * sprite.centers[index] + (x, y)
                paste(image, sprite.patches[sprite.which[index]], center, scale * sprite.sizes[index])
        return image

    def _elsewhere(self, index: int) -> np.ndarray:
        """A slow pan over another picture."""
        assert self.cuts is not None, "called only for cuts"
        picture = self.elsewhere[self.cuts[index]]
        since = index - int(np.flatnonzero(self.cuts == self.cuts[index])[0])
        room = np.array(picture.shape[1::-1]) - self.size
        x, y = np.minimum(since, room)
        return picture[y : y + self.size[1], x : x + self.size[0]].copy()


def paste(image: np.ndarray, patch: np.ndarray, center: np.ndarray, size: np.ndarray) -> None:
    """Pastes a patch (h, w, 4) into an image (H, W, 3) in place, at the box of this centre and size.

    A negative width mirrors the patch.
    """
    height, width = patch.shape[:2]
    scale = size / (width, height)
    # The patch's centre is at ((w - 1) / 2, (h - 1) / 2).
    offset = center - scale * ((width - 1) / 2, (height - 1) / 2)
    half = np.abs(size) / 2
    left, top = np.maximum(np.floor(center - half - 2), 0).astype(int)
    right, bottom = np.minimum(np.ceil(center + half + 3), image.shape[1::-1]).astype(int)
    if left >= right or top >= bottom:
        return
    softness = _EDGE / max(1e-6, min(1.0, float(np.abs(scale).min())))  # px of the patch; also against aliasing
    cover = patch[..., 3:].astype(np.float32) / 255
    colours: np.ndarray = np.concatenate((patch[..., :3] * cover, cover), axis=2)
    margin = int(np.ceil(3 * softness))
    colours = cv2.copyMakeBorder(colours, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    colours = cv2.GaussianBlur(colours, (0, 0), softness)
    origin = offset - scale * margin - (left, top)
    matrix = np.array(((scale[0], 0, origin[0]), (0, scale[1], origin[1])))
    pasted = cv2.warpAffine(colours, matrix, (int(right - left), int(bottom - top)))
    under = image[top:bottom, left:right]
    under[:] = np.clip(np.rint(under * (1 - pasted[..., 3:]) + pasted[..., :3]), 0, 255)


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) intersections of boxes (N, 4), of size 0 where they are disjoint; NaN stays."""
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    return np.concatenate((low, np.maximum(high - low, 0)), axis=1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2] * boxes[:, 3]
