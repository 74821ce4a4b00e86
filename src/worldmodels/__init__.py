"""World models that anyone can train, measure, watch and play.

``import worldmodels`` tells Gymnasium the environments' names: ``worldmodels/TakeCover-v1``, ``worldmodels/CarRacing-v3``, both
as C sees them (``worldmodels/TakeCoverLatent-v1``, ``worldmodels/CarRacingLatent-v3``) and both dreams
(``worldmodels/TakeCoverDream-v0``, ``worldmodels/CarRacingDream-v0``). It imports no torch, no game and no compiler.
"""

from worldmodels import envs as _envs

__all__: list[str] = []
del _envs
