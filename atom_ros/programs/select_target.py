# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 run atom_tracker select_target`: draw a box around the target in the live image, and the tracker follows it.

Press the mouse button in one corner of the target, drag to the opposite one, release, and press ENTER. The image
freezes when you press, so that you can draw a box around a moving target: the window sends the box with the stamp of
that image, and the tracker catches up from there. ESC cancels, c clears the targets, q quits.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import cv2
import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image

from atom_core.arguments import join_negative_values
from atom_core.drawing import STATE_COLORS
from atom_ros.answering import answer_always
from atom_ros.images import ImageMessage, to_rgb
from atom_ros.input.image_input import offered_reliability
from atom_ros.input.picking import Viewport, box_between, parse_box
from atom_ros.run_tracker import spinning
from atom_ros.start import own_words, start
from atom_ros.target_client import STATUS_NAMES, TIMEOUT, TargetClient, TargetRefused
from atom_tracker.msg import Track

if TYPE_CHECKING:
    from atom_core.boxes import Box

try:
    import tkinter
except ImportError:  # a separate package in many distributions
    tkinter = None  # type: ignore[assignment]

_REFRESH = 25  # ms
_LOOK_AROUND = 0.2  # s
_SCREEN_SHARE = 0.85  # maximum share of the screen's width and height for the initial window
_BACKGROUND = "#202020"
_DRAWN_COLOR = "#40c0ff"
_COLORS = {  # in the other states there is no box
    getattr(Track, state): "#{:02x}{:02x}{:02x}".format(*STATE_COLORS[state]) for state in ("TRACKING", "UNCERTAIN")
}
_HINT = "Drag a box around the target.   c: clear   q: quit"


class NoDisplay(RuntimeError):
    """A window cannot be opened here; the message says what to do instead."""


class Phase(Enum):
    """The window's state."""

    LIVE = auto()  # shows the newest image
    DRAWING = auto()  # the button is down; the image is frozen
    DRAWN = auto()  # a box waits for ENTER
    SENDING = auto()  # the tracker learns it


class ImageSource:
    """The newest image of a topic; the caller decodes it.

    It subscribes as reliably as the publishers allow: best effort loses large images, and a best-effort camera cannot
    serve a reliable subscription.
    """

    def __init__(self, node: Node, topic: str, compressed: bool) -> None:
        self.topic = node.resolve_topic_name(topic) + ("/compressed" if compressed else "")
        self._node = node
        self._type = CompressedImage if compressed else Image
        self._message: ImageMessage | None = None
        self._subscription: Subscription | None = None
        self._reliability: ReliabilityPolicy | None = None
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # independent of simulated time
        node.create_timer(_LOOK_AROUND, self._look_around, clock=clock)

    def take(self) -> ImageMessage | None:
        """The image that arrived since the last call, or None."""
        message, self._message = self._message, None
        return message

    def _look_around(self) -> None:
        """Subscribes as soon as there is a camera, and again if a camera with another QoS replaces it."""
        reliability = offered_reliability(self._node, self.topic)
        if reliability in (None, self._reliability):
            return
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._reliability = reliability
        qos = QoSProfile(depth=1, reliability=reliability)
        self._subscription = self._node.create_subscription(self._type, self.topic, self._on_image, qos)

    def _on_image(self, message: ImageMessage) -> None:
        self._message = message


@dataclass(frozen=True)
class _ShownImage:
    """The image in the window."""

    message: ImageMessage
    rgb: np.ndarray


@dataclass
class _Request:
    """A box that was sent to the tracker."""

    box: Box
    answer: Future
    deadline: float  # time.monotonic()


class SelectionWindow:
    """The window. All methods are called in the thread of `run`."""

    def __init__(self, source: ImageSource, client: TargetClient, once: bool = False) -> None:
        """Opens the window; `once` closes it as soon as a target was accepted.

        Raises:
            NoDisplay: if no window can be opened.
        """
        self._source = source
        self._client = client
        self._once = once
        self._phase = Phase.LIVE
        self._shown: _ShownImage | None = None
        self._photo: tkinter.PhotoImage | None = None  # Tk shows it only as long as it is referenced
        self._view: Viewport | None = None
        self._corners = [(0.0, 0.0), (0.0, 0.0)]  # image px: where the button was pressed, and where the pointer is
        self._box: Box | None = None
        self._request: _Request | None = None
        self._note = ""  # the result of the user's last action
        self._root = _open(source.topic)
        self._canvas = tkinter.Canvas(self._root, background=_BACKGROUND, highlightthickness=0, cursor="crosshair")
        self._canvas.configure(width=480, height=270)
        self._status = tkinter.Label(self._root, anchor="w", padx=6, pady=3)
        self._status.pack(side="bottom", fill="x")
        self._canvas.pack(side="top", fill="both", expand=True)
        self._bind()

    def run(self) -> None:
        """Shows the window until the user closes it or ROS is shut down."""
        self._refresh()
        self._root.mainloop()

    def _bind(self) -> None:
        canvas, root = self._canvas, self._root
        canvas.bind("<ButtonPress-1>", self._on_press)
        canvas.bind("<B1-Motion>", self._on_drag)
        canvas.bind("<ButtonRelease-1>", self._on_release)
        canvas.bind("<Configure>", lambda _: self._draw())
        for key in ("<Return>", "<KP_Enter>"):
            root.bind(key, lambda _: self._confirm())
        root.bind("<Escape>", lambda _: self._cancel())
        root.bind("c", lambda _: self._clear())
        root.bind("q", lambda _: self._quit())
        root.protocol("WM_DELETE_WINDOW", self._quit)

    # User actions

    def _on_press(self, event: tkinter.Event) -> None:
        self._root.focus_force()  # also without a window manager
        if self._view is None or self._phase is Phase.SENDING:
            return
        self._phase, self._box, self._note = Phase.DRAWING, None, ""
        point = self._view.to_image(event.x, event.y)
        self._corners = [point, point]
        self._draw_boxes()

    def _on_drag(self, event: tkinter.Event) -> None:
        if self._phase is Phase.DRAWING and self._view is not None:
            self._corners[1] = self._view.to_image(event.x, event.y)
            self._draw_boxes()

    def _on_release(self, event: tkinter.Event) -> None:
        if self._phase is not Phase.DRAWING:
            return
        self._on_drag(event)
        try:
            self._box = box_between(*self._corners)
            self._phase = Phase.DRAWN
        except ValueError as error:
            self._phase, self._note = Phase.LIVE, str(error)
        self._draw_boxes()

    def _confirm(self) -> None:
        if self._phase is Phase.DRAWN and self._box is not None and self._shown is not None:
            answer = self._client.set_target_async(self._box, self._shown.message.header.stamp)
            self._request = _Request(self._box, answer, time.monotonic() + TIMEOUT)
            self._phase = Phase.SENDING

    def _cancel(self) -> None:
        if self._phase in (Phase.DRAWING, Phase.DRAWN):
            self._phase, self._box, self._note = Phase.LIVE, None, ""
            self._draw_boxes()

    def _clear(self) -> None:
        self._cancel()
        # In the node's thread, which must not draw.
        self._client.clear_async().add_done_callback(lambda done: self._say(_outcome(done, "targets cleared")))

    def _quit(self) -> None:
        self._root.quit()

    # Display

    def _refresh(self) -> None:
        """Runs every few milliseconds."""
        if not rclpy.ok():
            self._quit()
            return
        if self._request is not None:
            self._await_answer(self._request)
        message = self._source.take()
        if message is not None and self._phase is Phase.LIVE:
            self._show(message)
        self._draw_boxes()
        self._status.configure(text=self._status_text())
        self._root.after(_REFRESH, self._refresh)

    def _await_answer(self, request: _Request) -> None:
        if request.answer.done():
            accepted = request.answer.exception() is None
            box = ", ".join(f"{value:.1f}" for value in request.box)
            self._say(_outcome(request.answer, f"following x, y, width, height = {box}"))
            if accepted and self._once:
                self._quit()
        elif time.monotonic() > request.deadline:
            self._say(f"no answer of {self._client.name} within {TIMEOUT:g} s")
        else:
            return
        self._phase, self._box, self._request = Phase.LIVE, None, None

    def _say(self, note: str) -> None:
        self._note = note
        print(f"select_target: {note}", flush=True)

    def _show(self, message: ImageMessage) -> None:
        try:
            rgb = to_rgb(message)
        except ValueError as error:
            self._note = f"image refused: {error}"
            return
        if self._shown is None:
            height, width = rgb.shape[:2]
            self._fit_to_screen(width, height)
        self._shown = _ShownImage(message, rgb)
        self._draw()

    def _fit_to_screen(self, width: int, height: int) -> None:
        """The window's initial size: the image's, or less if the screen is smaller."""
        room_x = self._root.winfo_screenwidth() * _SCREEN_SHARE
        room_y = self._root.winfo_screenheight() * _SCREEN_SHARE - self._status.winfo_reqheight()
        scale = min(1.0, room_x / width, room_y / height)
        self._canvas.configure(width=max(1, round(width * scale)), height=max(1, round(height * scale)))
        self._root.update_idletasks()

    def _draw(self) -> None:
        """Redraws the image, after a new image or a new window size."""
        if self._shown is None:
            return
        pixels = self._shown.rgb
        height, width = pixels.shape[:2]
        view = Viewport.fit(width, height, max(1, self._canvas.winfo_width()), max(1, self._canvas.winfo_height()))
        shrinks = view.width < width
        if (view.width, view.height) != (width, height):
            pixels = cv2.resize(
                pixels, (view.width, view.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            )
        data = b"P6 %d %d 255\n" % (view.width, view.height) + pixels.tobytes()
        self._photo = tkinter.PhotoImage(master=self._root, data=data, format="PPM")
        self._canvas.delete("image")
        self._canvas.create_image(view.left, view.top, image=self._photo, anchor="nw", tags="image")
        self._view = view
        self._draw_boxes()

    def _draw_boxes(self) -> None:
        self._canvas.delete("box")
        if self._view is None:
            return
        if self._phase is Phase.LIVE:
            for track in self._client.tracks.values():
                if track.status in _COLORS:
                    self._outline(self._view, (track.x, track.y, track.width, track.height), _COLORS[track.status])
        elif self._phase is Phase.DRAWING:
            (x1, y1), (x2, y2) = self._corners
            self._outline(self._view, (x1, y1, x2 - x1, y2 - y1), _DRAWN_COLOR)
        elif self._box is not None:
            self._outline(self._view, self._box, _DRAWN_COLOR)

    def _outline(self, view: Viewport, box: Box, color: str) -> None:
        x, y, width, height = box
        corners = (*view.to_canvas(x, y), *view.to_canvas(x + width, y + height))
        self._canvas.create_rectangle(*corners, outline=color, width=2, tags="box")

    def _status_text(self) -> str:
        if self._shown is None:
            return self._note or f"Waiting for images on {self._source.topic} ..."
        if self._phase is Phase.SENDING:
            return "The tracker learns the target ..."
        if self._phase in (Phase.DRAWING, Phase.DRAWN):
            return "ENTER: follow this   ESC: cancel"
        states = [f"target {n} {STATUS_NAMES[track.status]}" for n, track in sorted(self._client.tracks.items())]
        return "   |   ".join([self._note or _HINT, *states])


def _outcome(answer: Future, success: str) -> str:
    error = answer.exception()
    if error is not None:
        return f"refused: {error}"
    number = answer.result()
    return success if number is None else f"target {number}: {success}"


def _open(topic: str) -> tkinter.Tk:
    instead = (
        "Give the box on the command line: select_target --box x,y,width,height; or from code, or by "
        "`ros2 service call`, see docs/choosing_a_target.md"
    )
    if tkinter is None:
        raise NoDisplay(f"this Python has no tkinter (Debian and Ubuntu: sudo apt install python3-tk). {instead}")
    try:
        root = tkinter.Tk(className="select_target")
    except tkinter.TclError as error:
        raise NoDisplay(f"there is no display to open a window on ({error}). {instead}") from error
    root.title(f"select_target: {topic}")
    return root


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="select_target", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", default="image", help="topic of the camera's images (default: image)")
    parser.add_argument("--compressed", action="store_true", help="subscribe to <image>/compressed")
    parser.add_argument("--tracker", default="tracker", help="the tracker node's name (default: tracker)")
    parser.add_argument("--once", action="store_true", help="end as soon as a target was accepted")
    parser.add_argument("--box", help="x,y,width,height: set this target on the newest image, without a window")
    return parser


def _set_without_window(client: TargetClient, box: Box) -> None:
    number = client.set_target(box)
    print(f"select_target: target {number}: following x, y, width, height = {', '.join(f'{v:g}' for v in box)}")


def _select(node: Node, arguments: argparse.Namespace) -> None:
    with TargetClient(node, arguments.tracker) as client:
        if arguments.box is not None:
            _set_without_window(client, parse_box(arguments.box))
            return
        source = ImageSource(node, arguments.image, arguments.compressed)
        window = SelectionWindow(source, client, arguments.once)
        with spinning(node, SingleThreadedExecutor()):
            window.run()


def main(args: list[str] | None = None) -> int:
    """Runs the window; returns the exit status: 0, 1 if the tracker refused, 2 if there is no display."""
    arguments = _parser().parse_args(join_negative_values(own_words(args), ["--box"]))
    if not start("select_target", args):
        return 2
    node = Node("select_target")
    answer_always(node)
    try:
        _select(node, arguments)
        return 0
    except (NoDisplay, ValueError) as error:
        print(f"select_target: {error}", file=sys.stderr)
        return 2
    except (TargetRefused, TimeoutError) as error:
        print(f"select_target: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
