"""World models that anyone can train, measure, watch and play.

``import worldmodels`` registers the environments with Gymnasium (``worldmodels/TakeCover-v1``, ``worldmodels/CarRacing-v3``,
and their dreams ``worldmodels/TakeCoverDream-v0``, ``worldmodels/CarRacingDream-v0``) and imports no torch.
"""

from worldmodels import envs as _envs

__all__: list[str] = []
del _envs
