# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: a camera, the tracker node and a client in three processes over DDS, then pictures and figures.

A person in red walks past similar people and behind a sign. The client sets the first box through the service
`tracker/set_target`; every later box is the tracker's. By default the camera publishes 10 frames per second and the
tracker takes the newest; with --lockstep the camera waits for each Track, so that every frame is processed.

With --web there is a web page instead, http://localhost:8080, in which you can select anyone in the scene. The scene
repeats until Ctrl-C, and nothing is measured.

The figures are over the frames with a Track after the first, whose box is given; a frame reported LOST has overlap 0.
Exit status: 0 if the target was followed, 1 if it was lost for good, 2 if something failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from atom_core.data.sequences import Sequence, read_sequence
from atom_core.networks import weights
from atom_ros.web.address import page_address
from demo import recording, report
from demo.processes import ProcessError, Processes

HERE = Path(__file__).resolve().parent
CLIP = HERE / "street"
OCCLUSION = range(43, 53)  # frames of the clip in which the target is behind the sign
FPS = 10.0
START_DEADLINE = 600.0  # s, to the first frame, and from there to the second
STALL_DEADLINE = 90.0  # s without a new frame
END_DEADLINE = 30.0  # s from the last frame to the client's record
VIDEOS = ("tracked.webm", "tracked.avi")  # for browsers; for VLC and most other players
RESULTS = ("summary.json", "contact_sheet.png", "plot.png", *VIDEOS)
PACKAGE, EXECUTABLE = "atom_tracker", "tracker_node"


def main(argv: list[str] | None = None) -> int:
    """Runs the demo; returns its exit status."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # so that it ends the processes, too
    try:
        if arguments.web:
            return _show_page(arguments)
        clip = read_sequence(CLIP)
        published, received = _play(arguments, len(clip))
        frames = recording.merge(published, received["tracks"], clip.boxes)
        summary = recording.summarize(frames, OCCLUSION) | circumstances(arguments, received)
    except (ProcessError, TimeoutError, OSError, ValueError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 0 if arguments.web else 2
    (arguments.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _draw(arguments.output, clip, frames, summary)
    print_summary(arguments.output, summary)
    return 1 if summary["lost_for_good"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lockstep", action="store_true", help="wait for each Track before the next frame")
    parser.add_argument("--web", action="store_true", help="repeat the scene in the web page until Ctrl-C")
    parser.add_argument("--port", type=int, default=8080, help="of the web page; 0: any free one (default: 8080)")
    parser.add_argument(
        "--source",
        default=str(CLIP / "street.mp4"),
        help="for the web page: a camera (0, /dev/video0), a video or a folder of images (default: the street scene)",
    )
    parser.add_argument("--device", default="auto", help="where the network runs: auto (default), cpu, cuda")
    parser.add_argument("--weights", default="default", help="name or file of the network's weights")
    parser.add_argument("--output", type=Path, default=HERE.parent / "demo_output", help="folder for the results")
    return parser


def _play(arguments: argparse.Namespace, count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs the processes to the clip's end; returns the camera's and the client's records."""
    logs = arguments.output / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    for name in RESULTS:  # if this run fails, no earlier results may be taken for its own
        (arguments.output / name).unlink(missing_ok=True)
    shown, heard = logs / "camera.jsonl", logs / "client.json"
    with Processes(logs, environment()) as processes:
        print("Starting the tracker, a camera and a client ...", flush=True)
        processes.start("tracker", _tracker_command(arguments))
        lockstep = ["--lockstep"] if arguments.lockstep else []
        python = [sys.executable, "-m"]
        processes.start("camera", [*python, "demo.camera", str(CLIP), str(shown), "--fps", str(FPS), *lockstep])
        processes.start("client", [*python, "demo.client", str(CLIP), str(heard)])
        _follow(processes, lambda: last_index(shown), count)
        _wait(processes, END_DEADLINE, lambda: processes.has_ended("client"))
    return [json.loads(line) for line in shown.read_text().splitlines()], json.loads(heard.read_text())


def _show_page(arguments: argparse.Namespace) -> int:
    """Runs tracker, camera and web page until Ctrl-C.

    Raises:
        ProcessError: if one of them ends.
    """
    python = [sys.executable, "-m"]
    camera = ["-r", "image_raw:=camera/image", "-p", f"source:={arguments.source}", "-p", "loop:=true"]
    camera += ["-p", f"fps:={FPS}"] if Path(arguments.source).is_relative_to(CLIP) else []
    logs = arguments.output / "logs"
    with Processes(logs, environment()) as processes:
        processes.start("tracker", _tracker_command(arguments))
        processes.start("camera", [*python, "atom_ros.programs.video_camera", "--ros-args", *camera])
        processes.start("web", [*python, "atom_ros.web.command", "--port", str(arguments.port)])
        address = ""
        while True:
            for name in ("tracker", "camera", "web"):
                processes.require_running(name)
            if not address and (address := page_address(logs / "web.log")):
                print(f"The page: {address} (the tracker takes some seconds to load); Ctrl-C ends.", flush=True)
            time.sleep(0.5)


def _follow(processes: Processes, last_index: Callable[[], int], count: int) -> None:
    """Shows the camera's progress until it has ended.

    Raises:
        ProcessError: if a process ends too early.
        TimeoutError: if no frame comes for too long.
    """
    deadline = time.monotonic() + START_DEADLINE
    with _progress(count, "Starting") as progress:
        while not processes.has_ended("camera"):
            processes.require_running("tracker")
            processes.require_running("client")
            index = last_index()
            if index >= progress.n:
                progress.desc = "Following: " if index > 0 else "Learning the target: "
                progress.update(index + 1 - progress.n)
                deadline = time.monotonic() + (STALL_DEADLINE if index > 0 else START_DEADLINE)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"no new frame for too long; the end of the tracker's log:\n{processes.tail('tracker')}"
                )
            time.sleep(0.1)
        progress.update(count - progress.n)


def _progress(total: int, description: str, frames: Iterable[np.ndarray] | None = None) -> tqdm:
    """A progress bar; a slow one in a log file, where every step is a line."""
    interval = 0.1 if sys.stderr.isatty() else 5.0
    return tqdm(frames, description, total, unit="frame", mininterval=interval)


def _wait(processes: Processes, seconds: float, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        processes.require_running("tracker")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the client did not end within {seconds:g} s:\n{processes.tail('client')}")
        time.sleep(0.1)


def environment() -> dict[str, str]:
    """A separate ROS domain that does not leave this machine."""
    domain = str(random.SystemRandom().randint(1, 101))
    root = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    return os.environ | {
        "ROS_DOMAIN_ID": domain,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONPATH": root,
        "PYTHONUNBUFFERED": "1",
    }


def _tracker_command(arguments: argparse.Namespace) -> list[str]:
    """The command that `ros2 run atom_tracker tracker_node --ros-args ...` runs."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    candidates = [Path(prefix) / "lib" / PACKAGE / EXECUTABLE for prefix in prefixes if prefix]
    executable = next((path for path in candidates if path.is_file()), None)
    if executable is None:
        raise FileNotFoundError(f"{PACKAGE} is not built or its environment is not sourced; use `make demo`")
    # Best effort would lose most of these images (1.3 MB each), see the README.
    parameters = {"device": arguments.device, "weights": arguments.weights, "qos.reliability": "reliable"}
    if arguments.web:
        parameters["max_targets"] = "5"
    assignments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return [str(executable), "--ros-args", "-r", "image:=camera/image", *assignments]


def last_index(record: Path) -> int:
    """Index of the newest frame that the camera published; -1 before the first."""
    lines = record.read_bytes().split(b"\n")[:-1] if record.exists() else []
    return json.loads(lines[-1])["index"] if lines else -1


def circumstances(arguments: argparse.Namespace, received: dict[str, Any]) -> dict[str, Any]:
    """The conditions of the measurement, from the running node's diagnostics."""
    network, _, digest = received["diagnostics"].get("network", "").partition(" (")
    sha256 = hashlib.sha256(weights.find(arguments.weights).read_bytes()).hexdigest()
    if not digest or not sha256.startswith(digest.rstrip(")")):
        raise ValueError(f"the node runs other weights than expected: '{digest}' is not the start of {sha256}")
    return {
        "initialize_ms": round(received["initialize_ms"], 1),  # from the service call to its answer
        "device": received["diagnostics"]["device"],
        "network": network,
        "weights_sha256": sha256,
        "mode": "lockstep" if arguments.lockstep else "real time",
    }


def _draw(output: Path, clip: Sequence, frames: list[recording.RecordedFrame], summary: dict[str, Any]) -> None:
    images = [np.ascontiguousarray(image[:, :, ::-1]) for image in clip.frames]
    chosen = report.choose_frames(frames, OCCLUSION)
    report.write_image(output / "contact_sheet.png", report.contact_sheet([images[f.index] for f in chosen], chosen))
    title = f"{clip.name}, {summary['mode']}, {summary['network']} on {summary['device']}"
    report.plot(output / "plot.png", frames, OCCLUSION, title)
    for name in VIDEOS:
        pictures = (report.annotate(images[frame.index], frame, frames[-1].index) for frame in frames)
        with _progress(len(frames), f"Writing {name}", pictures) as progress:
            report.write_video(output / name, progress, FPS)


def print_summary(output: Path, summary: dict[str, Any]) -> None:
    """Prints the verdict, the times and the files of the results."""
    print(f"\n{recording.verdict(summary)}")
    waiting = "" if summary["mode"] == "lockstep" else ", including the wait for the previous frame"
    print(
        f"{summary['network']} on {summary['device']}: {summary['ms_per_frame']['median']:.0f} ms a frame, and "
        f"{summary['node_overhead_ms']['median']:.0f} ms more from publication to Track{waiting} (medians); "
        f"{summary['initialize_ms'] / 1e3:.1f} s to learn the target."
    )
    print(f"\nIn {output}:")
    print("  tracked.webm       annotated video for a browser (VP8); tracked.avi is the same for VLC (MJPEG)")
    print("  contact_sheet.png  the target before, behind and after the sign")
    print("  plot.png           overlap, confidence, state and times, frame by frame")
    print("  summary.json       the figures; logs/ holds what each process wrote")


if __name__ == "__main__":
    sys.exit(main())
