# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of the demo: annotated video, contact sheet, plot over time. No ROS here.

Images are (H, W, 3), uint8, BGR, as OpenCV writes them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")  # no window, no display
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.patches import Patch

from atom_core.boxes import Box
from atom_core.drawing import STATE_COLORS as COLORS
from atom_core.offline.video import VideoWriter
from demo.recording import DROPPED, GIVEN, GOOD_OVERLAP, LOST, SEARCHING, TRACKING, UNCERTAIN, RecordedFrame

STATE_WORDS = {
    GIVEN: "given box",
    TRACKING: "tracking",
    UNCERTAIN: "uncertain",
    LOST: "lost",
    SEARCHING: "searching",
    DROPPED: "dropped",
}
STATE_COLORS = {state: COLORS.get(state, (150, 150, 150)) for state in STATE_WORDS}  # RGB
STRIP_HEIGHT = 52  # px, below the picture in the video
TILE_SIZE = (480, 360)  # px, of the contact sheet's tiles
TILE_VIEW = 240.0  # image px across a tile, around the reference box

_WHITE, _GREY, _DARK = (255, 255, 255), (170, 170, 170), (32, 28, 26)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(image: np.ndarray, frame: RecordedFrame, last_index: int) -> np.ndarray:
    """The frame with its boxes, and a strip below with state, overlap and confidence.

    Args:
        image: (H, W, 3).
        frame: of the demo.
        last_index: of the clip, shown beside the frame's own.

    Returns:
        (H + STRIP_HEIGHT, W, 3).
    """
    color = _bgr(frame.state)
    picture = image.copy()
    _draw_boxes(picture, frame, scale=1.0, origin=(0.0, 0.0))
    if frame.is_gone:
        cv2.rectangle(picture, (0, 0), (picture.shape[1] - 1, picture.shape[0] - 1), color, 5)
    strip = np.full((STRIP_HEIGHT, image.shape[1], 3), _DARK, np.uint8)
    cv2.rectangle(strip, (0, 0), (7, STRIP_HEIGHT - 1), color, cv2.FILLED)
    baseline = STRIP_HEIGHT // 2 + 7
    _write(strip, f"{frame.index:3d}/{last_index}", (20, baseline), 0.55, _GREY)
    _write(strip, STATE_WORDS[frame.state].upper(), (108, baseline), 0.7, color)
    _meter(strip, 265, "confidence", frame.confidence, color)
    _meter(strip, 430, "predicted IoU", frame.iou, color)
    _meter(strip, 595, "overlap with reference", frame.overlap, _WHITE)
    return np.vstack([picture, strip])


def contact_sheet(images: Sequence[np.ndarray], frames: Sequence[RecordedFrame], columns: int = 4) -> np.ndarray:
    """Enlarged views of the target, row by row; the last row is padded with the background's colour.

    Args:
        images: the pictures of these frames, (H, W, 3) each.
        frames: one or more.
        columns: tiles in a row.

    Returns:
        (rows * TILE_SIZE[1], columns * TILE_SIZE[0], 3).
    """
    tiles = [_tile(image, frame) for image, frame in zip(images, frames, strict=True)]
    blank = np.full_like(tiles[0], _DARK)
    tiles += [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)])


def choose_frames(frames: Sequence[RecordedFrame], occlusion: range, count: int = 12) -> list[RecordedFrame]:
    """Processed frames: a third each from before, during and after the occlusion.

    Args:
        frames: of the whole clip.
        occlusion: indices of the frames in which the target is hidden.
        count: how many to choose at most; the two frames beside the occlusion are among them.
    """
    seen = [frame for frame in frames if frame.state != DROPPED]
    before = [frame for frame in seen if frame.index < occlusion.start]
    during = [frame for frame in seen if frame.index in occlusion]
    after = [frame for frame in seen if frame.index >= occlusion.stop]
    return [frame for part in (before, during, after) for frame in _spread(part, count // 3)]


def write_image(path: Path, picture: np.ndarray) -> None:
    """Writes a picture in the format of the file's suffix; raises OSError if that fails."""
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path}: cannot be written")


def write_video(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    """Writes a video in the format of the file's suffix, see `atom_core.offline.video`.

    Raises:
        ValueError: if there is no picture, or no such format.
        OSError: if it cannot be written.
    """
    is_empty = True
    with contextlib.closing(VideoWriter(path, fps)) as writer:
        for picture in pictures:
            writer.write(picture)
            is_empty = False
    if is_empty:
        raise ValueError(f"{path}: no picture to write")


def plot(path: Path, frames: Sequence[RecordedFrame], occlusion: range, title: str) -> None:
    """Draws state, overlap, confidence and time over the frames into a PNG of 1500 x 1080 px."""
    figure, axes = plt.subplots(
        4, 1, figsize=(10, 7.2), dpi=150, sharex=True, gridspec_kw={"height_ratios": [0.35, 2, 2, 1.6], "hspace": 0.32}
    )
    figure.subplots_adjust(left=0.07, right=0.98, top=0.93, bottom=0.07)
    _plot_states(axes[0], frames)
    _plot_lines(axes[1], frames, {"overlap with the reference": ("overlap", "#1b6ca8")})
    _plot_lines(axes[2], frames, {"confidence": ("confidence", "#c8553d"), "predicted IoU": ("iou", "#3d8f87")})
    times = {"tracker": ("processing_ms", "#6a4c93"), "rest of publish-to-Track": ("overhead_ms", "#888888")}
    _plot_lines(axes[3], frames, times)
    for axis in axes[1:]:
        axis.axvspan(occlusion.start - 0.5, occlusion.stop - 0.5, color="0.9", zorder=0)
    axes[1].set_ylim(0, 1.05)
    axes[2].set_ylim(0, 1.05)
    axes[1].axhline(GOOD_OVERLAP, color="0.4", linewidth=0.8, linestyle="--")
    axes[1].set_title("behind the sign", x=_share(np.mean(occlusion), frames), fontsize=9, color="0.35", pad=4)
    axes[3].set(ylabel="ms", xlabel="frame", xlim=_limits(frames))
    axes[3].set_ylim(bottom=0)
    axes[0].set_title(title, loc="left", fontsize=12)
    figure.align_ylabels()
    figure.savefig(path)
    plt.close(figure)


def _plot_states(axis: plt.Axes, frames: Sequence[RecordedFrame]) -> None:
    """A coloured band, and its legend above it."""
    starts = [(frame.index - 0.5, 1.0) for frame in frames]
    colors = [_unit_rgb(frame.state) for frame in frames]
    axis.broken_barh(starts, (0, 1), facecolors=colors, antialiased=False)
    present = [state for state in STATE_COLORS if any(frame.state == state for frame in frames)]
    axis.set(yticks=[], ylim=(0, 1))
    axis.spines[:].set_visible(False)
    axis.tick_params(bottom=False)
    _legend(axis, [Patch(color=_unit_rgb(state), label=STATE_WORDS[state]) for state in present])


def _plot_lines(axis: plt.Axes, frames: Sequence[RecordedFrame], lines: dict[str, tuple[str, str]]) -> None:
    """Lines over the frames that were scored; they end where a value is missing, not where a frame was dropped."""
    scored = [frame for frame in frames if frame.is_scored]
    indices = [frame.index for frame in scored]
    handles = []
    for label, (field, color) in lines.items():
        values = [getattr(frame, field) for frame in scored]
        handles += axis.plot(indices, values, color=color, label=label, linewidth=1.4, marker=".", markersize=3)
    axis.grid(axis="y", color="0.9", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    _legend(axis, handles)


def _legend(axis: plt.Axes, handles: Sequence[Artist]) -> None:
    """A line of keys above the panel's right end, where no curve can be under it."""
    axis.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.005, 0.97),
        borderaxespad=0.2,
        ncols=len(handles),
        fontsize=9,
        frameon=False,
        handlelength=1.4,
    )


def _limits(frames: Sequence[RecordedFrame]) -> tuple[float, float]:
    return frames[0].index - 0.5, frames[-1].index + 0.5


def _share(index: float | np.floating, frames: Sequence[RecordedFrame]) -> float:
    """A frame's position between the plot's left (0) and right end (1)."""
    low, high = _limits(frames)
    return (float(index) - low) / (high - low)


def _tile(image: np.ndarray, frame: RecordedFrame) -> np.ndarray:
    """The surroundings of the reference box, enlarged, with boxes and a caption."""
    width, height = TILE_SIZE
    scale = width / TILE_VIEW
    x, y, box_width, box_height = frame.reference
    left = np.clip(round(x + box_width / 2 - TILE_VIEW / 2), 0, image.shape[1] - TILE_VIEW)
    top = np.clip(round(y + box_height / 2 - height / scale / 2), 0, image.shape[0] - height / scale)
    view = image[int(top) : int(top + height / scale), int(left) : int(left + TILE_VIEW)]
    tile = cv2.resize(view, TILE_SIZE, interpolation=cv2.INTER_CUBIC)
    _draw_boxes(tile, frame, scale, (float(left), float(top)))
    color = _bgr(frame.state)
    cv2.rectangle(tile, (0, 0), (width - 1, 30), _DARK, cv2.FILLED)
    cv2.rectangle(tile, (0, 0), (width - 1, height - 1), color if frame.is_gone else _DARK, 4)
    _write(tile, f"{frame.index}", (12, 22), 0.6, _WHITE)
    _write(tile, STATE_WORDS[frame.state].upper(), (62, 22), 0.6, color)
    if frame.box is not None and not _is_inside(frame.box, left, top, view):
        _write(tile, "the tracker's box is outside this view", (12, height - 14), 0.5, color)
    if frame.is_scored:
        _write(tile, f"confidence {frame.confidence:.2f}", (190, 22), 0.5, _WHITE)
        _write(tile, f"overlap {frame.overlap:.2f}", (350, 22), 0.5, _WHITE)
    return tile


def _is_inside(box: Box, left: float, top: float, view: np.ndarray) -> bool:
    """Whether part of the box is in a view that begins at (left, top)."""
    x, y, width, height = box
    return left - width < x < left + view.shape[1] and top - height < y < top + view.shape[0]


def _draw_boxes(picture: np.ndarray, frame: RecordedFrame, scale: float, origin: tuple[float, float]) -> None:
    """The reference thin and white, the tracker's box thick in its state's colour with the confidence above it."""
    _rectangle(picture, frame.reference, scale, origin, _WHITE, 1)
    if frame.box is None or not frame.is_scored:
        return
    color = _bgr(frame.state)
    left, top = _rectangle(picture, frame.box, scale, origin, color, 2)
    label = f"{frame.confidence:.2f}"
    (width, height), _ = cv2.getTextSize(label, _FONT, 0.45, 1)
    cv2.rectangle(picture, (left - 1, top - height - 8), (left + width + 6, top), color, cv2.FILLED)
    _write(picture, label, (left + 3, top - 5), 0.45, (0, 0, 0))


def _rectangle(
    picture: np.ndarray, box: Box, scale: float, origin: tuple[float, float], color: tuple[int, int, int], width: int
) -> tuple[int, int]:
    """Draws a box given in image px on a picture enlarged by `scale` from `origin`; returns its top-left pixel."""
    x, y, box_width, box_height = box
    corners = np.array([[x, y], [x + box_width, y + box_height]])
    (left, top), (right, bottom) = np.rint((corners - origin + 0.5) * scale - 0.5).astype(int).tolist()
    cv2.rectangle(picture, (left, top), (right, bottom), color, width)
    return left, top


def _meter(strip: np.ndarray, left: int, label: str, value: float, color: tuple[int, int, int]) -> None:
    """A label above a bar for a value of 0 to 1, with the value beside it; an empty bar if there is none."""
    width, top = 100, 30
    _write(strip, label, (left, 20), 0.42, _GREY)
    cv2.rectangle(strip, (left, top), (left + width, top + 10), (80, 76, 74), cv2.FILLED)
    if math.isnan(value):
        return
    filled = round(width * min(max(value, 0.0), 1.0))
    cv2.rectangle(strip, (left, top), (left + filled, top + 10), color, cv2.FILLED)
    _write(strip, f"{value:.2f}", (left + width + 8, top + 11), 0.45, _WHITE)


def _write(picture: np.ndarray, text: str, place: tuple[int, int], size: float, color: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, _FONT, size, color, 1, cv2.LINE_AA)


def _spread(frames: list[RecordedFrame], count: int) -> list[RecordedFrame]:
    """`count` frames at even distances, including the first and the last; all if there are fewer."""
    if len(frames) <= count:
        return frames
    return [frames[index] for index in np.rint(np.linspace(0, len(frames) - 1, count)).astype(int)]


def _bgr(state: str) -> tuple[int, int, int]:
    red, green, blue = STATE_COLORS[state]
    return blue, green, red


def _unit_rgb(state: str) -> tuple[float, float, float]:
    red, green, blue = STATE_COLORS[state]
    return red / 255, green / 255, blue / 255
