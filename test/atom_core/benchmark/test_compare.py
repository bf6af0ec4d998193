# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import copy
import json

import pytest
from results_example import results, times

from atom_core.benchmark.compare import compare, main, read


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_result_compared_with_itself_is_as_fast() -> None:
    text = compare(results(), results())
    assert "other circumstances" not in text and "->" not in text
    assert text.count("(1.00x)") == 3 * 3  # two kinds and a baseline; median, p95, mean


def test_changes_by_hand() -> None:
    before, after = results(), results()
    after["tracker"]["engine"] = "openvino"
    plain = after["sizes"]["480x360"]["frames"]["plain"]
    plain["time"] = times(8.0, 20.0, 10.0)
    plain["counts"]["operations"] = 30
    plain["stages"]["backbone"]["mean_ms"] = 2.5
    after["memory"]["first_tracker"]["host_mb"] = 90.0
    lines = words(compare(before, after))
    assert lines[2:5] == ["other circumstances:", "tracker.engine: torch -> openvino", ""]
    changes = "20.00 -> 8.00 (2.50x) 40.00 -> 20.00 (2.00x) 25.00 -> 10.00 (2.50x) 50 -> 30 1 2"
    assert f"plain {changes}" in lines
    assert "backbone 8.00 -> 2.50" in lines
    assert any(line.startswith("first_tracker: host_mb 100.0 -> 90.0") for line in lines)


def test_a_kind_that_was_not_seen_is_a_dash() -> None:
    before, after = results(), results()
    plain = before["sizes"]["480x360"]["frames"]["plain"]
    plain["time"], plain["counts"], plain["stages"] = None, None, {}
    assert "plain - -> 20.00 - -> 40.00 - -> 25.00 - -> 50 - -> 1 - -> 2" in words(compare(before, after))


def test_results_without_a_common_size_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no image size is in both: 480x360 before, 640x480 after"):
        compare(results(), results(("640x480",)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "its format is None, not 'atom-bench 1'"),
        ("[]", "its format is None"),
        ("x", "holds no results of atom-bench"),
    ],
)
def test_another_file_is_refused(content, message, tmp_path, capsys) -> None:
    good, wrong = tmp_path / "good.json", tmp_path / "wrong.json"
    good.write_text(json.dumps(results()))
    wrong.write_text(content)
    assert read(good) == copy.deepcopy(results())
    assert main([str(good), str(wrong)]) == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_the_comparison(tmp_path, capsys) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(results()))
    assert main([str(file), str(file)]) == 0
    assert capsys.readouterr().out == compare(results(), results()) + "\n"
    assert main([str(file), str(tmp_path / "missing.json")]) == 2
    assert "missing.json" in capsys.readouterr().err
