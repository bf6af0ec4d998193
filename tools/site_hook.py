# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""For MkDocs: pages of the site outside docs/, and links to files that are not pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def _outside() -> dict[str, Path]:
    """The site names of files outside docs/."""
    cards = {f"weights/{path.name}": path for path in (ROOT / "weights").glob("*.md")}
    return {"index.md": ROOT / "README.md", "contributing.md": ROOT / "CONTRIBUTING.md", **cards}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages from outside docs/."""
    for name, path in _outside().items():
        page = File.generated(config, name, content=_with_site_links(path.read_text(encoding="utf-8"), path))
        if name.startswith("weights/"):
            page.inclusion = page.inclusion.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links that work in the site."""
    source = page.file.abs_src_path
    return markdown if source is None else _with_site_links(markdown, Path(source))


def _with_site_links(markdown: str, source: Path) -> str:
    """Links to pages by their site names; links to other files become text."""
    outside = {path: name for name, path in _outside().items()}
    name_here = outside.get(source) or source.relative_to(ROOT / "docs").as_posix()
    up = "../" * name_here.count("/")

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if ":" in target:
            return match[0]
        path = (source.parent / target).resolve()
        if path in outside:
            return f"[{text}]({up}{outside[path]}{anchor})"
        if path.is_relative_to(ROOT / "docs"):
            return f"[{text}]({up}{path.relative_to(ROOT / 'docs').as_posix()}{anchor})"
        return text

    return _LINK.sub(link, markdown).replace("](docs/images/", "](images/")
