# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Command-line arguments: the options that several programs share, and preparation for argparse."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

_NEGATIVE = re.compile(r"-[\d.]")


def join_negative_values(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Joins options to values that begin with a minus sign, such as `--box -5,10,60,60`, which argparse refuses.

    Args:
        words: the command line.
        options: those whose values may be negative.
    """
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in options and _NEGATIVE.match(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def at_least(least: int) -> Callable[[str], int]:
    """The `type` of an option that takes whole numbers from `least`, 0 or more."""

    def parse(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number, {least} or more")
        return int(text)

    return parse


def image_size(text: str) -> tuple[int, int]:
    """(width, height) of WIDTHxHEIGHT, for argparse."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}'; expected WIDTHxHEIGHT such as 640x480")
    return int(found[1]), int(found[2])


def add_weights(parser: argparse._ActionsContainer) -> None:
    """Adds the option `--weights`."""
    parser.add_argument("--weights", default="default", help="shipped network or .safetensors file (default: default)")


def add_set(parser: argparse._ActionsContainer) -> None:
    """Adds the option `--set`; for `atom_core.evaluation.contenders.change_config`."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a TrackerConfig field")
