# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-trax`: the tracker as a TraX server, for the VOT toolkit.

Protocol: Čehovin, "TraX: The visual Tracking eXchange protocol and library", Neurocomputing 260, 2017. Its package
`trax` (vot-trax) is imported only when the command runs. See docs/vot.md for the challenges.
"""

from __future__ import annotations

import argparse
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from atom_core.arguments import add_set, add_weights
from atom_core.config import TrackerConfig
from atom_core.data.images import decode_image, read_image
from atom_core.evaluation.contenders import change_config
from atom_core.report_errors import report_errors
from atom_core.tracker import AtomTracker

if TYPE_CHECKING:
    import trax

_SETTINGS = {"vot": TrackerConfig.vot(), "default": TrackerConfig()}


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    return report_errors("atom-trax", lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-trax",
        description="Tracks for a TraX client, such as the VOT toolkit, over the standard input; "
        "the client starts it. See docs/vot.md.",
    )
    add_weights(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--settings", choices=_SETTINGS, default="vot", help="to start from (default: vot)")
    add_set(parser)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    config = change_config(_SETTINGS[arguments.settings], arguments.set)
    trax = _import_trax()
    # The protocol's library converts a mask or a polygon to its bounding rectangle, since we name no other region.
    # Raw images (trax.Image.MEMORY) are not offered: if width * height is 8 more than a multiple of 16, vot-trax 4.0.2
    # writes a byte beyond its memory.
    server = trax.Server(
        [trax.Region.RECTANGLE],
        [trax.Image.PATH, trax.Image.BUFFER],
        tracker_name="atom_tracker",
        tracker_description="Visual object tracking after ATOM",
        tracker_family="ATOM",
    )
    try:
        # After the handshake, so that the client also receives errors of loading the weights.
        tracker = AtomTracker.from_pretrained(arguments.weights, arguments.device, config)
        tracker.warm_up()
        serve(server, tracker)
    except trax.TraxException as error:
        raise ConnectionError(f"the TraX client left or broke the protocol: {error}") from error
    except Exception as error:
        server.quit(str(error))
        raise


def _import_trax() -> ModuleType:
    try:
        import trax
    except ImportError as error:
        raise ValueError(f"the TraX protocol's package is missing ({error}); pip install vot-trax") from error
    return trax


def serve(server: trax.Server, tracker: AtomTracker) -> None:
    """Answers a client's requests until it quits.

    Each answer holds the tracker's box, and the classifier's score as the property `confidence`, by which VOT's
    long-term measures order the frames. A target that is LOST has its last known box and a low confidence.

    Raises:
        ValueError: if an image or the first region is unusable.
        trax.TraxException: if the client breaks the protocol.
    """
    from trax import Rectangle, TraxStatus

    while (request := server.wait()).type != TraxStatus.QUIT:
        image = _decode(request.image["color"])
        if request.type == TraxStatus.INITIALIZE:
            ((region, _),) = request.objects
            tracker.initialize(image, region.bounds())
            server.status([(region, {})])
        else:
            result = tracker.track(image)
            server.status([(Rectangle.create(*result.box), {"confidence": result.score})])


def _decode(image: trax.FileImage | trax.BufferImage) -> np.ndarray:
    """The image as (H, W, 3) uint8 RGB."""
    if image.type() == "path":
        return read_image(image.path())
    try:
        return decode_image(bytes(image.buffer()))
    except ValueError as error:
        raise ValueError(
            f"cannot read an image that the client sent: {error}; expected a JPEG or PNG file's content"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
