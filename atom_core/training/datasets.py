# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of training pairs: two images of one object, with its box in each (section 4 of the paper)."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import numpy as np

from atom_core.boxes import as_box
from atom_core.data.catalog import Catalog, LazySequence, StillSet, find_data
from atom_core.data.held_back import held_back
from atom_core.data.sequences import Sequence
from atom_core.training.config import TrainingConfig
from atom_core.training.cut_paste import CutPaste, MaskedObject
from atom_core.training.views import FileView, Source

_LOG = logging.getLogger(__name__)
_MIN_SIDE = 4.0  # px; overlap with a smaller box is meaningless
_OPEN_SEQUENCES = 512  # kept in memory: about 140 bytes a frame


class StillImages:
    """Synthetic pairs: one still image twice.

    Raises:
        ValueError: if no image has a usable box.
    """

    def __init__(self, name: str, sets: list[StillSet], leave_out_held_back: bool = False) -> None:
        self.name = name
        # An image is drawn first, then one of its boxes, so that a crowd does not outweigh a portrait.
        self._images = [
            (still_set.images / file, boxes[_usable(boxes)])
            for still_set in sets
            for file, boxes in sorted(still_set.boxes.items())
            if _usable(boxes).any() and not (leave_out_held_back and held_back(file))
        ]
        if not self._images:
            raise ValueError(f"source {name!r}: {sets[0].images} has no box of at least {_MIN_SIDE} px a side")

    def draw(self, rng: np.random.Generator) -> tuple[FileView, FileView]:
        """One view, twice."""
        path, boxes = self._images[rng.integers(len(self._images))]
        chosen = boxes[rng.integers(len(boxes))]
        view = FileView(path, tuple(chosen.tolist()), tuple(map(tuple, boxes.tolist())))
        return view, view


class Videos:
    """Pairs of frames of one sequence, at most `max_frame_gap` frames apart.

    A damaged sequence is skipped with a warning, one with too few frames without one.

    Raises:
        ValueError: if no sequence is usable.
    """

    def __init__(self, name: str, sequences: list[LazySequence], config: TrainingConfig) -> None:
        self.name = name
        self._sequences, self._config = sequences, config
        self._unusable: set[int] = set()
        self._read = lru_cache(maxsize=_OPEN_SEQUENCES)(lambda index: _read_sequence(sequences[index]))
        if not any(self._open(index) for index in range(len(sequences))):  # stops at the first
            raise ValueError(
                f"source {name!r}: none of {len(sequences)} sequences can be read and has "
                f"min_sequence_frames = {config.min_sequence_frames} frames, "
                f"min_visible_frames = {config.min_visible_frames} of them with a box of {_MIN_SIDE} px a side"
            )

    def draw(self, rng: np.random.Generator) -> tuple[FileView, FileView]:
        """Two views of one sequence.

        Raises:
            ValueError: if many sequences in a row are not usable.
        """
        for _ in range(100):
            sequence = self._open(int(rng.integers(len(self._sequences))))
            if sequence:
                break
        else:
            raise ValueError(f"source {self.name!r}: 100 sequences in a row have too few frames or cannot be read")
        visible = np.flatnonzero(_usable(sequence.boxes))
        first = rng.choice(visible)
        second = rng.choice(visible[abs(visible - first) <= self._config.max_frame_gap])
        return _view(sequence, first), _view(sequence, second)

    def _open(self, index: int) -> Sequence | None:
        """A sequence, or None if it is not usable."""
        if index in self._unusable:
            return None
        sequence = self._read(index)
        if (
            sequence is None
            or len(sequence) < self._config.min_sequence_frames
            or _usable(sequence.boxes).sum() < self._config.min_visible_frames
        ):
            self._unusable.add(index)
            return None
        return sequence


def find_sources(folders: list[Path], config: TrainingConfig) -> list[Source]:
    """The sources in some folders, see `atom_core.data.catalog`, and `cut_paste` where there are masks.

    Raises:
        ValueError: if a folder is missing or of no known layout, or a source is not usable; the message names it.
    """
    found = find_data(folders)
    sources: list[Source] = [
        StillImages(name, sets, config.leave_out_held_back)
        for name, sets in found.stills.items()
        if any(len(boxes) for still_set in sets for boxes in still_set.boxes.values())  # otherwise only backgrounds
    ]
    sources += [Videos(name, sequences, config) for name, sequences in found.sequences.items()]
    if not sources:
        raise ValueError(f"no boxes in {', '.join(map(str, folders))}: only images without any")
    return sources + _find_cut_paste(found, config)


def _find_cut_paste(found: Catalog, config: TrainingConfig) -> list[Source]:
    """The source of composed pairs, where there are masks."""
    objects = {name: [track for s in sets for track in _masked_stills(s)] for name, sets in found.stills.items()}
    for name, sequences in found.sequences.items():
        objects[name] = [track for s in sequences if s.masks for track in _masked_track(s)]
    objects = {name: tracks for name, tracks in objects.items() if tracks}
    if not objects:
        return []
    backgrounds = [s.images / file for sets in found.stills.values() for s in sets for file in s.boxes]
    if not backgrounds:
        _LOG.warning("the masks of %s are not used: there are no still images to paste over", ", ".join(objects))
        return []
    return [CutPaste(objects, backgrounds, config.max_frame_gap, config.cut_paste)]


def _masked_stills(still_set: StillSet) -> list[list[MaskedObject | None]]:
    """The objects of still images: each is a track of one frame."""
    if still_set.masks is None:
        return []
    return [
        [_masked_object(still_set.images / file, still_set.masks, box)]
        for file, boxes in sorted(still_set.boxes.items())
        for box in boxes[_usable(boxes)]
    ]


def _masked_track(lazy: LazySequence) -> list[list[MaskedObject | None]]:
    """A sequence's object as the only track; no track if the sequence is damaged or the object never visible."""
    sequence, masks = _read_sequence(lazy), lazy.masks
    if sequence is None or masks is None or not _usable(sequence.boxes).any():
        return []
    seen = zip(sequence.boxes, _usable(sequence.boxes), strict=True)
    return [[_masked_object(sequence.frame_path(i), masks, box) if ok else None for i, (box, ok) in enumerate(seen)]]


def _masked_object(image: Path, masks: Path, box: np.ndarray) -> MaskedObject:
    return MaskedObject(image, (masks / image.name).with_suffix(".png"), as_box(box.tolist()))


def _read_sequence(lazy: LazySequence) -> Sequence | None:
    """The sequence, or None and a warning if it is damaged or its frames are not image files."""
    try:
        sequence = lazy.read()
        sequence.frame_path(0)
        return sequence
    except (ValueError, OSError) as error:
        _LOG.warning("%s is left out: %s", lazy.place, error)
        return None


def _usable(boxes: np.ndarray) -> np.ndarray:
    """Which of (N, 4) boxes are large enough, (N,) bool; NaN is not large enough."""
    return (boxes[:, 2:] >= _MIN_SIDE).all(axis=1) & np.isfinite(boxes).all(axis=1)


def _view(sequence: Sequence, index: int) -> FileView:
    return FileView(sequence.frame_path(index), as_box(sequence.boxes[index].tolist()))
