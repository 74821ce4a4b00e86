"""The tasks. Importing this package registers them with Gymnasium and with `worldmodels.envs.spec`."""

from worldmodels.envs import car_racing as car_racing
from worldmodels.envs import take_cover as take_cover
