# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Each stage of a frame on a device, against the CPU in float32. What was measured goes into the report."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from atom_core.benchmark.scene import DrawnScene
from atom_core.boxes import as_box, search_region
from atom_core.candidate import SearchRegion
from atom_core.classifier.target_model import TrainingBatch, improve_filter
from atom_core.crop import sample_crop
from atom_core.data.sequences import read_sequence
from atom_core.networks.iou_predictor import Modulation
from atom_core.observe import Query, step, step_inputs
from atom_core.refinement.torch_refiner import Ascent
from atom_core.target import learn_first_frame
from atom_core.tracker import upload

CPU = torch.device("cpu")
STREET = Path(__file__).parents[2] / "demo" / "street"
# Root mean square of the difference, as a share of that of the CPU's result. On CUDA, float32 convolutions may round
# their inputs to ten bits (TF32), as PyTorch does by default; float16 has ten bits, bfloat16 seven.
SHARES = {"float32": 0.01, "float16": 0.02, "bfloat16": 0.15}
PIXELS = {"float32": 0.5, "float16": 1.0, "bfloat16": 5.0}  # crop px, of a box's sides after the ascent
precisions = pytest.mark.parametrize("precision", SHARES)


@pytest.fixture(scope="module")
def street() -> tuple[np.ndarray, tuple]:
    """The first frame of the street clip and the target's box."""
    sequence = read_sequence(STREET)
    return next(iter(sequence.frames)), as_box(map(float, sequence.boxes[0]))


def crop_of(street, size: int) -> torch.Tensor:
    """The search region (1, 3, S, S) of the street clip's first frame."""
    image, box = street
    return sample_crop(torch.from_numpy(image), search_region(box, 5.0), size)[None]


def share(result: torch.Tensor, expected: torch.Tensor) -> float:
    """Root mean square of the difference as a share of the expected one's; NaN if either is not finite."""
    result, expected = result.detach().cpu().double(), expected.detach().cpu().double()
    return float((result - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def test_a_share_by_hand() -> None:
    assert share(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx((1 / 25) ** 0.5)
    assert not share(torch.tensor([float("nan")]), torch.tensor([1.0])) <= 1


@pytest.mark.parametrize("is_cut", [False, True])
def test_image_and_crop(device, street, is_cut, record_property) -> None:
    """Also of a part of a larger image, whose lines are not contiguous."""
    image = street[0][3:-2, 5:-4] if is_cut else street[0]
    uploaded = upload(image, device)
    assert uploaded.device.type == device.type and np.array_equal(uploaded.cpu().numpy(), image)
    for region in ((100, 80, 177.0), (-40, 300, 500.0)):
        crops = [sample_crop(one, region, 96) for one in (uploaded, torch.from_numpy(np.ascontiguousarray(image)))]
        difference = float((crops[0].cpu() - crops[1]).abs().max())
        record_property(f"grey values at {region[:2]}", difference)
        assert difference <= 0.01


@precisions
def test_features_and_iou_maps(device, config, street, precision, networks_on, record_property) -> None:
    crop = crop_of(street, config.crop_size)
    with torch.no_grad():
        expected = networks_on(CPU, config.crop_size).features(crop)
        networks = networks_on(device, config.crop_size, precision)
        features = networks.features(crop.to(device))
        maps = networks_on(CPU, config.crop_size).iou_net.test_maps(expected)
        on_device = networks_on(device, config.crop_size).iou_net.test_maps(features)
    assert features.stride8.dtype == torch.float32 and features.stride8.device.type == device.type
    pairs = {"stride 8": (features[0], expected[0]), "stride 16": (features[1], expected[1])}
    pairs |= {"IoU map 8": (on_device.t3, maps.t3), "IoU map 16": (on_device.t4, maps.t4)}
    for name, pair in pairs.items():
        record_property(name, share(*pair))
        assert share(*pair) <= SHARES[precision], name


def test_what_is_tolerated_does_not_hide_another_network(small_config, street, networks_on) -> None:
    """A channel in ten less, in one layer of many, is more than float32 may differ by."""
    crop = crop_of(street, small_config.crop_size)
    networks = networks_on(CPU, small_config.crop_size)
    with torch.no_grad():
        features = networks.features(crop)
        spoiled = features.stride16.clone()
        spoiled[:, ::10] = 0
    assert share(spoiled, features.stride16) > SHARES["float32"]


@precisions
def test_modulation_and_boxes(device, config, street, precision, networks_on, record_property) -> None:
    """The target's modulation vectors, the ascent on the predicted IoU, and the IoU predicted at its end."""
    size = config.crop_size
    crop, middle, side = crop_of(street, size), size / 2 - 0.5, size / 5
    box = torch.tensor([[middle - side / 2, middle - side / 2, side, side]])
    shifts = torch.tensor([[0.0, 0, 0, 0], [3, -2, 5, 4], [-4, 3, -6, 8], [2, 5, 7, -5]]) * size / 288
    results = []
    for place, kind in ((CPU, "float32"), (device, precision)):
        networks = networks_on(place, size, kind)
        with torch.no_grad():
            features = networks.features(crop.to(place))
            modulation = networks.modulation(features, box.to(place))
            refined = networks.refine(features, modulation, (box + shifts).to(place), Ascent(5, 1.0, False))
        results.append((torch.cat(modulation, 1).cpu(), *(part.cpu() for part in refined)))
    (expected, boxes, predicted), (vectors, other, other_predicted) = results
    record_property("modulation", share(vectors, expected))
    record_property("box, crop px", float((other - boxes).abs().max()))
    record_property("IoU", float((other_predicted - predicted).abs().max() / 2))
    assert share(vectors, expected) <= SHARES[precision]
    assert float((other - boxes).abs().max()) <= PIXELS[precision] * size / 288
    assert float((other_predicted - predicted).abs().max() / 2) <= 0.75 * SHARES[precision] + 0.01
    assert float((boxes - box - shifts).abs().max()) > 0.2 * size / 288  # the ascent moved them


@precisions
def test_the_first_frame_is_learned_alike(device, config, street, precision, networks_on, record_property) -> None:
    """Scores of the learned classifier on its own first sample: the peak's place and height."""
    image, box = street
    maps = []
    for place, kind in ((CPU, "float32"), (device, precision)):
        with torch.no_grad():
            target = learn_first_frame(upload(image, place), box, networks_on(place, config.crop_size, kind), config)
            sample = target.classifier.memory.samples[:1].float()
            maps.append(target.classifier.classifier.scores(sample)[0, 0].cpu())
    expected, scores = maps
    record_property("scores", float((scores - expected).abs().max()))
    assert int(expected.argmax()) == int(scores.argmax()) and float(expected.max()) > 0.2
    assert float((scores - expected).abs().max()) <= {"float32": 0.05, "float16": 0.05, "bfloat16": 0.15}[precision]


@pytest.mark.parametrize("samples", [12, 250])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_filters_update(device, samples, dtype, record_property) -> None:
    """One update of five iterations of the same filter on the same samples, as shares of how far it goes."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(samples, 64, 18, 18, generator=generator)
    labels = torch.rand(samples, 36, generator=generator)
    numbers = torch.cat((labels, torch.full((samples, 1), 1 / samples)), dim=1)
    taps = 0.05 * torch.randn(16, 64, generator=generator)
    with torch.no_grad():
        expected = improve_filter(TrainingBatch(taps, drawn, numbers, 4, 0.05, 0.1), 5)
        on_device = (taps.to(device), drawn.to(device, dtype), numbers.to(device))
        result = improve_filter(TrainingBatch(*on_device, 4, 0.05, 0.1), 5).cpu()
    change = share(result - taps, expected - taps)
    record_property("change", change)
    assert float((expected - taps).abs().max()) > 0.01
    assert change <= {torch.float32: 0.02, torch.float16: 0.02, torch.bfloat16: 0.1}[dtype]


def step_arguments(device, config, networks_on) -> tuple:
    """Arguments of `observe.step` for one target in a drawn image, and its networks."""
    scene = DrawnScene(320, 240)
    image, networks = upload(scene.image(0), device), networks_on(device, config.crop_size)
    with torch.no_grad():
        target = learn_first_frame(image, scene.box(0), networks, config)
    region = SearchRegion.about(scene.box(1), config)
    query = Query(region, target.next_jitter(), target.classifier.classifier, target.modulation)
    return (*step_inputs(image, [query]), networks)


def test_the_frame_step_never_waits_for_the_device(device, config, networks_on) -> None:
    """On CUDA PyTorch itself raises where the host would wait."""
    arguments = step_arguments(device, config, networks_on)
    with torch.no_grad(), _no_waiting(device):
        outputs = step(*arguments)
    assert outputs.results.shape == (1, 6 + 5 * config.proposals)
    assert bool(torch.isfinite(outputs.results).all())


@contextlib.contextmanager
def _no_waiting(device: torch.device):
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_frame_step_reads_no_number_of_the_device(small_config, networks_on) -> None:
    """On the device "meta" there are no numbers: whatever reads one raises. So CUDA can record the step as a graph."""
    pixels, numbers, (target,), _ = step_arguments(CPU, small_config, networks_on)
    meta = torch.device("meta")
    modulation = Modulation(*(m.to(meta) for m in target.modulation))
    classifier = type(target.classifier)(*(t.to(meta) for t in target.classifier))
    there = networks_on(meta, small_config.crop_size)
    with torch.no_grad():
        outputs = step(
            [p.to(meta) for p in pixels],
            type(numbers)(*(n.to(meta) for n in numbers)),
            [target._replace(classifier=classifier, modulation=modulation)],
            there,
        )
    assert outputs.results.device.type == "meta"
    assert outputs.results.shape == (1, 6 + 5 * small_config.proposals)
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(outputs.results[0, 0])
