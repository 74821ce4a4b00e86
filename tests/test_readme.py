"""The README's figures are those of the JSON files under results/."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import of_a_release

from worldmodels.cli import main

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not (ROOT / "tools" / "tables.py").exists(), reason="an installed package has no README to check")
def test_figures_come_from_json():
    done = subprocess.run(
        [sys.executable, "-m", "tools.tables", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run 'python -m tools.tables'\n{done.stderr}"


def commands(name):
    """The commands of a page's blocks, without their comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("worldmodels ")]


PAGES = ("README.md", "docs/install.md", "docs/web.md", "docs/recordings.md")


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands(page)])
def test_every_command_is_one_that_there_is(page, line, capsys):
    """Its verb and its flags are known: what stands in capitals is the reader's to fill in."""
    words = shlex.split(line.partition(">")[0])[1:]
    if words[0] in ("help", "--version"):
        return
    verb = " ".join(words[:2]) if words[0] == "export" else words[0]
    assert main([*verb.split(), "--help"]) == 0
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= flags


@of_a_release
def test_play_at_once_runs_as_it_stands(tmp_path):
    """In a fresh clone, with nothing but what is committed; the window aside."""
    if not (ROOT / ".git").exists():
        pytest.skip("an installed package is no clone")
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(tmp_path / "clone")], check=True)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.partition("## Play at once")[2].partition("\n## ")[0]
    lines = [line.partition("  #")[0].strip() for line in part.partition("```\n")[2].partition("```")[0].splitlines()]
    assert len(lines) == 4
    folder = tmp_path / "clone"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "worldmodels").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m worldmodels "$@"\n')
    (bin_folder / "worldmodels").chmod(0o755)
    env = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder / "src")}
    for line in lines:
        if not line.startswith("worldmodels play"):
            done = subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert (folder / "dream.mp4").stat().st_size > 1000
