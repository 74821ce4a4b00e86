"""What all tests share: the toy task's package on the path, few threads, and one finished run of the toy task."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PLUGIN = str(Path(__file__).parent / "plugin")
# Worker processes are spawned and the command line is run as a program: both find the toy task through PYTHONPATH.
sys.path.insert(0, PLUGIN)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PLUGIN, os.environ.get("PYTHONPATH", "")]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402 (after OMP_NUM_THREADS)
from hypothesis import settings  # noqa: E402

from worldmodels.cli import main  # noqa: E402
from worldmodels.data.latents import ARRAYS, DIMENSIONS, LatentStore  # noqa: E402
from worldmodels.envs.registry import get_task  # noqa: E402
from worldmodels.envs.task import Task  # noqa: E402
from worldmodels.models.mdn_rnn import MDNRNN  # noqa: E402
from worldmodels.models.sizes import own_sizes  # noqa: E402
from worldmodels.models.vae import VAE  # noqa: E402
from worldmodels.models.world_model import InitialLatents, WorldModel  # noqa: E402
from worldmodels.runtime.interrupt import SIGNALS  # noqa: E402

#: What the signals do that a command takes over, when no command has been called here yet.
DISPOSITIONS = {kind: signal.getsignal(kind) for kind in SIGNALS}

#: Minutes on a built wheel that `make release-check` takes, and every other run of the tests leaves out.
of_a_release = pytest.mark.skipif(not os.environ.get("RELEASE_TESTS"), reason="'make release-check' runs it")
torch.set_num_threads(1)
settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Side by side, each process of the tests, and what it starts, has a core of its own: a command then takes one worker."""
    if hasattr(config, "workerinput") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        index = int(config.workerinput["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {cores[index % len(cores)]})


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A command that is interrupted in this process ignores them from then on, and so would all processes of later tests."""
    yield
    for kind, disposition in DISPOSITIONS.items():
        signal.signal(kind, disposition)


def random_world_model(spec: Task, seed: int = 0) -> WorldModel:
    """V and M with random weights, large enough that their outputs differ visibly."""
    torch.manual_seed(seed)
    vae, rnn = VAE(spec.latent_size).eval(), MDNRNN(own_sizes(spec)).eval()
    initial = InitialLatents(torch.randn(5, spec.latent_size), torch.full((5, spec.latent_size), -1.0))
    return WorldModel(spec, vae, rnn, initial)


def follow_the_action(world_model: WorldModel, log_odds: float, gain: float) -> None:
    """The first number of M's hidden state follows the last action, whatever was before; the log-odds of a hit after an action
    of 1 are ``log_odds + gain``, after one of -1 ``log_odds - gain``."""
    rnn = world_model.rnn
    size = rnn.sizes.hidden_size
    with torch.no_grad():
        for gate in range(4):  # input and output open, forget shut
            rnn.weight_ih[gate * size] = 0
            rnn.weight_hh[gate * size] = 0
            rnn.bias[gate * size] = 20.0 * (gate in (0, 3)) - 20.0 * (gate == 1)
        rnn.weight_ih[2 * size, world_model.spec.latent_size] = 20.0
        rnn.weight_out[0], rnn.bias_out[0] = 0.0, log_odds
        # tanh(tanh(±20)): what the first number is after an action of ±1
        rnn.weight_out[0, 0] = gain / np.tanh(1)


def latent_store(folder: Path, lengths: np.ndarray, size: int, **arrays: np.ndarray) -> LatentStore:
    """Latents of ``size`` of episodes of these lengths, as the encoding would write them; zeros where no array is given."""
    total = int(lengths.sum())
    found = {name: np.zeros((total, {"action": 1}.get(name, size)) if name in DIMENSIONS else total) for name in ARRAYS}
    for name, values in (found | arrays | {"lengths": lengths}).items():
        np.save(folder / f"{name}.npy", values.astype(ARRAYS[name]))
    return LatentStore(folder)


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the toy task, made through the command line. Read it; copy it to change it."""
    path = tmp_path_factory.mktemp("toy") / "run"
    assert main(["reproduce", "toy", "--run", str(path)]) == 0
    return path


@pytest.fixture
def toy_copy(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished toy run, to be changed."""
    return Path(shutil.copytree(toy_run, tmp_path / "copy"))


@pytest.fixture(scope="session")
def toy_world_model() -> WorldModel:
    return random_world_model(get_task("toy"))


@pytest.fixture(scope="session")
def doom_world_model() -> WorldModel:
    return random_world_model(get_task("take-cover"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources: a folder build/ from before would be in it."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    (copy / "docs").mkdir()
    shutil.copy2(ROOT / "docs" / "package.md", copy / "docs")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(copy)
    [path] = out.glob("*.whl")
    return path


def run_cli(*args: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the program as a user does, in a process of its own."""
    command = [sys.executable, "-m", "worldmodels", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False, env=env)
