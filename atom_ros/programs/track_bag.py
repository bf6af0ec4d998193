# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker track_bag`: tracks targets through every image of a recorded bag.

The result is a bag with a Track message for each image and target, with the image's stamp and log time. Nothing is
published, and ROS is not needed, only Python with `rosbags`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from atom_core.arguments import join_negative_values
from atom_core.data.images import PixelRange, parse_pixel_range
from atom_core.jobs import Steps
from atom_core.offline import many
from atom_core.offline.events import parse_stamp
from atom_core.offline.run import RunEnding
from atom_core.offline.session import NUMBERS, Makers, add_arguments, follow, is_complete, read_targets
from atom_core.offline.sinks import CsvSink, JsonSink, VideoSink
from atom_core.report_errors import report_errors
from atom_ros.programs.bag_images import BagImages
from atom_ros.programs.bag_reader import STORAGES, BagReader
from atom_ros.programs.bag_writer import BagSink


def main(argv: list[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit status: 0, or 1 if a part of the bag could not be used, 2 after an error, 130 after Ctrl-C. The bag
        always holds the results so far.
    """
    arguments = _parser().parse_args(join_negative_values(sys.argv[1:] if argv is None else argv, NUMBERS))
    status = 0

    def run() -> None:
        nonlocal status
        if many.is_one(arguments, arguments.bags):
            status = int(track(many.of_one(arguments, arguments.bags[0])))
        else:
            status = many.track_all("atom_ros.programs.track_bag", arguments, arguments.bags)

    return report_errors("track_bag", run) or status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="track_bag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "bags",
        type=Path,
        nargs="+",
        metavar="bag",
        help="rosbag2: its folder, or one .db3 or .mcap file; with several, {name} in the paths of --boxes and of the "
        "results stands for the name of each",
    )
    parser.add_argument("--topic", help="topic of the images, raw or compressed; needed if there are several")
    add_arguments(parser)
    many.add_arguments(parser)
    parser.add_argument("--start-stamp", metavar="SECONDS", help="--box is for the first image at or after this stamp")
    parser.add_argument("--output", type=Path, help="bag to write (default: the input's name with _tracks)")
    parser.add_argument(
        "--storage", choices=sorted(STORAGES.values()), help="storage of the output bag (default: as the input)"
    )
    parser.add_argument(
        "--track-topic", default="/tracker/track", help="topic of the results (default: /tracker/track)"
    )
    parser.add_argument("--copy-images", action="store_true", help="copy the images into the output bag, too")
    parser.add_argument("--copy-all", action="store_true", help="copy every topic into the output bag")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the results as a table")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write them with every digit, one line of JSON per image"
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="annotated video: .webm, .avi, .mkv or .mp4")
    parser.add_argument("--fps", type=float, help="of the annotated video (default: the bag's)")
    return parser


def outputs(arguments: argparse.Namespace) -> list[Path]:
    """The bag and the files that `track` writes, the bag first."""
    return [_output(arguments), *(p for p in (arguments.csv, arguments.json, arguments.video) if p is not None)]


def _output(arguments: argparse.Namespace) -> Path:
    path = arguments.recording.resolve()
    return arguments.output or arguments.recording.with_name(f"{path.stem if path.is_file() else path.name}_tracks")


def track(arguments: argparse.Namespace, steps: Steps | None = None) -> RunEnding:
    """Tracks in the bag `arguments.recording`; raises as `follow` does."""
    if arguments.start_stamp is not None and arguments.box is None:
        raise ValueError("--start-stamp goes with --box; in a --boxes file, use the column stamp")
    stamp = parse_stamp(arguments.start_stamp) if arguments.start_stamp is not None else None
    events = read_targets(arguments, stamp)
    pixel_range = PixelRange(parse_pixel_range(arguments.pixel_range))
    output = _output(arguments)
    with BagReader(arguments.recording) as bag:
        images = BagImages(bag, arguments.topic, pixel_range)
        copied = [
            c for c in bag.connections if arguments.copy_all or (arguments.copy_images and c.topic == images.topic)
        ]
        images.other_topics = frozenset(c.topic for c in copied if c.topic != images.topic)
        storage = arguments.storage or bag.storage
        makers: Makers = {output: lambda: BagSink(output, storage, arguments.track_topic, images, copied)}
        if arguments.csv is not None:
            makers[arguments.csv] = lambda: CsvSink(arguments.csv)
        if arguments.json is not None:
            makers[arguments.json] = lambda: JsonSink(arguments.json)
        if arguments.video is not None:
            makers[arguments.video] = lambda: VideoSink(arguments.video, arguments.fps or images.fps)
        if is_complete(arguments, list(makers)):
            print(f"complete already: {output}")
            return RunEnding.COMPLETE
        recording = {"the bag": str(arguments.recording.resolve()), "--topic": images.topic}
        return follow(images, events, makers, arguments, recording, steps)


if __name__ == "__main__":
    sys.exit(main())
