# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""atom-trax under a TraX client, and under the VOT toolkit itself; both run it as a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from atom_core.config import TrackerConfig
from atom_core.evaluation import vot
from atom_core.evaluation.metrics import overlap
from atom_core.tracker import AtomTracker

ROOT = Path(vot.__file__).parents[2]
ATOM_TRAX = [sys.executable, "-m", "atom_core.evaluation.vot", "--device", "cpu"]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "VOT_RESULTS_BINARY": "0",  # boxes as text
    "HTTPS_PROXY": "http://127.0.0.1:9",  # the toolkit asks the internet for a newer version; there is no such proxy
}

FRAMES = 12
MOTIONS = {"right": ((140, 90), (3, 1)), "left": ((120, 70), (-2, 2))}  # first place and step, px

STACK = """
title: small
experiments:
  supervised:
    type: supervised
    repetitions: 1
    analyses:
      - {type: supervised_average_ar, burnin: 1}
  longterm:
    type: unsupervised
    repetitions: 1
    analyses:
      - {type: average_accuracy, burnin: 1}
      - {type: average_tpr}
"""


def make_frames(start: tuple[int, int], step: tuple[int, int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Images (240, 320, 3), RGB, in which a coloured patch of 40 x 32 px moves over a dull one, and its boxes."""
    generator = np.random.default_rng(0)

    def texture(low: int, high: int, cells: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        colors = generator.integers(low, high, (*cells, 3), dtype=np.uint8)
        return cv2.resize(colors, size, interpolation=cv2.INTER_CUBIC)

    target, background = texture(0, 256, (8, 8), (40, 32)), texture(60, 160, (15, 20), (320, 240))
    images, boxes = [], []
    for index in range(FRAMES):
        x, y = start[0] + step[0] * index, start[1] + step[1] * index
        images.append(background.copy())
        images[-1][y : y + 32, x : x + 40] = target
        boxes.append((x, y, 40, 32))
    return images, np.array(boxes, float)


def write_image(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[Any, subprocess.Popen]]:
    """A TraX client with its server, the program."""
    client_module = pytest.importorskip("trax.client", reason="vot-trax is not installed: pip install vot-trax")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*ATOM_TRAX, *arguments], env=ENVIRONMENT, **pipes) as process:
        stream = (process.stdin.fileno(), process.stdout.fileno())
        yield client_module.Client(stream=stream, log=lambda text: None), process  # without a log it does not start


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with serving() as (connected, process):
        yield connected
        connected.quit()
        assert process.wait(60) == 0


def test_a_client_gets_the_boxes_and_scores_of_the_tracker_with_the_vot_settings(client, tmp_path):
    import trax

    images, boxes = make_frames(*MOTIONS["right"])
    tracker = AtomTracker.from_pretrained("default", "cpu", TrackerConfig.vot())
    tracker.initialize(images[0], boxes[0])
    expected = tracker.track(images[1])

    paths = [write_image(tmp_path / f"{index}.png", image) for index, image in enumerate(images[:2])]
    for send in (
        lambda path: trax.FileImage.create(str(path)),
        lambda path: trax.BufferImage.create(path.read_bytes()),
    ):
        client.initialize({"color": send(paths[0])}, [(trax.Rectangle.create(*boxes[0]), {})], {})
        ((region, properties),), _ = client.frame({"color": send(paths[1])}, {}, [])
        # Another process with other threads: sums are rounded differently, and learning the first frame enlarges that.
        assert region.bounds() == pytest.approx(expected.box, abs=0.5)
        assert float(properties["confidence"]) == pytest.approx(expected.score, abs=5e-3)


def test_a_polygon_and_a_mask_become_the_rectangle_about_them(client, tmp_path):
    import trax

    image = write_image(tmp_path / "0.png", make_frames((60, 40), (0, 0))[0][0])
    mask = np.zeros((240, 320), np.uint8)
    mask[40:72, 60:100] = 1
    for given in (trax.Polygon.create([(80, 40), (100, 56), (80, 72), (60, 56)]), trax.Mask.create(mask)):
        ((region, _),), _ = client.initialize({"color": trax.FileImage.create(str(image))}, [(given, {})], {})
        assert region.bounds() == (60, 40, 40, 32)


def test_the_client_and_the_user_hear_why_it_ends(tmp_path):
    with serving("--weights", "nothing") as (client, process):
        import trax

        image = trax.FileImage.create(str(tmp_path / "0.png"))
        with pytest.raises(trax.TraxException, match="no shipped weights named 'nothing'"):
            client.initialize({"color": image}, [(trax.Rectangle.create(60, 40, 40, 32), {})], {})
        assert process.wait(60) == 2
        assert "atom-trax: no shipped weights named 'nothing'" in process.stderr.read().decode()


def test_a_wrong_setting_is_named(capsys):
    assert vot.main(["--set", "memory_sise=9"]) == 2
    assert "did you mean memory_size" in capsys.readouterr().err


def test_without_its_package_the_program_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "trax", None)
    assert vot.main([]) == 2
    assert "pip install vot-trax" in capsys.readouterr().err


@dataclass(frozen=True)
class Workspace:
    """A VOT workspace after `vot evaluate`, `vot analysis` and `vot report`."""

    root: Path
    reference: dict[str, np.ndarray]  # boxes (N, 4) of each sequence

    def figures(self, experiment: str, analysis: int) -> list[float]:
        """What an analysis of the stack says of the one tracker."""
        analyses = json.loads((self.root / "analysis" / "figures.json").read_text())["results"]
        return analyses[experiment]["results"][analysis][0]

    def read(self, experiment: str, sequence: str, suffix: str) -> list[str]:
        """The lines of a file that the toolkit has written of the first run."""
        folder = self.root / "results" / "atom" / experiment / sequence
        return (folder / f"{sequence}_001{suffix}").read_text().split("\n")[:FRAMES]

    def overlaps(self, experiment: str, round_boxes: bool) -> list[float]:
        """By our metric, the mean of each sequence, without the first frame, which the toolkit marks by a 1."""
        means = []
        for sequence, reference in self.reference.items():
            given, *lines = self.read(experiment, sequence, ".txt")
            assert given == "1"
            boxes = np.array([[float(field) for field in line.split(",")] for line in lines])
            means.append(overlap(np.round(boxes) if round_boxes else boxes, reference[1:]).mean())
        return means


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    if importlib.util.find_spec("vot") is None:
        pytest.skip("vot-toolkit is not installed: pip install --no-deps -r requirements/no_deps.txt")
    root = tmp_path_factory.mktemp("workspace")
    reference = {}
    for name, motion in MOTIONS.items():
        images, reference[name] = make_frames(*motion)
        (root / "sequences" / name / "color").mkdir(parents=True)
        for index, image in enumerate(images, start=1):
            write_image(root / "sequences" / name / "color" / f"{index:08d}.png", image)
        (root / "sequences" / name / "sequence").write_text("fps=30\nchannels.color=color/%08d.png\n")
        np.savetxt(root / "sequences" / name / "groundtruth.txt", reference[name], fmt="%d", delimiter=",")
    (root / "sequences" / "list.txt").write_text("\n".join(MOTIONS))
    (root / "stack.yaml").write_text(STACK)
    (root / "config.yaml").write_text("stack: ./stack.yaml\nregistry: [./trackers.ini]\n")
    tracker = {"label": "ATOM", "protocol": "trax", "command": " ".join(ATOM_TRAX), "timeout": 600}
    (root / "trackers.ini").write_text("\n".join(["[atom]", *(f"{key} = {value}" for key, value in tracker.items())]))
    for arguments in (("evaluate", "atom"), ("analysis", "atom", "--name", "figures"), ("report", "--name", "page")):
        command = [sys.executable, "-m", "vot", *arguments, "--workspace", root]
        result = subprocess.run(command, env=ENVIRONMENT, stdout=-1, stderr=subprocess.STDOUT, text=True)
        # It ends with status 0 also where it could not do its work.
        assert result.returncode == 0 and "successful" in result.stdout, result.stdout
    return Workspace(root, reference)


def test_in_the_supervised_experiment_the_target_is_never_lost(workspace: Workspace):
    accuracy, failures, *_ = workspace.figures("supervised", 0)
    assert failures == 0
    # The toolkit rounds boxes to whole px, and clips them to the image, where they lie here.
    assert accuracy == pytest.approx(np.mean(workspace.overlaps("supervised", round_boxes=True)), abs=1e-6)
    assert accuracy == pytest.approx(np.mean(workspace.overlaps("supervised", round_boxes=False)), abs=0.03)
    assert accuracy > 0.65


def test_the_long_term_measures_order_the_frames_by_our_confidence(workspace: Workspace):
    tracked = workspace.overlaps("longterm", round_boxes=True)
    assert workspace.figures("longterm", 0) == pytest.approx([np.mean(tracked)], abs=1e-6)
    for sequence in workspace.reference:
        given, *scores = workspace.read("longterm", sequence, "_confidence.value")
        assert given == "" and all(0.25 < float(score) < 1.5 for score in scores)
    # The first frame's result does not count as a box (overlap 0) and has no confidence, which the toolkit takes for 0.
    # So the best threshold lies below the other frames' confidence and above 0: it leaves out the first frame only.
    precision, recall = np.mean(tracked), np.mean(tracked) * (FRAMES - 1) / FRAMES
    f_score = 2 * precision * recall / (precision + recall)
    assert workspace.figures("longterm", 1) == pytest.approx([precision, recall, f_score], abs=1e-6)


def test_the_report_names_the_tracker_and_its_figure(workspace: Workspace):
    page = (workspace.root / "reports" / "page" / "report.html").read_text()
    assert "ATOM" in page and f"{workspace.figures('longterm', 0)[0]:.3f}" in page
