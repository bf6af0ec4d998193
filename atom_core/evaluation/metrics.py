# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Overlap, success and precision of a tracker's boxes, by the protocols of OTB, LaSOT and GOT-10k.

Sources:
- success and precision: Wu, Lim, Yang, "Object Tracking Benchmark", TPAMI 2015, section 4: one pass, every frame
  counts, including the first, whose box is given;
- normalised precision: Müller et al., "TrackingNet", ECCV 2018; thresholds of LaSOT's toolkit;
- AO and SR: Huang, Zhao, Huang, "GOT-10k", TPAMI 2019, and the benchmark's toolkit.

Boxes are (x, y, width, height), continuous image px.

Absent boxes are rows with a NaN:
- absent in the reference: the frame is not counted, whatever the tracker's state (overlap NaN);
- absent in the prediction only: overlap 0, centre distance infinite. It is a miss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SUCCESS_THRESHOLDS = np.linspace(0.0, 1.0, 21)  # 0, 0.05, ..., 1
PRECISION_THRESHOLDS = np.arange(51.0)  # image px
NORMALIZED_THRESHOLDS = np.arange(51) / 100  # of the target's width and height
_RANKING = 20  # of the thresholds of precision: 20 px, and 0.2 of the target's size


@dataclass(frozen=True)
class Scores:
    """Scores of one sequence; each share is of the frames with a reference box."""

    auc: float  # mean of the success curve; a perfect tracker reaches 20/21, since no overlap is above 1
    mean_overlap: float
    success_50: float  # share with overlap > 0.5
    precision_20: float  # share with a centre distance <= 20 px
    frames: int  # counted
    normalized_precision_20: float  # share with a normalised centre distance <= 0.2
    normalized_precision_auc: float  # mean of the normalised precision curve
    # GOT-10k's figures exclude the first frame; NaN if no other is counted.
    ao: float  # mean overlap
    sr_50: float  # share with overlap > 0.5
    sr_75: float
    ao_frames: int  # counted


@dataclass(frozen=True)
class Curves:
    """Shares of the counted frames for plots, one for each of the thresholds above; NaN if no frame is counted."""

    success: np.ndarray  # (21,), non-increasing
    precision: np.ndarray  # (51,), non-decreasing
    normalized_precision: np.ndarray  # (51,), non-decreasing


def overlap(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Intersection over union, row by row.

    Args:
        predicted: (N, 4).
        reference: (N, 4).

    Returns:
        (N,) float64 in [0, 1]; NaN where the reference is absent, 0 where only the prediction is.

    Raises:
        ValueError: if the shapes are not (N, 4) and equal.
    """
    predicted, reference = _checked(predicted, reference)
    low = np.maximum(predicted[:, :2], reference[:, :2])
    high = np.minimum(predicted[:, :2] + predicted[:, 2:], reference[:, :2] + reference[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    areas = [np.prod(np.clip(boxes[:, 2:], 0.0, None), axis=1) for boxes in (predicted, reference)]
    union = areas[0] + areas[1] - shared
    shares = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    # Rounding can make the intersection larger than either box, and OTB's last threshold is "above 1".
    return _with_absences(shares.clip(max=1.0), predicted, reference, missed=0.0)


def center_distance(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Euclidean distance of the boxes' centres in px, row by row.

    Args:
        predicted: (N, 4).
        reference: (N, 4).

    Returns:
        (N,) float64; NaN where the reference is absent, infinite where only the prediction is.

    Raises:
        ValueError: if the shapes are not (N, 4) and equal.
    """
    predicted, reference = _checked(predicted, reference)
    distance = np.linalg.norm(_offset(predicted, reference), axis=1)
    return _with_absences(distance, predicted, reference, missed=np.inf)


def normalized_distance(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """As `center_distance`, but x in units of the reference box's width and y in units of its height."""
    predicted, reference = _checked(predicted, reference)
    distance = np.linalg.norm(_offset(predicted, reference) / reference[:, 2:], axis=1)
    return _with_absences(distance, predicted, reference, missed=np.inf)


def drift(predicted: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Drift of centre and size from the reference, per frame: slopes of the best-fitting lines through 0.

    The centre's error is its distance over the reference's side sqrt(width * height), at most 1; the size's error is
    |log2| of the ratio of the sides, at most 1: 0.01 is 0.7 % per frame. For an absent box both are 1.

    Args:
        predicted: (N, 4).
        reference: (N, 4); frames without it are not counted.

    Returns:
        drift of the centre and of the size; NaN if no frame but the first is counted.

    Raises:
        ValueError: if the shapes are not (N, 4) and equal.
    """
    predicted, reference = _checked(predicted, reference)
    sides = [np.sqrt(np.prod(boxes[:, 2:].clip(min=1e-9), axis=1)) for boxes in (predicted, reference)]
    moved = np.linalg.norm(_offset(predicted, reference), axis=1) / sides[1]
    changed = np.abs(np.log2(sides[0] / sides[1]))
    frames = np.arange(len(reference))
    counted = ~np.isnan(reference).any(axis=1) & (frames > 0)
    if not counted.any():
        return float("nan"), float("nan")
    times = frames[counted]
    errors = np.nan_to_num(np.stack((moved, changed))[:, counted], nan=1.0).clip(max=1.0)
    center, size = errors @ times / (times @ times)
    return float(center), float(size)


def got10k_overlap(
    predicted: np.ndarray, reference: np.ndarray, image_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Overlaps by the rules of GOT-10k: the first frame is excluded, and boxes are bounded by the image.

    Args:
        predicted: (N, 4).
        reference: (N, 4).
        image_size: (width, height); None: boxes are not bounded.

    Returns:
        (N - 1,) float64 as `overlap`. The benchmark's AO is the mean over the frames of all sequences together.

    Raises:
        ValueError: if the shapes are not (N, 4) and equal.
    """
    predicted, reference = _checked(predicted, reference)
    if image_size is not None:
        predicted, reference = _bounded(predicted, image_size), _bounded(reference, image_size)
    return overlap(predicted[1:], reference[1:])


def curves(predicted: np.ndarray, reference: np.ndarray) -> Curves:
    """The curves of one sequence.

    Args:
        predicted: (N, 4).
        reference: (N, 4).

    Raises:
        ValueError: if the shapes are not (N, 4) and equal.
    """
    return Curves(
        success=success_curve(overlap(predicted, reference)),
        precision=_share_within(center_distance(predicted, reference), PRECISION_THRESHOLDS),
        normalized_precision=_share_within(normalized_distance(predicted, reference), NORMALIZED_THRESHOLDS),
    )


def success_curve(overlaps: np.ndarray) -> np.ndarray:
    """Share of counted frames with an overlap above each of SUCCESS_THRESHOLDS.

    Args:
        overlaps: (N,); NaN is not counted.

    Returns:
        (21,) float64, non-increasing; all NaN if no frame is counted.
    """
    counted = overlaps[~np.isnan(overlaps)]
    if not counted.size:
        return np.full(len(SUCCESS_THRESHOLDS), np.nan)
    return (counted[:, None] > SUCCESS_THRESHOLDS).mean(axis=0)


def score(predicted: np.ndarray, reference: np.ndarray, image_size: tuple[int, int] | None = None) -> Scores:
    """Scores of one sequence.

    Args:
        predicted: (N, 4).
        reference: (N, 4).
        image_size: (width, height), which AO and SR need to follow GOT-10k's rules exactly.

    Raises:
        ValueError: if the shapes are not (N, 4) and equal, or no frame has a reference box.
    """
    overlaps, plots = overlap(predicted, reference), curves(predicted, reference)
    counted = overlaps[~np.isnan(overlaps)]
    if not counted.size:
        raise ValueError(f"none of the {len(overlaps)} frames has a reference box; expected at least one")
    later = got10k_overlap(predicted, reference, image_size)
    later = later[~np.isnan(later)]
    return Scores(
        auc=float(plots.success.mean()),
        mean_overlap=float(counted.mean()),
        success_50=float((counted > 0.5).mean()),
        precision_20=float(plots.precision[_RANKING]),
        frames=counted.size,
        normalized_precision_20=float(plots.normalized_precision[_RANKING]),
        normalized_precision_auc=float(plots.normalized_precision.mean()),
        ao=_mean(later),
        sr_50=_mean(later > 0.5),
        sr_75=_mean(later > 0.75),
        ao_frames=later.size,
    )


def _checked(predicted: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predicted, reference = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if predicted.shape != reference.shape or predicted.ndim != 2 or predicted.shape[1] != 4:
        raise ValueError(f"boxes have shapes {predicted.shape} and {reference.shape}; expected both (N, 4)")
    return predicted, reference


def _with_absences(values: np.ndarray, predicted: np.ndarray, reference: np.ndarray, missed: float) -> np.ndarray:
    values = np.where(np.isnan(predicted).any(axis=1), missed, values)
    return np.where(np.isnan(reference).any(axis=1), np.nan, values)


def _offset(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """From the reference's centre to the prediction's, (N, 2) px."""
    return predicted[:, :2] + predicted[:, 2:] / 2 - reference[:, :2] - reference[:, 2:] / 2


def _bounded(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Boxes bounded as in GOT-10k's toolkit: in its own pixels, which start at 1, the corner before the size.

    So a box that begins left of or above the image is moved in rather than cut, and keeps its size.
    """
    limits = np.array(image_size, dtype=np.float64)
    corner = (boxes[:, :2] + 1.0).clip(0.0, limits)
    return np.concatenate((corner, boxes[:, 2:].clip(0.0, limits - corner)), axis=1)


def _share_within(distances: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    counted = distances[~np.isnan(distances)]
    if not counted.size:
        return np.full(len(thresholds), np.nan)
    return (counted[:, None] <= thresholds).mean(axis=0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
