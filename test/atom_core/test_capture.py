# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The frame step, captured and not: compiled for real, with networks small enough to compile in seconds."""

import contextlib
import dataclasses
import re
import shutil
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._inductor.graph import GraphLowering
from torch._inductor.utils import fresh_inductor_cache
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from atom_core import AtomTracker, MultiTracker, TrackerConfig, TrackState
from atom_core.benchmark.scene import DrawnScene
from atom_core.candidate import SearchRegion
from atom_core.capture import Captured, Execution, record_graph
from atom_core.classifier.target_model import Classifier, SampleMemory, TargetModel, improve_filter
from atom_core.crop import gather
from atom_core.model import Model
from atom_core.networks import weights
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import Modulation
from atom_core.observe import Query, StepTarget, captured_step, run_step, step, upload_numbers
from atom_core.refinement.torch_refiner import Ascent

CPU = torch.device("cpu")
CONFIG = TrackerConfig(crop_size=64, proposals=4)
BOXES = (30.0, 40.0, 20.0, 12.0), (60.0, 30.0, 16.0, 16.0)
can_compile = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")


class SmallNetworks:
    """Drawn weights; `breaks`: with a read by the host in the middle, which no graph may hold."""

    def __init__(self, breaks: bool = False) -> None:
        self.weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
        self.breaks = breaks

    def features(self, crops: torch.Tensor) -> Features:
        seen = F.conv2d(crops / 255, self.weight, padding=1).relu()
        if self.breaks and seen.sum().item() < 0:
            raise AssertionError
        return Features(F.avg_pool2d(seen, 8), F.avg_pool2d(seen, 16))

    def refine(self, features, modulation, proposals, ascent):
        return proposals + modulation.c3.mean() * ascent.steps, features.stride8.mean() * proposals.sum(1)


def frame(seed: int, *boxes: tuple, regions: int | None = None, steps: int = 2, least_score: float = -np.inf) -> tuple:
    """Arguments of `step` for queries about `boxes` in an image of noise."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    image = torch.from_numpy(rng.integers(0, 256, (90, 120, 3), np.uint8))
    regions_of_boxes = [SearchRegion.about(box, CONFIG) for box in boxes]
    noise = [rng.uniform(-1, 1, (CONFIG.proposals - 1, 4)) for _ in boxes]
    models = [
        (
            Classifier(torch.randn(4, 8, 1, 1, generator=generator), torch.randn(16, 4, generator=generator)),
            Modulation(torch.rand(1, 8, generator=generator), torch.rand(1, 8, generator=generator)),
        )
        for _ in boxes
    ]
    queries = [Query(*parts[:2], *parts[2]) for parts in zip(regions_of_boxes, noise, models, strict=True)]
    numbers = upload_numbers(queries, [region.square for region in regions_of_boxes][:regions], image)
    targets = [
        StepTarget(*both, min(i, len(numbers.taps) - 1), False, Ascent(steps, 1.0, False), least_score)
        for i, both in enumerate(models)
    ]
    return [gather(image, taps) for taps in numbers.taps], numbers, targets


def target_model(seed: int, samples: int = 3, config: TrackerConfig = CONFIG) -> TargetModel:
    """A filter and this many samples in a memory of eight."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(samples, 4, 6, 6, generator=generator)
    labels = torch.rand(samples, 2, 6, generator=generator).numpy()
    filter_ = 0.1 * torch.randn(1, 4, 4, 4, generator=generator)
    return TargetModel(torch.eye(4)[:, :, None, None], filter_, SampleMemory(drawn, labels, 8, 0.25), config)


def small_model(mode: str = "inductor", breaks: bool = False) -> Model:
    networks = SmallNetworks(breaks)
    return Model(networks, Execution(mode, CPU), captured_step(networks))


def capture(model: Model, iterations: int = 2) -> None:
    with torch.no_grad():
        model.capture(lambda: frame(0, BOXES[0]), target_model(0).training_batch, [iterations])


@pytest.fixture(scope="module")
def captured() -> Model:
    model = small_model()
    capture(model)
    return model


def assert_same(model: Model, *arguments) -> None:
    outputs, expected = run_step(model.execution, model.step, *arguments), step(*arguments, model.networks)
    torch.testing.assert_close(outputs.results, expected.results, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(outputs.samples, expected.samples, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(tuple(outputs.features), tuple(expected.features), rtol=1e-4, atol=1e-4)


def forbid_replays(monkeypatch) -> None:
    monkeypatch.setattr(Captured, "replay", lambda *_: pytest.fail("replayed"))


def test_a_region_without_a_peak_is_not_refined_on_the_cpu() -> None:
    """Most regions of a search show nothing, and refinement is the dearest part of a frame."""
    networks = SmallNetworks()
    found, nothing = (step(*frame(1, BOXES[0], least_score=least), networks).results[0] for least in (-np.inf, np.inf))
    torch.testing.assert_close(nothing[:6], found[:6])
    assert (found[-CONFIG.proposals :] != 0).all() and (nothing[-CONFIG.proposals :] == 0).all()
    moved = found[6 : -CONFIG.proposals] - nothing[6 : -CONFIG.proposals]
    assert (moved.abs() > 0.1).all()  # SmallNetworks.refine moves every number of a proposal


@can_compile
def test_a_captured_step_refines_whatever_the_scores_are() -> None:
    arguments = frame(2, BOXES[0], least_score=np.inf)
    with torch.no_grad():
        model = small_model()
        model.capture(lambda: frame(0, BOXES[0], least_score=np.inf), target_model(0).training_batch, [2])
        outputs = run_step(model.execution, model.step, *arguments)
    assert model.execution.state == "captured"
    assert (outputs.results[0, -CONFIG.proposals :] != 0).all()


@can_compile
def test_what_is_captured_gives_the_same_results_in_all_frames(captured) -> None:
    assert captured.execution.state == "captured"
    with torch.no_grad():
        for seed in range(1, 5):  # each has its own image, place, numbers and target
            assert_same(captured, *frame(seed, BOXES[seed % 2]))
    assert captured.execution.state == "captured"


@can_compile
@pytest.mark.parametrize("regions", [1, 2])
def test_several_targets_are_replayed_one_after_the_other(captured, regions) -> None:
    with torch.no_grad():
        assert_same(captured, *frame(5, *BOXES, regions=regions))
    assert captured.execution.state == "captured"


@can_compile
def test_what_was_not_captured_is_never_compiled_in_the_middle_of_a_video(captured, monkeypatch) -> None:
    forbid_replays(monkeypatch)
    with torch.no_grad():
        assert_same(captured, *frame(6, BOXES[0], steps=3))
    assert captured.execution.state == "eager: settings or the target's shape differ from what was captured"
    monkeypatch.undo()
    with torch.no_grad():
        assert_same(captured, *frame(7, BOXES[0]))
    assert captured.execution.state == "captured"


@can_compile
@pytest.mark.parametrize("samples", [3, 7])
def test_a_captured_update_learns_the_same_from_a_memory_that_fills(captured, samples) -> None:
    target, plain = target_model(9, samples), target_model(9, samples)
    with torch.no_grad():
        for _ in range(3):
            before = target.filter
            target.update(2, captured.improve)
            plain.update(2)
            assert (target.filter - before).abs().amax() > 1e-4  # it learns
            torch.testing.assert_close(target.filter, plain.filter, rtol=1e-3, atol=1e-4)


@can_compile
def test_an_update_that_was_not_captured_is_run_operation_by_operation(captured, monkeypatch) -> None:
    forbid_replays(monkeypatch)
    target = target_model(9)
    with torch.no_grad():
        expected = improve_filter(target.training_batch(), 3)
        torch.testing.assert_close(captured.improve(target.training_batch, 3), expected)
        other = target_model(9, config=dataclasses.replace(CONFIG, hinge_slope=0.1))
        expected = improve_filter(other.training_batch(), 2)
        torch.testing.assert_close(captured.improve(other.training_batch, 2), expected)
        with captured.execution.paused():
            torch.testing.assert_close(
                captured.improve(target.training_batch, 2), improve_filter(target.training_batch(), 2)
            )
        with pytest.raises(pytest.fail.Exception, match="replayed"):
            captured.improve(target.training_batch, 2)


@pytest.mark.parametrize("breaks", ["graph", "compiler", "result", "update"])
def test_where_capturing_fails_frames_are_run_as_before_and_the_reason_is_told(breaks, monkeypatch) -> None:
    model = small_model(breaks=breaks == "graph")
    if breaks == "compiler":
        monkeypatch.setattr(torch, "compile", raise_no_compiler)
    if breaks in ("result", "update"):
        monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *a: doubled(function(*a)))
    if breaks == "update":
        monkeypatch.setattr(model.step, "capture", lambda *_: None)
    with torch.no_grad():
        capture(model, iterations=1)
        assert model.execution.is_settled
        assert_same(model, *frame(1, BOXES[0]))
    reason = {
        "graph": "capturing failed with ",
        "compiler": "RuntimeError: no compiler",
        "result": " instead of ",
        "update": "an update of 1 iterations",
    }
    assert model.execution.state.startswith("eager: ") and reason[breaks] in model.execution.state


def raise_no_compiler(*_, **__) -> None:
    raise RuntimeError("no compiler\nat all")


def doubled(seen):
    return 2 * seen if isinstance(seen, torch.Tensor) else seen._replace(results=2 * seen.results)


def test_a_full_device_is_left_to_the_caller(monkeypatch) -> None:
    def full(*_, **__) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        capture(small_model())


def test_modes() -> None:
    assert Execution("auto", CPU).state == Execution("off", torch.device("cuda")).state == "eager: capture is off"
    assert Execution("auto", CPU).is_settled
    waiting = Execution("auto", torch.device("cuda"))
    assert waiting.state == "eager: not captured yet" and not waiting.is_settled
    with pytest.raises(ValueError, match="'graph' is for CUDA, not for cpu"):
        Execution("graph", CPU)
    with pytest.raises(ValueError, match="capture mode 'yes'; expected one of auto, graph, inductor, off"):
        Execution("yes", CPU)


@pytest.fixture
def traced(monkeypatch) -> list:
    """torch.compile traces as for capturing, and leaves the graph as it is: large networks take long to compile."""
    compile_, compiled = torch.compile, []

    def trace(function, fullgraph, dynamic, mode):
        compiled.append(function)
        return compile_(function, fullgraph=fullgraph, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch, "compile", trace)
    return compiled


def test_trackers_capture_at_their_first_target_or_when_they_warm_up(traced) -> None:
    network = weights.load("default")
    images = [np.random.default_rng(i).integers(0, 256, (120 + i, 160, 3), np.uint8) for i in range(2)]
    config = TrackerConfig(refinement_steps=1, not_found_threshold=-1.0, update_interval=1)
    plain = AtomTracker(network, CPU, config, engine="torch")
    tracker = AtomTracker(network, CPU, config, capture="inductor")
    several = MultiTracker(network, CPU, config, capture="inductor")
    assert tracker.execution == several.execution == "eager: not captured yet"
    several.warm_up()
    # Capturing takes long, and once is enough: a step and an update, since a look-alike takes as many iterations.
    assert several.execution == "captured" and len(traced) == 2
    for one in (plain, tracker):
        one.initialize(images[0], BOXES[0])
    assert tracker.execution == "captured" and plain.execution == "eager: capture is off"
    several.add(images[0], BOXES[0])
    several.add(images[0], BOXES[1])
    for image in (*images, *images):
        expected = plain.track(image)
        result = tracker.track(image)
        assert result.state is expected.state and result.box == pytest.approx(expected.box, abs=1e-2)
        assert several.track(image)[1].box == pytest.approx(expected.box, abs=1e-2)
    assert tracker.execution == several.execution == "captured"
    tracker.config = dataclasses.replace(config, learning_rate=0.5)  # no part of the graph
    tracker.track(images[0])
    assert tracker.execution == "captured"


def test_the_cpu_engine_is_no_part_of_a_graph_and_says_so() -> None:
    pytest.importorskip("openvino")
    tracker = AtomTracker(weights.load("default"), CPU, TrackerConfig(), engine="openvino", capture="inductor")
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    tracker.initialize(image, BOXES[0])
    assert tracker.execution.startswith("eager: capturing failed with ")
    assert tracker.track(image).state is TrackState.TRACKING


@can_compile
def test_another_thread_captures_for_itself_and_tracks_without_meanwhile() -> None:
    model = small_model()
    in_thread(lambda: capture(model))
    execution = model.execution
    assert execution.state == "captured" and not execution.is_settled
    target, plain = target_model(9), target_model(9)
    with torch.no_grad():
        assert_same(model, *frame(1, BOXES[0]))
        assert execution.state == "eager: captured in another thread than the one that tracks"
        target.update(2, model.improve)
        plain.update(2)
    torch.testing.assert_close(target.filter, plain.filter)
    capture(model)
    assert execution.state == "captured" and execution.is_settled
    with torch.no_grad():
        assert_same(model, *frame(2, BOXES[0]))
    assert execution.state == "captured"


def in_thread(action) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


@can_compile
def test_while_paused_frames_are_run_operation_by_operation(captured, monkeypatch) -> None:
    with torch.no_grad(), captured.execution.paused():
        forbid_replays(monkeypatch)
        assert_same(captured, *frame(8, BOXES[0]))
    monkeypatch.undo()
    with torch.no_grad():
        assert_same(captured, *frame(8, BOXES[0]))
    assert captured.execution.state == "captured"


@can_compile
def test_few_launches_are_left_of_a_frame_and_of_an_update(monkeypatch) -> None:
    """Counted in the program that Inductor writes for the CPU: its own fused functions, and calls of libraries."""
    programs = []
    monkeypatch.setattr(GraphLowering, "save_output_code", staticmethod(programs.append))
    network, config = weights.load("resnet18"), TrackerConfig(update_interval=1)
    plain_tracker, tracker = AtomTracker(network, CPU, config), AtomTracker(network, CPU, config, capture="inductor")
    scene = DrawnScene(160, 120)
    with fresh_inductor_cache():  # else what was compiled before is only loaded
        tracker.initialize(scene.image(0), scene.box(0))
    plain_tracker.initialize(scene.image(0), scene.box(0))
    assert tracker.execution == "captured"
    plain, update = (launches(program) for program in programs)
    print(f"{plain} launches in a plain frame, {update} more with an update")
    assert 40 < plain <= 120
    assert 10 < update <= 40
    for i in range(1, 5):
        result, expected = (one.track(scene.image(i)) for one in (tracker, plain_tracker))
        assert result.state is TrackState.TRACKING
        assert result.box == pytest.approx(expected.box, abs=0.25)  # five steps enlarge rounding
    assert tracker.execution == "captured"


def launches(program: str) -> int:
    """Calls of compiled functions and libraries in the function that runs a compiled graph."""
    body = program[program.index("def call(") :]
    return len(
        re.findall(r"^ +(?:\w+ = )?(?:cpp_fused\w*|extern_kernels\.\w+|torch\.ops\.\w+\.\w+\.\w+)\(", body, re.M)
    )


class RecordedOperations(TorchDispatchMode):
    """Stands in for a CUDA graph on the CPU: replays the operations of one run, on the same tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket is not torch.ops.aten._unsafe_view:
            self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            if not func._schema.is_mutable:
                for tensor, value in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    tensor.copy_(value)


@pytest.fixture
def graphs(monkeypatch) -> list[RecordedOperations]:
    """A device "cuda" whose graphs are recorded on the CPU."""
    recorded = []
    stream = SimpleNamespace(wait_stream=lambda other: None, device=CPU)

    def graph(made, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        recorded.append(made)
        return made

    fake = {
        "Stream": lambda device: stream,
        "current_stream": lambda device: stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "CUDAGraph": RecordedOperations,
        "graph": graph,
    }
    for name, value in fake.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return recorded


def test_a_recorded_graph_gives_the_same_results_in_all_frames_and_threads(graphs) -> None:
    networks = SmallNetworks()
    model = Model(networks, Execution("graph", torch.device("cuda")), captured_step(networks))
    capture(model)
    assert model.execution.state == "captured" and len(graphs) == 2
    graphs[0].calls, kept = [], graphs[0].calls
    with torch.no_grad():
        with pytest.raises(AssertionError):
            assert_same(model, *frame(1, BOXES[0]))  # the replay is what computes
        graphs[0].calls = kept
        for seed in range(1, 5):
            assert_same(model, *frame(seed, BOXES[seed % 2]))
        assert_same(model, *frame(5, *BOXES))
        target, plain = target_model(9, 7), target_model(9, 7)
        for _ in range(2):
            target.update(2, model.improve)
            plain.update(2)
        torch.testing.assert_close(target.filter, plain.filter, rtol=1e-3, atol=1e-4)
        settled = []
        thread = threading.Thread(target=lambda: settled.append(model.execution.can_replay))
        thread.start()
        thread.join()
        assert settled == [True]
        assert_same(model, *frame(6, BOXES[0], steps=3))  # does not fit
    assert model.execution.state.startswith("eager: settings")


def test_a_graph_that_cannot_be_recorded_is_told(graphs, monkeypatch) -> None:
    networks = SmallNetworks()
    model = Model(networks, Execution("auto", torch.device("cuda")), captured_step(networks))
    monkeypatch.setattr(torch.cuda, "graph", None)
    capture(model)
    assert model.execution.state.startswith("eager: capturing failed with TypeError")
    with torch.no_grad():
        assert_same(model, *frame(1, BOXES[0]))


def test_one_thread_at_a_time_records(graphs, monkeypatch) -> None:
    """A second recording begins when the first is over: CUDA refuses two at once."""
    recording, most = [], []
    record = torch.cuda.graph

    @contextlib.contextmanager
    def slow(made, stream, capture_error_mode):
        recording.append(made)
        most.append(len(recording))
        time.sleep(0.05)
        with record(made, stream=stream, capture_error_mode=capture_error_mode):
            yield
        recording.remove(made)

    monkeypatch.setattr(torch.cuda, "graph", slow)

    def double(tensor: torch.Tensor) -> torch.Tensor:
        return 2 * tensor

    threads = [
        threading.Thread(target=record_graph, args=(double, lambda: (torch.ones(3),)), name=str(i)) for i in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
