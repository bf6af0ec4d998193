# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import errno

import pytest

from atom_core.report_errors import report_errors


def test_a_program_without_errors_ends_with_0(capsys):
    done = []
    assert report_errors("atom-x", lambda: done.append(1)) == 0
    assert (done, capsys.readouterr().err) == ([1], "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("size is 3; expected 4"), "atom-x: size is 3; expected 4\n"),
        (OSError(errno.ENOSPC, "No space left", "/a"), "atom-x: [Errno 28] No space left: '/a'\n"),
        (FloatingPointError("the error is nan"), "atom-x: the error is nan\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(error, line, capsys):
    def fail():
        raise error

    assert report_errors("atom-x", fail) == 2
    assert capsys.readouterr().err == line


def test_another_error_is_a_fault_of_the_program_and_is_not_hidden():
    def fail():
        raise KeyError("boxes")

    with pytest.raises(KeyError):
        report_errors("atom-x", fail)
