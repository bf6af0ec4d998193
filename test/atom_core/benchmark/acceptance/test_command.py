# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The whole command on the CPU, kept short: all parts, real processes, real files."""

import contextlib
import io
import json

import pytest
import torch

from atom_core.benchmark.command import main

SMALL = ["crop_size=96", "first_frame_gn_steps=2", "memory_size=40", "refinement_steps=1"]
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]
SHORT = ["--frames", "4", "--samples", "2", "--precisions", "float32", "--select", "by_hand or filters_update"]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accept") / "new folder"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = main(["accept", "--device", "cpu", *SHORT, *SETTINGS, "--output", str(folder)])
    return status, folder, printed.getvalue()


def lines_of(folder) -> dict:
    report = json.loads((folder / "report.json").read_text())
    return {(line["part"], line["name"]): line for line in report["lines"]}


def test_everything_passes_on_the_cpu(accepted) -> None:
    status, folder, printed = accepted
    report = json.loads((folder / "report.json").read_text())
    assert [line for line in report["lines"] if line["status"] == "failed"] == []
    assert status == 0 and report["passed"] is True
    assert report["run"]["command"].startswith("atom-bench accept --device cpu --frames 4")
    assert report["settings"]["config"] == ", ".join(SMALL)
    assert report["machine"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert f"written: {folder / 'report.json'}, {folder / 'report.html'}" in printed
    assert "Everything passed" in (folder / "report.html").read_text()


def test_every_part_is_in_the_report(accepted) -> None:
    lines = lines_of(accepted[1])
    assert lines["versions", "torch"]["status"] == "passed"
    update = lines["tests", "test_stages.test_the_filters_update[cpu-torch.bfloat16-12]"]
    assert update["status"] == "passed" and 0 < update["figures"]["change"] < 0.1
    assert "frames" in lines["tracking on the CPU", "street"]["text"]
    tracked = lines["tracking float32", "float32 eager"]
    assert tracked["status"] == "passed" and tracked["figures"]["overlap"] > 0.9
    assert tracked["figures"]["cpu_auc"] == lines["tracking on the CPU", "street"]["figures"]["auc"]
    captured = lines["tracking float32", "float32 captured"]
    assert (captured["status"], captured["text"]) == ("skipped", "CUDA graphs are for CUDA")
    figures = lines["speed float32", "float32 eager"]["figures"]
    for name in ("video_ms", "plain_ms", "update_ms", "initialize_ms", "busy_ms", "host_ms", "memory_mb"):
        assert figures[name] > 0, name
    assert figures["launches"] > 50 and figures["graph_launches"] == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_without_cuda_each_part_fails_by_a_line_and_the_report_is_written(tmp_path) -> None:
    parts = ["--parts", "versions,tracking", "--frames", "2", "--precisions", "float32"]
    assert main(["accept", *parts, *SETTINGS, "--output", str(tmp_path)]) == 1  # --device cuda is the default
    lines = lines_of(tmp_path)
    assert lines["tracking on the CPU", "street"]["status"] == "told"
    for key in (("versions", "device"), ("tracking float32", "tracking float32")):
        assert lines[key]["status"] == "failed" and "device 'cuda' cannot be used" in lines[key]["text"]
    assert "Not everything passed" in (tmp_path / "report.html").read_text()


def test_a_folder_without_sequences_is_a_line(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["--device", "cpu", "--parts", "tracking", "--precisions", "float32", "--output", str(tmp_path)]
    assert main(["accept", str(tmp_path / "empty"), *arguments]) == 1
    lines = lines_of(tmp_path)
    assert "no sequence here" in lines["tracking on the CPU", "tracking on the CPU"]["text"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "versions,magic"], "unknown: magic; expected some of versions,tests,tracking,speed"),
        (["--precisions", "float8"], "unknown: float8; expected some of float32,bfloat16,float16"),
        (["--frames", "0"], "'0'; expected a whole number, 1 or more"),
    ],
)
def test_choices_are_checked(arguments, message, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["accept", *arguments])
    assert message in capsys.readouterr().err


def test_a_mistake_in_a_setting_is_told_and_ends_with_status_2(tmp_path, capsys) -> None:
    assert main(["accept", "--set", "memory_sise=9", "--output", str(tmp_path)]) == 2
    assert "did you mean memory_size" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
