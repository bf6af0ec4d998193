# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker web`: a page with the tracker's live image, for selecting targets.

Open http://localhost:8080. Other computers can reach it only with --host, for instance --host 0.0.0.0; then the page
asks for a token, which is in the log or in the environment variable ATOM_TRACKER_WEB_TOKEN.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import cv2
import rclpy
from aiohttp import web
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from atom_ros.answering import answer_always
from atom_ros.ending import Ending
from atom_ros.run_tracker import spinning
from atom_ros.start import own_words, start
from atom_ros.web.access import Access, is_local, new_token
from atom_ros.web.address import announcement
from atom_ros.web.server import Server, ServerLimits
from atom_ros.web.tracker_link import TrackerLink

TOKEN = "ATOM_TRACKER_WEB_TOKEN"  # environment variable: every user of the machine can read arguments
_SHORTEST_TOKEN = 12
_RANGES = {
    "port": (0, 65535),
    "rate": (0.1, 120),
    "quality": (1, 100),
    "width": (64, 8192),
    "clients": (1, 100),
    "nice": (0, 19),
}
_END = 2.0  # s for open connections to end


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="web", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    limits = ServerLimits()
    parser.add_argument("image", nargs="?", default="", help="topic of the images (default: the tracker's)")
    parser.add_argument("--tracker", default="tracker", help="the tracker node's name (default: tracker)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0: any free one (default: 8080)")
    parser.add_argument("--rate", type=float, default=limits.pictures, help="pictures per second (default: 30)")
    parser.add_argument("--quality", type=int, default=limits.quality, help="of the jpegs, 1 to 100 (default: 80)")
    parser.add_argument(
        "--width", type=int, default=limits.width, help="maximum width in px; wider images are shrunk (default: 1280)"
    )
    parser.add_argument("--clients", type=int, default=limits.clients, help="maximum number of open pages (default: 8)")
    parser.add_argument(
        "--nice", type=int, default=10, help="niceness, 0 to 19, so that the tracker has priority (default: 10)"
    )
    return parser


def _limits(arguments: argparse.Namespace) -> ServerLimits:
    for name, (low, high) in _RANGES.items():
        value = getattr(arguments, name)
        if not low <= value <= high:
            raise ValueError(f"--{name} is {value}; expected {low} to {high}")
    return ServerLimits(
        clients=arguments.clients, pictures=arguments.rate, quality=arguments.quality, width=arguments.width
    )


def _token(host: str, given: str) -> str:
    """The token to ask for: the given one, a new one, or none."""
    if 0 < len(given) < _SHORTEST_TOKEN:
        raise ValueError(f"{TOKEN} has {len(given)} characters; expected at least {_SHORTEST_TOKEN}")
    return given or ("" if is_local(host) else new_token())


async def _serve(node: Node, arguments: argparse.Namespace, limits: ServerLimits, token: str, ending: Ending) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    executor = SingleThreadedExecutor()
    link = TrackerLink(node, executor, arguments.tracker, arguments.image)
    server = Server(link, Access(arguments.host, token), limits, node.get_logger())
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=_END)
    await runner.setup()
    ending.call_on_signal(lambda: loop.call_soon_threadsafe(ended.set))
    try:
        site = web.TCPSite(runner, arguments.host, arguments.port)
        await site.start()
        host, port = runner.addresses[0][:2]
        shown = "localhost" if is_local(arguments.host) else host
        with spinning(node, executor):
            node.get_logger().info(announcement(shown, port))
            if token and not os.environ.get(TOKEN):
                node.get_logger().info(f"Token: {token}")
            await ended.wait()
    finally:
        await link.close()
        await runner.cleanup()


def main(args: list[str] | None = None) -> int:
    """Runs the page until Ctrl-C; returns the exit status: 2 if it cannot start."""
    arguments = _parser().parse_args(own_words(args))
    ending = Ending()
    try:
        limits, token = _limits(arguments), _token(arguments.host, os.environ.get(TOKEN, ""))
    except ValueError as error:
        print(f"web: {error}", file=sys.stderr)
        return 2
    if not start("web", args, signal_handler_options=SignalHandlerOptions.NO):
        return 2
    os.nice(arguments.nice)  # if tracker and page compete for a core, the tracker has priority
    cv2.setNumThreads(1)  # a jpeg needs one, and idle threads take time from the tracker's
    node = Node("web")
    answer_always(node)
    try:
        asyncio.run(_serve(node, arguments, limits, token, ending))
        return 0
    except OSError as error:  # the port is in use, or the address is not this machine's
        print(f"web: {error}; choose another with --host and --port", file=sys.stderr)
        return 2
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
