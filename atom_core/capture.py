# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Functions of tensors: captured once and replayed, or run eagerly.

On a GPU, launching a hundred small kernels from Python takes longer than running them. So CUDA records them as one
graph, which is then launched as a whole. There are two modes:

    "graph"      the kernels that PyTorch launches itself; takes a second, and no compiler
    "inductor"   torch.compile's "reduce-overhead" fuses them first; takes minutes, and Triton (for the CPU, g++)

Capturing happens only on request. A call that does not fit the captured graph runs operation by operation, and
`Execution.state` says why.

Inductor keeps its graphs for the thread that recorded them. Another thread records them again at its next
`Execution.capture`, without compiling again. A "graph" is replayed in any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Returned = TypeVar("Returned")
Function = TypeVar("Function", bound=Callable[..., Any])

MODES = ("auto", "graph", "inductor", "off")
_REPLAYS = 3  # Inductor records its graphs at the second run of a compiled function, and replays them from the third on
_WARM_UPS = 3  # runs before a graph is recorded, for libraries to choose kernels and allocate buffers

# A recording first waits for the whole device, which is an error while another thread records.
_recording = threading.Lock()
_constants: list[Callable[..., Any]] = []


def constant(function: Function) -> Function:
    """Marks a function whose results never change, so that the compiler treats them as constants.

    PyTorch's own decorator would import the compiler, a second and 160 MB, into programs that do not compile.
    """
    _constants.append(function)
    return function


class Captured(Generic[Returned]):
    """A function that can be captured. It takes and returns tensors, alone or in tuples and lists.

    Args:
        function: without host reads. Arguments other than tensors are constants of the graph.
        difference: called with (result, expected, arguments), a replay's result and the function's own for the same
            arguments; describes the difference, empty if it is tolerable.
    """

    def __init__(
        self, function: Callable[..., Returned], difference: Callable[[Returned, Returned, Sequence[Any]], str]
    ) -> None:
        self.function = function
        self._difference = difference
        self._replay: Callable[..., Returned] | None = None
        self._signature: tuple = ()

    @property
    def is_captured(self) -> bool:
        """Whether a captured graph exists."""
        return self._replay is not None

    def capture(self, example: Callable[[], Sequence[Any]], make: MakeReplay | None = None) -> None:
        """Records a graph, after compiling if `make` does so.

        Args:
            example: returns new arguments at each call.
            make: `record_graph` or `compile_by_inductor`, which is the default.

        Raises:
            Differs: if the replay's result is different.
        """
        self.forget()
        replay = (make or compile_by_inductor)(self.function, example)
        for _ in range(_REPLAYS):
            arguments = example()
            result = replay(*arguments)
        difference = self._difference(result, self.function(*arguments), arguments)
        if difference:
            raise Differs(difference)
        self._replay, self._signature = replay, _signature(arguments)

    def forget(self) -> None:
        """Drops the captured graph."""
        self._replay = None

    def fits(self, *arguments: Any) -> bool:
        """Whether these arguments have the shapes and the constants of the example."""
        return _signature(arguments) == self._signature

    def replay(self, *arguments: Any) -> Returned:
        """The result for fitting arguments. The next replay of any function overwrites it: see `cloned`."""
        assert self._replay is not None, "capture it first"
        return self._replay(*arguments)


class Differs(Exception):
    """A captured function computes a different result."""


class Execution:
    """Captures functions, all or none, and runs them.

    Args:
        mode: "graph"; "inductor"; "off"; or "auto", which is "graph" on CUDA and "off" elsewhere.
        device: that they run on.

    Raises:
        ValueError: if the mode is unknown, or the device has no graphs.
    """

    def __init__(self, mode: str, device: torch.device) -> None:
        if mode not in MODES:
            raise ValueError(f"unknown capture mode {mode!r}; expected one of {', '.join(MODES)}")
        if mode == "graph" and device.type != "cuda":
            raise ValueError(f"capture mode 'graph' is for CUDA, not for {device}; use 'auto' or 'off'")
        self._make = compile_by_inductor if mode == "inductor" else record_graph
        self._is_wanted = mode in ("graph", "inductor") or (mode == "auto" and device.type == "cuda")
        self._is_captured = False
        self._is_paused = False
        self._reason = "not captured yet" if self._is_wanted else "capture is off"
        self._tried_in: int | None = None  # the thread in which capturing was last tried

    @property
    def state(self) -> str:
        """How functions are run: "captured", or "eager: " and why."""
        return f"eager: {self._reason}" if self._reason else "captured"

    @property
    def is_settled(self) -> bool:
        """Whether `capture` has nothing left to do in this thread."""
        if self._is_captured:
            # `renew` sets it to None in both modes.
            in_any_thread = self._make is record_graph and self._tried_in is not None
            return in_any_thread or self._tried_in == threading.get_ident()
        return not self._is_wanted or self._tried_in is not None  # a failed capture is not repeated in other threads

    @property
    def can_replay(self) -> bool:
        """Whether `run` replays fitting calls in this thread."""
        return self._is_captured and not self._is_paused and self.is_settled

    def renew(self) -> None:
        """Makes the next `capture` capture again."""
        self._tried_in = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within this context, functions run operation by operation, so that their parts can be measured."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def capture(self, functions: Sequence[tuple[Captured, Callable[[], Sequence[Any]]]]) -> None:
        """Captures functions, each with an example of its arguments, unless the mode is off.

        If one fails, all run eagerly, and `state` says why.

        Raises:
            torch.cuda.OutOfMemoryError: if the device's memory is full.
        """
        if not self._is_wanted:
            return
        self._tried_in, self._is_captured = threading.get_ident(), False
        try:
            for captured, example in functions:
                captured.capture(example, self._make)
        except torch.cuda.OutOfMemoryError:
            raise
        except Differs as error:
            self._reason = f"captured, {error}"
        except Exception as error:  # compilers raise many kinds, and tracking works without them
            self._reason = f"capturing failed with {type(error).__name__}: {_first_line(error)}"
        else:
            self._is_captured, self._reason = True, ""

    def run(self, captured: Captured[Returned], *arguments: Any) -> Returned:
        """The function's result; if it was replayed, the next replay overwrites it: see `cloned`."""
        if not self._is_captured or self._is_paused:
            return captured.function(*arguments)
        if not self.is_settled:
            self._reason = "captured in another thread than the one that tracks"
        elif not (captured.is_captured and captured.fits(*arguments)):
            self._reason = "settings or the target's shape differ from what was captured"
        else:
            self._reason = ""
            return captured.replay(*arguments)
        return captured.function(*arguments)


def cloned(value: Any) -> Any:
    """Copies a tensor, or tuples and lists of tensors; returns other values unchanged."""
    if isinstance(value, Tensor):
        return value.clone()
    if not isinstance(value, tuple | list):
        return value
    parts = [cloned(part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


Replay = Callable[..., Any]
MakeReplay = Callable[[Callable[..., Any], Callable[[], Sequence[Any]]], Replay]


def compile_by_inductor(function: Callable[..., Any], example: Callable[[], Sequence[Any]]) -> Replay:
    """The function compiled by Inductor with CUDA graphs; its first runs compile and record."""
    for constant_function in _constants:
        torch.compiler.assume_constant_result(constant_function)
    compiled = torch.compile(function, fullgraph=True, dynamic=False, mode="reduce-overhead")

    def replay(*arguments: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # the last replay's results are no longer needed
        return compiled(*arguments)

    return replay


def record_graph(function: Callable[..., Any], example: Callable[[], Sequence[Any]]) -> Replay:
    """Records the kernels that a run of the function launches as one CUDA graph; one thread at a time.

    A replay copies its arguments into the tensors that the recorded run used, and returns the tensors that the recorded
    run returned, with new contents.
    """
    arguments = cloned(tuple(example()))
    tensors = _tensors(arguments)
    stream = torch.cuda.Stream(tensors[0].device)
    stream.wait_stream(torch.cuda.current_stream(stream.device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            function(*arguments)
    torch.cuda.current_stream(stream.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Other threads of the process may use the GPU during the recording.
    with _recording, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = function(*arguments)

    def replay(*given: Any) -> Any:
        for tensor, value in zip(tensors, _tensors(given), strict=True):
            tensor.copy_(value, non_blocking=True)
        graph.replay()
        return result

    return replay


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples and lists, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else []


def _signature(value: Any) -> Any:
    """Key of a compiled graph: the shapes of tensors and the values of everything else."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return tuple(map(_signature, value)) if isinstance(value, tuple | list) else value


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")
