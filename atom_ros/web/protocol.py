# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The messages between page and server over the WebSocket: docs/web.md lists them.

The page sends JSON objects. The server sends JSON objects, and each picture as one binary message.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from atom_tracker.msg import Track

Json: TypeAlias = dict[str, Any]
Stamp: TypeAlias = tuple[int, int]  # s, ns

MAX_COMMAND = 4096  # bytes of a message from the page
_MAX_TEXT = 512  # characters of a name or a value in it
_HEADER = struct.Struct("<I")  # bytes of the JSON before a picture's jpeg


class ProtocolError(ValueError):
    """An invalid message; the sender gets the reason, and the message has no other effect."""


@dataclass(frozen=True)
class Command:
    """One message from the page, with valid fields."""

    type: str
    id: int  # of the answer; 0 if none is wanted
    fields: Json


def parse(text: str) -> Command:
    """Parses a message from the page.

    Raises:
        ProtocolError: naming the field, its value and the expected values.
    """
    if len(text.encode()) > MAX_COMMAND:
        raise ProtocolError(f"message has {len(text.encode())} bytes; expected at most {MAX_COMMAND}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"message is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ProtocolError(f"message is a {type(data).__name__}; expected an object")
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ProtocolError(f"type is {_shown(kind)}; expected one of {', '.join(_FIELDS)}")
    number = _whole("id", data.get("id", 0), 2**53)
    return Command(kind, number, {name: read(name, data.get(name)) for name, read in _FIELDS[kind].items()})


def reply_id(text: str) -> int:
    """The id of an invalid message; 0 if it has none."""
    try:
        number = json.loads(text)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return number if type(number) is int and 0 <= number <= 2**53 else 0


def picture_message(header: Mapping[str, Any], jpeg: bytes) -> bytes:
    """The binary message of a picture: the header's length (uint32, little endian), the header as JSON, the jpeg."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return _HEADER.pack(len(text)) + text + jpeg


def split_picture(message: bytes) -> tuple[Json, bytes]:
    """The header and the jpeg of a picture's message, as the page reads them."""
    (length,) = _HEADER.unpack_from(message)
    start = _HEADER.size
    return json.loads(message[start : start + length]), message[start + length :]


def track_fields(track: Track) -> Json:
    """A Track for the page; the box is None if the target is not visible."""
    box = [track.x, track.y, track.width, track.height]
    is_seen = all(map(math.isfinite, box)) and track.width > 0
    return {
        "id": track.target_id,
        "status": track.status,
        "box": [round(value, 2) for value in box] if is_seen else None,
        "confidence": finite(round(track.confidence, 3)),
    }


def finite(value: float) -> float | None:
    """A number for JSON: None for NaN and infinities."""
    return value if math.isfinite(value) else None


def _whole(name: str, value: object, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ProtocolError(f"{name} is {_shown(value)}; expected a whole number from 0 to {largest}")
    return value


def _id32(name: str, value: object) -> int:
    return _whole(name, 0 if value is None else value, 2**32 - 1)


def _sequence(name: str, value: object) -> int:
    return _whole(name, value, 2**53)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{name} is {_shown(value)}; expected true or false")
    return value


def _stamp(name: str, value: object) -> Stamp:
    if not isinstance(value, list) or len(value) != 2:
        raise ProtocolError(f"{name} is {_shown(value)}; expected [seconds, nanoseconds] of the picture")
    second, nanosecond = value
    if type(second) is not int or not -(2**31) <= second < 2**31:
        raise ProtocolError(f"{name}[0] is {_shown(second)}; expected a whole number of 32 bits")
    return second, _whole(f"{name}[1]", nanosecond, 2**32 - 1)


def _box(name: str, value: object) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else []
    good = len(numbers) == 4 and all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
    if not good or min(numbers[2:]) <= 0 or max(map(abs, numbers)) > 1e6:
        raise ProtocolError(
            f"{name} is {_shown(value)}; expected [x, y, width, height] in px of the image, width and height above 0"
        )
    return tuple(map(float, numbers))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise ProtocolError(f"{name} is {_shown(value)}; expected a text of 1 to {_MAX_TEXT} characters")
    return value


def _token(name: str, value: object) -> str:
    return "" if value is None else _text(name, value)


def _value(name: str, value: object) -> bool | int | float | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**63:  # false for NaN, and never overflows
        return value
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        return value
    raise ProtocolError(f"{name} is {_shown(value)}; expected a number, true, false or a text")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_FIELDS: Mapping[str, Mapping[str, Callable[[str, Any], Any]]] = {
    "hello": {"token": _token},
    "ack": {"sequence": _sequence},
    "watch": {"on": _flag},
    "set_target": {"stamp": _stamp, "box": _box, "target": _id32, "topic": _text},
    "remove_target": {"target": _id32},
    "pause": {"on": _flag},
    "set_parameter": {"name": _text, "value": _value},
    "camera": {"topic": _text},
}
