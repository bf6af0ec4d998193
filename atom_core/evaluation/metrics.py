# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Overlap, success and precision of a tracker's boxes, by the OTB protocol.

Source: Wu, Lim, Yang, "Object Tracking Benchmark", TPAMI 2015, section 4: one pass, every frame counts, the first
(whose box is given) too.
Boxes are (x, y, width, height), continuous image px.

Absent boxes are rows with a NaN:
- absent in the reference: the frame is not counted, whatever the tracker says (overlap NaN);
- absent in the prediction only: overlap 0, centre distance infinite. It is a miss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SUCCESS_THRESHOLDS = np.linspace(0.0, 1.0, 21)  # 0, 0.05, ..., 1
PRECISION_DISTANCE = 20.0  # image px


@dataclass(frozen=True)
class Scores:
    """How well one sequence was tracked; each share is of the frames with a reference box."""

    auc: float  # mean of the success curve; a perfect tracker reaches 20/21, since no overlap is above 1
    mean_overlap: float
    success_50: float  # share with overlap > 0.5
    precision_20: float  # share with a centre distance <= 20 px
    frames: int  # counted


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
    union = np.prod(predicted[:, 2:], axis=1) + np.prod(reference[:, 2:], axis=1) - shared
    return _with_absences(shared / union, predicted, reference, missed=0.0)


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
    difference = predicted[:, :2] + predicted[:, 2:] / 2 - reference[:, :2] - reference[:, 2:] / 2
    return _with_absences(np.linalg.norm(difference, axis=1), predicted, reference, missed=np.inf)


def success_curve(overlaps: np.ndarray) -> np.ndarray:
    """Share of counted frames with an overlap above each of SUCCESS_THRESHOLDS.

    Args:
        overlaps: (N,); NaN is not counted.

    Returns:
        (21,) float64, never rising; all NaN if no frame is counted.
    """
    counted = overlaps[~np.isnan(overlaps)]
    if not counted.size:
        return np.full(len(SUCCESS_THRESHOLDS), np.nan)
    return (counted[:, None] > SUCCESS_THRESHOLDS).mean(axis=0)


def score(predicted: np.ndarray, reference: np.ndarray) -> Scores:
    """Scores of one sequence.

    Args:
        predicted: (N, 4); a row with NaN is a miss.
        reference: (N, 4); a row with NaN is not counted.

    Raises:
        ValueError: if the shapes are not (N, 4) and equal, or no frame has a reference box.
    """
    overlaps = overlap(predicted, reference)
    counted = ~np.isnan(overlaps)
    if not counted.any():
        raise ValueError(f"none of the {len(overlaps)} frames has a reference box; expected at least one")
    return Scores(
        auc=float(success_curve(overlaps).mean()),
        mean_overlap=float(overlaps[counted].mean()),
        success_50=float((overlaps[counted] > 0.5).mean()),
        precision_20=float((center_distance(predicted, reference)[counted] <= PRECISION_DISTANCE).mean()),
        frames=int(counted.sum()),
    )


def _checked(predicted: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predicted, reference = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if predicted.shape != reference.shape or predicted.ndim != 2 or predicted.shape[1] != 4:
        raise ValueError(f"boxes have shapes {predicted.shape} and {reference.shape}; expected both (N, 4)")
    return predicted, reference


def _with_absences(values: np.ndarray, predicted: np.ndarray, reference: np.ndarray, missed: float) -> np.ndarray:
    values = np.where(np.isnan(predicted).any(axis=1), missed, values)
    return np.where(np.isnan(reference).any(axis=1), np.nan, values)
