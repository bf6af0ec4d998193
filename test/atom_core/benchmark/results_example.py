# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Results of atom-bench by hand, for the tests of what is made of them."""

from typing import Any


def times(median: float, p95: float, mean: float, count: int = 10) -> dict[str, float]:
    return {"count": count, "median_ms": median, "p95_ms": p95, "mean_ms": mean}


def results(sizes: tuple[str, ...] = ("480x360",)) -> dict[str, Any]:
    """One kind of frame beside the video, two stages, one baseline."""
    return {
        "format": "atom-bench 1",
        "run": {"date": "2026-01-01", "load_average": 0.25, "command": "atom-bench"},
        "machine": {"cpu": "a CPU", "cpu_cores": 4, "cpu_threads": 2, "gpu": None},
        "tracker": {
            "network": "resnet18",
            "device": "cpu",
            "precision": "float32",
            "engine": "torch",
            "execution": "eager",
        },
        "plan": {"frames": 10},
        "memory": {"first_tracker": {"host_mb": 100.0, "gpu_mb": None}},
        "sizes": {size: _of_size() for size in sizes},
    }


def _of_size() -> dict[str, Any]:
    plain = {
        "time": times(20.0, 40.0, 25.0),
        "counts": {"operations": 50, "host_reads": 1, "uploads": 2},
        "stages": {"rest": {"mean_ms": 1.0}, "backbone": {"mean_ms": 8.0}},
        "forced": 3,
    }
    points = [{"frame": 5, "host_mb": 100.0, "gpu_mb": None}, {"frame": 10, "host_mb": 101.5, "gpu_mb": None}]
    video = {"time": times(21.0, 60.0, 26.0), "states": {"tracking": 9, "lost": 1}, "memory": points}
    baseline = {"frames": {"video": {"time": times(10.0, 12.0, 11.0)}}}
    return {
        "frames": {"video": video, "plain": plain},
        "baselines": {"kcf": baseline},
        "warm_up": {},
        "memory": {"host_peak_mb": 120.0},
    }
