# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The tracker's configuration: every constant, validated.

Values are those of ATOM (Danelljan et al., CVPR 2019, arXiv 1811.07628) unless a comment says otherwise.
Units: px are pixels of the 288 x 288 search crop unless "image px" is stated; cells are cells of the score map
(one cell is 16 px of the crop); shares and factors have none.

The fields are the source of the node's parameters, of their file and of the README's table (`TrackerConfig.settings`).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

LIVE, NOT_LIVE = "live", "not live"  # parameters of the node: changed at any time, or while it is unconfigured
RENAMED = {"redetection_likeness": "redetection_similarity"}  # deprecated names, until the next release


@dataclass(frozen=True)
class Setting:
    """Range, unit and text of a field."""

    text: str  # one sentence for the user
    bounds: tuple[float, float] | None = None  # both included
    unit: str = ""
    parameter: str = ""  # of the node: LIVE, NOT_LIVE, or empty for none


def _setting(
    default: Any, text: str, bounds: tuple[float, float] | None = None, unit: str = "", parameter: str = ""
) -> Any:
    return dataclasses.field(default=default, metadata={"setting": Setting(text, bounds, unit, parameter)})


@dataclass(frozen=True)
class TrackerConfig:
    """Configuration of one tracker.

    Raises:
        ValueError: if a value lies outside its range; the message names the field, the value and the range.
    """

    # Search region (section 3.3 of the paper).
    crop_size: int = _setting(
        288, "Side of the square crop that the backbone sees; a multiple of 32 (even score map).", (64, 1024), unit="px"
    )
    search_area_factor: float = _setting(
        5.0, "Side of the search region / sqrt(target's width * height).", (1.5, 20.0), parameter=NOT_LIVE
    )

    # First frame (section 3.3 and supplementary material).
    augmentation_shift: float = _setting(0.6, "The four relative shifts, as a share of half the crop.", (0.0, 0.9))
    augmentation_random_shift: float = _setting(
        1.0 / 3.0, "Bound of the random shifts, as a share of half the crop.", (0.0, 0.9)
    )
    dropout_samples: int = _setting(
        7, "Further samples: the first one's features with whole channels dropped.", (0, 100)
    )
    dropout_probability: float = _setting(0.2, "Of a channel.", (0.0, 0.9))
    first_frame_gn_steps: int = _setting(6, "Gauss-Newton steps, joint over projection and filter.", (1, 100))
    first_frame_cg_iterations: int = _setting(10, "Conjugate-gradient iterations in each of them.", (1, 100))

    # Target model (section 3.2).
    projected_channels: int = _setting(64, "Output channels of the projection w1.", (1, 1024))
    filter_size: int = _setting(4, "Side of the filter w2; even.", (2, 8), unit="cells")
    hinge_slope: float = _setting(0.05, "Floor of the soft hinge phi2; its slope at 0 is 1.", (1e-6, 1.0))
    filter_regularization: float = _setting(0.1, "Lambda of w2, and its preconditioner.", (1e-9, 1e3))
    projection_regularization: float = _setting(1e-4, "Lambda of w1, and its preconditioner.", (1e-9, 1e3))
    label_sigma_factor: float = _setting(0.25, "Sigma of the label / sqrt(target area).", (0.01, 2.0))

    # Sample memory and update (sections 3.2 and 3.3).
    memory_size: int = _setting(250, "Samples in the memory.", (1, 10_000))
    learning_rate: float = _setting(0.01, "Weight of a new image in the target's model.", (0.0, 1.0), parameter=LIVE)
    hard_negative_learning_rate: float = _setting(
        0.02, "Weight of a new image in which a distractor was seen.", (0.0, 1.0), parameter=LIVE
    )
    first_frame_weight: float = _setting(0.25, "Least total weight of the first frame's samples.", (0.0, 0.99))
    update_interval: int = _setting(
        10, "Images between two updates of the target's model.", (1, 1_000_000), parameter=LIVE
    )
    update_spread: int = _setting(
        6,
        "Images over which an update is spread, so that none takes much longer (on the CPU); 1: at once.",
        (1, 100),
        parameter=LIVE,
    )
    update_cg_iterations: int = _setting(5, "Conjugate-gradient iterations of an update.", (0, 100))
    hard_negative_cg_iterations: int = _setting(
        5, "Conjugate-gradient iterations of an update after a hard negative.", (0, 100)
    )

    # Localisation (section 3.3).
    use_hann_window: bool = _setting(False, "Multiply the scores by a Hann window (VOT).")
    not_found_threshold: float = _setting(
        0.25, "Score below which the target is lost; -1: never.", (-1.0, 1.0), parameter=LIVE
    )
    distractor_threshold: float = _setting(
        0.8,
        "Second peak / first peak above which there is a distractor, and the target is uncertain.",
        (0.0, 100.0),
        parameter=LIVE,
    )
    hard_negative_threshold: float = _setting(
        0.5,
        "Second peak / first peak above which the classifier is trained against the second.",
        (0.0, 100.0),
        parameter=LIVE,
    )
    target_neighborhood: float = _setting(
        2.2, "Side of the area about the first peak that is one object / target size.", (0.1, 10.0)
    )
    near_limit: float = _setting(0.8, "A peak is near within this share of half the crop about its centre.", (0.0, 2.0))
    position_margin: float = _setting(
        0.3, "Share of the box's width and of its height that stays inside the image.", (0.0, 1.0)
    )

    # Box refinement (section 3.3).
    proposals: int = _setting(10, "First the box of the last size, then jittered ones.", (1, 1000))
    proposal_center_jitter: float = _setting(0.05, "Share of sqrt(width * height), uniform in +-.", (0.0, 1.0))
    proposal_size_jitter: float = _setting(
        0.25, "Share of sqrt(width * height) added to each side, uniform in +-.", (0.0, 1.0)
    )
    proposal_min_side: float = _setting(1.0 / 3.0, "Share of the box's shorter side.", (0.01, 1.0))
    reference_damping: float = _setting(
        2e-4,
        "Cost of a change of the modulation vectors, which are fitted to the first frame; 0: not fitted (the paper).",
        (0.0, 1e3),
        parameter=NOT_LIVE,
    )
    reference_trust: float = _setting(
        0.72, "Mean predicted IoU below which the fit to the first frame is dropped; 0: never.", (0.0, 1.0)
    )
    refinement_steps: int = _setting(
        5,
        "Gradient-ascent steps on the predicted IoU in which the box is fitted; fewer are faster.",
        (0, 100),
        parameter=LIVE,
    )
    refinement_step_length: float = _setting(1.0, "Factor of the gradient.", (0.0, 10.0))
    max_aspect_ratio: float = _setting(6.0, "Refined boxes outside [1/max, max] are dropped.", (1.0, 100.0))
    top_proposals: int = _setting(3, "The result is the mean of this many boxes of highest predicted IoU.", (1, 1000))
    min_box_side: float = _setting(
        2.0, "Least side of a box (ours: the authors clamp nothing).", (0.1, 100.0), unit="image px"
    )

    # Whether a candidate is the target (ours; see atom_core.long_term.redetection).
    recognition: float = _setting(
        0.6,
        "Share of the baseline match score below which a candidate is rejected; 0: never.",
        (0.0, 1.0),
        parameter=LIVE,
    )

    # Search after a loss (ours; see atom_core.long_term.redetection). A view is one search region of one frame.
    redetection: bool = _setting(True, "Search the whole image for a lost target, region by region.", parameter=LIVE)
    redetection_score: float = _setting(
        0.5, "Score from which a candidate of the search is convincing.", (0.0, 1.0), parameter=LIVE
    )
    redetection_iou: float = _setting(
        0.6, "Predicted IoU from which a candidate of the search is convincing.", (0.0, 1.0), parameter=LIVE
    )
    redetection_similarity: float = _setting(
        0.9,
        "Similarity from which a candidate of the search is convincing; 1: the target's to itself.",
        (0.0, 2.0),
        parameter=LIVE,
    )
    redetection_frames: int = _setting(
        3, "Images in a row in which a candidate must be convincing to be re-detected.", (1, 100), parameter=LIVE
    )
    redetection_regions: int = _setting(
        2, "Regions searched in each image; more find the target sooner and take longer.", (2, 64), parameter=LIVE
    )

    seed: int = _setting(
        0, "Of the random numbers: the same seed and images give the same boxes.", (0, 2**63 - 1), parameter=NOT_LIVE
    )

    def __post_init__(self) -> None:
        for name, setting in self.settings().items():
            if setting.bounds is None:
                continue
            value, (low, high) = getattr(self, name), setting.bounds
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
    def settings(cls) -> dict[str, Setting]:
        """The setting of each field, by its name."""
        return {field.name: field.metadata["setting"] for field in dataclasses.fields(cls)}

    @classmethod
    def vot(cls, **changes: Any) -> TrackerConfig:
        """The authors' settings for the VOT challenge, with any field changed by keyword."""
        return dataclasses.replace(_VOT, **changes)


FIRST_FRAME_CROPS = 23  # identity, 4 shifts, flip, 5 blurs, 12 rotations

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
