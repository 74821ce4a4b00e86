"""The fast parts of `make release-check`: versions, the citation, the links; and that what is wrong is found."""

import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tools.release_check", reason="an installed package has no tools")

import worldmodels
from tools import release_check

ROOT = Path(__file__).parent.parent


def test_nothing_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["release_check", "--fast"])
    assert release_check.main() == 0, capsys.readouterr().out
    assert worldmodels.__version__ == release_check.project()["version"]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The pages alone, to be changed."""
    for name in ("pyproject.toml", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy2(ROOT / name, tmp_path)
    (tmp_path / "README.md").write_text("# A title\n\nHere is [a part](#a-title) and ![a picture](a.png).\n")
    (tmp_path / "a.png").touch()
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=lambda *_: [])
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    return tmp_path


CHANGES = {
    "another version": ("pyproject.toml", '\nversion = "[^"]+"', '\nversion = "9.8.7"', 2),
    "no semantic version": ("pyproject.toml", '\nversion = "[^"]+"', '\nversion = "9.8"', 3),
    "a kind of change that there is not": ("CHANGELOG.md", "### Added", "### News", 1),
    "no place for what comes": ("CHANGELOG.md", r"## \[Unreleased\]", "## [0.1.0]", 1),
    "another licence": ("CITATION.cff", "license: MIT", "license: GPL-3.0-only", 1),
    "an author without a name": ("CITATION.cff", "  - name: The", "  - alias: The", 1),
    "a key that there is not": ("CITATION.cff", "type: software", "kind: software", 1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_wrong_version_or_citation_is_found(copy, what):
    name, old, new, num_wrong = CHANGES[what]
    text, changed = re.subn(old, new, (copy / name).read_text(encoding="utf-8"), count=1)
    assert changed
    (copy / name).write_text(text, encoding="utf-8")
    assert len(release_check.wrong_versions(release_check.project()["version"])) == num_wrong


def test_a_broken_link_is_found(copy):
    def broken():
        return [line for line in release_check.broken_links() if line.startswith("README.md: ")]

    assert broken() == []
    (copy / "a.png").unlink()
    assert broken() == ["README.md: a.png leads nowhere"]
    with (copy / "README.md").open("a") as file:
        file.write("[gone](#another-title) [away](https://example.org/x)\n```\n[no](link)\n```\n")
    assert broken() == ["README.md: a.png leads nowhere", "README.md: #another-title leads nowhere"]
    with (copy / "docs" / "package.md").open("a") as file:
        file.write("[beside it](hub.md)\n")
    assert release_check.index_links() == ["docs/package.md: hub.md leads nowhere on a package index"]
