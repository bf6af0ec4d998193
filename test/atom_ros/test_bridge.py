# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import array
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Image

from atom_core.data.images import PixelRange
from atom_ros import bridge
from atom_ros.images import ENCODINGS, check, to_rgb, values

HEIGHT, WIDTH = 6, 8
# Stands for cv_bridge where only our own part is tested: two encodings, of which one has a colour.
FAKE = """
import numpy as np
class CvBridge:
    def encoding_to_cvtype2(self, encoding):
        return {"mono8": 0, "strange8": 16, "16SC1": 3, "32FC2": 13}[encoding]
    def imgmsg_to_cv2(self, message, desired_encoding):
        if message.encoding in ("mono8", "strange8"):
            return np.full((message.height, message.width, 3), 7, np.uint8)
        if desired_encoding == "rgb8":
            raise ValueError("no color format")
        kind, channels = {"16SC1": ("<i2", 1), "32FC2": ("<f4", 2)}[message.encoding]
        pixels = np.frombuffer(bytes(message.data), kind).reshape(message.height, message.width, channels)
        return pixels[..., 0] if channels == 1 else pixels
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Installs a cv_bridge of the given source."""
    bridge.load.cache_clear()

    def put(source: str) -> None:
        (tmp_path / "cv_bridge").mkdir()
        (tmp_path / "cv_bridge" / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)

    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    yield put
    sys.modules.pop("cv_bridge", None)
    bridge.load.cache_clear()


def message(encoding: str, pixels: np.ndarray) -> Image:
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    data = array.array("B", rows.tobytes())
    return Image(height=len(pixels), width=pixels.shape[1], encoding=encoding, step=rows.shape[1], data=data)


def test_other_encodings_are_left_to_cv_bridge(install) -> None:
    install(FAKE)
    assert (to_rgb(message("strange8", np.zeros((HEIGHT, WIDTH), np.uint8))) == 7).all()
    ramp = np.arange(-24, 24, dtype=np.int16).reshape(HEIGHT, WIDTH)
    pixel_range = PixelRange((-24, 231))
    result = to_rgb(message("16SC1", ramp), pixel_range)
    expected = np.where(ramp == 0, 0, ramp + 24)  # 0 is no measurement
    np.testing.assert_array_equal(result, np.dstack([expected] * 3))
    with pytest.raises(ValueError, match="'32FC2' has 2 channels; expected 1, 3 or 4"):
        to_rgb(message("32FC2", np.zeros((HEIGHT, WIDTH, 2), np.float32)))
    with pytest.raises(ValueError, match=r"'rgb9' is not supported.*cv_bridge does not know it either"):
        check(message("rgb9", ramp))
    with pytest.raises(ValueError, match="'16SC1' is not supported"):
        values(message("16SC1", ramp))
    short = message("16SC1", ramp)
    short.data = short.data[:-1]
    with pytest.raises(ValueError, match=r"data has 95 bytes; .* needs 96"):
        to_rgb(short)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('numpy.core.multiarray failed to import')", "multiarray failed to import"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with status -11"),
    ],
)
def test_a_cv_bridge_for_another_numpy_is_named_and_ends_nothing(install, source: str, reason: str) -> None:
    install(source)
    with pytest.raises(ValueError, match=r"does not work with NumPy .*" + reason):
        check(message("16SC1", np.zeros((2, 2), np.int16)))
    np.testing.assert_array_equal(to_rgb(message("mono8", np.ones((2, 2), np.uint8))), np.ones((2, 2, 3)))


def test_without_cv_bridge_it_is_said(install) -> None:
    if bridge.obstacle() != "cv_bridge is not installed":
        pytest.skip("cv_bridge is installed")
    with pytest.raises(ValueError, match=r"'16SC1' is not supported.*\(cv_bridge is not installed\)"):
        check(message("16SC1", np.zeros((2, 2), np.int16)))


# The rows of a picture below the grey image are counted otherwise by cv_bridge, which cannot be compared so.
@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name not in ("nv12", "nv21")])
def test_both_decode_alike(encoding: str) -> None:
    """Our table against cv_bridge, on noise, with values of full range."""
    bridge.load.cache_clear()
    if bridge.obstacle() is not None:
        pytest.skip(bridge.obstacle())
    if not bridge.knows(encoding):
        pytest.skip(f"this cv_bridge does not know {encoding}")
    rng = np.random.default_rng(0)
    if encoding == "32FC1":
        pixels = rng.random((HEIGHT, WIDTH), np.float32)
    else:
        kind = np.uint16 if "16" in encoding else np.uint8
        channels = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}.get(encoding.rstrip("0123456789"), 1)
        channels = {"8UC3": 3, "8UC4": 4}.get(encoding, 2 if "yuv" in encoding or "uy" in encoding else channels)
        pixels = rng.integers(0, np.iinfo(kind).max, (HEIGHT, WIDTH, channels)).astype(kind)
    image = message(encoding, pixels)
    if "C" in encoding:  # no colours: the pixels themselves are compared
        theirs = bridge.load()[0].imgmsg_to_cv2(image, desired_encoding="passthrough")
        np.testing.assert_array_equal(values(image), theirs)
        return
    ours = to_rgb(image, PixelRange((0, 65535))).astype(int)
    theirs = bridge.load()[0].imgmsg_to_cv2(image, desired_encoding="rgb8")
    np.testing.assert_allclose(ours, theirs, atol=1)
