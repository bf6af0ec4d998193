# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What pytest writes becomes lines; the tests themselves are run in test_command.py."""

from atom_core.benchmark.acceptance import marked_tests
from atom_core.benchmark.acceptance.marked_tests import read_results, run_marked_tests
from atom_core.benchmark.acceptance.sheet import Sheet, Status

RESULTS = """<testsuites><testsuite name="pytest" tests="4">
<testcase classname="test.gpu.test_stages" name="test_a[cuda]" time="1.25"><properties>
<property name="stride 8" value="0.004"/><property name="execution" value="captured"/></properties></testcase>
<testcase classname="test.gpu.test_stages" name="test_b[cuda]" time="0.1"><properties>
<property name="stride 8" value="0.2"/></properties><failure message="assert 0.2 &lt;= 0.01">long</failure></testcase>
<testcase classname="test.gpu.test_stages" name="test_c" time="0.1"><error message="on setup">x</error></testcase>
<testcase classname="test.gpu.test_tracking" name="test_d" time="0"><skipped message="no CUDA">x</skipped></testcase>
</testsuite></testsuites>"""


def test_each_test_is_a_line_with_what_it_measured(tmp_path) -> None:
    (tmp_path / "tests.xml").write_text(RESULTS)
    sheet = Sheet("tests", tmp_path / "lines")
    assert read_results(sheet, tmp_path / "tests.xml") == 4
    passed, failed, broken, skipped = sheet.lines()
    assert (passed.name, passed.status, passed.text) == ("test_stages.test_a[cuda]", Status.PASSED, "1.2 s")
    assert passed.figures == {"stride 8": 0.004, "execution": "captured"}
    assert (failed.status, failed.text, failed.figures) == (Status.FAILED, "assert 0.2 <= 0.01", {"stride 8": 0.2})
    assert (broken.status, broken.text) == (Status.FAILED, "on setup")
    assert (skipped.name, skipped.status, skipped.text) == ("test_tracking.test_d", Status.SKIPPED, "no CUDA")


def test_no_test_at_all_is_a_failure(tmp_path) -> None:
    sheet = Sheet("tests", tmp_path / "lines")
    run_marked_tests(sheet, "cpu", tmp_path, 300, "no_test_has_this_name")
    (line,) = sheet.lines()
    assert line.status is Status.FAILED and "status 5 after 0 tests" in line.text and "deselected" in line.text


def test_without_a_checkout_the_tests_are_skipped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(marked_tests, "FOLDER", tmp_path / "gpu")
    sheet = Sheet("tests", tmp_path / "lines")
    run_marked_tests(sheet, "cpu", tmp_path, 60)
    (line,) = sheet.lines()
    assert line.status is Status.SKIPPED and "run it in a checkout" in line.text


def test_tests_that_hang_are_ended(tmp_path) -> None:
    sheet = Sheet("tests", tmp_path / "lines")
    run_marked_tests(sheet, "cpu", tmp_path, 0.1, "by_hand")
    (line,) = sheet.lines()
    assert line.status is Status.FAILED and line.text.startswith("not finished after 0 s")
