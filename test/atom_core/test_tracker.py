# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker with the shipped network, on drawn videos."""

import ast
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import atom_core
from atom_core import AtomTracker, MultiTracker, TrackerConfig, TrackResult, TrackState
from atom_core.benchmark.counting import counted
from atom_core.crop import gather
from atom_core.follow import finish_updates, learn, make_query, plan
from atom_core.long_term.strategy import Decision
from atom_core.model import Model
from atom_core.networks import weights
from atom_core.networks.backbones import BACKBONES
from atom_core.networks.engine import compile_module
from atom_core.observe import StepNumbers, StepOutputs, fetch, observe, step, step_inputs
from atom_core.target import Target, learn_first_frame
from atom_core.tracker import choose_device

SIZE = 48  # px, side of the drawn target


@pytest.fixture(scope="module")
def network() -> weights.Network:
    return weights.load("default")


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A textured background (240, 320, 3) and a target of another texture."""
    rng = np.random.default_rng(0)
    background = np.kron(rng.integers(60, 120, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    target = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return background, target


def drawn(scene: tuple[np.ndarray, np.ndarray], *corners: tuple[int, int]) -> np.ndarray:
    """The background with the target at each (x, y)."""
    background, target = scene
    image = background.copy()
    for x, y in corners:
        image[y : y + SIZE, x : x + SIZE] = target
    return image


def new_tracker(network: weights.Network, **changes: object) -> AtomTracker:
    # Without ascent the box keeps its size, and what is measured is the classifier alone.
    config = TrackerConfig(refinement_steps=0, proposals=1, top_proposals=1, **changes)
    return AtomTracker(network, torch.device("cpu"), config)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_each_shipped_network_follows_a_moving_target(name, scene) -> None:
    tracker = new_tracker(weights.load(name))
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    for i in range(1, 13):
        x, y = 100 + 6 * i, 80 + 3 * i
        result = tracker.track(drawn(scene, (x, y)))
        assert result.state is TrackState.TRACKING
        assert np.allclose(result.box[:2], (x - 0.5, y - 0.5), atol=4)  # a quarter of a score cell of 16 crop px
        assert np.allclose(result.box[2:], SIZE, atol=1e-3)
    assert result.score > 0.5


def test_says_lost_when_the_target_is_gone_and_tracking_when_it_is_back(network, scene) -> None:
    tracker = new_tracker(network)
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    seen = tracker.track(drawn(scene, (104, 82)))
    gone = [tracker.track(drawn(scene)) for _ in range(5)]
    assert [r.state for r in gone] == [TrackState.LOST] + [TrackState.SEARCHING] * 4
    assert all(r.box == pytest.approx(seen.box, abs=1e-3) and r.iou == 0 and r.score < 0.25 for r in gone)
    assert tracker.track(drawn(scene, (110, 84))).state is TrackState.TRACKING


def test_lost_and_uncertain_frames_teach_nothing(network, scene) -> None:
    tracker = new_tracker(network)
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    memory = tracker.target.classifier.memory
    stored, filter_before = memory.stored, tracker.target.classifier.filter.clone()
    for _ in range(12):  # more than an update interval
        tracker.track(drawn(scene))
    assert memory.stored == stored
    assert torch.equal(tracker.target.classifier.filter, filter_before)


def test_an_update_waits_until_the_result_is_out_and_makes_no_difference(network, scene) -> None:
    """One tracker finishes each frame at once, the other when the next comes; the tenth frame is an update."""
    images = [drawn(scene, (100 + 3 * i, 80)) for i in range(13)]
    told, other = new_tracker(network), new_tracker(network)
    for tracker in (told, other):
        tracker.initialize(images[0], (99.5, 79.5, SIZE, SIZE))
    for i, image in enumerate(images[1:], 1):
        before = told.target.classifier.filter.clone()
        assert told.track(image) == other.track(image)
        assert torch.equal(told.target.classifier.filter, before)
        told.finish_frame()
        assert torch.equal(told.target.classifier.filter, before) == (i != 10)
        told.finish_frame()  # once more is nothing more
    assert torch.equal(told.target.classifier.filter, other.target.classifier.filter)


def test_an_update_of_a_full_memory_is_spread_over_frames(network, scene) -> None:
    """The tenth frame begins with what is no iteration; five frames do one iteration each."""
    changed = {}
    for spread in (1, 6):
        tracker = new_tracker(network, memory_size=31, update_spread=spread)
        tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
        for i in range(1, 21):
            before = tracker.target.classifier.filter
            tracker.track(drawn(scene, (100 + 2 * i, 80)))
            tracker.finish_frame()
            changed.setdefault(spread, []).append(not torch.equal(tracker.target.classifier.filter, before))
    assert [i for i, is_changed in enumerate(changed[1], 1) if is_changed] == [10, 20]
    assert [i for i, is_changed in enumerate(changed[6], 1) if is_changed] == [11, 12, 13, 14, 15]


def test_an_update_is_done_before_the_next_is_pending(network, scene) -> None:
    """With an update every third frame, one is spread over three frames at most: two parts of six a frame."""
    tracker = new_tracker(network, memory_size=31, update_spread=6, update_interval=3)
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    updating = []
    for i in range(1, 10):
        tracker.track(drawn(scene, (100 + 2 * i, 80)))
        tracker.finish_frame()
        updating.append(tracker.target.classifier.is_updating)
    assert updating == [False, False, True, True, False, True, True, False, True]


def test_a_planted_look_alike_is_trained_against(network, scene) -> None:
    """Far from the centre, a copy of the target: a hard negative, and the filter's response to it falls."""
    tracker = new_tracker(network, hard_negative_learning_rate=0.1, hard_negative_cg_iterations=10)
    tracker.initialize(drawn(scene, (120, 90)), (119.5, 89.5, SIZE, SIZE))
    both = drawn(scene, (120, 90), (218, 90))
    before = second_peak(tracker, both)
    first = tracker.track(both)
    assert first.hard_negative
    assert np.allclose(first.box[:2], (119.5, 89.5), atol=4)
    for _ in range(5):
        tracker.track(both)
    assert second_peak(tracker, both) < before - 0.1


def second_peak(tracker: AtomTracker, image: np.ndarray) -> float:
    """Raw score about the look-alike, right of the crop's centre by 98 image px."""
    target = tracker.target
    with torch.no_grad():
        queries = queries_of(target, (image.shape[1], image.shape[0]), tracker.config)
        model = Model.prepare(weights.load("default"), tracker.device, tracker.config.crop_size)
        (sample,) = observe(torch.from_numpy(image), queries, model).samples
        return target.classifier.classifier.scores(sample)[0, 0, :, 13:].max().item()


def queries_of(target: Target, size: tuple[int, int], config: TrackerConfig) -> list:
    return [make_query(target, region) for region in plan([target], size, config)[0]]


def test_same_seed_same_boxes_other_seed_other_boxes(network, scene) -> None:
    def run(seed: int) -> list[TrackResult]:
        tracker = AtomTracker(network, torch.device("cpu"), TrackerConfig(seed=seed))
        tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
        return [tracker.track(drawn(scene, (100 + 5 * i, 80))) for i in range(1, 4)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_two_trackers_share_the_network_and_nothing_else(network, scene) -> None:
    a, b = new_tracker(network), new_tracker(network)
    image = drawn(scene, (40, 60), (200, 120))
    a.initialize(image, (39.5, 59.5, SIZE, SIZE))
    alone = a.track(image)
    a.initialize(image, (39.5, 59.5, SIZE, SIZE))
    b.initialize(image, (199.5, 119.5, SIZE, SIZE))
    b.track(image)
    assert a.track(image) == alone


def test_the_networks_weights_exist_once(network, scene) -> None:
    """However many trackers and targets: nothing is compiled again, and what is added is a target's own."""
    pytest.importorskip("openvino")
    image, config = drawn(scene, (40, 60), (200, 120)), TrackerConfig()
    first = AtomTracker(network, torch.device("cpu"), config)
    first.initialize(image, (39.5, 59.5, SIZE, SIZE))
    first.track(image)
    compiled = compile_module.cache_info().misses
    second, several = AtomTracker(network, first.device, config), MultiTracker(network, first.device, config)
    second.initialize(image, (199.5, 119.5, SIZE, SIZE))
    second.track(image)
    for x, y in ((39.5, 59.5), (199.5, 119.5)):
        several.add(image, (x, y, SIZE, SIZE))
    several.track(image)
    assert compile_module.cache_info().misses == compiled
    assert own_bytes(second) == own_bytes(first)
    samples = config.memory_size * config.projected_channels * (config.crop_size // 16) ** 2 * 4
    assert samples < own_bytes(second) < 1.1 * samples  # the memory, and little else


def own_bytes(tracker: AtomTracker) -> int:
    """Of a target's tensors."""
    model, modulation = tracker.target.classifier, tracker.target.modulation
    return sum(t.numel() * t.element_size() for t in (*model.classifier, *modulation, model.memory.samples))


def test_the_image_may_change_its_size(network, scene) -> None:
    """Twice as large, and with 30 lines cut off above and below."""
    tracker = new_tracker(network)
    tracker.initialize(drawn(scene, (200, 150)), (199.5, 149.5, SIZE, SIZE))
    for image, expected in (
        (drawn(scene, (206, 153)), (205.5, 152.5, SIZE, SIZE)),
        (drawn(scene, (212, 156)).repeat(2, 0).repeat(2, 1), (423.5, 311.5, 2 * SIZE, 2 * SIZE)),
        (drawn(scene, (218, 159))[30:-30], (217.5, 128.5, SIZE, SIZE)),
    ):
        result = tracker.track(image)
        assert result.state is TrackState.TRACKING
        assert result.box == pytest.approx(expected, abs=8 if expected[2] > SIZE else 4)


def test_a_target_lost_in_one_size_is_found_in_another(network, scene) -> None:
    tracker = new_tracker(network)
    tracker.initialize(drawn(scene, (200, 150)), (199.5, 149.5, SIZE, SIZE))
    assert tracker.track(drawn(scene)).state is TrackState.LOST
    assert tracker.track(drawn(scene)[::2, ::2]).state is TrackState.SEARCHING
    results = [tracker.track(drawn(scene, (200, 150)).repeat(2, 0).repeat(2, 1)) for _ in range(5)]
    assert results[-1].state is TrackState.TRACKING
    assert results[-1].box == pytest.approx((399.5, 299.5, 2 * SIZE, 2 * SIZE), abs=8)


def test_a_small_foreign_image_does_not_move_a_target_away(network, scene) -> None:
    """The place (200, 150) is outside an image of 80 x 60; a place moved into that would see nothing of the target."""
    tracker = new_tracker(network)
    tracker.initialize(drawn(scene, (200, 150)), (199.5, 149.5, SIZE, SIZE))
    for state in (TrackState.LOST, TrackState.SEARCHING):
        assert tracker.track(np.zeros((60, 80, 3), np.uint8)).state is state
    result = tracker.track(drawn(scene, (206, 153)))
    assert result.state is TrackState.TRACKING
    assert np.allclose(result.box[:2], (205.5, 152.5), atol=4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 10, 3), np.uint8), r"empty.*\(0, 10, 3\)"),
        (np.zeros((10, 10, 3), np.float32), "float32; expected .* uint8"),
        (np.zeros((10, 10), np.uint8), r"shape \(10, 10\)"),
        (np.zeros((10, 10, 4), np.uint8), r"shape \(10, 10, 4\)"),
        ([[0]], "list; expected a numpy array"),
    ],
)
def test_wrong_images_are_named(network, scene, image, message) -> None:
    tracker = new_tracker(network)
    with pytest.raises(ValueError, match=message):
        tracker.initialize(image, (1, 1, 5, 5))
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    with pytest.raises(ValueError, match=message):
        tracker.track(image)
    assert tracker.track(drawn(scene, (102, 80))).state is TrackState.TRACKING


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((10, 10, float("nan"), 5), "not finite"),
        ((10, 10, float("inf"), 5), "not finite"),
        ((10, 10, 0, 5), "too small; expected at least 2 px"),
        ((10, 10, 5, -5), "too small"),
        ((-300, 10, 641, 20), "too large; expected at most 640 px"),
        ((-0.5, -0.5, 20, 1e300), "too large"),
        ((320, 10, 20, 20), "outside the image of 320 x 240 px"),
        ((-30, 10, 20, 20), "outside the image"),
        ((1, 2, 3), "four numbers"),
        (None, "four numbers"),
    ],
)
def test_wrong_boxes_are_named_and_lose_nothing(network, scene, box, message) -> None:
    tracker = new_tracker(network)
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    with pytest.raises(ValueError, match=message):
        tracker.initialize(drawn(scene, (100, 80)), box)
    assert tracker.track(drawn(scene, (102, 80))).state is TrackState.TRACKING


def test_order_of_calls(network, scene) -> None:
    tracker = new_tracker(network)
    with pytest.raises(RuntimeError, match="initialize"):
        tracker.track(drawn(scene))
    tracker.warm_up()
    assert not tracker.is_initialized
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    tracker.warm_up()
    assert tracker.is_initialized
    tracker.reset()
    with pytest.raises(RuntimeError, match="initialize"):
        tracker.track(drawn(scene))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_follows_as_well(network, scene, precision) -> None:
    """bfloat16 has 8 significant bits: the place must agree within a quarter of a score cell. It learns in float32."""
    config = TrackerConfig(refinement_steps=1, update_interval=1)
    full, half = (
        AtomTracker(network, torch.device("cpu"), config, bits, engine="torch") for bits in ("float32", precision)
    )
    for tracker in (full, half):
        tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    for x in (103, 106):
        expected = full.track(drawn(scene, (x, 84))).box
        assert np.allclose(half.track(drawn(scene, (x, 84))).box, expected, atol=4)
    model = half.target.classifier
    assert model.memory.samples.dtype == getattr(torch, precision)
    assert model.filter.dtype == model.projection.dtype == torch.float32


def test_the_vot_configuration_tracks(network, scene) -> None:
    config = dataclasses.replace(TrackerConfig.vot(), refinement_steps=0, proposals=1, top_proposals=1)
    tracker = AtomTracker(network, torch.device("cpu"), config)
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    result = tracker.track(drawn(scene, (106, 84)))
    assert np.allclose(result.box[:2], (105.5, 83.5), atol=4)
    assert tracker.track(drawn(scene)).state is not TrackState.LOST  # the VOT settings never say lost


def test_unusable_devices_are_named() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ValueError, match="0 CUDA devices"):
            choose_device("cuda")


@pytest.mark.parametrize("name", sorted(weights.BACKBONES))
def test_first_frame_and_frame_step_run_on_the_meta_device(name) -> None:
    """There a host read or a stray CPU tensor raises: what a GPU would wait for, or fail on, is found without one."""
    meta = torch.device("meta")
    network = weights.build_network(name)
    model = Model.prepare(network, meta, 288, engine="torch")
    config = TrackerConfig()
    image = torch.empty(480, 640, 3, dtype=torch.uint8, device=meta)
    box = (100.0, 80.0, 60.0, 40.0)
    with torch.no_grad():
        target = learn_first_frame(image, box, model.networks, config)
        queries = queries_of(target, (640, 480), config)
        outputs = step(*step_inputs(image, queries), model.networks)
        region, sample = queries[0].region, outputs.samples[0]
        for hard_negative in (True, False):
            learn(target, found(hard_negative), region, sample, config)
            finish_updates([target], model, config)
        target.frame = config.update_interval - 1
        learn(target, found(), region, sample, config)
        finish_updates([target], model, config)
    assert outputs.results.device == meta and outputs.results.shape == (1, 6 + 5 * config.proposals)
    assert target.classifier.filter.device == meta and target.classifier.filter.shape == (1, 64, 4, 4)
    with pytest.raises((RuntimeError, NotImplementedError)):
        fetch(outputs)  # the one host read of a frame, and the proof that one would be seen


def found(hard_negative: bool = False) -> Decision:
    return Decision(TrackResult((0, 0, 1, 1), 1.0, 1.0, TrackState.TRACKING, hard_negative), 0)


@pytest.mark.skipif(
    sys.version_info >= (3, 12) and torch.__version__.startswith(("2.1.", "2.2.", "2.3.")),
    reason="torch.compile came to Python 3.12 with PyTorch 2.4",
)
def test_the_frame_step_is_one_graph(network, scene) -> None:
    """From the image to what is fetched: no data-dependent Python and no host read, or fullgraph would refuse it."""
    config = TrackerConfig()
    model = Model.prepare(network, torch.device("cpu"), config.crop_size, engine="torch")
    first, image = (torch.from_numpy(drawn(scene, corner)) for corner in ((100, 80), (106, 84)))

    with torch.no_grad():
        target = learn_first_frame(first, (99.5, 79.5, SIZE, SIZE), model.networks, config)
        _, numbers, targets = step_inputs(image, queries_of(target, (320, 240), config))

        def whole_step(image: torch.Tensor, numbers: StepNumbers) -> StepOutputs:
            return step([gather(image, taps) for taps in numbers.taps], numbers, targets, model.networks)

        eager = whole_step(image, numbers)
        compiled = torch.compile(whole_step, fullgraph=True, backend="eager")(image, numbers)
    torch.testing.assert_close(compiled.results, eager.results)
    torch.testing.assert_close(compiled.samples, eager.samples)


def test_a_frame_asks_little_of_the_device(network, scene) -> None:
    """Beside the networks, which the CPU's engine runs; the yardstick is 120 operations, 160 with a whole update."""
    config = TrackerConfig(update_interval=2, update_spread=1)
    tracker = AtomTracker(network, torch.device("cpu"), config, engine="openvino")
    tracker.initialize(drawn(scene, (100, 80)), (99.5, 79.5, SIZE, SIZE))
    tracker.warm_up()
    _, plain = counted(lambda: tracker.track(drawn(scene, (103, 81))), tracker.device)
    before = tracker.target.classifier.filter
    tracker.track(drawn(scene, (106, 82)))
    _, updating = counted(lambda: tracker.track(drawn(scene, (109, 83))), tracker.device)  # begins with the update
    assert not torch.equal(tracker.target.classifier.filter, before)
    assert plain.operations <= 57 and updating.operations <= 150
    assert plain.host_reads == updating.host_reads == 1
    assert plain.uploads == 2  # the image, and one vector of numbers
    assert updating.uploads == 3  # and the memory's labels and weights


def test_the_core_never_imports_ros() -> None:
    forbidden = {"rclpy", "sensor_msgs", "std_msgs", "std_srvs", "cv_bridge", "launch", "atom_ros", "atom_tracker"}
    for path in Path(atom_core.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & forbidden, path
