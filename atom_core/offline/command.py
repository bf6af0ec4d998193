# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`atom-track`: tracks targets in a video file, a folder of images or the images of a camera."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from atom_core.arguments import join_negative_values
from atom_core.data.images import PixelRange, parse_pixel_range
from atom_core.jobs import Steps
from atom_core.offline import many
from atom_core.offline.frames import CameraSource, FolderSource, VideoSource, open_source
from atom_core.offline.run import RunEnding
from atom_core.offline.session import NUMBERS, Makers, add_arguments, follow, is_complete, read_targets
from atom_core.offline.sinks import CsvSink, JsonSink, VideoSink
from atom_core.report_errors import report_errors


def main(argv: list[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit status: 0, or 1 if a part of the recording could not be used, 2 after an error, 130 after Ctrl-C. The
        files always hold the results so far.
    """
    parser = argparse.ArgumentParser(prog="atom-track", description=__doc__)
    parser.add_argument(
        "videos",
        type=Path,
        nargs="*",
        metavar="video",
        help="video file, or folder of images in the order of their names; with several, {name} in the paths of "
        "--boxes and of the results stands for the name of each",
    )
    parser.add_argument(
        "--camera", type=int, metavar="INDEX", help="a camera of this computer instead, 0 for the first"
    )
    add_arguments(parser)
    many.add_arguments(parser)
    parser.add_argument("--output", type=Path, default=Path("track.csv"), help="CSV file to write (default: track.csv)")
    parser.add_argument(
        "--video", type=Path, dest="annotated", metavar="FILE", help="annotated video: .webm, .avi, .mp4"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="the results with every digit, one line of JSON per frame"
    )
    parser.add_argument("--fps", type=float, help="of the annotated video (default: the recording's)")
    arguments = parser.parse_args(join_negative_values(sys.argv[1:] if argv is None else argv, NUMBERS))
    status = 0

    def run() -> None:
        nonlocal status
        status = _track_any(arguments)

    return report_errors("atom-track", run) or status


def _track_any(arguments: argparse.Namespace) -> int:
    if bool(arguments.videos) == (arguments.camera is not None):
        raise ValueError("give either videos (files or folders) or --camera INDEX")
    if arguments.camera is not None:
        if arguments.resume or arguments.scheduler is not None:
            option = "--resume" if arguments.resume else "--scheduler"
            raise ValueError(f"{option} needs a recording; a camera's frames come only once and only here")
        return int(track(arguments))
    if many.is_one(arguments, arguments.videos):
        return int(track(many.of_one(arguments, arguments.videos[0])))
    return many.track_all("atom_core.offline.command", arguments, arguments.videos)


def outputs(arguments: argparse.Namespace) -> list[Path]:
    """The files that `track` writes, the main one first."""
    return [path for path in (arguments.output, arguments.json, arguments.annotated) if path is not None]


def track(arguments: argparse.Namespace, steps: Steps | None = None) -> RunEnding:
    """Tracks in `arguments.recording`, or in the camera's images; raises as `follow` does."""
    events = read_targets(arguments)
    pixel_range = PixelRange(parse_pixel_range(arguments.pixel_range))
    makers: Makers = {arguments.output: lambda: CsvSink(arguments.output)}
    if arguments.json is not None:
        makers[arguments.json] = lambda: JsonSink(arguments.json)
    if arguments.annotated is not None:
        makers[arguments.annotated] = lambda: VideoSink(arguments.annotated, arguments.fps or source.fps)
    if is_complete(arguments, list(makers)):
        print(f"complete already: {arguments.output}")
        return RunEnding.COMPLETE
    source: CameraSource | FolderSource | VideoSource
    if arguments.camera is None:
        source = open_source(arguments.recording, pixel_range)
    else:
        source = CameraSource(arguments.camera, pixel_range)
    recording = None if arguments.camera is not None else {"the recording": str(arguments.recording.absolute())}
    return follow(source, events, makers, arguments, recording, steps)


if __name__ == "__main__":
    sys.exit(main())
