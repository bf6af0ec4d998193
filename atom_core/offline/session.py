# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One run from its options to its results, shared by `atom-track` and `track_bag`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from atom_core.arguments import add_weights
from atom_core.benchmark.memory import memory
from atom_core.jobs import Steps
from atom_core.offline.events import TargetEvent, parse_box, read_events
from atom_core.offline.frames import FrameSource
from atom_core.offline.journal import Journal
from atom_core.offline.run import OfflineRun, RunEnding, StopRequest
from atom_core.offline.sinks import Sink
from atom_core.offline.targets import NumberedTargets

NUMBERS = ("--box", "--pixel-range", "--start-stamp")  # options whose values may begin with a minus sign
Makers = dict[Path, Callable[[], Sink]]  # of the results, the main one first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of both programs."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--box", help="x,y,width,height of the target in the first frame, in pixels")
    target.add_argument("--boxes", type=Path, help="CSV file of targets and of the frames in which they are set")
    add_weights(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--pixel-range",
        default="",
        metavar="LOW,HIGH",
        help="values shown as black and white in images of more than 8 bits (default: taken from each image)",
    )
    parser.add_argument("--frames", type=_positive, metavar="N", help="stop after this many frames")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run, if there is one")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results, finished or not")
    parser.add_argument(
        "--checkpoint",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="a killed run repeats at most this much work when it is resumed (default: 30)",
    )


def read_targets(arguments: argparse.Namespace, stamp: int | None = None) -> list[TargetEvent]:
    """The events of `--box` or `--boxes`.

    Args:
        stamp: ns, from which `--box` is set; None: from the first frame.

    Raises:
        ValueError, FileNotFoundError: if they cannot be used.
    """
    if arguments.boxes is not None:
        return read_events(arguments.boxes)
    return [TargetEvent(1, parse_box(arguments.box), frame=0 if stamp is None else None, stamp=stamp)]


def is_complete(arguments: argparse.Namespace, outputs: Sequence[Path]) -> bool:
    """Checks, before anything is written, whether results are in the way.

    Returns:
        True if `--resume` was given for a run that is complete: there is nothing to do.

    Raises:
        FileExistsError: if something would be lost.
    """
    folder = journal_folder(outputs[0])
    if arguments.overwrite:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    if folder.exists():
        if not arguments.resume:
            raise FileExistsError(
                f"{folder} holds an unfinished run; continue with --resume, or start over with --overwrite"
            )
        return False
    existing = [path for path in outputs if path.exists()]
    if existing and not arguments.resume:
        raise FileExistsError(f"{existing[0]} is there already; choose another name, or replace it with --overwrite")
    return bool(existing) and existing[0] == outputs[0]


def journal_folder(output: Path) -> Path:
    """The folder with the data for `--resume`."""
    return output.with_name(f"{output.name}.resume")


def follow(
    source: FrameSource,
    events: Sequence[TargetEvent],
    makers: Makers,
    arguments: argparse.Namespace,
    recording: dict[str, str] | None,
    steps: Steps | None = None,
) -> RunEnding:
    """Tracks the targets through the source, writes the results and prints a summary.

    Args:
        source: of the frames.
        events: the targets.
        makers: the results.
        arguments: with the options of `add_arguments`.
        recording: identifies the recording for `--resume`; None if its frames come only once.
        steps: of a job among several recordings.

    Raises:
        ValueError, OSError: as `OfflineRun.process`; the results so far are complete.
    """
    outputs = list(makers)
    ending: RunEnding | None = None
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest(steps))
        targets = NumberedTargets(arguments.weights, arguments.device)
        journal = None
        if recording is not None:
            options = recording | {"--weights": targets.weights_sha256, "--device": targets.device.type}
            journal = Journal(journal_folder(outputs[0]), options, arguments.checkpoint, targets.device)
            stack.callback(lambda: journal.close(keep=_is_worth_keeping(journal, ending, run)))
        sinks: list[Sink] = []
        run = OfflineRun(targets, events, sinks, journal)
        with _complete(sinks, lambda: run.tally.frames > 0):
            for make in makers.values():
                sinks.append(make())
            ending = run.process(source, stop, arguments.frames, steps)
    _tell(run, source, ending, outputs, journal)
    held = memory(targets.device)["host_peak_mb"]
    print(f"network {targets.description}" + (f"; the process took {held:.0f} MB at most" if held else ""))
    return ending


def _is_worth_keeping(journal: Journal, ending: RunEnding | None, run: OfflineRun) -> bool:
    return ending in (None, RunEnding.INTERRUPTED) and (run.tally.frames > 0 or bool(journal.results))


@contextmanager
def _complete(sinks: list[Sink], is_anything_found: Callable[[], bool]) -> Iterator[None]:
    """Closes every sink, even if another fails; without any result, their files are removed."""
    try:
        yield
    except BaseException:
        for sink in sinks:
            try:
                sink.close() if is_anything_found() else sink.discard()
            except OSError as error:  # in addition to the error being raised
                print(error, file=sys.stderr)
        raise
    for sink in sinks:
        sink.close()


def _tell(
    run: OfflineRun, source: FrameSource, ending: RunEnding, outputs: list[Path], journal: Journal | None
) -> None:
    counts = ", ".join(f"{count} {state.value}" for state, count in run.tally.states.items() if count)
    if source.pixel_range.last is not None:
        print(f"pixels of more than 8 bits: {source.pixel_range} in the last image; --pixel-range LOW,HIGH sets others")
    word = "stopped after" if ending is RunEnding.INTERRUPTED else "followed through"
    print(f"{word} {run.tally.frames} frames of {source.name}: {counts or 'no target'}")
    if ending is not RunEnding.INTERRUPTED:
        for complaint in run.complaints(source):
            print(complaint, file=sys.stderr)
    elif journal is not None:
        print("continue with the same command and --resume")
    print(f"written: {', '.join(str(path) for path in outputs if path.exists())}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} frames; expected at least 1")
    return value
