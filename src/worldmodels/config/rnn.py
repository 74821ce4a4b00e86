"""The settings of `worldmodels train-rnn`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from worldmodels.config.gradient import GradientConfig
from worldmodels.config.setting import ADDED, OWN, Bounds

#: What M's end head learns. "own": hits where the task says what they cost, else deaths.
EndTarget = Literal["own", "deaths", "hits"]
#: How the end head ends a dream. "own": hits are drawn, deaths are compared.
DreamEnd = Literal["own", "compared", "drawn"]
LARGEST_HIDDEN, MOST_MIXTURES = 16_384, 100
#: What M is trained with where dreams leave a part of it out and its settings say nothing: the published share.
M_DROPOUT = 0.05


@dataclass(frozen=True)
class RNNConfig(GradientConfig):
    """M, the MDN-RNN."""

    hidden_size: Annotated[int, Bounds(1, LARGEST_HIDDEN, or_zero=True)] = field(default=0, metadata=OWN)
    """H, the size of M's hidden and cell states; 0: what the task suggests."""
    num_mixtures: Annotated[int, Bounds(1, MOST_MIXTURES, or_zero=True)] = field(default=0, metadata=OWN)
    """K, the Gaussians that M mixes for each number of the next latent; 0: as many as the task suggests."""
    sequence_length: Annotated[int, Bounds(1, 100_000)] = 500
    """Time steps between two truncations of back-propagation; the state is carried across."""
    end_target: EndTarget = field(default="own", metadata=ADDED)
    """What M's end head learns: deaths (that the episode ends, the original's), hits (that a step costs health) or own (hits
    where the task says what they cost, else deaths)."""
    dream_end: DreamEnd = field(default="own", metadata=ADDED)
    """What that head does in the dream: compared (its logit is above 0, the original's), drawn (with its chance, and the loss
    keeps the weight out of the logit) or own (hits are drawn, deaths compared)."""
    done_weight: Annotated[float, Bounds(1e-3, 10_000)] = 10.0
    """Weight of a termination, or of a hit, in the done head's cross-entropy (the original's 10); tasks without that head
    ignore it."""
    layer_norm: bool = field(default=False, metadata=ADDED)
    """Layer normalisation of M's gates and of its cell state (a switch of the original's, off there): steadier, and slower. The
    page in a browser has none."""
    input_dropout: Annotated[float, Bounds(0, 0.9)] = field(default=0.0, metadata=ADDED)
    """The share of M's inputs that a training step leaves out (a switch of the original's, off there; 0.1 where it is on)."""
    recurrent_dropout: Annotated[float, Bounds(0, 0.9)] = field(default=0.0, metadata=ADDED)
    """The same of what a step would write into the cell state."""
    output_dropout: Annotated[float, Bounds(0, 0.9)] = field(default=0.0, metadata=ADDED)
    """The same of the hidden state before the output layer."""
    max_grad_value: Annotated[float, Bounds(1e-6, 1e6)] = 1.0
    """Each gradient element is clipped to ± this value."""

    def with_dropout(self) -> Self:
        """Returns the same training with the dropout of Dropout's Dream Land, where it has none of its own."""
        if self.input_dropout or self.recurrent_dropout:
            return self
        return dataclasses.replace(self, input_dropout=M_DROPOUT, recurrent_dropout=M_DROPOUT)
