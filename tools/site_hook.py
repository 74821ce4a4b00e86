"""What the site shows beside the pages of docs/: a hook of mkdocs (mkdocs.yml).

Pages link into the repository as GitHub wants it: ``../results/bench.png``, ``../src/worldmodels/models/vae.py#VAE.loss``. Here
each file that a page links to becomes a part of the site, under ``repository/``: Markdown and Python as pages, folders as lists
of their files, all else as it is. A Python page has an anchor for each class, function and line (``#L12``). What does not
exist is left to mkdocs, which ends a strict build.
"""

from __future__ import annotations

import ast
import html
import posixpath
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
#: Where what lies outside docs/ is on the site.
OUTSIDE = "repository"
#: A link's or picture's address in Markdown, without its anchor.
ADDRESS = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
FENCED = re.compile(r"^( *)(```+).*?^\1\2 *$", re.M | re.S)
#: Pages that the navigation names.
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md")
NOT_SEARCHED = "---\nsearch:\n  exclude: true\nhide: [toc]\n---\n"
DEMO = "<!-- the demo page -->"


def source(uri: str) -> str:
    """Returns where a page of the site comes from, relative to the repository's root."""
    if not uri.startswith(f"{OUTSIDE}/"):
        return f"docs/{uri}"
    path = uri.removeprefix(f"{OUTSIDE}/")
    return path.removesuffix(".md") if path.endswith(".py.md") else path


def uri_of(path: str) -> str:
    """Returns the site's name of a file or folder of the repository; of a folder its README, or the list of its files."""
    if (ROOT / path).is_dir():
        path = f"{path}/README.md" if (ROOT / path / "README.md").exists() else f"{path}/index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{OUTSIDE}/{path}" + (".md" if path.endswith(".py") else "")


def outside_code(text: str) -> Iterable[tuple[int, int]]:
    """Returns where the text outside of fenced code begins and ends."""
    start = 0
    for fence in FENCED.finditer(text):
        yield start, fence.start()
        start = fence.end()
    yield start, len(text)


def target_of(address: str, page: str) -> str | None:
    """Returns the file or folder that a page's link means, relative to the root; None: there is none."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def targets(text: str, page: str) -> set[str]:
    """Returns what a page links to."""
    found = (match[1] for start, end in outside_code(text) for match in ADDRESS.finditer(text[start:end]))
    return {target for address in found if (target := target_of(address, page))}


def code_page(path: str) -> str:
    """Returns a Python file as a page, with anchors."""
    text = (ROOT / path).read_text(encoding="utf-8")
    names: dict[int, list[str]] = {}

    def visit(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                names.setdefault(child.lineno, []).append(within + child.name)
                visit(child, f"{within}{child.name}.")

    visit(ast.parse(text), "")
    lines = highlight(text, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).splitlines()
    marked = []
    for number, line in enumerate(lines, 1):
        anchors = "".join(f'<span id="{html.escape(name)}"></span>' for name in names.get(number, ()))
        marked.append(f'{anchors}<span id="L{number}">{line}\n</span>')
    code = "".join(marked)
    return f'{NOT_SEARCHED}# {path}\n\n<div class="highlight"><pre><code>{code}</code></pre></div>\n'


def folder_page(path: str) -> str:
    """Returns a page that lists a folder's files."""
    names = sorted(entry.name for entry in (ROOT / path).iterdir() if entry.is_file())
    rows = "\n".join(f"- [{name}]({name})" for name in names)
    return f"{NOT_SEARCHED}# {path}/\n\n{rows}\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds all that the pages link to, and what those pages link to."""
    waiting = list(files.documentation_pages())
    waiting += [added for name in ALWAYS if (ROOT / name).exists() and (added := _add(name, files, config))]
    while waiting:
        page = waiting.pop()
        for target in sorted(targets(page.content_string, source(page.src_uri))):
            added = _add(target, files, config)
            if added and added.is_documentation_page() and not target.endswith(".py"):
                waiting.append(added)
    return files


def _add(path: str, files: Files, config: MkDocsConfig) -> File | None:
    """Adds a file or folder, and returns it, or None where it is there already."""
    uri = uri_of(path)
    if files.get_file_from_path(uri) is not None:
        return None
    if path.endswith(".py"):
        added = File.generated(config, uri, content=code_page(path))
    elif (ROOT / source(uri)).is_file():
        added = File.generated(config, uri, abs_src_path=str(ROOT / source(uri)))
    else:
        added = File.generated(config, uri, content=folder_page(path))
    files.append(added)
    return added


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links into the repository into links on the site, and puts the demo page where it belongs."""
    here = page.file.src_uri
    if here.endswith(".py.md"):
        return markdown

    def rewritten(match: re.Match[str]) -> str:
        target = target_of(match[1], source(here))
        return posixpath.relpath(uri_of(target), posixpath.dirname(here) or ".") if target else match[1]

    for start, end in reversed(list(outside_code(markdown))):
        markdown = markdown[:start] + ADDRESS.sub(rewritten, markdown[start:end]) + markdown[end:]
    return markdown.replace(DEMO, demo())


def demo() -> str:
    """Returns the demo page in a frame, or how to make it."""
    if (ROOT / "site" / "index.html").exists():
        return '<iframe class="demo" src="../demo/" title="M\'s dreams, computed in this browser" loading="lazy"></iframe>'
    return "`make demo SERVE=0`, and then `make docs` again, puts that page here."


def on_post_build(config: MkDocsConfig) -> None:
    """Copies the demo page into the site."""
    if (ROOT / "site" / "index.html").exists():
        shutil.copytree(ROOT / "site", Path(config.site_dir) / "demo", dirs_exist_ok=True)
