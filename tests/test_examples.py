"""The examples run, each at a tiny size, and leave what the pages read."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_an_agent_of_another_library_learns_in_the_dream_and_plays_the_game(tmp_path):
    path = tmp_path / "score.json"
    command = [sys.executable, str(ROOT / "examples" / "sb3_in_the_dream.py"), "--json", str(path)]
    sizes = ["--dreams", "8", "--choices", "256", "--episodes", "2"]
    done = subprocess.run([*command, *sizes], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    score = json.loads(path.read_text())
    assert len(score["returns"]) == 2
    assert all(return_ > 20 for return_ in score["returns"])
    assert (score["dreams"], score["choices"]) == (8, 256)
    kept = json.loads((ROOT / "results" / "sb3-in-the-dream.json").read_text())
    assert score.keys() <= kept.keys()
    assert len(kept["returns"]) == 100


def test_what_is_wrong_is_one_line_before_the_training(tmp_path):
    """A folder for the file; no episode; and the package is absent, in the place of which a module fails to be imported."""
    (tmp_path / "stable_baselines3.py").write_text("raise ImportError\n")
    absent = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])}
    for args, env, wanted in (
        (["--help"], absent, "this example needs stable-baselines3: 'pip install stable-baselines3' brings it"),
        (["--json", str(tmp_path)], os.environ, f"error: --json {tmp_path}: Is a directory"),
        (["--episodes", "0"], os.environ, "error: --dreams, --choices and --episodes are at least 1"),
    ):
        command = [sys.executable, str(ROOT / "examples" / "sb3_in_the_dream.py"), *args]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode != 0
        assert done.stderr.rstrip().endswith(wanted), done.stderr
        assert "Traceback" not in done.stderr
