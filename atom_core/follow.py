# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""One frame, top to bottom: observe, recognise, decide, learn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from atom_core import boxes
from atom_core.boxes import Box
from atom_core.candidate import SearchRegion
from atom_core.config import TrackerConfig
from atom_core.long_term.appearance import TemplatePatch
from atom_core.long_term.strategy import Decision
from atom_core.model import Model
from atom_core.observe import Observation, Query, observe, step_inputs
from atom_core.result import TrackResult, TrackState
from atom_core.sharing import leaders
from atom_core.target import Target, make_labels


def follow(image: Tensor, targets: Sequence[Target], model: Model, config: TrackerConfig) -> list[TrackResult]:
    """Finds each target in an image (H, W, 3) uint8 on the device and learns from it.

    The filters' updates are left for the time after the result, see `finish_updates`.
    """
    finish_updates(targets, model, config)
    regions = plan(targets, (image.shape[1], image.shape[0]), config)
    queries = [make_query(t, region) for t, own in zip(targets, regions, strict=True) for region in own]
    observation = observe(image, queries, model)
    parts = pairwise(accumulate(map(len, regions), initial=0))
    return [
        follow_one(target, own, observation, part, config).calibrated(model.calibration)
        for target, own, part in zip(targets, regions, parts, strict=True)
    ]


def plan(targets: Sequence[Target], size: tuple[int, int], config: TrackerConfig) -> list[list[SearchRegion]]:
    """The search regions of each target in an image of this size (width, height).

    Targets with a single region share its square where theirs nearly agree, see `atom_core.sharing`.
    """
    for target in targets:
        target.resize_image(size)
    regions = [target.long_term.plan(target.place, size, config) for target in targets]
    single = [own[0].square for own in regions if len(own) == 1]
    shared = iter([single[leader] for leader in leaders(single)])
    return [[own[0]._replace(square=next(shared))] if len(own) == 1 else own for own in regions]


def make_query(target: Target, region: SearchRegion) -> Query:
    """A search region with all that the target is found by."""
    # A search compares predicted overlaps with fixed numbers, which are for the reference branch's own vectors.
    modulation = target.reference if target.long_term.is_searching else target.modulation
    return Query(region, target.next_jitter(), target.classifier.classifier, modulation)


def follow_one(
    target: Target,
    regions: Sequence[SearchRegion],
    observation: Observation,
    part: tuple[int, int],
    config: TrackerConfig,
) -> TrackResult:
    """Recognises, decides and learns for one target, whose queries are those from `part[0]` up to `part[1]`."""
    first, end = part

    def cut_patch(number: int, box: Box) -> TemplatePatch:
        return observation.cut_patch(first + number, box)

    strategy = target.long_term
    candidates = strategy.recognise(regions, observation.candidates[first:end], target.image_size, cut_patch)
    decision = strategy.judge(target.place, candidates, config)
    learn(target, decision, regions[decision.chosen], observation.samples[first + decision.chosen], config)
    strategy.learn(decision, target.frame, config, cut_patch)
    return decision.result


def learn(target: Target, decision: Decision, region: SearchRegion, sample: Tensor, config: TrackerConfig) -> None:
    """Takes the frame into the target: its box and, where it teaches, its sample; notes which update is pending.

    The sample (1, D, h, h) is that of the search region.
    """
    result = decision.result
    target.frame += 1
    target.has_pending_share = True
    if result.state is TrackState.SEARCHING:
        return
    if result.state.is_visible:  # a foreign image, perhaps a small one, must not move the place
        target.place = result.box
        target.note_iou(result.iou, config)
    if target.long_term.teaches(result, config):
        rate = config.hard_negative_learning_rate if result.hard_negative else config.learning_rate
        center = boxes.points_to_crop(boxes.center(np.array(result.box)), np.array(region.square), config.crop_size)
        target.classifier.memory.insert(sample, make_labels(center[None], config), rate)
        target.has_new_samples = True
    if result.hard_negative and target.long_term.cooldown == 0:
        target.pending_update, target.has_new_samples = config.hard_negative_cg_iterations, False
    elif target.has_new_samples and target.frame % config.update_interval == 0:
        target.pending_update, target.has_new_samples = config.update_cg_iterations, False


def finish_updates(targets: Sequence[Target], model: Model, config: TrackerConfig) -> None:
    """Does the last frame's share of the filters' updates.

    An update is spread over `config.update_spread` frames, but at most over those until the next one. Captured, it is
    one launch, and done at once.
    """
    frames = min(config.update_spread, config.update_interval)
    with torch.no_grad():
        for target in targets:
            if target.has_pending_share:
                _do_share(target, 1 if model.execution.can_replay else frames, model)
                target.has_pending_share = False


def _do_share(target: Target, frames: int, model: Model) -> None:
    """A frame's share of the target's update; a pending one begins when the one before is done."""
    classifier, iterations = target.classifier, target.pending_update
    if classifier.is_updating:
        classifier.advance_update()
        return
    target.pending_update = 0
    if iterations and frames == 1:
        classifier.update(iterations, model.improve)
    elif iterations:
        classifier.begin_update(iterations, frames)


def capture(image: Tensor, target: Target, model: Model, config: TrackerConfig) -> None:
    """Captures the step and the updates for targets like this one, if that is wanted; see `Model.capture`."""
    region = SearchRegion.about(target.place, config)
    query = Query(region, target.jitter[0], target.classifier.classifier, target.modulation)
    iterations = config.update_cg_iterations, config.hard_negative_cg_iterations
    model.capture(lambda: step_inputs(image, [query]), target.classifier.training_batch, iterations)
