# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Access to the server: host names, origins, the token, and rate limits."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


def is_local(address: str) -> bool:
    """Whether a server that listens on this address can be reached only from the same machine."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def new_token() -> str:
    """A random token of 128 bits."""
    return secrets.token_urlsafe(16)


class Access:
    """Decides access by a request's headers and the token."""

    def __init__(self, address: str, token: str = "") -> None:
        """Args: `address`: of the server's socket; `token`: empty for none, which is allowed only for a local server.

        Raises:
            ValueError: if the server could be reached from other machines without a token.
        """
        if not token and not is_local(address):
            raise ValueError(f"the server would listen on {address} without a token; give one, or listen on 127.0.0.1")
        self._is_local = is_local(address)
        self._token = token

    def obstacle(self, host: str, origin: str | None) -> str:
        """Why a WebSocket with these headers is refused; empty if it is accepted.

        Another site's page in the same browser may open WebSockets to this server; Origin reveals it. That site's name
        may also resolve to this machine's address (DNS rebinding); Host reveals that.
        """
        if self._is_local and _host_name(host) not in _LOCAL_NAMES:
            return f"Host is {host!r}; this server is for its own machine only: open http://localhost:<port>"
        if origin is None or urlsplit(origin).netloc.lower() != host.lower():
            return f"Origin is {origin!r}; only the page of this server itself may connect"
        return ""

    def accepts(self, token: str) -> bool:
        """Whether this is the token; compares in constant time."""
        return not self._token or hmac.compare_digest(token.encode(), self._token.encode())


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class RateLimit:
    """Limits events to a number per second, with a burst of the same number."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._since = clock()

    def delay(self) -> float:
        """Counts an event; returns the seconds to wait until it is within the limit, or 0.0."""
        self._refill()
        self._left -= 1.0
        return max(0.0, -self._left / self._rate)

    def allows(self) -> bool:
        """Whether an event is within the limit; it is counted only then."""
        self._refill()
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(float(self._burst), self._left + (now - self._since) * self._rate)
        self._since = now
