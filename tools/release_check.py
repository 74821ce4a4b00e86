"""Whether the package can be released: ``python -m tools.release_check``, which ``make release-check`` calls.

The version is one in pyproject.toml, CHANGELOG.md and CITATION.cff; the links and pictures of README.md, CHANGELOG.md and docs/
exist; and, without ``--fast``, a wheel and a source distribution are built and twine finds nothing wrong with them.

README.md links to files beside it, which would lead nowhere on a package index. The page there is docs/package.md: it has no
such links, which is looked at too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: Semantic versions, https://semver.org, without what Python's own scheme cannot say.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
#: The headings of https://keepachangelog.com.
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
#: What CITATION.cff 1.2.0 requires, and what this project says beside it.
CITATION_KEYS = {"cff-version", "message", "title", "authors"}
CITATION_MORE = {"type", "abstract", "version", "license", "keywords", "references", "url", "repository-code", "date-released"}


def project() -> dict[str, Any]:
    """Returns pyproject.toml's table ``project``."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def wrong_versions(version: str) -> list[str]:
    """Returns what is wrong with the version, and with CHANGELOG.md's and CITATION.cff's."""
    wrong = [] if VERSION.fullmatch(version) else [f"pyproject.toml: {version} is no semantic version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[?([^\]\s]+)\]?", changes, re.M)
    if headings[:1] != ["Unreleased"]:
        wrong.append("CHANGELOG.md: the first part is not 'Unreleased'")
    released = [heading for heading in headings if heading != "Unreleased"]
    if released[:1] != [version]:
        wrong.append(f"CHANGELOG.md: the newest version is {(released or ['none'])[0]}, pyproject.toml's {version}")
    wrong += [
        f"CHANGELOG.md: '### {kind}' is not a kind of change"
        for kind in re.findall(r"^### (.+)$", changes, re.M)
        if kind not in KINDS
    ]
    return wrong + wrong_citation(version)


def wrong_citation(version: str) -> list[str]:
    """Returns what is wrong with CITATION.cff."""
    import yaml

    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    wrong = [f"CITATION.cff: {key} is missing" for key in sorted(CITATION_KEYS - set(found))]
    wrong += [f"CITATION.cff: {key} is not a key of the format" for key in sorted(set(found) - CITATION_KEYS - CITATION_MORE)]
    if str(found.get("cff-version")) != "1.2.0":
        wrong.append("CITATION.cff: cff-version is not 1.2.0")
    if str(found.get("version")) != version:
        wrong.append(f"CITATION.cff: version {found.get('version')}, pyproject.toml's {version}")
    if found.get("license") != project()["license"]:
        wrong.append(f"CITATION.cff: license {found.get('license')}, pyproject.toml's {project()['license']}")
    people = [*found.get("authors", ()), *(who for each in found.get("references", ()) for who in each.get("authors", ()))]
    wrong += [f"CITATION.cff: an author has no name: {who}" for who in people if not {"name", "family-names"} & set(who)]
    return wrong


def broken_links() -> list[str]:
    """Returns the relative links of README.md, CHANGELOG.md and docs/ that lead to no file or no heading."""
    broken = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link in LINK.findall(text):
            path, _, heading = link.partition("#")
            if "://" in link or link.startswith("mailto:"):
                continue
            target = page.parent / path if path else page
            # The site knows the lines of a file of code, and `make docs` is strict about them.
            in_page = heading and target.suffix == ".md"
            if not target.exists() or (in_page and heading not in headings_of(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link} leads nowhere")
    return broken


def headings_of(page: Path) -> set[str]:
    """Returns what a page's headings and its own anchors are called in links."""
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    named = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return named | set(re.findall(r'<a id="([^"]+)"></a>', text))


def index_links() -> list[str]:
    """Returns the links of the package index's page that would lead nowhere there."""
    name = project()["readme"]
    links = LINK.findall((ROOT / name).read_text(encoding="utf-8"))
    return [f"{name}: {link} leads nowhere on a package index" for link in links if "://" not in link]


def wrong_packages() -> list[str]:
    """Builds the wheel and the source distribution and returns what is wrong with them."""
    with tempfile.TemporaryDirectory() as name:
        for command in (["build", "--no-isolation", "--outdir", name, str(ROOT)], ["twine", "check", "--strict"]):
            files = sorted(str(path) for path in Path(name).iterdir()) if command[0] == "twine" else []
            done = subprocess.run([sys.executable, "-m", *command, *files], capture_output=True, text=True, check=False)
            if done.returncode:
                return [f"{command[0]}: {(done.stdout + done.stderr).strip()}"]
        return [] if len(list(Path(name).iterdir())) == 2 else ["build: not one wheel and one source distribution"]


def main() -> int:
    """Prints what is wrong; returns 1 if anything is."""
    wrong = [*wrong_versions(project()["version"]), *broken_links(), *index_links()]
    if "--fast" not in sys.argv[1:]:
        wrong += wrong_packages()
    print("\n".join(wrong) or "release check: nothing wrong found")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
