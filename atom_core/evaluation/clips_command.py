# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-eval clips`: writes synthetic clips as folders of images with reference boxes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from atom_core.evaluation.clips.source import CLIPS, make_clips, save_sequence
from atom_core.report_errors import report_errors


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="atom-eval clips",
        description="Writes the clips of atom-eval --clips in the simple layout, for inspection.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder", help="still images and sequences")
    parser.add_argument("--clips", choices=CLIPS, default="long", help="which (default: long)")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--put-aside", action="store_true", help="clips that are held back for a final measurement")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write into")
    arguments = parser.parse_args(argv)

    def run() -> None:
        clips = make_clips(arguments.folders, arguments.clips, arguments.count, arguments.put_aside)
        for sequence in tqdm(clips, unit="clip", disable=None):
            save_sequence(sequence, arguments.output)

    return report_errors("atom-eval clips", run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
