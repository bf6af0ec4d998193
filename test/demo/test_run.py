# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import argparse
import hashlib

import pytest

from demo import run

SUMMARY = {
    "success_rate": 0.75,
    "mean_overlap": 0.5,
    "frames": {"published": 141, "processed": 101, "dropped": 40},
    "ms_per_frame": {"median": 61.4, "p95": 80.0},
    "node_overhead_ms": {"median": 12.3, "p95": 20.0},
    "scored_frames": 100,
    "recovered_after_occlusion": True,
    "lost_for_good": False,
    "initialize_ms": 1234.0,
    "device": "cpu",
    "network": "efficientnet_lite0",
    "mode": "real time",
}


def test_a_failed_run_says_why_and_leaves_no_older_results(tmp_path, monkeypatch, capsys):
    """Without the built package there is no tracker to start."""
    (tmp_path / "summary.json").write_text("{}")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert run.main(["--output", str(tmp_path)]) == 2
    assert "atom_tracker is not built or its environment is not sourced; use `make demo`" in capsys.readouterr().err
    assert not (tmp_path / "summary.json").exists()


def test_the_summary_has_the_verdict_and_the_times(tmp_path, capsys):
    run.print_summary(tmp_path, SUMMARY)
    printed = capsys.readouterr().out
    assert "75% of 100 processed frames (mean overlap 0.50; 40 of 141 frames dropped)" in printed
    assert "efficientnet_lite0 on cpu: 61 ms a frame, and 12 ms more from publication to Track, including" in printed
    assert "1.2 s to learn the target" in printed
    for name in run.RESULTS:
        assert name in printed


def test_the_newest_frame_shown_is_read_from_complete_lines(tmp_path):
    record = tmp_path / "camera.jsonl"
    assert run.last_index(record) == -1
    record.write_text('{"index": 0, "stamp_ns": 1}\n{"index": 7, "stamp_ns": 2}\n{"ind')
    assert run.last_index(record) == 7


def test_circumstances_are_the_running_node_s_and_its_weights_are_checked(tmp_path):
    weights = tmp_path / "network.safetensors"
    weights.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    arguments = argparse.Namespace(weights=weights, lockstep=True)
    received = {"initialize_ms": 12.34, "diagnostics": {"device": "cuda:0", "network": f"resnet18 ({digest[:12]})"}}
    assert run.circumstances(arguments, received) == {
        "initialize_ms": 12.3,
        "device": "cuda:0",
        "network": "resnet18",
        "weights_sha256": digest,
        "mode": "lockstep",
    }
    received["diagnostics"]["network"] = "resnet18 (0123456789ab)"
    with pytest.raises(ValueError, match=r"'0123456789ab\)' is not the start of"):
        run.circumstances(arguments, received)


def test_every_process_is_told_the_same_domain_on_this_machine_alone(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = run.environment()
    assert 1 <= int(environment["ROS_DOMAIN_ID"]) <= 101
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert environment["PYTHONPATH"].split(":") == [str(run.HERE.parent), "/elsewhere"]


def test_the_page_s_address_is_read_from_its_log(tmp_path):
    log = tmp_path / "web.log"
    log.write_text("[INFO] [1.5] [web]: starting\n")
    assert run.page_address(log) == ""
    log.write_text("[INFO] [1.5] [web]: The page is at http://localhost:41235\n")
    assert run.page_address(log) == "http://localhost:41235"
