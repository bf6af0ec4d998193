# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Every constant of the tracker, in one frozen and validated place.

Values are those of ATOM (Danelljan et al., CVPR 2019, arXiv 1811.07628) unless a comment says otherwise.
Units: px are pixels of the 288 x 288 search crop unless "image px" is said; cells are cells of the score map
(one cell is 16 px of the crop).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrackerConfig:
    """Configuration of one tracker.

    Raises:
        ValueError: if a value lies outside its range; the message names the field, the value and the range.
    """

    # Search region (section 3.3 of the paper).
    crop_size: int = 288  # px; side of the square crop that the backbone sees; a multiple of 32 (even score map)
    search_area_factor: float = 5.0  # crop side / sqrt(target width * height)

    # First frame (section 3.3 and supplementary material).
    augmentation_shift: float = 0.6  # the four relative shifts, as a share of half the crop
    augmentation_random_shift: float = 1.0 / 3.0  # the random shifts stay below this share of half the crop
    dropout_samples: int = 7  # further samples: the identity's features with whole channels dropped
    dropout_probability: float = 0.2  # of a channel
    first_frame_gn_steps: int = 6  # Gauss-Newton steps, joint over projection and filter
    first_frame_cg_iterations: int = 10  # conjugate-gradient iterations in each of them

    # Target model (section 3.2).
    projected_channels: int = 64  # output channels of the projection w1
    filter_size: int = 4  # cells; side of the filter w2
    hinge_slope: float = 0.05  # floor of the soft hinge phi2; its slope at 0 is 1
    filter_regularization: float = 0.1  # lambda of w2, and its preconditioner
    projection_regularization: float = 1e-4  # lambda of w1, and its preconditioner
    label_sigma_factor: float = 0.25  # sigma of the label / sqrt(target area)

    # Sample memory and update (sections 3.2 and 3.3).
    memory_size: int = 250  # samples
    learning_rate: float = 0.01  # weight of a new sample
    hard_negative_learning_rate: float = 0.02  # weight of a sample in which a distractor was seen
    first_frame_weight: float = 0.25  # floor of the total weight of the first frame's samples
    update_interval: int = 10  # frames between two updates of the filter
    update_cg_iterations: int = 5
    hard_negative_cg_iterations: int = 5

    # Localisation (section 3.3).
    use_hann_window: bool = False  # multiply the scores by a Hann window (VOT)
    not_found_threshold: float = 0.25  # peak score below which the target is lost; -1 switches it off
    distractor_threshold: float = 0.8  # second peak / first peak above which there is a distractor
    hard_negative_threshold: float = 0.5  # second peak / first peak above which the sample is a hard negative
    target_neighborhood: float = 2.2  # side of the area about the first peak that is one object / target size
    near_limit: float = 0.8  # a peak is near within this share of half the crop about its centre
    position_margin: float = 0.3  # share of the box's width and of its height that stays inside the image

    # Box refinement (section 3.3).
    proposals: int = 10  # first the box of the last size, then jittered ones
    proposal_center_jitter: float = 0.05  # share of sqrt(width * height), uniform in +-
    proposal_size_jitter: float = 0.25  # share of sqrt(width * height) added to each side, uniform in +-
    proposal_min_side: float = 1.0 / 3.0  # share of the box's shorter side
    refinement_steps: int = 5  # gradient-ascent steps on the predicted IoU
    refinement_step_length: float = 1.0
    max_aspect_ratio: float = 6.0  # refined boxes outside [1/max, max] are dropped
    top_proposals: int = 3  # the result is the mean of this many boxes of highest predicted IoU
    min_box_side: float = 2.0  # image px; ours: the authors clamp nothing

    # Whether what is found is the target (ours; see atom_core.long_term.redetection).
    recognition: float = 0.6  # share of the usual evidence below which it is another thing; 0 takes whatever is found

    # Search after a loss (ours; see atom_core.long_term.redetection). A view is one search region of one frame.
    redetection: bool = True  # search the whole image for a lost target
    redetection_score: float = 0.5  # peak score from which a view is convincing
    redetection_iou: float = 0.6  # predicted IoU from which a view is convincing
    redetection_likeness: float = 0.9  # from which a view is convincing; 1 is how like the target is to itself
    redetection_frames: int = 3  # frames in a row in which a place must be convincing
    redetection_regions: int = 2  # views a frame: the last place or the candidate's, and tiles of the image

    seed: int = 0  # of the generator that every random draw comes from

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"TrackerConfig.{name} is {value}; expected a value in [{low}, {high}]")
        if self.crop_size % 32:
            raise ValueError(
                f"TrackerConfig.crop_size is {self.crop_size}; expected a multiple of 32 (an even score map for the "
                f"even filter): {self.crop_size // 32 * 32} or {self.crop_size // 32 * 32 + 32}"
            )
        if self.filter_size % 2:
            raise ValueError(f"TrackerConfig.filter_size is {self.filter_size}; expected an even number")
        if self.top_proposals > self.proposals:
            raise ValueError(
                f"TrackerConfig.top_proposals is {self.top_proposals}; expected at most proposals = {self.proposals}"
            )
        if self.memory_size <= FIRST_FRAME_CROPS + self.dropout_samples:
            raise ValueError(
                f"TrackerConfig.memory_size is {self.memory_size}; expected more than the "
                f"{FIRST_FRAME_CROPS + self.dropout_samples} samples of the first frame"
            )

    @classmethod
    def vot(cls, **changes: object) -> TrackerConfig:
        """The authors' settings for the VOT challenge, with any field changed by keyword."""
        return dataclasses.replace(_VOT, **changes)


FIRST_FRAME_CROPS = 23  # identity, 4 shifts, flip, 5 blurs, 12 rotations

_RANGES: dict[str, tuple[float, float]] = {
    "crop_size": (64, 1024),
    "search_area_factor": (1.5, 20.0),
    "augmentation_shift": (0.0, 0.9),
    "augmentation_random_shift": (0.0, 0.9),
    "dropout_samples": (0, 100),
    "dropout_probability": (0.0, 0.9),
    "first_frame_gn_steps": (1, 100),
    "first_frame_cg_iterations": (1, 100),
    "projected_channels": (1, 1024),
    "filter_size": (2, 8),
    "hinge_slope": (1e-6, 1.0),
    "filter_regularization": (1e-9, 1e3),
    "projection_regularization": (1e-9, 1e3),
    "label_sigma_factor": (0.01, 2.0),
    "memory_size": (1, 10_000),
    "learning_rate": (0.0, 1.0),
    "hard_negative_learning_rate": (0.0, 1.0),
    "first_frame_weight": (0.0, 0.99),
    "update_interval": (1, 1_000_000),
    "update_cg_iterations": (0, 100),
    "hard_negative_cg_iterations": (0, 100),
    "not_found_threshold": (-1.0, 1.0),
    "distractor_threshold": (0.0, 100.0),
    "hard_negative_threshold": (0.0, 100.0),
    "target_neighborhood": (0.1, 10.0),
    "near_limit": (0.0, 2.0),
    "position_margin": (0.0, 1.0),
    "proposals": (1, 1000),
    "proposal_center_jitter": (0.0, 1.0),
    "proposal_size_jitter": (0.0, 1.0),
    "proposal_min_side": (0.01, 1.0),
    "refinement_steps": (0, 100),
    "refinement_step_length": (0.0, 10.0),
    "max_aspect_ratio": (1.0, 100.0),
    "top_proposals": (1, 1000),
    "min_box_side": (0.1, 100.0),
    "recognition": (0.0, 1.0),
    "redetection_score": (0.0, 1.0),
    "redetection_iou": (0.0, 1.0),
    "redetection_likeness": (0.0, 2.0),
    "redetection_frames": (1, 100),
    "redetection_regions": (2, 64),
    "seed": (0, 2**63 - 1),
}

_VOT = TrackerConfig(
    crop_size=224,
    search_area_factor=4.0,
    learning_rate=0.0075,
    first_frame_weight=0.0,
    use_hann_window=True,
    not_found_threshold=-1.0,
    distractor_threshold=100.0,
    hard_negative_threshold=0.3,
    near_limit=0.7,
    recognition=0.0,
    redetection=False,
)
