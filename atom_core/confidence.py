# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The confidence of a result: the probability that its box overlaps the target by more than half.

One formula, logistic in the classifier's score and the predicted IoU. Its three numbers are fitted to results with
known boxes (`fit`, `atom-eval calibrate`) and stored in the header of the network's file.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

import numpy as np

HEADER_KEY = "calibration"  # of the network's file
_STEPS = 100  # of Newton's method; it takes about ten
_RIDGE = 1e-3  # weight of the squared coefficients, in frames; keeps them finite if the classes are separable


@dataclass(frozen=True)
class Calibration:
    """confidence = 1 / (1 + exp(-(intercept + score * s + iou * q))) of a score s and a predicted IoU q.

    Raises:
        ValueError: if a number is not finite.
    """

    intercept: float
    score: float
    iou: float

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not math.isfinite(value):
                raise ValueError(f"calibration: {name} is {value}; expected a finite number")

    def confidence(self, score: float, iou: float) -> float:
        """The confidence, 0..1, of a visible target."""
        return 0.5 + 0.5 * math.tanh((self.intercept + self.score * score + self.iou * iou) / 2)

    def to_json(self) -> str:
        """The text for the header of the network's file."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """The calibration from the header of a network's file.

        Raises:
            ValueError: if the text is not a calibration.
        """
        try:
            values = json.loads(text)
            return cls(**{name: float(value) for name, value in values.items()})
        except (TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"calibration {text!r} cannot be read: {error}") from error


def fit(scores: np.ndarray, ious: np.ndarray, correct: np.ndarray) -> Calibration:
    """The maximum-likelihood calibration.

    Args:
        scores: (N,) of frames in which the target was visible to the tracker.
        ious: (N,) predicted.
        correct: (N,) bool, whether the box overlapped the target by more than half.

    Raises:
        ValueError: if there is no frame of one of the two kinds.
    """
    if correct.all() or not correct.any():
        raise ValueError(f"{int(correct.sum())} of {len(correct)} frames are correct; expected some of either kind")
    inputs = np.stack((np.ones_like(scores), scores, ious), axis=1).astype(np.float64)
    weights = np.zeros(3)
    for _ in range(_STEPS):
        probability = 0.5 + 0.5 * np.tanh(inputs @ weights / 2)
        gradient = inputs.T @ (correct - probability) - _RIDGE * weights
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs + _RIDGE * np.eye(3)
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-10:
            break
    return Calibration(*weights.tolist())
