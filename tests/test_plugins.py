"""Packages that announce tasks: a broken one is named and stops no other's, two with one name are both named."""

import os

import pytest
from conftest import run_cli

#: What a package's module does when it is imported, and how that is said.
BROKEN = {
    "import worldmodels_needs_this": "ModuleNotFoundError: No module named 'worldmodels_needs_this' (broken_tasks.py, line 1)",
    "def f(:": "SyntaxError: invalid syntax (broken_tasks.py, line 1)",
    "import sys; sys.exit('no licence')": "SystemExit: no licence (broken_tasks.py, line 1)",
    "from worldmodels.envs.task import Task; Task(name='half')": "TypeError: Task.__init__() missing",
    "import pytest; pytest.skip('not here', allow_module_level=True)": "Skipped: not here",
    "raise BaseExceptionGroup('all', [KeyError('first')])": "ExceptionGroup: all",
}
SECOND = """
import dataclasses
from worldmodels.envs.registry import register
from worldmodels_toy import TOY
register(dataclasses.replace(TOY, latent_size=5))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package of one module, for the programs that are started."""

    def add(package, task, source):
        module = package.replace("-", "_")
        folder = tmp_path / package
        info = folder / f"{module}-0.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[worldmodels.tasks]\n{task} = {module}\n")
        (folder / f"{module}.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))

    return add


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_package_is_named_and_the_others_tasks_are_there(source, install):
    install("broken-tasks", "broken", source)
    found = run_cli("tasks")
    assert found.returncode == 0
    assert {"car-racing", "take-cover", "toy", "toy-walls"} <= {line.split()[0] for line in found.stdout.splitlines()}
    assert found.stderr.count("\n") == 1
    said = "the package 'broken-tasks' announces the task 'broken', but broken_tasks cannot be imported: "
    assert said + BROKEN[source] in found.stderr


def test_one_that_registers_nothing_is_named_when_its_task_is_asked_for(install, tmp_path):
    install("broken-tasks", "broken", "")
    for asked in (["reproduce", "broken"], ["evaluate", "broken"]):
        found = run_cli(*asked, cwd=tmp_path)
        assert (found.returncode, found.stdout) == (2, "")
        said = "the package 'broken-tasks' announces the task 'broken', but broken_tasks registers none of this name"
        assert found.stderr == f"worldmodels: {said}\n"


def test_one_without_a_name_goes_by_its_module(install, tmp_path):
    install("broken-tasks", "broken", "1 / 0")
    (tmp_path / "broken-tasks/broken_tasks-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\n")
    assert "the package 'broken_tasks' announces the task 'broken'" in run_cli("tasks").stderr


def test_its_own_task_is_refused_with_the_reason(install, tmp_path):
    install("broken-tasks", "broken", "import worldmodels_needs_this")
    for asked in (["reproduce", "broken"], ["evaluate", "broken"], ["collect", "--task", "broken", "--run", "run"]):
        found = run_cli(*asked, cwd=tmp_path)
        assert (found.returncode, found.stdout) == (2, "")
        assert "the package 'broken-tasks'" in found.stderr.splitlines()[-1]
        assert "No module named 'worldmodels_needs_this'" in found.stderr.splitlines()[-1]
        assert not (tmp_path / "run").exists()


def test_another_tasks_work_does_not_stumble_over_it(install, tmp_path):
    """Neither its workers nor its scores."""
    install("broken-tasks", "broken", "import sys; sys.exit(1)")
    collected = run_cli("collect", "--task", "toy", "--run", tmp_path / "run", "--num-episodes", "2")
    scored = run_cli("evaluate", "toy", "--agent", "random", "--episodes", "2")
    for found in (collected, scored):
        assert found.returncode == 0, found.stderr
        assert found.stderr.count("cannot be imported") <= 1


def test_two_packages_with_one_name_are_both_named(install):
    install("toys-too", "toy", SECOND)
    install("takes-cover", "take-cover", SECOND.replace("TOY, ", "TOY, name='take-cover', "))
    found = run_cli("tasks")
    assert found.returncode == 0
    twice = [line for line in found.stderr.splitlines() if "is registered twice" in line]
    assert len(twice) == 2
    assert any("'worldmodels-toy'" in line and "'toys-too'" in line for line in twice)
    assert any("'worldmodels-vmc'" in line and "'takes-cover'" in line for line in twice)
    # Ours is the one that stays.
    assert "dodge fireballs" in found.stdout
