# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Result files for the benchmarks' servers and toolkits.

GOT-10k: TRACKER/SEQUENCE/SEQUENCE_001.txt and SEQUENCE_time.txt (seconds). LaSOT: TRACKER_tracking_result/SEQUENCE.txt.
All others: TRACKER/SEQUENCE.txt. A line holds x,y,width,height of one frame, the given box of the first frame included.
VOT has no such files: its own toolkit runs the tracker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atom_core.data.layouts import LAYOUTS


def write_results(
    layout: str, tracker_name: str, sequence: str, boxes: np.ndarray, seconds: np.ndarray, folder: str | Path
) -> Path:
    """Writes the result of one run on one sequence.

    Args:
        layout: a key of LAYOUTS; its pixel convention is that of the file.
        tracker_name: names the tracker's folder.
        sequence: its name in the benchmark.
        boxes: (N, 4) in our pixel convention, the given box first.
        seconds: (N,) the tracker's time for each frame; only GOT-10k uses it.
        folder: created if missing, with the tracker's in it.

    Returns:
        The file with the boxes.

    Raises:
        ValueError: if the layout has no result files, or the boxes are not (N, 4) finite numbers with N seconds.
        OSError: if a file cannot be written.
    """
    if layout not in LAYOUTS or layout == "vot":
        known = ", ".join(name for name in LAYOUTS if name != "vot")
        raise ValueError(f"layout '{layout}' has no result files; expected one of {known}; for VOT run its own toolkit")
    boxes, seconds = np.asarray(boxes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if boxes.shape != (len(seconds), 4) or not np.isfinite(boxes).all():
        raise ValueError(f"sequence {sequence}: boxes {boxes.shape} for {len(seconds)} frames; expected (N, 4), finite")
    path = _result_path(layout, tracker_name, sequence, Path(folder))
    path.parent.mkdir(parents=True, exist_ok=True)
    offset = np.array([LAYOUTS[layout].first_pixel] * 2 + [0.0] * 2)
    np.savetxt(path, boxes + offset, fmt="%.3f", delimiter=",")
    if layout == "got10k":
        np.savetxt(path.with_name(f"{sequence}_time.txt"), seconds, fmt="%.8f")
    return path


def _result_path(layout: str, tracker_name: str, sequence: str, folder: Path) -> Path:
    if layout == "got10k":
        return folder / tracker_name / sequence / f"{sequence}_001.txt"
    if layout == "lasot":
        return folder / f"{tracker_name}_tracking_result" / f"{sequence}.txt"
    return folder / tracker_name / f"{sequence}.txt"
