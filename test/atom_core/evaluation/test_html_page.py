# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
from xml.etree import ElementTree

from atom_core.evaluation.html_page import grid, section, text_cell, whole_page


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html.replace(" class=text", ' class="text"').replace(" class=mean", ' class="mean"'))


def test_titles_names_and_cells_are_escaped() -> None:
    assert section("a < b", "<p>x</p>") == "<section><h2>a &lt; b</h2><p>x</p></section>\n"
    assert text_cell("<script>") == '<td class="text">&lt;script&gt;</td>'
    assert "<title>a &amp; b</title>" in whole_page("a & b", [])
    table = parsed(grid('of "x" & y', ["name", "<value>"], [("a<b", ["<td>1</td>"])]))
    assert table.get("aria-label") == 'of "x" & y'
    assert [cell.text for cell in table.iter("th")] == ["name", "<value>", "a<b"]


def test_a_section_without_content_is_left_out() -> None:
    assert section("title", "") == ""


def test_a_table_marks_texts_and_the_mean() -> None:
    rows = [("first", [text_cell("x"), "<td>1</td>"]), ("mean", [text_cell("y"), "<td>2</td>"])]
    table = parsed(grid("caption", ["name", "status", "AUC"], rows))
    assert [cell.get("class") for cell in table.find(".//thead/tr")] == [None, "text", None]
    body = table.findall(".//tbody/tr")
    assert [row.get("class") for row in body] == [None, "mean"]
    assert [[cell.text for cell in row] for row in body] == [["first", "x", "1"], ["mean", "y", "2"]]


def test_the_page_needs_nothing_from_outside() -> None:
    page = whole_page("title", [section("one", "<p>1</p>"), section("two", "<p>2</p>")])
    assert page.index("<h2>one</h2>") < page.index("<h2>two</h2>")
    assert all(word not in page for word in ("http://", "https://", "<script", "src=", "@import"))
