# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from atom_ros.web.address import announcement, page_address


def test_the_address_that_is_announced_is_found_among_other_lines(tmp_path):
    log = tmp_path / "web.log"
    log.write_text("Loading ...\n")
    assert page_address(log) == ""
    log.write_text(f"Loading ...\n[INFO] [1.5] [web]: {announcement('localhost', 41235)}\nToken: abc\n")
    assert page_address(log) == "http://localhost:41235"
