"""Weights on disk: read back, named when wrong, and never unpickled."""

import pickle
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from worldmodels.base.errors import BadFileError, EnvironmentFailure, UserError
from worldmodels.base.tensors import load_metadata, load_module, load_tensors, save_tensors


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, nn.Linear(3, 2).state_dict(), {"step": "7"})
    return path


def test_round_trip_and_metadata(path):
    module = nn.Linear(3, 2)
    load_module(path, module)
    for name, tensor in load_tensors(path).items():
        assert torch.equal(module.state_dict()[name], tensor)
    assert load_metadata(path) == {"step": "7"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_written_twice_is_the_same_file(path, tmp_path):
    save_tensors(tmp_path / "other.safetensors", load_tensors(path), {"step": "7"})
    assert (tmp_path / "other.safetensors").read_bytes() == path.read_bytes()


def test_half_precision_is_widened(tmp_path):
    path = tmp_path / "half.safetensors"
    save_tensors(path, {k: v.half() for k, v in nn.Linear(3, 2).state_dict().items()})
    module = nn.Linear(3, 2)
    load_module(path, module)
    assert module.weight.dtype == torch.float32


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "pickle", "torch", "petabyte"])
def test_a_bad_file_is_named_at_once_and_nothing_runs(path, tmp_path, damage):
    canary = tmp_path / "canary"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "torch":
        torch.save({"weight": Canary(canary)}, path)
    else:
        path.write_bytes(
            {
                "empty": b"",
                "truncated": content[:-3],
                "pickle": pickle.dumps(Canary(canary)),
                "petabyte": (10**15).to_bytes(8, "little") + content[8:],
            }[damage]
        )
    start = time.monotonic()
    with pytest.raises(BadFileError, match=r"model\.safetensors"):
        load_module(path, nn.Linear(3, 2))
    assert time.monotonic() - start < 5
    assert not canary.exists()


def test_another_models_weights_are_refused_with_both_shapes(path):
    with pytest.raises(UserError, match=r"'weight' has shape \(2, 3\); this task's model has \(2, 4\)"):
        load_module(path, nn.Linear(4, 2))
    with pytest.raises(UserError, match="'bias' is not part of this model"):
        load_module(path, nn.Linear(3, 2, bias=False))
    with pytest.raises(UserError, match=r"'0\.bias' is missing"):
        load_module(path, nn.Sequential(nn.Linear(3, 2)))


@pytest.mark.parametrize("value", [float("-inf"), float("inf")])
def test_what_is_no_number_is_refused(path, value):
    tensors = load_tensors(path)
    tensors["weight"][0, 0] = value
    save_tensors(path, tensors)
    with pytest.raises(BadFileError, match="'weight' holds a value that is not finite"):
        load_module(path, nn.Linear(3, 2))


def test_a_file_in_the_way_is_an_environment_failure(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        save_tensors(tmp_path / "file" / "model.safetensors", {"a": torch.zeros(1)})
