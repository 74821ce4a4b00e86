"""V's encoder, V's decoder and M's step as ONNX graphs. Their weights are stored rounded; a browser computes in float32.

Shapes: N slots, Z latent, A action, H hidden, K mixtures.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodels.base.errors import EnvironmentFailure
from worldmodels.base.extras import how_to_install
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import VAE

OPSET = 18
#: The encoder's weights of fewer numbers stay float32, which costs nothing.
SMALL = 4096
#: The largest whole number that the encoder is stored in.
WHOLE = 63


class Step(nn.Module):
    """M's step: z [N, Z], action [N, A], restart [N, 1] where M is told of it, hidden and cell [N, H] → the next hidden and
    cell, and the output layer's columns [N, heads + 3·K·Z] (see `MDNRNN`)."""

    def __init__(self, rnn: MDNRNN) -> None:
        super().__init__()
        # Inputs first: a product of one row goes through the weights once, as they lie in memory.
        self.weight = nn.Parameter(torch.cat([rnn.weight_ih, rnn.weight_hh], 1).T.contiguous())
        self.weight_out = nn.Parameter(rnn.weight_out.T.contiguous())
        self.bias, self.bias_out = rnn.bias, rnn.bias_out

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *read, cell = inputs
        gates = torch.cat(read, 1) @ self.weight + self.bias
        gate_in, gate_forget, candidate, gate_out = gates.chunk(4, 1)
        cell = cell * gate_forget.sigmoid() + gate_in.sigmoid() * candidate.tanh()
        hidden = cell.tanh() * gate_out.sigmoid()
        return hidden, cell, hidden @ self.weight_out + self.bias_out


class Decoder(nn.Module):
    """V's decoder: z [N, Z] → frames uint8 [N, 64, 64, 4], opaque, as a canvas takes them.

    The dense layer and the first deconvolution, with nothing between them, are one product.
    """

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        first, *others = vae.decoder
        exact = copy.deepcopy(nn.ModuleList([vae.expand, first])).double()
        latents = torch.cat([torch.eye(vae.latent_size), torch.zeros(1, vae.latent_size)]).double()
        rows = exact[1](exact[0](latents)[:, :, None, None])  # [Z + 1, 128, 5, 5]
        self.shape = rows.shape[1:]
        self.weight = nn.Parameter((rows[:-1] - rows[-1]).flatten(1).float())
        self.bias = nn.Parameter(rows[-1].flatten().float())
        self.layers = nn.ModuleList(others)

    def forward(self, z: Tensor) -> Tensor:
        x = (z @ self.weight + self.bias).view(-1, *self.shape)
        for layer in self.layers:
            x = layer(torch.relu(x))
        x = F.pad((torch.sigmoid(x) * 255).round(), (0, 0, 0, 0, 0, 1), value=255.0)
        return x.permute(0, 2, 3, 1).to(torch.uint8)


class Encoder(nn.Module):
    """V's encoder: frames float32 [N, 64, 64, 3] of 0 to 255 → mu and logvar [N, Z]."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.layers, self.mu, self.logvar = vae.encoder, vae.mu, vae.logvar

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = (frames / 255).permute(0, 3, 1, 2)
        for layer in self.layers:
            x = torch.relu(layer(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.mu(x), self.logvar(x)


def check_packages() -> None:
    """Raises `EnvironmentFailure` where what torch.onnx needs is not installed; it would say so in twenty lines."""
    for name in ("onnx", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            raise EnvironmentFailure(f"export web: {name} is not installed; {how_to_install('web')}")


def step_graph(rnn: MDNRNN) -> bytes:
    """Returns M's step (`Step`) as an ONNX file, weights in float16."""
    sizes = rnn.sizes
    shapes = {"z": sizes.latent_size, "action": sizes.action_size, "restart": 1} | dict.fromkeys(
        ("hidden", "cell"), sizes.hidden_size
    )
    if not sizes.restart_input:
        del shapes["restart"]
    inputs = {name: torch.zeros(2, size) for name, size in shapes.items()}
    return _graph(Step(rnn), inputs, ("next_hidden", "next_cell", "outputs"), bits=16)


def decoder_graph(vae: VAE) -> bytes:
    """Returns V's decoder (`Decoder`) as an ONNX file, weights in float16."""
    return _graph(Decoder(vae), {"z": torch.zeros(2, vae.latent_size)}, ("frames",), bits=16)


def encoder_graph(vae: VAE) -> bytes:
    """Returns V's encoder (`Encoder`) as an ONNX file. No dream depends on it: its weights are rounded to 7 bits."""
    return _graph(Encoder(vae), {"frames": torch.zeros(2, 64, 64, 3)}, ("mu", "logvar"), bits=8)


def _graph(module: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str], bits: int) -> bytes:
    import onnx

    batch = torch.export.Dim("batch", min=1, max=4096)
    rows = tuple({0: batch} for _ in inputs)
    # `Step` takes any number of inputs, under one name.
    shapes: Any = {"inputs": rows} if isinstance(module, Step) else rows
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    assert program is not None
    model = program.model_proto
    _store_rounded(model, bits)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _store_rounded(model: Any, bits: int) -> None:
    """Stores weights in float16, or as whole numbers times a scale a row; nodes make them float32 when loaded. Biases stay."""
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    stored, nodes = [], []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.ndim < 2 or (bits == 8 and values.size < SMALL):
            stored.append(weight)
            continue
        name, rounded = weight.name, f"{weight.name}.stored"
        if bits == 16:
            stored.append(numpy_helper.from_array(values.astype(np.float16), rounded))
            nodes.append(helper.make_node("Cast", [rounded], [name], to=onnx.TensorProto.FLOAT))
            continue
        scale = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / WHOLE
        scale[scale == 0] = 1
        stored.append(numpy_helper.from_array(np.round(values / scale).astype(np.int8), rounded))
        stored.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
        nodes.append(helper.make_node("Cast", [rounded], [f"{name}.whole"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]))
    rest = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend([*nodes, *rest])
