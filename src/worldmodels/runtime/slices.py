"""A batch in slices: each is one thread's work from the first operation of its loss to the last of its gradient.

How many slices there are is a setting, and what they give is added up in their order. So a result does not depend on how many
threads there are, until there are two for a slice: from then on each slice's own operations are shared out too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from worldmodels.runtime.side_by_side import shared_out

Item = TypeVar("Item")
Result = TypeVar("Result")
#: A slice's share of a batch's loss and of its parts, given the model or a copy of it; all slices' shares add up to the whole.
Slice = Callable[[Any], tuple[Tensor, dict[str, Tensor]]]


def cut(num_rows: int, num_slices: int, device: torch.device) -> list[slice]:
    """Cuts a batch into so many slices of rows, as equal as can be and none empty; a GPU takes a batch whole."""
    num_slices = min(num_rows, num_slices) if device.type == "cpu" else 1
    cuts = [num_rows * index // num_slices for index in range(num_slices + 1)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def each_alone(items: Sequence[Item], work: Callable[[Item], Result], device: torch.device) -> list[Result]:
    """Does the work on every item, in as many threads as torch has on a processor, and returns the results in order."""
    num_threads = min(torch.get_num_threads(), len(items)) if device.type == "cpu" else 1

    def mine(some: Sequence[Item], check: Callable[[], None]) -> list[Result]:
        return [work(item) for item in some]

    return shared_out(items, num_threads, mine)


def added_up(shares: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> tuple[Tensor, dict[str, Tensor]]:
    """Adds up what the slices of a batch gave, in their order, without gradients."""
    losses, parts = zip(*shares, strict=True)
    return _sum([loss.detach() for loss in losses]), {name: _sum([part[name] for part in parts]) for name in parts[0]}


def measured(model: Any, slices: Sequence[Slice], device: torch.device) -> dict[str, Tensor]:
    """Returns the parts of a batch's loss, without gradients."""

    def of(one: Slice) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():  # of this thread
            return one(model)

    return added_up(each_alone(slices, of, device))[1]


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
