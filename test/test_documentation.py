# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The links of the documentation, and the files that tools read: Docker, compose, GitHub, editors, MkDocs."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "weights").glob("*.md"),
    *(ROOT / "examples").glob("*.md"),
]


def prose(page: Path) -> str:
    """The page without its blocks of code, whose brackets are no links."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that GitHub and MkDocs give to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_broken(page: Path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert not broken


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    for text in ("[x](nowhere.md)", "[x](#nothing)", "[x](page.md#nothing)"):
        page.write_text(f"# A title\n{text}\n")
        with pytest.raises(AssertionError):
            test_no_link_is_broken(page)
    page.write_text("# A title: `x` and y\n[x](#a-title-x-and-y)\n```\n[x](no.md)\n```\n")
    test_no_link_is_broken(page)


def read_yaml(name: str) -> dict:
    class Loader(yaml.SafeLoader):
        """Takes a tag as the text it stands at."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: getattr(node, "value", None))
    content = yaml.load((ROOT / name).read_text(), Loader)
    assert isinstance(content, dict), name
    return content


def navigation(entries: list) -> list[str]:
    """The pages below the entries of mkdocs.yml's nav."""
    found: list[str] = []
    for entry in entries:
        (value,) = entry.values()
        found += navigation(value) if isinstance(value, list) else [value]
    return found


def test_the_site_has_every_page_once():
    listed = navigation(read_yaml("mkdocs.yml")["nav"])
    assert len(set(listed)) == len(listed)
    outside = {"index.md", "contributing.md"}  # tools/site_hook.py makes them
    assert set(listed) - outside == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.skipif(
    shutil.which("mkdocs") is None, reason="MkDocs is not installed: pip install -r requirements/docs.txt"
)
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    command = ["mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "first_steps" / "index.html").is_file()


def test_make_lint_checks_the_links_and_the_site():
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    assert "test/test_documentation.py" in recipe, "this file"


def test_workflow_runs_what_make_has():
    workflow = read_yaml(".github/workflows/ci.yml")
    assert {"name", "permissions", "jobs"} <= workflow.keys()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set()
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            asked |= set(re.findall(r"^make ([\w-]+)$", step.get("run", ""), re.MULTILINE))
    assert asked == {"lint", "test-fast", "test"}
    assert asked <= targets


def test_compose_starts_programs_of_the_package():
    services = read_yaml("compose.yaml")["services"]
    assert services.keys() == {"tracker", "camera", "web"}
    programs = set(re.findall(r"^\s*([a-z_]+) = atom_ros", (ROOT / "cmake" / "atom_ros.cfg").read_text(), re.MULTILINE))
    for name, service in services.items():
        words = shlex.split(service["command"])
        assert words[2] == "atom_tracker", name
        if words[1] == "launch":
            assert (ROOT / "launch" / words[3]).is_file()
        else:
            assert words[1] == "run" and words[3] in programs, name
    assert (ROOT / services["tracker"]["build"]["context"] / "Dockerfile").is_file()
    for more in ("compose.cuda.yaml", "compose.webcam.yaml"):
        assert read_yaml(more)["services"].keys() <= services.keys()
    inside = "/home/ubuntu/ws/install/atom_tracker/share/atom_tracker/"
    profile = services["camera"]["environment"]["FASTRTPS_DEFAULT_PROFILES_FILE"]
    assert (ROOT / profile.removeprefix(inside)).is_file()
    clip = re.search(r":-/home/ubuntu/ws/src/atom_tracker/(\S+?)}", services["camera"]["command"])[1]
    assert (ROOT / clip).is_file()


def test_the_image_is_built_from_what_is_there():
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    copied = [word for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for word in line.split()[:-1]]
    for name in (word for word in copied if not word.startswith("--")):
        assert (ROOT / name).exists(), name
        assert Path(name).parts[:1] == () or Path(name).parts[0] not in ignored, name
    for name in ("docker", "docker_cuda"):
        for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
            assert not line or line.startswith("#") or re.fullmatch(r"[\w-]+==[\d.]+", line), line


def test_the_image_has_the_versions_that_are_tested():
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements" / "core.txt").read_text(), re.MULTILINE))
    for name in ("docker", "docker_cuda"):
        for package, version in re.findall(
            r"^([\w-]+)==(\S+)$", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
        ):
            if package != "numpy":  # Ubuntu's OpenCV needs NumPy 1
                assert pins[package] == version


def test_pre_commit_has_the_ruff_that_make_has():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    pinned = re.search(r"^ruff==(\S+)$", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)[1]
    assert repository["rev"] == f"v{pinned}"


def test_the_editor_container_opens_the_environment_of_make():
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert content["postCreateCommand"] == "make env"
    images = [
        re.search(r"^FROM (\S+)$", path.read_text(), re.MULTILINE)[1]
        for path in (ROOT / "Dockerfile", ROOT / ".devcontainer" / content["build"]["dockerfile"])
    ]
    assert images[0] == images[1]


def test_the_citation_names_the_version_and_the_paper():
    content = read_yaml("CITATION.cff")
    assert f"<version>{content['version']}</version>" in (ROOT / "package.xml").read_text()
    assert content["preferred-citation"]["doi"] == "10.1109/CVPR.2019.00479"
    assert isinstance(content["version"], str)
