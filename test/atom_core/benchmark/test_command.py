# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command with the shipped network on small images."""

import contextlib
import io
import json
import sys

import cv2
import pytest

from atom_core.benchmark import compare
from atom_core.benchmark.command import main
from atom_core.benchmark.timing import STAGES

# So small a target is doubtful and lost in most frames: then it is compared, a host read more, and searched for.
SMALL = ["crop_size=96", "projected_channels=8", "first_frame_gn_steps=1", "refinement_steps=1", "memory_size=40"]
SMALL += ["recognition=0", "redetection=false"]
BASELINE = "kcf" if hasattr(cv2, "TrackerKCF") else "mil"
QUICK = ["--engine", "torch", "--device", "cpu", "--threads", "1", "--sizes", "96x80,120x96", "--baselines", BASELINE]
FEW = ["--frames", "3", "--samples", "2", "--initializations", "2", "--warm-up", "1"]
KINDS = ["plain", "update", "hard_negative", "lost"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The file and the text of a real run."""
    file = tmp_path_factory.mktemp("bench") / "new folder" / "a.json"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*QUICK, *FEW, *settings, "--output", str(file)]) == 0
    return file, printed.getvalue()


@pytest.fixture
def results(run):
    return compare.read(run[0])


def test_each_kind_of_frame_is_measured_as_often_as_asked(results):
    assert list(results["sizes"]) == ["96x80", "120x96"]
    for of_size in results["sizes"].values():
        frames = of_size["frames"]
        assert list(frames) == ["initialize", "video", *KINDS]
        assert [figures["time"]["count"] for figures in frames.values()] == [2, 3, 2, 2, 2, 2]
        assert all(0 < time["median_ms"] <= time["p95_ms"] for time in (f["time"] for f in frames.values()))
        assert all(0 <= frames[kind]["forced"] <= 2 for kind in KINDS)
        assert sum(frames["video"]["states"].values()) == 3 and sum(of_size["warm_up"].values()) == 1
        assert [figures["time"]["count"] for figures in of_size["baselines"][BASELINE]["frames"].values()] == [2, 3]


def test_the_stages_show_which_work_each_kind_does(results):
    stages = {kind: set(figures["stages"]) for kind, figures in frames_of(results).items() if "stages" in figures}
    frame = {
        "upload",
        "crop",
        "backbone",
        "classifier",
        "localization",
        "refinement",
        "fetch",
        "interpretation",
        "rest",
    }
    assert stages["lost"] == frame - {"refinement"}  # there is nothing to refine
    assert stages["plain"] == frame | {"memory"}
    assert stages["update"] == stages["hard_negative"] == frame | {"memory", "learning"}
    assert set().union(*stages.values()) == {stage.name for stage in STAGES} | {"rest"}
    for kind in KINDS:
        shares = [figures["mean_ms"] for figures in frames_of(results)[kind]["stages"].values()]
        assert min(shares) >= 0


def test_the_counts_differ_as_the_work_does(results):
    counts = {kind: figures["counts"] for kind, figures in frames_of(results).items() if "counts" in figures}
    operations = {kind: of_kind["operations"] for kind, of_kind in counts.items()}
    assert operations["lost"] < operations["plain"] < operations["update"] <= operations["hard_negative"]
    assert [counts[kind]["host_reads"] for kind in KINDS] == [1, 1, 1, 1]  # that which fetches the result
    assert all(sum(of_kind["names"].values()) == of_kind["operations"] for of_kind in counts.values())


def test_memory_and_circumstances_are_told(results):
    for held in (results["memory"]["program"], results["sizes"]["96x80"]["memory"]):
        assert held["host_mb"] > 50
    assert results["memory"].keys() == {"program", "first_tracker", "second_tracker"}
    assert [point["frame"] for point in frames_of(results)["video"]["memory"]] == [1, 2, 3]
    assert results["tracker"]["network"] == "efficientnet_lite0" and results["tracker"]["engine"] == "torch"
    assert results["tracker"]["config"]["crop_size"] == 96
    assert results["machine"]["cpu_threads"] == 1
    assert results["plan"] == {"warm_up": 1, "frames": 3, "samples": 2, "initializations": 2}
    assert results["run"]["command"].startswith("atom-bench --engine torch") and results["run"]["date"].endswith(
        "00:00"
    )


def test_the_table_has_a_line_for_each_kind(run, results):
    lines = [line.split() for line in run[1].splitlines()]
    for kind in ("initialize", *KINDS):
        figures = frames_of(results)[kind]
        time, counts = figures["time"], figures["counts"]
        cells = [kind, str(time["count"]), *(f"{time[key]:.2f}" for key in ("median_ms", "p95_ms", "mean_ms"))]
        assert [*cells, *(str(counts[key]) for key in ("operations", "host_reads", "uploads"))] in lines
    assert ["stages,", "mean", "ms", "initialize", *KINDS] in lines
    assert [BASELINE, "video", "3"] in [line[:3] for line in lines]
    assert f"written: {run[0]}" in run[1]


def test_compare_is_a_command(run, capsys):
    assert main(["compare", str(run[0]), str(run[0])]) == 0
    text = capsys.readouterr().out
    assert "96x80" in text and "other circumstances" not in text
    assert text.count("(1.00x)") == 2 * 8 * 3  # sizes; six kinds, two of the baseline's; median, p95, mean


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "60x60"], "images of 60x60 are too small"),
        (["--engine", "warp"], "unknown engine 'warp'"),
        (["--precision", "float8"], "unknown precision 'float8'"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--weights", "nobody"], "no shipped weights named 'nobody'"),
        (["--set", "memory_sise=9"], "did you mean memory_size"),
        (["--baselines", "goturn"], "unknown OpenCV tracker 'goturn'; expected one of kcf, csrt, mil"),
    ],
)
def test_mistakes_are_told_and_end_with_status_2(arguments, message, capsys):
    assert main(["--engine", "torch", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_baseline_is_told_with_what_to_install(monkeypatch, capsys):
    monkeypatch.delattr(cv2, "TrackerCSRT", raising=False)  # as in the OpenCV without contributions
    assert main(["--baselines", "csrt"]) == 2
    assert "opencv-contrib-python-headless" in capsys.readouterr().err


def test_a_missing_engine_is_told_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)  # as where it is not installed
    assert main(["--engine", "openvino", "--device", "cpu", "--set", "crop_size=64"]) == 2
    assert "--engine openvino: openvino is not installed; pip install openvino" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--sizes", "640"], ["--sizes", ""], ["--frames", "0"], ["--threads", "-1"]])
def test_numbers_are_checked(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "expected" in capsys.readouterr().err


def frames_of(results):
    return results["sizes"]["96x80"]["frames"]


def test_the_file_is_plain_json(run):
    assert json.loads(run[0].read_text()) == compare.read(run[0])
