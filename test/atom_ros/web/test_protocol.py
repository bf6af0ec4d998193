# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import json
import struct

import pytest
from fake_link import BOX, track

from atom_ros.web.protocol import (
    MAX_COMMAND,
    ProtocolError,
    parse,
    picture_message,
    reply_id,
    split_picture,
    track_fields,
)
from atom_tracker.msg import Track

GOOD = {
    "hello": {"token": None},
    "ack": {"sequence": 7},
    "watch": {"on": True},
    "set_target": {"stamp": [5, 9], "box": [1, 2.5, 30, 40], "target": 3, "topic": "/camera"},
    "remove_target": {"target": 3},
    "pause": {"on": False},
    "set_parameter": {"name": "max_targets", "value": 4},
    "camera": {"topic": "/camera"},
}


@pytest.mark.parametrize("kind", GOOD)
def test_good_messages(kind: str) -> None:
    command = parse(json.dumps({"type": kind, "id": 12, **GOOD[kind]}))
    assert (command.type, command.id) == (kind, 12)
    assert command.fields.keys() == GOOD[kind].keys()


def test_values_are_those_that_were_sent() -> None:
    fields = parse(json.dumps({"type": "set_target", **GOOD["set_target"]})).fields
    assert fields == {"stamp": (5, 9), "box": (1.0, 2.5, 30.0, 40.0), "target": 3, "topic": "/camera"}
    without = {key: value for key, value in GOOD["set_target"].items() if key != "target"}
    assert parse(json.dumps({"type": "set_target", **without})).fields["target"] == 0, "a new one"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[" * 3000, "not JSON"),
        ("[]", "expected an object"),
        ("{}", "type is None; expected one of hello"),
        ('{"type": ["ack"]}', "expected one of"),
        ('{"type": "reboot"}', "type is 'reboot'; expected one of hello, ack"),
        ('{"type": "ack", "sequence": 1, "id": -1}', "id is -1"),
        ('{"type": "ack", "sequence": true}', "sequence is True"),
        ('{"type": "pause", "on": 1}', "on is 1; expected true or false"),
        ('{"type": "remove_target", "target": 4294967296}', "expected a whole number from 0 to 4294967295"),
        ('{"type": "camera", "topic": ""}', "a text of 1 to 512 characters"),
        ('{"type": "set_parameter", "name": "a", "value": null}', "value is None"),
        ('{"type": "set_parameter", "name": "a", "value": 1e999}', "value is inf"),
        ("x" * (MAX_COMMAND + 1), f"message has {MAX_COMMAND + 1} bytes; expected at most {MAX_COMMAND}"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, reason: str) -> None:
    with pytest.raises(ProtocolError) as error:
        parse(text)
    assert reason in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("box", [1, 2, 3]),
        ("box", [1, 2, 0, 4]),
        ("box", [1, 2, 3, -4]),
        ("box", [float("nan"), 2, 3, 4]),
        ("box", [1e7, 2, 3, 4]),
        ("box", ["1", 2, 3, 4]),
        ("box", [True, 2, 3, 4]),
        ("stamp", 5),
        ("stamp", [5]),
        ("stamp", [2**31, 0]),
        ("stamp", [5.5, 0]),
        ("stamp", [5, -1]),
    ],
)
def test_boxes_and_stamps_that_no_picture_has(field: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=field):
        parse(json.dumps({"type": "set_target", **GOOD["set_target"], field: value}))


def test_the_id_of_a_bad_message_is_told_where_there_is_one() -> None:
    assert reply_id('{"type": "reboot", "id": 9}') == 9
    assert [reply_id(text) for text in ("{", "[]", "{}", '{"id": "9"}', '{"id": -1}', '{"id": true}')] == [0] * 6


def test_a_picture_travels_with_its_header() -> None:
    message = picture_message({"sequence": 3}, b"\xff\xd8jpeg")
    assert message == struct.pack("<I", 14) + b'{"sequence":3}' + b"\xff\xd8jpeg"
    assert split_picture(message) == ({"sequence": 3}, b"\xff\xd8jpeg")


def test_a_lost_target_has_no_box() -> None:
    assert track_fields(track(Track.UNCERTAIN)) == {"id": 1, "status": 2, "box": list(BOX), "confidence": 0.75}
    lost = track_fields(track(Track.LOST, confidence=float("nan")))
    assert lost == {"id": 1, "status": 3, "box": None, "confidence": None}
