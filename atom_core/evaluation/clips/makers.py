# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Short clips of 30 frames for measuring drift, and long ones in which the target leaves and returns.

A clip is determined by the material and its seed. Long clips with odd seeds are held back for a final measurement; no
setting is chosen with them.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from atom_core.data.images import read_image
from atom_core.evaluation.clips.draft import Draft, draft_object, draft_still, draft_video, shaking, smooth_path
from atom_core.evaluation.clips.material import CutOut, Material, Video
from atom_core.evaluation.clips.scene import Scene, Sprite, paste

SHORT_FRAMES = 30
LONG_FRAMES = (200, 400)
_OBJECTS = 0.25  # share of the short clips with a cut-out object
_CALM = (20, 50)  # frames between two events
_FIRST_CALM = 30
_RAMP = 12  # frames in which something changes
_TRIES = 100  # maximum number of unusable draws
_FIRST_VISIBLE = 0.8  # visible share of the target in the first frame


def short_clip(material: Material, seed: int) -> Scene:
    """30 frames: pan, zoom and shake over a still image, or a cut-out object that moves.

    Raises:
        ValueError: if many files in a row cannot be used.
    """
    return _first_usable(_try_short, material, (seed, 1))


def long_clip(material: Material, seed: int) -> Scene:
    """200 to 400 frames with occlusions, absences, cuts, changes of appearance and distractors.

    Raises:
        ValueError: if many files in a row cannot be used.
    """
    return _first_usable(_try_long, material, (seed, 2))


def _first_usable(
    make: Callable[[Material, np.random.Generator], Scene], material: Material, seed: tuple[int, int]
) -> Scene:
    """The first scene whose target is visible from the first frame and large enough to track."""
    problem = "the target is not in view in the first frame"
    for attempt in range(_TRIES):
        try:
            scene = make(material, np.random.default_rng((*seed, attempt)))
        except ValueError as error:  # a damaged file or a target of unusable size; the next draw may be better
            problem = str(error)
            continue
        if scene.visible()[0] >= _FIRST_VISIBLE:
            return scene
    raise ValueError(f"{_TRIES} draws of a clip in a row failed, the last one since {problem}")


def _try_short(material: Material, rng: np.random.Generator) -> Scene:
    kind = "object" if material.objects and rng.random() < _OBJECTS else "still"
    draft = _drawn(kind, material, SHORT_FRAMES, rng)
    draft.turns += _pan(draft, rng.uniform(0, 2.5))
    draft.zooms += smooth_path(rng, len(draft), rng.uniform(0, 0.4))
    draft.shakes += shaking(rng, len(draft), draft.side * rng.choice((0, 0.03, 0.08)))
    return draft.scene()


def _try_long(material: Material, rng: np.random.Generator) -> Scene:
    kinds = ["still", *(["object"] if material.objects else []), *(["video"] if material.videos else [])]
    count = int(rng.integers(*LONG_FRAMES, endpoint=True))
    draft = _drawn(kinds[rng.integers(len(kinds))], material, count, rng, roomy=True)
    draft.turns += _pan(draft, 0.8)
    draft.zooms += smooth_path(rng, count, 0.2)
    draft.shakes += shaking(rng, count, draft.side * rng.choice((0, 0.02, 0.05)))
    start, events = _FIRST_CALM, list(_EVENTS)
    while True:
        event = events[rng.integers(len(events))]
        length = int(rng.integers(*_LENGTHS[event], endpoint=True)) + 2 * _RAMP
        if start + length + _CALM[0] > count:
            return draft.scene()
        _EVENTS[event](draft, start, start + length, material)
        start += length + int(rng.integers(*_CALM, endpoint=True))


def _drawn(kind: str, material: Material, count: int, rng: np.random.Generator, roomy: bool = False) -> Draft:
    """A draft of a target of this kind, drawn at random."""
    if kind == "object":
        masked: list[CutOut | Video] = [*material.objects, *(video for video in material.videos if video.masks)]
        return draft_object(masked[rng.integers(len(masked))], count, material, rng)
    if kind == "video":
        return draft_video(material.videos[rng.integers(len(material.videos))], count, material, rng)
    return draft_still(material.targets[rng.integers(len(material.targets))], count, material, rng, roomy)


def _pan(draft: Draft, sides: float) -> np.ndarray:
    """(N, 2) the camera's path around the target, in target sides and within the view."""
    reach = np.minimum(sides * draft.side, 0.3 * np.array(draft.view))
    return np.stack([smooth_path(draft.rng, len(draft), r, start_at_zero=False) for r in reach], axis=1)


def _ramped(draft: Draft, start: int, end: int) -> np.ndarray:
    """(N,) rises smoothly from 0 to 1 within the event and falls back to 0."""
    frames = np.arange(len(draft))
    level = np.clip(np.minimum(frames - start, end - frames) / _RAMP, 0, 1)
    return level * level * (3 - 2 * level)


def _hide(draft: Draft, start: int, end: int, material: Material, share: tuple[float, float] = (0.0, 0.0)) -> None:
    """An occluder slides over the target, stays and leaves; `share` of the target remains visible."""
    rng, boxes = draft.rng, draft.boxes()
    size = boxes[start:end, 2:].max(0) * rng.uniform(1.3, 2.0, 2)
    picture = read_image(material.backgrounds[rng.integers(len(material.backgrounds))])
    height, width = (max(8, min(int(s), full)) for s, full in zip(size[::-1], picture.shape[:2], strict=True))
    top, left = rng.integers(picture.shape[0] - height + 1), rng.integers(picture.shape[1] - width + 1)
    patch = picture[top : top + height, left : left + width]
    patch = np.dstack((patch, np.full(patch.shape[:2], 255, np.uint8)))
    axis = rng.integers(2)
    away = np.zeros(2)
    away[axis] = rng.choice((-1, 1)) * (size + boxes[start:end, 2:].max(0))[axis] * 0.6
    level = _ramped(draft, start, end)[:, None]
    rest = np.sign(away) * (size + boxes[:, 2:].mean(0)) / 2 * rng.uniform(*share)
    centers = boxes[:, :2] + boxes[:, 2:] / 2 + (1 - level) * away * 1.2 + level * rest
    draft.before.append(_sprite(draft, patch, centers, size, start, end))


def _hide_in_part(draft: Draft, start: int, end: int, material: Material) -> None:
    _hide(draft, start, end, material, (0.35, 0.7))


def _leave(draft: Draft, start: int, end: int, material: Material) -> None:
    """The target leaves the view, or the camera turns away from it, and back."""
    level = _ramped(draft, start, end)[:, None]
    during = slice(start, end)
    boxes = draft.boxes()[during]
    centers, half = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:].max(0) / 2
    draft.zooms *= 1 - level[:, 0]  # shrinks the view so that it fits its world
    view = np.array(draft.view)
    if draft.is_pasted:
        middle = (start + end) // 2
        for part in (slice(start, middle), slice(middle, end)):  # it may return from another side
            angle = draft.rng.uniform(0, 2 * np.pi)
            heading = np.array((np.cos(angle), np.sin(angle)))
            draft.moves[part] += level[part] * heading * (view + half) * 1.3
        return
    # The camera can turn only to sides where its world is large enough to leave the target behind.
    need = view + half + 4
    room = (centers.min(0) - need, np.array(draft.world) - centers.max(0) - need)
    ways = [(axis, sign) for sign, free in zip((-1, 1), room, strict=True) for axis in range(2) if free[axis] > 0]
    if not ways:
        _cut(draft, start, end, material)
        return
    axis, sign = ways[draft.rng.integers(len(ways))]
    turn = np.zeros(2)
    turn[axis] = sign * (view[axis] / 2 + half[axis] + 4)
    draft.turns[during] *= 1 - level[during]
    draft.turns += level * turn


def _cut(draft: Draft, start: int, end: int, material: Material) -> None:
    """A cut to another scene, sometimes with a distractor in it."""
    rng, (width, height) = draft.rng, draft.view
    picture = read_image(material.backgrounds[rng.integers(len(material.backgrounds))])
    ratio = max((width + 40) / picture.shape[1], (height + 40) / picture.shape[0])
    background = cv2.resize(picture, None, fx=ratio, fy=ratio)
    if rng.random() < 0.5:
        size = draft.boxes()[start, 2:]
        _paste_into(background, draft.look_alikes(), np.array((width / 2, height / 2)), size)
    draft.cuts[start + _RAMP : end - _RAMP] = len(draft.elsewhere)
    draft.elsewhere.append(background)


def _change_looks(draft: Draft, start: int, end: int, material: Material) -> None:
    """Changes of light, blur, and for a pasted target a turn to the side."""
    rng, level = draft.rng, _ramped(draft, start, end)
    gains = np.exp(rng.normal(0, 0.3) + rng.normal(0, 0.12, 3)).clip(0.5, 1.6)
    draft.gains *= 1 + level[:, None] * (gains - 1)
    draft.blurs += level * rng.uniform(0, 2.0)
    if draft.is_pasted:
        draft.widths *= 1 - level * rng.uniform(0.2, 0.5)
        if rng.random() < 0.5:  # it returns from the turn mirrored
            draft.widths[(start + end) // 2 :] *= -1


def _pass_by(draft: Draft, start: int, end: int, material: Material) -> None:
    """A distractor passes near the target, or stays near it to the end."""
    rng, boxes = draft.rng, draft.boxes()
    patch = draft.look_alikes()
    side = draft.side * rng.uniform(0.8, 1.2)
    size = np.array(patch.shape[1::-1]) * side / np.sqrt(np.prod(patch.shape[:2]))
    stays = rng.random() < 0.3
    time = np.clip((np.arange(len(draft)) - start) / (end - start), 0, 0.6 if stays else 1)
    angle = rng.uniform(0, 2 * np.pi)
    along, across = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    distance = rng.uniform(1.0, 1.8) * np.sqrt((boxes[:, 2:].mean(0) * size).prod() ** 0.5)
    path = across * distance + along * (2 * time[:, None] - 1) * 5 * draft.side
    centers = boxes[:, :2] + boxes[:, 2:] / 2 - draft.moves + path  # it does not leave the view with the target
    sprite = _sprite(draft, patch, centers, size, start, len(draft) if stays else end)
    (draft.behind if draft.is_pasted else draft.before).append(sprite)


_EVENTS: dict[str, Callable[[Draft, int, int, Material], None]] = {
    "hidden": _hide,
    "hidden in part": _hide_in_part,
    "out of view": _leave,
    "cut": _cut,
    "changed looks": _change_looks,
    "look-alike": _pass_by,
}
_LENGTHS = {  # frames, besides two ramps
    "hidden": (4, 60),
    "hidden in part": (10, 40),
    "out of view": (5, 80),
    "cut": (4, 60),
    "changed looks": (20, 60),
    "look-alike": (40, 80),
}


def _sprite(draft: Draft, patch: np.ndarray, centers: np.ndarray, size: np.ndarray, start: int, end: int) -> Sprite:
    frames = np.arange(len(draft))
    shown = (frames >= start) & (frames < end)
    return Sprite([patch], np.zeros(len(draft), int), centers, np.tile(size, (len(draft), 1)), shown)


def _paste_into(background: np.ndarray, patch: np.ndarray, center: np.ndarray, size: np.ndarray) -> None:
    """Pastes a patch with its own aspect ratio and the area of `size` (2,)."""
    ratio = np.sqrt(np.prod(size) / np.prod(patch.shape[:2]))
    paste(background, patch, center, ratio * np.array(patch.shape[1::-1]))
