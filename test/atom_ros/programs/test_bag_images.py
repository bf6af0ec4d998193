# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from bag_example import FRAMES, LOG_0, STORAGES, STORE, image, write
from rosbags.rosbag2 import StoragePlugin, Writer

from atom_ros.programs.bag_images import BagImages
from atom_ros.programs.bag_reader import BagReader


@pytest.mark.parametrize("storage", STORAGES)
def test_a_topic_with_two_types_gives_its_images(tmp_path: Path, storage: str) -> None:
    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        text = writer.add_connection("/image", "std_msgs/msg/String", typestore=STORE)
        camera = writer.add_connection("/image", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        note = STORE.serialize_cdr(STORE.types["std_msgs/msg/String"]("note"), "std_msgs/msg/String")
        for index in range(FRAMES):
            writer.write(text, LOG_0 + index, note)
            writer.write(camera, LOG_0 + index, image(index, 100))
    with BagReader(bag) as reader:
        images = BagImages(reader, None)
        frames = list(images)
        assert (len(images), len(frames), images.damage) == (FRAMES, FRAMES, None)
        assert [frame.stamp for frame in frames] == [10**9 + index for index in range(FRAMES)]


def test_the_only_image_topic_needs_no_name(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / "bag", "mcap", 100)) as reader:
        images = BagImages(reader, None)
        assert (images.topic, len(images)) == ("/image", FRAMES)
        assert BagImages(reader, "image").topic == "/image", "the slash may be left out"
        with pytest.raises(ValueError, match=rf"no images on /depth; its image topics: /image \({FRAMES} images\)"):
            BagImages(reader, "/depth")


def test_of_several_image_topics_one_must_be_chosen(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in ("/left", "/right"):
            camera = writer.add_connection(topic, "sensor_msgs/msg/CompressedImage", typestore=STORE)
            writer.write(camera, LOG_0, image(0, 100))
    with BagReader(bag) as reader:
        with pytest.raises(ValueError, match=r"several image topics, choose one with --topic: /left"):
            BagImages(reader, None)
        images = BagImages(reader, "/right")
        images.other_topics = frozenset({"/left"})
        (frame,) = images
        others = [*frame.others, *images.rest]
        assert [message[0].topic for message in others] == ["/left"]


def test_of_several_image_topics_the_only_one_with_images_needs_no_name(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        camera = writer.add_connection("/camera", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        writer.add_connection("/debug_image", "sensor_msgs/msg/Image", typestore=STORE)
        writer.write(camera, LOG_0, image(0, 100))
    with BagReader(bag) as reader:
        assert BagImages(reader, None).topic == "/camera"


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    with BagReader(write(tmp_path / "bag", "sqlite3", 100)) as reader:
        frame = next(iter(BagImages(reader, None)))
        with pytest.raises(ValueError, match=r"bag, /image, image 0: "):
            frame.decode()


def test_the_rate_is_the_bags(tmp_path: Path) -> None:
    """Three images in the second between the first and the last log time."""
    bag = tmp_path / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection("/image", "sensor_msgs/msg/CompressedImage", typestore=STORE)
        for index in range(3):
            writer.write(camera, LOG_0 + index * 500_000_000, image(index, 100))
    with BagReader(bag) as reader:
        assert BagImages(reader, None).fps == pytest.approx(3.0)
