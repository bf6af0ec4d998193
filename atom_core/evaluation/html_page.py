# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a self-contained HTML page: no other file, no script, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_TEXTS = {"value", "status", "found"}  # headings of columns of text
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #ffffff; --line: #d5d9de; --soft: #f3f5f7; --dim: #5b646e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #14171a; --line: #3a4149; --soft: #1e2328; --dim: #a3acb6; }
}
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; font-size: 1.25rem; } h3 { margin-bottom: .3rem; font-size: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; color: var(--dim); padding: .8rem 0 .4rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, .text { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--line); }
tr.mean { background: var(--soft); }
small { color: var(--dim); font-size: .8em; }
.plots, .frames { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.frames { grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); }
figure { margin: 0; } figure svg, figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--dim); font-size: .85rem; }
.key { display: inline-block; margin-right: 1rem; overflow-wrap: anywhere; }
.key i { display: inline-block; width: .9em; height: .9em; margin-right: .35em; border: 2px solid;
  vertical-align: -.1em; }
dt { font-weight: 600; } dd { margin: 0 0 .3rem 1rem; } details { margin: .5rem 0; } summary { cursor: pointer; }
"""


def whole_page(title: str, sections: Iterable[str]) -> str:
    """A page of HTML sections; the title is escaped."""
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
    )
    return f"{head}\n<body><main><h1>{escape(title)}</h1>{''.join(sections)}</main></body></html>\n"


def section(title: str, content: str) -> str:
    """A section with a heading, which is escaped; empty without content."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>\n" if content else ""


def grid(caption: str, headings: Sequence[str], rows: Iterable[tuple[str, list[str]]]) -> str:
    """A scrollable table; a row is its name, which is escaped, and its HTML cells."""
    head = "".join(
        f'<th scope="col"{" class=text" if heading in _TEXTS else ""}>{escape(heading)}</th>' for heading in headings
    )
    body = "".join(
        f'<tr{" class=mean" if name == "mean" else ""}><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'
        for name, cells in rows
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def text_cell(value: object) -> str:
    """A cell of text, which is escaped."""
    return f'<td class="text">{escape(str(value))}</td>'
