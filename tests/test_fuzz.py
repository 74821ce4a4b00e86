"""Damaged files of every kind: only documented errors come out, with their exit codes, and never a traceback."""

import json
import os
import resource
import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldmodels.cli import main

#: One damage a file in `make test`, twenty in `make faults`.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1"))
#: What reading a damaged file may add to the memory; the whole run that it belongs to has a few megabytes.
MAX_KILOBYTES = 500_000
#: File of a run → a command that must read it. RUN stands for the run's folder.
READERS = {
    "config.json": ["evaluate", "RUN", "--episodes", "1", "--world", "dream"],
    "episodes/shard-00001/shard.json": ["train-vae", "--run", "RUN"],
    "episodes/shard-00001/frames.bin": ["train-vae", "--run", "RUN"],
    "episodes/shard-00001/steps.npz": ["encode", "--run", "RUN"],
    "episodes/DONE": ["train-vae", "--run", "RUN"],
    "episodes/STARTED": ["collect", "--run", "RUN"],
    "vae/STARTED": ["train-vae", "--run", "RUN"],
    "vae/model.safetensors": ["encode", "--run", "RUN"],
    "vae/training_state/state.safetensors": ["train-vae", "--run", "RUN"],
    "latents/position.json": ["encode", "--run", "RUN"],
    "latents/mu.npy": ["train-rnn", "--run", "RUN"],
    "latents/lengths.npy": ["train-rnn", "--run", "RUN"],
    "latents/initial_latents.safetensors": ["train-controller", "--run", "RUN"],
    "vae/metrics.jsonl": ["train-vae", "--run", "RUN"],
    "rnn/model.safetensors": ["train-controller", "--run", "RUN"],
    "rnn/training_state/state.safetensors": ["train-rnn", "--run", "RUN"],
    "controller/history.jsonl": ["train-controller", "--run", "RUN"],
    "controller/scores.jsonl": ["train-controller", "--run", "RUN"],
    "model/config.json": ["evaluate", "RUN", "--episodes", "1", "--world", "dream"],
    "model/controller.safetensors": ["evaluate", "RUN", "--episodes", "1", "--world", "dream"],
    "model/initial_latents.safetensors": ["evaluate", "RUN", "--episodes", "1", "--world", "dream"],
    "evaluation/dream.json": ["reproduce", "toy", "--run", "RUN"],
}
#: What a command does again, so that it has something to read.
UNDONE = {
    "train-vae": ["vae/DONE"],
    "encode": ["latents/DONE"],
    "train-rnn": ["rnn/DONE"],
    "train-controller": ["controller/DONE"],
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def changed_value(data, value):
    """JSON with one value somewhere in it replaced."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: changed_value(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], changed_value(data, value[index]), *value[index + 1 :]]
    return data.draw(JSON)


def damaged(data, content, is_json):
    """The content truncated, with bytes overwritten or put in, emptied, replaced, or (JSON) with another value in it."""
    kinds = ["truncate", "overwrite", "insert", "replace"] + (["value"] * 4 if is_json else [])
    kind = data.draw(st.sampled_from(kinds))
    # The beginnings of files hold their headers.
    place = data.draw(st.integers(0, min(len(content), 400)) | st.integers(0, len(content)))
    some = data.draw(st.binary(min_size=1, max_size=9))
    if kind == "truncate":
        return content[:place]
    if kind == "overwrite":
        return content[:place] + some + content[place + len(some) :]
    if kind == "insert":
        return content[:place] + some + content[place:]
    if kind == "replace":
        return some
    rows = content.decode().splitlines() if content.count(b"\n{") else [content.decode()]
    index = data.draw(st.integers(0, len(rows) - 1))
    rows[index] = json.dumps(changed_value(data, json.loads(rows[index])))
    return "\n".join(rows).encode()


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_only_documented_errors(toy_run, tmp_path, capsys, name, data):
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(toy_run, run)
    command = [str(run) if word == "RUN" else word for word in READERS[name]]
    for undone in UNDONE.get(command[0], []):
        shutil.rmtree(run / undone) if (run / undone).is_dir() else (run / undone).unlink()
    file = run / name
    is_json = file.suffix not in (".npy", ".npz", ".bin", ".safetensors")
    file.write_bytes(damaged(data, file.read_bytes(), is_json))
    start, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for asked in (["inspect", str(file.parent)], command):
        capsys.readouterr()
        code = main(asked)
        err = capsys.readouterr().err
        assert code in (0, 2, 3, 4)
        assert "Traceback" not in err
        if code:
            assert err.strip().splitlines()[-1].startswith("worldmodels: ")
    assert time.monotonic() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MAX_KILOBYTES
