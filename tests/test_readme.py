"""The README's figures are those of the JSON files under results/."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not (ROOT / "tools" / "tables.py").exists(), reason="an installed package has no README to check")
def test_figures_come_from_json():
    done = subprocess.run(
        [sys.executable, "-m", "tools.tables", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run 'python -m tools.tables'\n{done.stderr}"
