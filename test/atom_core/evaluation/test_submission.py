# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from got10k.experiments import ExperimentGOT10k

from atom_core.data.sequences import read_sequences
from atom_core.evaluation import metrics
from atom_core.evaluation.submission import write_results

BOXES = np.array([[10, 20, 30.5, 40], [11.25, 20, 30, 40.0625]])
SECONDS = np.array([0.5, 0.04])


@pytest.mark.parametrize(
    "layout, file, first",
    [
        ("otb", "ours/walk.txt", 1),
        ("uav123", "ours/walk.txt", 1),
        ("lasot", "ours_tracking_result/walk.txt", 1),
        ("nfs", "ours/walk.txt", 0),
        ("trackingnet", "ours/walk.txt", 0),
        ("simple", "ours/walk.txt", 0),
        ("got10k", "ours/walk/walk_001.txt", 1),
    ],
)
def test_boxes_are_written_in_the_benchmark_s_pixels(tmp_path, layout, file, first):
    path = write_results(layout, "ours", "walk", BOXES, SECONDS, tmp_path / "results")
    assert path == tmp_path / "results" / file
    lines = path.read_text().splitlines()
    assert lines[0] == f"{10 + first}.000,{20 + first}.000,30.500,40.000"
    assert lines[1] == f"{11 + first}.250,{20 + first}.000,30.000,40.062"


def test_got10k_gets_times_in_seconds(tmp_path):
    write_results("got10k", "ours", "walk", BOXES, SECONDS, tmp_path)
    assert (tmp_path / "ours/walk/walk_time.txt").read_text() == "0.50000000\n0.04000000\n"


@pytest.mark.parametrize(
    "layout, boxes, message",
    [
        ("vot", BOXES, "layout 'vot' has no result files; .* run its own toolkit"),
        ("auto", BOXES, "layout 'auto' has no result files; expected one of uav123, "),
        ("otb", BOXES[:1], r"sequence walk: boxes \(1, 4\) for 2 frames"),
        ("otb", np.full((2, 4), np.nan), "expected .*finite"),
    ],
)
def test_what_no_benchmark_takes_is_refused(tmp_path, layout, boxes, message):
    with pytest.raises(ValueError, match=message):
        write_results(layout, "ours", "walk", boxes, SECONDS, tmp_path)
    assert not list(tmp_path.iterdir())


def make_got10k(root: Path, name: str, frames: int, seed: int) -> None:
    """A sequence whose target leaves the image at times, and is hidden in its third frame."""
    folder = root / "val" / name
    folder.mkdir(parents=True)
    boxes = np.random.default_rng(seed).uniform(20, 90, (frames, 4)) - [30, 30, 0, 0]
    np.savetxt(folder / "groundtruth.txt", boxes, fmt="%.4f", delimiter=",")
    for index in range(frames):
        (folder / f"{index + 1:08d}.jpg").touch()
    (folder / "meta_info.ini").write_text("[METAINFO]\nresolution: (120, 90)\n")
    for label in ("absence", "cut_by_image"):
        (folder / f"{label}.label").write_text("0\n" * frames)
    (folder / "cover.label").write_text("8\n8\n0\n" + "5\n" * (frames - 3))


def test_got10k_toolkit_reads_our_files_and_finds_our_figures(tmp_path, monkeypatch):
    names = ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]
    for seed, name in enumerate(names):
        make_got10k(tmp_path, name, frames=20 + 30 * seed, seed=seed)
    (tmp_path / "val/list.txt").write_text("\n".join(names) + "\n")
    generator, expected, overlaps = np.random.default_rng(3), {}, []
    for sequence in read_sequences(tmp_path / "val"):
        known = np.nan_to_num(sequence.boxes, nan=50.0)
        boxes = np.round(known + generator.normal(0, 6, known.shape), 3)
        boxes[:, 2:] = boxes[:, 2:].clip(1)
        write_results("got10k", "ours", sequence.name, boxes, np.full(len(boxes), 0.02), tmp_path / "results/GOT-10k")
        scores = metrics.score(boxes, sequence.boxes, sequence.image_size)
        expected[sequence.name] = (scores.ao, scores.sr_50, len(boxes) - 1)
        overlaps.append(metrics.got10k_overlap(boxes, sequence.boxes, sequence.image_size))

    experiment = ExperimentGOT10k(str(tmp_path), "val", str(tmp_path / "results"), str(tmp_path / "reports"))
    monkeypatch.setattr(experiment, "plot_curves", lambda *_: None)  # its pictures take seconds
    report = experiment.report(["ours"])["ours"]
    for name, figures in expected.items():
        theirs = report["seq_wise"][name]
        assert figures == pytest.approx((theirs["ao"], theirs["sr"], theirs["length"]), rel=1e-9)
    together = np.concatenate(overlaps)
    assert report["overall"]["ao"] == pytest.approx(np.nanmean(together), rel=1e-9)
    assert report["overall"]["speed_fps"] == pytest.approx(50)
    assert 0.3 < report["overall"]["ao"] < 0.95
