# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from atom_core.data.sequences import Sequence
from atom_core.evaluation import plots
from atom_core.evaluation.runner import Run

BOX = (0.0, 0.0, 10.0, 10.0)


def shifted(tracker: str, sequence: str, shifts: list[float], seed: int = 0, states=None) -> Run:
    boxes = np.array([[shift, 0, 10, 10] for shift in shifts], float)
    nothing = np.full(len(boxes), np.nan)
    return Run(
        tracker, sequence, boxes, nothing, nothing, states or ("TRACKING",) * len(boxes), np.ones(len(boxes)), seed
    )


def still(name: str, frames: int) -> Sequence:
    return Sequence(name, [], np.tile(BOX, (frames, 1)))


def test_curves_are_means_over_the_sequences_of_each_seed():
    runs = [
        shifted("a", "one", [0, 0], seed=0),  # overlaps 1, 1
        shifted("a", "two", [0, 0, 10, 10], seed=0),  # 1, 1, 0, 0
        shifted("a", "one", [0, 10], seed=1),  # 1, 0
        shifted("a", "two", [10, 10, 10, 10], seed=1),  # none
        shifted("a", "secret", [0, 0], seed=0),
    ]
    secret = Sequence("secret", [], np.array([BOX, [np.nan] * 4]))
    (curves,) = plots.average_curves(runs, [still("one", 2), still("two", 4), secret])
    assert curves.tracker == "a"
    # success at 0.5: (1 + 1/2) / 2 and (1/2 + 0) / 2
    np.testing.assert_allclose(curves.success[:, 10], [0.75, 0.25])
    # all centres are within 10 px; within 9 px as many as overlap
    np.testing.assert_allclose(curves.precision[:, [9, 10]], [[0.75, 1], [0.25, 1]])


def test_lost_frames_count_as_misses_if_asked_for():
    runs = [shifted("a", "one", [0, 0], states=("GIVEN", "LOST"))]
    (mild,), (strict,) = (plots.average_curves(runs, [still("one", 2)], lost_is_miss=value) for value in (False, True))
    assert mild.success[0, 10] == 1
    assert strict.success[0, 10] == 0.5


@pytest.mark.parametrize("plot", plots.PLOTS, ids=lambda plot: plot.field)
def test_a_plot_is_one_element_that_takes_the_page_s_colour(plot):
    runs = [shifted("worse", "one", [0, 60]), shifted("a<b> & $c$", "one", [0, 0])]
    svg = plots.draw(plot, plots.average_curves(runs, [still("one", 2)]))
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    best, worse = [text for text in texts if "[0." in text or "[1." in text]
    assert best.startswith("a<b> & $c$ [")
    assert worse.startswith("worse [")
    assert "currentColor" in svg
    assert not root.get("width")
    identifiers = re.findall(r'\bid="([^"]*)"', svg)
    assert len(set(identifiers)) == len(identifiers)
    assert all(identifier.startswith(plot.field) for identifier in identifiers)


def test_the_legend_holds_auc_and_the_share_at_20_px():
    curves = plots.average_curves([shifted("a", "one", [0, 30])], [still("one", 2)])
    success, precision, _ = plots.PLOTS
    # a perfect frame is above 20 of the 21 thresholds, the other above none
    assert "a [0.476]" in plots.draw(success, curves)
    assert "a [0.500]" in plots.draw(precision, curves)


def test_the_same_curves_give_the_same_picture():
    curves = plots.average_curves([shifted("a", "one", [0, 3])], [still("one", 2)])
    assert plots.draw(plots.PLOTS[0], curves) == plots.draw(plots.PLOTS[0], curves)
