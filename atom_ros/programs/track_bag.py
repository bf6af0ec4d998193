# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker track_bag`: follows targets through every image of a recorded bag.

The results are a bag with a Track message for each image and target, under the image's stamp and log time. Nothing is
published, and no ROS is needed; Python with `rosbags` will do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from atom_core.arguments import join_negative_values
from atom_core.data.images import PixelRange, parse_pixel_range
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
        The exit status: 0, or 1 if a part of the bag could not be used, 2 after an error, 130 after Ctrl-C. In every
        case the results hold what was found.
    """
    arguments = _parser().parse_args(join_negative_values(sys.argv[1:] if argv is None else argv, NUMBERS))
    ending = RunEnding.COMPLETE

    def run() -> None:
        nonlocal ending
        ending = _track(arguments)

    return report_errors("track_bag", run) or int(ending)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="track_bag", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, help="rosbag2: its folder, or one .db3 or .mcap file")
    parser.add_argument("--topic", help="of the images, raw or compressed; needed if there are several")
    add_arguments(parser)
    parser.add_argument("--start-stamp", metavar="SECONDS", help="--box is of the first image at or after this stamp")
    parser.add_argument("--output", type=Path, help="bag to write (default: the input's name with _tracks)")
    parser.add_argument("--storage", choices=sorted(STORAGES.values()), help="of that bag (default: as the input)")
    parser.add_argument("--track-topic", default="/tracker/track", help="of the results (default: /tracker/track)")
    parser.add_argument("--copy-images", action="store_true", help="copy the images into that bag, too")
    parser.add_argument("--copy-all", action="store_true", help="copy every topic into that bag")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the results as a table, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same with every digit, a line of JSON an image")
    parser.add_argument("--video", type=Path, metavar="FILE", help="annotated video: .webm, .avi, .mkv or .mp4")
    parser.add_argument("--fps", type=float, help="of the annotated video (default: the bag's)")
    return parser


def _track(arguments: argparse.Namespace) -> RunEnding:
    if arguments.start_stamp is not None and arguments.box is None:
        raise ValueError("--start-stamp goes with --box; in a --boxes file, use the column stamp")
    stamp = parse_stamp(arguments.start_stamp) if arguments.start_stamp is not None else None
    events = read_targets(arguments, stamp)
    pixel_range = PixelRange(parse_pixel_range(arguments.pixel_range))
    bag_path = arguments.bag.resolve()
    output = arguments.output or arguments.bag.with_name(
        f"{bag_path.stem if bag_path.is_file() else bag_path.name}_tracks"
    )
    with BagReader(arguments.bag) as bag:
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
        return follow(images, events, makers, arguments, {"the bag": str(bag_path), "--topic": images.topic})


if __name__ == "__main__":
    sys.exit(main())
