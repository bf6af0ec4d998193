# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Appearance, worked out by hand on small maps."""

import numpy as np
import pytest
import torch

from atom_core.long_term.appearance import COARSE, FINE, KEPT, Appearance, Cells, Grid, StrideAppearance, TemplatePatch
from atom_core.networks.backbones import Features
from atom_core.networks.prroi_pool import prroi_pool

BOX = (96.0, 96.0, 64.0, 48.0)  # crop px


def features(seed: int, side: int = 36) -> torch.Tensor:
    return torch.rand(1, 6, side, side, generator=torch.Generator().manual_seed(seed))


def of_first_frame(maps: torch.Tensor) -> StrideAppearance:
    return StrideAppearance.of_first_frame(maps, BOX, FINE)


def cells(maps: torch.Tensor, box: tuple[float, float, float, float] = BOX) -> Cells:
    return Cells.of(maps, box, FINE.stride)


def test_mean_and_deviation_by_hand() -> None:
    """Channel 0 is 1 and 3: mean 2, deviation sqrt(2) (of a sample); channel 1 never varies."""
    appearance = StrideAppearance.of_first_frame(torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]]), (0, 0, 8, 8), FINE)
    assert appearance.mean.flatten().tolist() == [2.0, 5.0]
    # A tenth of the mean deviation, sqrt(2) / 2, is added to each.
    assert appearance.deviation.flatten().tolist() == pytest.approx([1.05 * 2**0.5, 0.05 * 2**0.5])


@pytest.mark.parametrize("grid", [COARSE, FINE])
def test_a_description_by_hand(grid: Grid) -> None:
    """Constant maps: (7 - 5) / 2 = 1 and (-3 - 1) / 1 = -4 in all n bins, of length sqrt(17 * n)."""
    maps = torch.tensor([7.0, -3.0]).view(1, 2, 1, 1).expand(1, 2, 36, 36)
    appearance = StrideAppearance(grid, torch.tensor([5.0, 1.0]).view(2, 1, 1), torch.tensor([2.0, 1.0]).view(2, 1, 1))
    number = grid.bins**2
    first, second = np.split(appearance.describe(Cells.of(maps, BOX, grid.stride)), [number])
    np.testing.assert_allclose(first, np.full(number, 1 / (17 * number) ** 0.5), rtol=1e-5)
    np.testing.assert_allclose(second, np.full(number, -4 / (17 * number) ** 0.5), rtol=1e-5)


@pytest.mark.parametrize("grid", [COARSE, FINE])
@pytest.mark.parametrize(
    "box",
    [BOX, (-20.0, 130.3, 55.0, 31.0), (250.1, 260.0, 90.0, 90.0), (8.0, 16.0, 3.0, 2.0), (-50.0, -50.0, 400.0, 420.0)],
)
def test_the_cells_that_are_cut_out_are_all_that_the_box_lies_on(grid: Grid, box) -> None:
    """As the whole map pooled in float64, where nothing outside the map is added."""
    maps = features(0, 288 // grid.stride)
    appearance = StrideAppearance.of_first_frame(maps, BOX, grid)
    normal = ((maps - appearance.mean) / appearance.deviation).double()
    expected = prroi_pool(normal, torch.tensor([[box]], dtype=torch.float64), grid.bins, 1 / grid.stride).flatten()
    described = appearance.describe(Cells.of(maps, box, grid.stride))
    np.testing.assert_allclose(described, expected / expected.norm(), atol=1e-5)


def test_the_same_is_like_itself_and_noise_is_not() -> None:
    """Of one known frame the similarity is a cosine by 0.85."""
    appearance = of_first_frame(features(0))
    assert appearance.similarity(cells(features(0))) == pytest.approx(1 / 0.85, abs=1e-5)
    assert abs(appearance.similarity(cells(features(1)))) < 0.4


def test_the_features_level_and_scale_do_not_count() -> None:
    """Three times the values, each channel shifted by a number of its own: the description is the same."""
    maps, shifts = features(0), torch.linspace(-1, 1, 6)[:, None, None]
    first, second = (of_first_frame(m).describe(cells(m)) for m in (maps, 3 * maps + shifts))
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_frame_that_was_kept_makes_its_like_known() -> None:
    """Half old, half new is like the first by 0.7, about: kept, it is known, and lowers what is asked for."""
    half = cells((features(0) + features(1)) / 2)
    appearance = of_first_frame(features(0))
    cosine = 0.85 * appearance.similarity(half)
    assert 0.5 < cosine < 0.83
    appearance.keep(half)
    assert appearance.similarity(half) == pytest.approx(1 / 0.83, abs=1e-5)  # 0.83 is the least that is asked for
    appearance.keep(half)
    assert appearance.similarity(half) == pytest.approx(2 / (cosine + 1), abs=1e-5)  # the mean of both steps


def test_what_a_drifted_tracker_kept_does_not_count() -> None:
    drifted = cells(features(1))
    appearance = of_first_frame(features(0))
    appearance.keep(drifted)
    assert appearance.similarity(drifted) < 0.4
    assert len(appearance.known) == 1 and appearance.own_similarity == 0.85


@pytest.mark.parametrize("read_at", [0, KEPT + 3])
def test_the_first_frame_stays_and_the_oldest_of_the_others_goes(read_at: int) -> None:
    """A mean of two random maps and the first is like the first by more than a half."""
    appearance = of_first_frame(features(0))
    kept = [cells(0.6 * features(0) + 0.4 * features(number)) for number in range(1, KEPT + 6)]
    for number, patch in enumerate(kept):
        if number == read_at:
            appearance.similarity(patch)
        appearance.keep(patch)
    appearance.similarity(kept[0])
    assert not appearance.unread and len(appearance.steady) == KEPT
    wished = [appearance.describe(patch) for patch in (cells(features(0)), *kept[-KEPT:])]
    np.testing.assert_allclose(appearance.known, wished, atol=1e-6)


def test_a_patch_is_a_copy() -> None:
    """The features may be overwritten by the next frame's."""
    maps = features(0)
    appearance = of_first_frame(maps)
    same = cells(maps.clone())
    maps.zero_()
    assert appearance.similarity(same) == pytest.approx(1 / 0.85, abs=1e-5)


def test_half_precision_features_are_described_alike() -> None:
    appearance = of_first_frame(features(0))
    assert appearance.similarity(cells(features(0).half())) == pytest.approx(1 / 0.85, abs=1e-4)


def test_empty_boxes_are_like_nothing() -> None:
    appearance = of_first_frame(features(0))
    assert appearance.similarity(cells(features(0), (50.0, 50.0, 0.0, 0.0))) == 0.0


def test_in_detail_the_lower_of_two_similarities_counts() -> None:
    """Alike at stride 16 and different at stride 8, as another of its kind is, and the other way round."""
    first, other = (Features(features(seed), features(seed + 10, 18)) for seed in (0, 1))
    appearance = Appearance.of_first_frame(first, BOX)
    itself = pytest.approx(1 / 0.85, abs=1e-5)
    like_it, unlike_it = Features(other.stride8, first.stride16), Features(first.stride8, other.stride16)
    assert appearance.similarity(TemplatePatch.of(first, BOX), in_detail=True) == itself
    assert appearance.similarity(TemplatePatch.of(like_it, BOX), in_detail=False) == itself
    assert appearance.similarity(TemplatePatch.of(like_it, BOX), in_detail=True) < 0.5
    for in_detail in (False, True):
        assert appearance.similarity(TemplatePatch.of(unlike_it, BOX), in_detail) < 0.5


def test_both_descriptions_keep_a_sure_frame() -> None:
    first, other = (Features(features(seed), features(seed + 10, 18)) for seed in (0, 1))
    mixed = Features(*(0.6 * a + 0.4 * b for a, b in zip(first, other, strict=True)))
    appearance = Appearance.of_first_frame(first, BOX)
    before = appearance.similarity(TemplatePatch.of(mixed, BOX), in_detail=True)
    appearance.keep(TemplatePatch.of(mixed, BOX))
    assert appearance.similarity(TemplatePatch.of(mixed, BOX), in_detail=True) > before + 0.1
    assert len(appearance.coarse.known) == len(appearance.fine.known) == 2
