"""Training by slices of the batch: a slice is one thread's work, the whole gradient comes out, whatever the threads."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from conftest import latent_store

from worldmodels.cli import main
from worldmodels.config import RNNConfig, VAEConfig
from worldmodels.data.episodes import EpisodeStore
from worldmodels.envs.registry import get_task
from worldmodels.models import precision, vae
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.sizes import own_sizes
from worldmodels.models.vae import VAE
from worldmodels.runtime.slices import added_up, cut, each_alone
from worldmodels.training.optim import DenseAdam
from worldmodels.training.rnn import RNNTrainee
from worldmodels.training.vae import VAETrainee

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """Sets how many threads torch has, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def vae_trainee(store, num_slices):
    torch.manual_seed(0)
    split = np.arange(1, len(store.lengths)), np.arange(1)
    return VAETrainee(VAE(get_task("take-cover").latent_size), store, split, VAEConfig(batch_size=9, num_slices=num_slices), 0)


def rnn_trainee(store, num_slices, task="take-cover"):
    torch.manual_seed(0)
    split = np.arange(1, store.num_episodes), np.arange(1)
    config = RNNConfig(batch_size=5, sequence_length=20, num_slices=num_slices)
    return RNNTrainee(MDNRNN(own_sizes(get_task(task))), store, split, config, 0)


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 45, 400)
    total, size = int(lengths.sum()), get_task("take-cover").latent_size
    last = np.isin(np.arange(total), np.cumsum(lengths) - 1)
    arrays = {"mu": rng.normal(size=(total, size)), "reward": rng.normal(size=total), "terminated": last, "damage": 1.0 * last}
    return latent_store(tmp_path_factory.mktemp("latents"), lengths, size, **arrays)


@pytest.fixture(params=["V", "M", "M, padded"])
def make(request, toy_run, latents, tmp_path):
    """Makes a trainee, given its number of slices: V on the toy's frames, M on made-up latents."""
    if request.param == "V":
        return lambda num_slices: vae_trainee(EpisodeStore(toy_run / "episodes"), num_slices)
    if request.param == "M":
        return lambda num_slices: rnn_trainee(latents, num_slices)
    rng = np.random.default_rng(1)
    lengths = rng.integers(5, 45, 400)
    total, size = int(lengths.sum()), get_task("car-racing").latent_size
    arrays = {"mu": rng.normal(size=(total, size)), "action": rng.normal(size=(total, 3))}
    store = latent_store(tmp_path, lengths, size, **arrays)
    return lambda num_slices: rnn_trainee(store, num_slices, "car-racing")


def of_a_step(trainee, step):
    """The loss of a step, its parts, and the gradient, summed over the slices."""
    shares, gradients = [], []
    for one in trainee.slices(step, torch.Generator().manual_seed(step)):
        loss, parts = one(trainee.model)
        shares.append((loss, parts))
        gradients.append(torch.autograd.grad(loss, list(trainee.model.parameters())))
    return added_up(shares), [torch.stack(same).sum(0) for same in zip(*gradients, strict=True)]


def test_the_slices_gradients_add_up_to_the_whole_batchs(make, monkeypatch):
    for module in (precision, vae):  # in bfloat16 rounding would hide small mistakes
        monkeypatch.setattr(module, "compute_dtype", lambda device: torch.float32)
    whole, sliced = make(1), make(4)
    for step in range(3):  # M's state goes from one to the next
        (loss, parts), gradient = of_a_step(whole, step)
        (loss_too, parts_too), gradient_too = of_a_step(sliced, step)
        torch.testing.assert_close(loss_too, loss)
        torch.testing.assert_close(parts_too, parts)
        for one, other in zip(gradient, gradient_too, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
    torch.testing.assert_close(sliced.carried(), whole.carried())
    assert sliced.validate() == pytest.approx(whole.validate(), rel=1e-4)


def test_training_gives_the_same_bytes_at_any_number_of_threads(make, threads):
    found = []
    for num_threads in (1, 2, 3):
        threads(num_threads)
        trainee = make(2)
        adam = DenseAdam(trainee.model, 1e-3, precision.compute_dtype("cpu"))
        for step in range(4):
            loss, parts = adam.step(trainee.slices(step, torch.Generator().manual_seed(step)), 1e-3, 1.0)
        state = [*trainee.model.parameters(), *adam.moments().values(), *trainee.carried().values(), loss, *parts.values()]
        found.append([tensor.detach().clone() for tensor in state])
        found[-1] += [torch.tensor(value) for value in trainee.validate().values()]
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_no_thread_waits_for_another_within_a_slice(make, threads):
    """Each slice's loss and gradient are one thread's work alone: a busy core then delays only what runs on it."""
    threads(2)
    trainee = make(2)
    adam = DenseAdam(trainee.model, 1e-3)
    seen = []

    def watched(one):
        def of(model):
            seen.append(torch.get_num_threads())
            return one(model)

        return of

    adam.step([watched(one) for one in trainee.slices(0, torch.Generator())], 1e-3, None)
    assert seen == [1, 1]
    assert torch.get_num_threads() == 2


def test_threads_that_are_left_over_are_shared_out(threads):
    threads(5)
    assert each_alone(range(2), lambda item: torch.get_num_threads(), CPU) == [2, 2]
    assert each_alone(range(9), lambda item: torch.get_num_threads(), CPU) == [1] * 9


def test_a_batch_is_cut_evenly_and_a_gpu_takes_it_whole():
    assert cut(33, 2, CPU) == [slice(0, 16), slice(16, 33)]
    assert cut(3, 8, CPU) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert cut(33, 2, torch.device("cuda")) == [slice(0, 33)]


def test_the_number_of_slices_is_part_of_what_was_asked(toy_copy, capsys):
    shutil.rmtree(toy_copy / "controller")
    assert main(["train-vae", "--run", str(toy_copy), "--num-slices", "3"]) == 2
    assert "num_slices" in capsys.readouterr().err
    default = get_task("toy").preset("smoke").vae
    assert "num_slices" not in default.fingerprint_fields()  # older runs go on
    assert dataclasses.replace(default, num_slices=3).fingerprint_fields()["num_slices"] == 3
