# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command-line programs: atom-track, atom-train, atom-eval, atom-weights."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from atom_core.evaluation.command import main as eval_main
from atom_core.evaluation.frames import ImageFiles
from atom_core.images import find_images
from atom_core.report_errors import report_errors
from atom_core.tracker import AtomTracker
from atom_core.training.command import main as train_main
from atom_core.weights_command import main as weights_main

__all__ = ["eval_main", "track_main", "train_main", "weights_main"]


def track_main(argv: list[str] | None = None) -> int:
    """`atom-track`: follows one object through a video file or a folder of images and writes a CSV file."""
    parser = argparse.ArgumentParser(prog="atom-track", description=track_main.__doc__)
    parser.add_argument("video", type=Path, help="video file, or folder of images in the order of their names")
    parser.add_argument("--box", required=True, help="x,y,width,height of the object in the first frame, in pixels")
    parser.add_argument("--output", type=Path, default=Path("track.csv"), help="CSV file to write (default: track.csv)")
    parser.add_argument("--weights", default="default", help="shipped network or .safetensors file (default: default)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    arguments = parser.parse_args(argv)
    return report_errors("atom-track", lambda: _track(arguments))


def _track(arguments: argparse.Namespace) -> None:
    tracker = AtomTracker.from_pretrained(arguments.weights, arguments.device)
    frames = read_frames(arguments.video)
    tracker.initialize(next(frames), _parse_box(arguments.box))
    with open(arguments.output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("frame", "state", "x", "y", "width", "height", "score", "iou"))
        for index, image in enumerate(tqdm(frames, desc="tracking", unit="frame"), start=1):
            result = tracker.track(image)
            # A lost target has no place: the fields stay empty, so that nobody takes a stale box for an observation.
            place = [f"{v:.2f}" for v in result.box] if result.state.value != "lost" else [""] * 4
            writer.writerow((index, result.state.value, *place, f"{result.score:.3f}", f"{result.iou:.3f}"))
    print(f"written: {arguments.output}")


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video file or an image folder, (H, W, 3) uint8 RGB.

    Raises:
        ValueError: if there is no frame, or an image cannot be read.
    """
    count = 0
    for image in ImageFiles(tuple(find_images(path))) if path.is_dir() else _read_video(path):
        count += 1
        yield image
    if not count:
        raise ValueError(f"{path} holds no frame that can be read; expected a video file or a folder of images")


def _read_video(file: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(file))
    try:
        while (frame := capture.read())[0]:
            yield cv2.cvtColor(frame[1], cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _parse_box(text: str) -> list[float]:
    try:
        return [float(v) for v in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--box is {text!r}; expected x,y,width,height, such as 130,270,38,103") from error
