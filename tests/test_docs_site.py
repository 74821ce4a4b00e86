"""The site: it builds without a broken link, asks nobody else for anything, and its generated pages are what the code says."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from benchmarks.browser import browsing, chromium, opened, serving
from tools import cli_page, env_pages

ROOT = Path(__file__).parents[1]
#: What a reader of the front page finds in one click, and where.
ONE_CLICK = {
    "train on an environment of one's own": "your_own_environment/",
    "load V, M, C in Python": "v_m_c_in_python/",
    "change the temperature": "train_and_evaluate/#the-temperature",
    "resume": "train_and_evaluate/#resume",
    "use a GPU": "install/#a-gpu",
    "use a cluster": "cluster/",
    "cite": "questions/#how-do-i-cite-this",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs` builds it: strict, so a link or an anchor that is not there ends it."""
    folder = tmp_path_factory.mktemp("docs")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


@pytest.mark.parametrize("what", ONE_CLICK)
def test_one_click_from_the_front_page(site, what):
    address = ONE_CLICK[what]
    article = (site / "index.html").read_text().partition("<article")[2].partition("</article")[0]
    assert f'href="{address}"' in article
    path, _, anchor = address.partition("#")
    text = (site / path / "index.html").read_text()
    assert not anchor or f'id="{anchor}"' in text


def test_what_pages_link_to_in_the_repository_is_on_the_site(site):
    assert (site / "repository/results/bench.png").read_bytes() == (ROOT / "results/bench.png").read_bytes()
    code = (site / "repository/src/worldmodels/models/vae.py/index.html").read_text()
    assert 'id="VAE.loss"' in code
    assert 'id="L20"' in code
    listed = (site / "repository/results/take-cover/temperature/index.html").read_text()
    assert 'href="table.png"' in listed


def test_links_and_pictures_are_markdown():
    """A strict build does not look at those that are HTML."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(r"<[^>]*\s(href|src)=", text), page


BROKEN = {
    "[a](nowhere.md)": "nowhere.md",
    "[b](#nothing)": "'#nothing'",
    "[c](../src/worldmodels/models/vae.py#VAE.nothing)": "'#VAE.nothing'",
    "![d](../results/none.png)": "../results/none.png",
    "[e](/docs/index.md)": "/docs/index.md",
}


def test_every_kind_of_broken_link_ends_the_build(tmp_path, caplog):
    docs = tmp_path / "docs"
    docs.mkdir()
    whole = "[whole](../src/worldmodels/models/vae.py#VAE.loss) `[code](nothing.md)`\n\n```\n[code](nothing.md)\n```\n"
    (docs / "index.md").write_text("# A page\n\n" + whole + "\n".join(BROKEN))
    (docs / "site.css").touch()
    config = load_config(
        str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(tmp_path / "site"), nav=[{"Home": "index.md"}]
    )
    with pytest.raises(Abort):
        build(config)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == len(BROKEN), said
    for words in BROKEN.values():
        assert any(words in line for line in said), words


def test_generated_pages_are_fresh():
    stale = [path for path, text in env_pages.pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run 'python -m tools.env_pages'"
    assert cli_page.PAGE.read_text(encoding="utf-8") == cli_page.page(), "run 'python -m tools.cli_page'"


def test_every_environment_has_gymnasiums_headings():
    wanted = ("Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments")
    for path, text in env_pages.pages().items():
        if path.name != "index.md":
            for heading in (*wanted, "Version History"):
                assert len(re.findall(rf"^### {heading}$", text, re.M)) == 3, (path, heading)


@pytest.mark.parametrize("page", ["v_m_c_in_python", "dream_for_another_agent"])
def test_a_pages_python_runs(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    known = {}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) >= 3
    for block in blocks:
        exec(block, known)


@pytest.mark.skipif(chromium() is None, reason="it is looked at in Chromium")
def test_it_asks_nobody_else_and_complains_of_nothing(site):
    """In light and in dark."""
    looks = {"light": ("default", ("", "play_in_one_minute/")), "dark": ("slate", ("", "reference/"))}
    with serving(site) as address, browsing() as browser:
        for scheme, (shown, pages) in looks.items():
            for page in pages:
                with opened(browser, address + page, color_scheme=scheme) as told:
                    told.page.wait_for_load_state("networkidle")
                    assert told.page.evaluate("document.body.getAttribute('data-md-color-scheme')") == shown
                    assert told.requests
                    assert [request for request in told.requests if not request.startswith((address, "data:", "blob:"))] == []
                    assert told.complaints == []
