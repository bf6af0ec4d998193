# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of parameters in README.md and config/tracker.yaml: `python tools/write_parameters.py`.

Both are generated from `atom_ros.parameters.TABLE`, whose rows for the tracker are the fields of `atom_core.config`.
"""

from __future__ import annotations

import re
from pathlib import Path

from atom_ros.parameters import TABLE, Spec

ROOT = Path(__file__).resolve().parent.parent


def readme(text: str) -> str:
    """README.md with the rows of its table of parameters."""
    rows = "".join(f"{_row(spec)}\n" for spec in TABLE)
    head = "| name | default | range | what | live |\n|---|---|---|---|---|\n"
    return re.sub(r"(?<=### Parameters\n\n)(\|.*\n)+", lambda _: head + rows, text)


def _row(spec: Spec) -> str:
    what = re.sub(r"(\S*<\S*>\S*)", r"`\1`", spec.description.removesuffix("."))
    return f"| `{spec.name}` | {_shown(spec.default)} | {_range(spec)} | {what} | {'yes' if spec.live else ''} |"


def _range(spec: Spec) -> str:
    if spec.bounds is None:
        return ", ".join(spec.choices)
    return " to ".join("2^63 - 1" if bound == 2**63 - 1 else f"{bound:g}" for bound in spec.bounds)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parameter_file(text: str) -> str:
    """config/tracker.yaml with its last part, the tracker's parameters."""
    rows = [
        f"      {spec.name.removeprefix('tracker.')}: {_shown(spec.default)} # {_comment(spec)}\n"
        for spec in TABLE
        if spec.name.startswith("tracker.")
    ]
    return text[: text.index("    tracker:\n")] + "    tracker:\n" + "".join(rows)


def _comment(spec: Spec) -> str:
    text = spec.description.removesuffix(".")
    return f"{text[0].lower()}{text[1:]}{' (live)' if spec.live else ''}"


FILES = {"README.md": readme, "config/tracker.yaml": parameter_file}


def main() -> None:
    """Writes the files."""
    for name, render in FILES.items():
        path = ROOT / name
        path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
