# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The node's counters, and the DiagnosticArray made from them once a second."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from atom_ros.frame_buffer import Arrival

_RECENT = 30  # frames over which medians and the frame rate are computed


@dataclass(frozen=True)
class Snapshot:
    """The counts so far, and the changes since the previous snapshot."""

    received: int
    processed: int
    paused: int  # skipped during a pause
    dropped: int  # arrived, but skipped for a newer one
    lost: int  # in transport, as far as the middleware reports it
    failed: int  # invalid images, and failures of the tracker
    duplicates: int  # ignored: the previous image's stamp again
    out_of_order: int  # ignored: older than the previous image
    last_error: str  # message of the newest failure
    input_rate: float  # images per second since the previous snapshot
    new_failures: int  # since the previous snapshot
    new_ignored: int  # duplicates and out of order, since the previous snapshot
    fps: float  # processed images per second, over the recent ones
    processing_ms: float  # median over the recent images with a target; 0 if there is none
    latency_ms: float  # median over the recent images, image stamp to publication


class Statistics:
    """Counters shared by the node's callbacks and the worker. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: `clock` gives seconds and never goes back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._received = self._processed = self._paused = self._dropped = self._lost = self._failed = 0
        self._duplicates = self._out_of_order = 0
        self._last_error = ""
        self._processed_at: deque[float] = deque(maxlen=_RECENT)
        self._processing_ms: deque[float] = deque(maxlen=_RECENT)
        self._latency_ms: deque[float] = deque(maxlen=_RECENT)
        self._since, self._received_before, self._failed_before, self._ignored_before = clock(), 0, 0, 0

    def count_received(self, arrival: Arrival = Arrival.NEXT) -> None:
        """Counts an image that arrived; duplicates and images out of order are ignored."""
        with self._lock:
            self._received += 1
            self._duplicates += arrival is Arrival.DUPLICATE
            self._out_of_order += arrival is Arrival.OUT_OF_ORDER

    def count_lost(self, count: int) -> None:
        """Counts images that never arrived."""
        with self._lock:
            self._lost += count

    def count_processed(self, dropped: int, processing_ms: float) -> None:
        """Counts a processed image, and `dropped` skipped ones before it."""
        with self._lock:
            self._processed += 1
            self._dropped += dropped
            self._processed_at.append(self._clock())
            if processing_ms > 0:
                self._processing_ms.append(processing_ms)

    def count_paused(self, count: int) -> None:
        """Counts images that were skipped because the tracker is paused."""
        with self._lock:
            self._paused += count

    def count_failed(self, dropped: int, error: str) -> None:
        """Counts an image that could not be processed, and `dropped` skipped ones before it."""
        with self._lock:
            self._failed += 1
            self._dropped += dropped
            self._last_error = error

    def add_latency(self, milliseconds: float) -> None:
        """Adds the time from an image's stamp to its report's publication."""
        with self._lock:
            self._latency_ms.append(milliseconds)

    @property
    def fps(self) -> float:
        """Processed images per second, over the recent ones; 0 if nothing was processed for a while."""
        with self._lock:
            return self._fps()

    def snapshot(self) -> Snapshot:
        """Returns all counts, and starts a new period for the rates."""
        with self._lock:
            now = self._clock()
            period = max(now - self._since, 1e-9)
            ignored = self._duplicates + self._out_of_order
            result = Snapshot(
                received=self._received,
                processed=self._processed,
                paused=self._paused,
                dropped=self._dropped,
                lost=self._lost,
                failed=self._failed,
                duplicates=self._duplicates,
                out_of_order=self._out_of_order,
                last_error=self._last_error,
                input_rate=(self._received - self._received_before) / period,
                new_failures=self._failed - self._failed_before,
                new_ignored=ignored - self._ignored_before,
                fps=self._fps(),
                processing_ms=_median(self._processing_ms),
                latency_ms=_median(self._latency_ms),
            )
            self._since, self._received_before, self._failed_before = now, self._received, self._failed
            self._ignored_before = ignored
            return result

    def _fps(self) -> float:
        """Mean rate over the recent frames; a pause since the newest one lowers it at once."""
        times = self._processed_at
        if len(times) < 2:
            return 0.0
        interval = (times[-1] - times[0]) / (len(times) - 1)
        return 1.0 / max(interval, self._clock() - times[-1], 1e-9)


@dataclass(frozen=True)
class Condition:
    """The node's current condition."""

    lifecycle: str  # the node's lifecycle state, in words
    state: str  # the targets' states, in words
    topic: str  # of the images
    device: str = ""  # where the network runs; empty before it is loaded
    network: str = ""  # its name and digest; empty before it is loaded
    execution: str = ""  # how the frame step runs, see `MultiTracker.execution`
    fault: str = ""  # the GPU's failure
    memory: float = math.nan  # MB of the process; NaN if unknown
    gpu_memory: float = 0.0  # MB of GPU memory that the process holds; 0 on the CPU
    is_paused: bool = False
    engine: str = ""  # engine and precision, see `MultiTracker.engine`
    missing_image: str = ""  # why no image comes, if known
    inputs: Mapping[str, str] = field(default_factory=dict)  # calibration and depth, in words


def diagnostic_array(stamp: Time, name: str, condition: Condition, snapshot: Snapshot) -> DiagnosticArray:
    """Makes the message for /diagnostics.

    Args:
        stamp: the node's time.
        name: the node's full name.
        condition: the node's current condition.
        snapshot: the counts.
    """
    level, message = _judge(condition, snapshot)
    values = {
        "lifecycle": condition.lifecycle,
        "state": condition.state,
        "image topic": condition.topic,
        "input rate (Hz)": f"{snapshot.input_rate:.1f}",
        "processed rate (Hz)": f"{snapshot.fps:.1f}",
        "processing (ms, median)": f"{snapshot.processing_ms:.1f}",
        "latency (ms, median)": f"{snapshot.latency_ms:.1f}",
        "received": snapshot.received,
        "processed": snapshot.processed,
        "paused": snapshot.paused,
        "dropped": snapshot.dropped,
        "lost": snapshot.lost,
        "failed": snapshot.failed,
        "duplicates": snapshot.duplicates,
        "out of order": snapshot.out_of_order,
        "last error": snapshot.last_error,
        "device": condition.device,
        "network": condition.network,
        "engine": condition.engine,
        "execution": condition.execution,
        **condition.inputs,
        "memory (MB)": f"{condition.memory:.0f}",
        "GPU memory (MB)": f"{condition.gpu_memory:.0f}",
        "GPU fault": condition.fault,
    }
    status = DiagnosticStatus(level=level, name=f"{name}: tracker", message=message, hardware_id=condition.device)
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def _judge(condition: Condition, snapshot: Snapshot) -> tuple[bytes, str]:
    if condition.lifecycle != "active":
        if condition.fault:
            return DiagnosticStatus.ERROR, f"{condition.lifecycle}; {condition.fault}"
        return DiagnosticStatus.OK, condition.lifecycle
    if condition.is_paused:
        return DiagnosticStatus.OK, "paused"
    if snapshot.new_failures:
        return DiagnosticStatus.ERROR, f"{snapshot.new_failures} images not processed: {snapshot.last_error}"
    if snapshot.input_rate == 0:
        reason = f": {condition.missing_image}" if condition.missing_image else ""
        return DiagnosticStatus.WARN, f"no image arrives on {condition.topic}{reason}"
    if snapshot.new_ignored:
        count, topic = snapshot.new_ignored, condition.topic
        return DiagnosticStatus.WARN, f"{count} images ignored whose stamps do not grow, on {topic}"
    if condition.fault:
        return DiagnosticStatus.WARN, f"{condition.state}; {condition.fault}"
    return DiagnosticStatus.OK, condition.state


def _median(values: deque[float]) -> float:
    return statistics.median(values) if values else 0.0
