"""--device: what is asked for is used or refused, and it changes nothing that is written."""

import pytest
import torch
from conftest import run_cli

from worldmodels.base.errors import UserError
from worldmodels.envs.registry import get_task
from worldmodels.models.precision import pick_device

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@needs_no_gpu
def test_auto_is_the_cpu_where_there_is_no_gpu():
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(UserError, match="no GPU"):
        pick_device("cuda")


@needs_no_gpu
@pytest.mark.parametrize(
    "command",
    [
        ("reproduce", "toy", "--device", "cuda", "--run", "RUN"),
        ("evaluate", "car-racing", "--world", "dream", "--device", "cuda"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_line(tmp_path, command):
    done = run_cli(*(str(tmp_path / "run") if part == "RUN" else part for part in command))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("worldmodels: device is cuda, and torch finds no GPU here")
    assert "Traceback" not in done.stderr


def test_the_device_is_no_part_of_what_was_asked():
    preset = get_task("toy").preset("smoke")
    elsewhere = preset.on(device="cuda")
    for stage in ("collect", "vae", "encode", "rnn", "controller", "evaluate"):
        assert getattr(preset, stage).fingerprint_fields() == getattr(elsewhere, stage).fingerprint_fields()
    assert elsewhere.vae.device == elsewhere.rnn.device == elsewhere.controller.device == elsewhere.encode.device == "cuda"
