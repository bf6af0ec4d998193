# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a tracker's worst failures, with the boxes of all trackers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from atom_core.data import sequences
from atom_core.data.images import read_image
from atom_core.data.sequences import ImageFiles
from atom_core.evaluation import metrics
from atom_core.evaluation.plots import color
from atom_core.evaluation.runner import Run
from atom_core.evaluation.state_measures import ON_TARGET

SEQUENCES, FRAMES = 6, 4  # shown at most; frames of each sequence
_WIDTH, _HEIGHT = 480, 360  # px of a picture
_JPEG_QUALITY = 80
_MARGIN = 2.0  # side of the part shown / side of the smallest box around all boxes
_SMALLEST_PART = 0.3  # of the image's height


@dataclass(frozen=True)
class AnnotatedFrame:
    """One frame.

    Attributes:
        frame: its number, the first is 0.
        jpeg: the part of the image around the boxes. Numbers beside the boxes count the trackers from 1.
        said: (tracker, overlap, state) of each; the overlap is None where the target is absent.
    """

    frame: int
    jpeg: bytes
    said: tuple[tuple[str, float | None, str], ...]


@dataclass(frozen=True)
class Failures:
    """The first tracker's failures in a sequence, in its worst run."""

    sequence: str
    seed: int
    mean_overlap: float
    pictures: tuple[AnnotatedFrame, ...]


def worst_failures(runs: Sequence[Run], of: Iterable[sequences.Sequence], trackers: Sequence[str]) -> list[Failures]:
    """The sequences with the first tracker's lowest mean overlap, worst first, with a few frames of each.

    Shown are the first tracker's seed with the lowest overlap, and the other trackers' first seed.

    Args:
        runs: of any trackers.
        of: the sequences.
        trackers: in the order in which they are numbered and coloured.

    Raises:
        ValueError, OSError: if a frame cannot be read.
    """
    by_name = {sequence.name: sequence for sequence in of if sequence.has_ground_truth}
    scored = [
        (_mean_overlap(run, by_name), run) for run in runs if run.tracker == trackers[0] and run.sequence in by_name
    ]
    worst: dict[str, tuple[float, Run]] = {}
    for score, run in sorted(scored, key=lambda item: item[0]):
        worst.setdefault(run.sequence, (score, run))
    failures = []
    for score, run in list(worst.values())[:SEQUENCES]:
        shown = {other.tracker: other for other in reversed(runs) if other.sequence == run.sequence}
        shown[run.tracker] = run
        numbered = [(index, shown[tracker]) for index, tracker in enumerate(trackers) if tracker in shown]
        failures.append(Failures(run.sequence, run.seed, score, _pictures(by_name[run.sequence], run, numbered)))
    return failures


def _mean_overlap(run: Run, by_name: dict[str, sequences.Sequence]) -> float:
    return float(np.nanmean(metrics.overlap(run.boxes, by_name[run.sequence].boxes)))


def choose_frames(overlaps: np.ndarray, count: int = FRAMES) -> list[int]:
    """The most informative frames: the starts of the two longest failures, then those of lowest overlap, well apart.

    Args:
        overlaps: (N,), NaN where the target is absent.
        count: the largest number of frames shown.

    Returns:
        Indices in ascending order.
    """
    failing = np.flatnonzero(overlaps < ON_TARGET)
    stretches = [part for part in np.split(failing, np.flatnonzero(np.diff(failing) > 1) + 1) if part.size]
    starts = [int(part[0]) for part in sorted(stretches, key=len, reverse=True)[:2]]
    apart = max(1, len(overlaps) // (2 * count))
    chosen: list[int] = []
    for index in [*starts, *np.argsort(overlaps, kind="stable").tolist()]:
        near = any(abs(index - other) < apart for other in chosen)
        if len(chosen) < count and not near and not np.isnan(overlaps[index]):
            chosen.append(index)
    return sorted(chosen)


def _pictures(
    sequence: sequences.Sequence, subject: Run, numbered: list[tuple[int, Run]]
) -> tuple[AnnotatedFrame, ...]:
    chosen = choose_frames(metrics.overlap(subject.boxes, sequence.boxes))
    pictures = []
    for frame, image in zip(chosen, _read_frames(sequence, chosen), strict=True):
        boxes = [(index, run.boxes[frame]) for index, run in numbered]
        overlaps = [metrics.overlap(run.boxes[frame][None], sequence.boxes[frame][None])[0] for _, run in numbered]
        said = tuple(
            (run.tracker, None if np.isnan(overlap) else float(overlap), run.states[frame])
            for overlap, (_, run) in zip(overlaps, numbered, strict=True)
        )
        pictures.append(AnnotatedFrame(frame, _encode(_draw(image, sequence.boxes[frame], boxes)), said))
    return tuple(pictures)


def _read_frames(sequence: sequences.Sequence, indices: list[int]) -> list[np.ndarray]:
    """The frames of ascending indices; of image files, no others are read."""
    if isinstance(sequence.frames, ImageFiles):
        return [read_image(sequence.frames.path(index)) for index in indices]
    upto = itertools.islice(sequence.frames, indices[-1] + 1)
    return [image for index, image in enumerate(upto) if index in indices]


def _draw(image: np.ndarray, reference: np.ndarray, numbered: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """The part of the image around the boxes, scaled; the reference is white with a black outline."""
    known = [box for box in (reference, *(box for _, box in numbered)) if not np.isnan(box).any()]
    left, top, side = _part(np.array(known), image.shape)
    scale = _HEIGHT / side
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    shown = cv2.warpAffine(image, matrix, (_WIDTH, _HEIGHT), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)

    def rectangle(box: np.ndarray, rgb: tuple[int, ...], thickness: int) -> tuple[int, int, int, int]:
        corners = (box.reshape(2, 2).cumsum(axis=0) - (left, top)) * scale
        x0, y0, x1, y1 = (int(value) for value in corners.round().ravel())
        cv2.rectangle(shown, (x0, y0), (x1, y1), rgb, thickness, cv2.LINE_AA)
        return x0, y0, x1, y1

    if not np.isnan(reference).any():
        rectangle(reference, (0, 0, 0), 7)
        rectangle(reference, (255, 255, 255), 4)
    for index, box in reversed(numbered):  # the first tracker is drawn on top
        rgb = tuple(int(color(index)[at : at + 2], 16) for at in (1, 3, 5))
        x0, y0, x1, y1 = rectangle(box, rgb, 3)
        # Each tracker's number has a different corner, since boxes often coincide.
        x, y = (x0 - 18 if index % 2 == 0 else x1 + 4), (y0 + 14 if index % 4 < 2 else y1)
        place = int(np.clip(x, 0, _WIDTH - 16)), int(np.clip(y, 16, _HEIGHT - 4))
        for ink, thickness in (((0, 0, 0), 5), (rgb, 2)):
            cv2.putText(shown, str(index + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, ink, thickness, cv2.LINE_AA)
    return shown


def _part(boxes: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """Left, top and height of the part to show: around all boxes (N, 4), not far outside the image, not too small."""
    low, high = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    aspect = _WIDTH / _HEIGHT
    largest = max(shape[0], shape[1] / aspect)
    wanted = max(high[1] - low[1], (high[0] - low[0]) / aspect) * _MARGIN
    side = float(np.clip(wanted, _SMALLEST_PART * shape[0], largest))
    size = np.array([side * aspect, side])
    room = np.array([shape[1], shape[0]]) - size  # negative if the part is larger than the image: then centred
    left, top = np.where(room > 0, np.clip((low + high - size) / 2, 0, np.maximum(room, 0)), room / 2)
    return float(left), float(top), side


def _encode(image: np.ndarray) -> bytes:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
