# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Measures how much the web page slows down the tracker: `python -m atom_ros.benchmark.page --size 640x480`.

A camera, the node with a target, and the page's server run throughout. Blocks of some seconds alternate: with a client
that confirms every picture at once, and without. A block with a client is compared with the mean of its two neighbours
without one, so that slow changes of the machine's other load cancel out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from atom_core.arguments import image_size
from atom_ros.benchmark.command import (
    Listener,
    add_node_arguments,
    running_camera,
    running_node,
    target_box,
    wait_until,
)
from atom_ros.web.address import page_address
from atom_ros.web.protocol import split_picture

NAMESPACE = "/benchmark"  # that of command.py's nodes
_SPARE = 600.0  # s that the camera runs longer than the blocks: starting may take long
_ENOUGH = 0.8  # of the camera's images
_SETTLE = 2.0  # s between two blocks, in which the server subscribes or unsubscribes


@dataclass(frozen=True)
class Block:
    """A few seconds of measuring."""

    has_client: bool
    processing_ms: float  # the tracker's time for an image, median
    delay_ms: float  # from the image's publication to its Track's, median
    tracker_cpu_ms: float  # CPU time of the tracker's process, per image
    server_cpu_ms: float  # CPU time of the page's server, per image
    images: int  # with a Track
    pictures: int  # that the client received

    def __str__(self) -> str:
        return (
            f"{'client' if self.has_client else 'none':6s}  processing {self.processing_ms:6.2f} ms  delay "
            f"{self.delay_ms:6.2f} ms  CPU of the tracker {self.tracker_cpu_ms:6.2f} ms, of the server "
            f"{self.server_cpu_ms:6.2f} ms an image  {self.images} images  {self.pictures} pictures"
        )


def extra(blocks: Sequence[Block], figure: str) -> tuple[float, float]:
    """The increase of a figure of `Block` by a client: the median over its blocks, and that median's standard error.

    Raises:
        ValueError: unless the blocks alternate, beginning and ending without a client.
    """
    if (
        len(blocks) < 3
        or len(blocks) % 2 == 0
        or [block.has_client for block in blocks] != [i % 2 == 1 for i in range(len(blocks))]
    ):
        raise ValueError(f"{len(blocks)} blocks do not alternate; expected none, client, none, ..., none")
    values = [getattr(block, figure) for block in blocks]
    added = [values[i] - (values[i - 1] + values[i + 1]) / 2 for i in range(1, len(values), 2)]
    # 1.25: standard error of the median / that of the mean, for normal errors.
    error = 1.25 * statistics.stdev(added) / len(added) ** 0.5 if len(added) > 1 else float("nan")
    return statistics.median(added), error


class Client:
    """A client of the server that confirms each picture as soon as it arrives."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("localhost", "127.0.0.1")
        self.pictures = 0
        self.is_watching = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leaves the page."""
        self._ended.set()
        self._thread.join()

    async def _watch(self) -> None:
        headers = {"Origin": self._url}
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{self._url}/ws", headers=headers) as page:
            await page.send_json({"type": "hello"})
            while not self._ended.is_set():
                message = await page.receive(timeout=60)
                if message.type == aiohttp.WSMsgType.BINARY:
                    header, _ = split_picture(message.data)
                    await page.send_json({"type": "ack", "sequence": header["sequence"]})
                    self.pictures += 1
                    self.is_watching.set()


@contextlib.contextmanager
def running_page(nice: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The page's server as a process, and its address; `nice` as its argument."""
    command = [sys.executable, "-m", "atom_ros.web.command", "--port", "0", "--nice", str(nice)]
    command += ["--ros-args", "-r", f"__ns:={NAMESPACE}"]
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        server = subprocess.Popen(command, stdout=log.fileno(), stderr=log.fileno())
        try:
            wait_until(lambda: server.poll() is not None or page_address(Path(log.name)) != "", "the page")
            if server.poll() is not None:
                raise RuntimeError(f"the page ended with status {server.returncode}:\n{Path(log.name).read_text()}")
            yield server, page_address(Path(log.name))
        finally:
            server.terminate()
            server.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads, in s, as Linux counts it (in steps of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; returns the exit status: 1 if a client costs more than `--limit`."""
    arguments = _parse_arguments(argv)
    try:
        blocks = _measure(arguments)
    except (RuntimeError, TimeoutError, OSError) as error:
        print(f"page: {error}", file=sys.stderr)
        return 2
    for figure, name in (
        ("processing_ms", "the tracker's time for an image"),
        ("delay_ms", "the delay from image to Track"),
        ("tracker_cpu_ms", "the CPU time of the tracker's process, per image"),
        ("server_cpu_ms", "the CPU time of the page's server, per image"),
    ):
        added, spread = extra(blocks, figure)
        print(f"a client adds {added:+.2f} ms (+- {spread:.2f}) to {name}")
    if arguments.output:
        arguments.output.write_text(json.dumps([vars(block) for block in blocks], indent=1) + "\n")
    images = statistics.median(block.images for block in blocks)
    sent = arguments.fps * arguments.seconds
    if images < _ENOUGH * sent:
        reason = f"the tracker took only {images:g} of {sent:g} images of a block, so the figures say little"
        print(f"page: {reason}; lower --fps, or end other programs", file=sys.stderr)
    return int(extra(blocks, "tracker_cpu_ms")[0] > arguments.limit)


def _measure(arguments: argparse.Namespace) -> list[Block]:
    count = 2 * arguments.blocks + 1
    images = round(arguments.fps * (count * (arguments.seconds + _SETTLE) + _SPARE))
    parameters = {"weights": arguments.weights, "device": arguments.device, "qos.reliability": "reliable"}
    blocks: list[Block] = []
    with (
        running_node(parameters) as (tracker, listener),
        running_page(arguments.nice) as (server, url),
        running_camera(arguments.size, arguments.fps, images, "reliable") as camera,
    ):
        listener.wait_until(lambda: listener.newest is not None, "the first Track messages")
        listener.set_target(target_box(0, *arguments.size))
        camera.seen.set()
        camera.go.set()
        for index in range(count):
            with _client(url, listener) if index % 2 else contextlib.nullcontext() as client:
                time.sleep(_SETTLE)
                blocks.append(_block(listener, (tracker.pid, server.pid), client, arguments.seconds))
            print(blocks[-1], flush=True)
    return blocks


@contextlib.contextmanager
def _client(url: str, listener: Listener) -> Iterator[Client]:
    client = Client(url)
    try:
        listener.wait_until(client.is_watching.is_set, "the first picture at the page")
        yield client
    finally:
        client.close()


def _block(listener: Listener, processes: tuple[int, int], client: Client | None, seconds: float) -> Block:
    before, pictures = [cpu_seconds(pid) for pid in processes], client.pictures if client else 0
    listener.clear()
    time.sleep(seconds)
    samples = list(listener.samples)
    if not samples:
        raise RuntimeError(f"no Track came within {seconds:g} s")
    tracker, server = (1e3 * (cpu_seconds(pid) - start) for pid, start in zip(processes, before, strict=True))
    return Block(
        has_client=client is not None,
        processing_ms=statistics.median(sample.processing_ms for sample in samples),
        delay_ms=statistics.median((sample.published - sample.stamp) / 1e6 for sample in samples),
        tracker_cpu_ms=tracker / len(samples),
        server_cpu_ms=server / len(samples),
        images=len(samples),
        pictures=client.pictures - pictures if client else 0,
    )


def _at_least(low: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not low <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text}; expected {low:g} or more")
        return value

    return number


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=image_size, default=(640, 480), help="of the images, WIDTHxHEIGHT (640x480)")
    parser.add_argument("--fps", type=_at_least(1, float), default=15.0, help="images a second (%(default)s)")
    parser.add_argument("--blocks", type=_at_least(1, int), default=6, help="blocks with a client (%(default)s)")
    parser.add_argument("--seconds", type=_at_least(0.5, float), default=8.0, help="of each block (%(default)s)")
    parser.add_argument(
        "--limit", type=float, default=2.0, help="ms of processor time that a client may add (%(default)s)"
    )
    parser.add_argument("--nice", type=int, default=10, help="of the page's server, as its argument (%(default)s)")
    add_node_arguments(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file for the blocks")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
