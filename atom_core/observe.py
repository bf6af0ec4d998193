# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""From search regions to candidates, in one call: crop, upload, step, fetch, interpret.

    host    upload_numbers: search regions -> a few numbers, uploaded as one vector
    device  step:           pixels, numbers -> features, peaks of the score map, boxes ascended on the predicted IoU
    host    interpret:      the step's results -> the candidate's box, score, IoU and state

Small arrays (up to some forty numbers) stay on the host: a launch would cost more. The step has static shapes and no
host read in it, so it is one graph (torch.compile's fullgraph) that can be captured once and replayed
(`atom_core.capture`). Before it, only the search region's pixels are picked out of the image (`crop.gather`), so that
the graph does not depend on the image's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atom_core import boxes
from atom_core.boxes import Box, Region
from atom_core.candidate import Candidate, SearchRegion
from atom_core.capture import Captured, Execution, cloned
from atom_core.classifier.localize import Limits, classify, find_peaks, limits, target_position
from atom_core.classifier.target_model import Classifier, normalize_features
from atom_core.crop import blend, crop_taps, gather
from atom_core.long_term.appearance import TemplatePatch
from atom_core.networks.backbones import Features
from atom_core.networks.iou_predictor import Modulation
from atom_core.refinement.proposals import draw_proposals, select
from atom_core.refinement.torch_refiner import Ascent, needs_whole_maps

if TYPE_CHECKING:
    from atom_core.model import Model

_FACTS = 6  # numbers of a result before its boxes: two scores, whether each is near, the target's position
_TOLERANCE = 0.05  # of the peaks' scores, between captured and not: what half precision may differ by


class StepNetworks(Protocol):
    """The networks as the step calls them, see `atom_core.networks.prepared.Networks`."""

    def features(self, crops: Tensor) -> Features:
        """Backbone features of crops (N, 3, S, S)."""
        ...

    def refine(
        self, features: Features, modulation: Modulation, proposals: Tensor, ascent: Ascent
    ) -> tuple[Tensor, Tensor]:
        """See `atom_core.refinement.torch_refiner.Refiner`."""
        ...


class Query(NamedTuple):
    """One search region, and the target that is searched for in it."""

    region: SearchRegion
    noise: np.ndarray  # (P - 1, 4), see `draw_proposals`
    classifier: Classifier
    modulation: Modulation

    @property
    def size(self) -> np.ndarray:
        """(2,) crop px, the expected width and height."""
        return np.array(self.region.expected[2:]) * (self.region.config.crop_size / self.region.square[2])


class StepTarget(NamedTuple):
    """A target on the device: its models, and constants of the graph."""

    classifier: Classifier
    modulation: Modulation
    crop: int  # number of its search region's square among the frame's
    use_hann_window: bool
    ascent: Ascent
    least_score: float  # below which nothing is found, so that there is nothing to refine


class StepNumbers(NamedTuple):
    """The numbers of a frame that the step needs, beside the image."""

    taps: Tensor  # (R, 2, 3 * S) of R squares, see `crop_taps`
    limits: Tensor  # (L, 4) of L queries, see `localize.limits`
    proposals: Tensor  # (L, P, 4) about the origin, see `draw_proposals`


class StepOutputs(NamedTuple):
    """What the step computes."""

    results: Tensor  # (L, 6 + 5 * P), to be fetched and interpreted
    samples: list[Tensor]  # of each query (1, D, h, h), projected
    features: Features  # of the R squares


@dataclass(frozen=True)
class Observation:
    """What one frame shows of all queries.

    Attributes:
        candidates: of each query.
        samples: of each query (1, D, h, h), projected, on the device.
    """

    candidates: list[Candidate]
    samples: list[Tensor]
    _queries: Sequence[Query]
    _features: Features

    def cut_patch(self, number: int, box: Box) -> TemplatePatch:
        """The features of a box in image px, in the search region of the query of this number."""
        region = self._queries[number].region
        square = _squares(self._queries).index(region.square)
        in_crop = boxes.image_to_crop(np.array(box), np.array(region.square), region.config.crop_size)
        return TemplatePatch.of(Features(*(f[square : square + 1] for f in self._features)), tuple(in_crop.tolist()))


def observe(image: Tensor, queries: Sequence[Query], model: Model) -> Observation:
    """The candidate of each query in an image (H, W, 3) uint8 on the device.

    One pass of the backbone and one host read serve all queries; those of one square share its crop and its features.
    """
    size = image.shape[1], image.shape[0]
    outputs = run_step(model.execution, model.step, *step_inputs(image, queries))
    candidates = [interpret(row, query, size) for row, query in zip(fetch(outputs), queries, strict=True)]
    return Observation(candidates, outputs.samples, queries, outputs.features)


def step_inputs(image: Tensor, queries: Sequence[Query]) -> tuple[list[Tensor], StepNumbers, list[StepTarget]]:
    """The arguments of `step`: the squares' pixels, the queries' numbers, and their targets."""
    squares = _squares(queries)
    numbers = upload_numbers(queries, squares, image)
    targets = [_step_target(query, squares.index(query.region.square)) for query in queries]
    return [gather(image, taps) for taps in numbers.taps], numbers, targets


def _squares(queries: Sequence[Query]) -> list[Region]:
    """The squares of one frame, each once, as their crops and features are numbered."""
    return list(dict.fromkeys(query.region.square for query in queries))


def _step_target(query: Query, crop: int) -> StepTarget:
    config = query.region.config
    whole = needs_whole_maps(*query.region.expected[2:], config.search_area_factor, config.crop_size)
    ascent = Ascent(config.refinement_steps, config.refinement_step_length, whole)
    return StepTarget(
        query.classifier, query.modulation, crop, config.use_hann_window, ascent, config.not_found_threshold
    )


def upload_numbers(queries: Sequence[Query], squares: Sequence[Region], image: Tensor) -> StepNumbers:
    """All numbers of a frame, for queries in squares of an image (H, W, 3), in one copy to its device."""
    config = queries[0].region.config
    size, proposals = config.crop_size, config.proposals
    taps = [crop_taps(square, size, image.shape[1], image.shape[0]) for square in squares]
    bounds = [limits(query.size, query.region.config) for query in queries]
    drawn = [draw_proposals(query.size, query.region.config, query.noise) for query in queries]
    flat = np.concatenate([array.ravel() for array in (*taps, *bounds, *drawn)], dtype=np.float32)
    parts = (len(taps) * 6 * size, len(queries) * 4, len(queries) * proposals * 4)
    of_taps, of_limits, of_drawn = torch.from_numpy(flat).to(image.device).split(parts)
    return StepNumbers(of_taps.view(-1, 2, 3 * size), of_limits.view(-1, 4), of_drawn.view(-1, proposals, 4))


def captured_step(networks: StepNetworks) -> Captured[StepOutputs]:
    """`step` with networks that never change, to be captured."""

    def step_of_networks(pixels: Sequence[Tensor], numbers: StepNumbers, targets: Sequence[StepTarget]) -> StepOutputs:
        return step(pixels, numbers, targets, networks)

    return Captured(step_of_networks, _step_difference)


def _step_difference(result: StepOutputs, expected: StepOutputs, _: Sequence[Any]) -> str:
    scores, expected_scores = (outputs.results[:, :2].float().cpu() for outputs in (result, expected))
    if torch.allclose(scores, expected_scores, atol=_TOLERANCE):
        return ""
    return f"the scores were {scores.tolist()} instead of {expected_scores.tolist()}"


def run_step(
    execution: Execution,
    captured: Captured[StepOutputs],
    pixels: Sequence[Tensor],
    numbers: StepNumbers,
    targets: Sequence[StepTarget],
) -> StepOutputs:
    """The step's outputs; replayed, one target after the other: there is no graph for each number of targets."""
    if len(targets) == 1 or not execution.can_replay:
        return execution.run(captured, pixels, numbers, targets)
    outputs = []
    for i, target in enumerate(targets):
        one = StepNumbers(numbers.taps[target.crop, None], numbers.limits[i, None], numbers.proposals[i, None])
        outputs.append(cloned(execution.run(captured, [pixels[target.crop]], one, [target._replace(crop=0)])))
    of_crop = {target.crop: one.features for target, one in zip(targets, outputs, strict=True)}
    features = Features(*(torch.cat([of_crop[crop][i] for crop in range(len(pixels))]) for i in range(2)))
    samples = [sample for one in outputs for sample in one.samples]
    return StepOutputs(torch.cat([one.results for one in outputs]), samples, features)


def step(
    pixels: Sequence[Tensor], numbers: StepNumbers, targets: Sequence[StepTarget], networks: StepNetworks
) -> StepOutputs:
    """The outputs for each target, from the pixels (2 * S, 2 * S, 3) of R squares, see `crop.gather`."""
    crops = [blend(of_square, taps) for of_square, taps in zip(pixels, numbers.taps, strict=True)]
    features = networks.features(_stack(crops))
    outputs = [
        _step_one(Features(*(f[target.crop : target.crop + 1] for f in features)), target, bounds, proposals, networks)
        for target, bounds, proposals in zip(targets, numbers.limits, numbers.proposals, strict=True)
    ]
    results, samples = zip(*outputs, strict=True)
    return StepOutputs(_stack(results), list(samples), features)


def _step_one(
    features: Features, target: StepTarget, bounds: Tensor, proposals: Tensor, networks: StepNetworks
) -> tuple[Tensor, Tensor]:
    """Result (6 + 5 * P,) and sample of one target, from the features (1, ...) of its square."""
    sample = target.classifier.project(normalize_features(features.stride16))
    within = Limits.of(bounds)
    peaks = find_peaks(target.classifier.scores(sample)[0, 0], within, target.use_hann_window)
    position = target_position(peaks, within)
    proposals = proposals + F.pad(position, (0, 2))
    if _finds_nothing(peaks.scores, target.least_score):
        refined, predicted = proposals, torch.zeros_like(proposals[:, 0])
    else:
        refined, predicted = networks.refine(features, target.modulation, proposals, target.ascent)
    return torch.cat((peaks.scores, peaks.near, position, refined.flatten(), predicted)), sample


def _finds_nothing(scores: Tensor, least_score: float) -> bool:
    """Whether a region needs no refinement: most of those that a search looks at.

    Only asked on the CPU: elsewhere it would wait for the device, and a captured graph has no branches.
    """
    if scores.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not scores.float().numpy()[0] >= least_score


def fetch(outputs: StepOutputs) -> np.ndarray:
    """The results (L, 6 + 5 * P) on the host: the one host read of a frame."""
    return outputs.results.cpu().numpy()


def interpret(result: np.ndarray, query: Query, size: tuple[int, int]) -> Candidate:
    """The candidate of one result (6 + 5 * P,), its box kept in an image of this size (width, height)."""
    region, config = query.region, query.region.config
    score1, score2, near1, near2 = result[:4]
    found = classify(score1, score2, near1, near2, config)
    score = float(result[int(found.is_second)])
    if not found.state.is_visible:
        return region.nothing(score, size)
    ascended = result[_FACTS:].astype(np.float64)
    best = select(ascended[: 4 * config.proposals].reshape(-1, 4), ascended[4 * config.proposals :], config)
    in_crop = boxes.from_center(result[4:_FACTS].astype(np.float64), query.size) if best is None else best.box
    box = boxes.crop_to_image(in_crop, np.array(region.square), config.crop_size).tolist()
    iou = best.iou if best else 0.0
    return Candidate(region.keep_in_image(box, size), score, iou, found.state, found.hard_negative)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """torch.stack, which copies; a single tensor is only viewed as (1, ...)."""
    return torch.stack(list(tensors)) if len(tensors) > 1 else tensors[0][None]
