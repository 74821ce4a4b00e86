"""The names of a run's and a model's files, each in one place."""

from __future__ import annotations

#: In a run's folder, and in a model's.
CONFIG = "config.json"

# A run's folders; those of the stages are in `run.STAGES`.
MODEL = "model"
EVALUATION = "evaluation"
#: The run in which a C that explores is searched (`stages.explore`).
EXPLORER = "explorer"
TENSORBOARD = "tensorboard"
#: What a task of recordings alone is; in a model's folder too.
TASK = "task.json"
#: How long each stage worked.
TIMINGS = "timings.jsonl"

# Every stage's folder: the fingerprint that it began with, and the hashes that it ended with.
STARTED = "STARTED"
DONE = "DONE"

# A shard in episodes/
SHARD = "shard.json"
FRAMES = "frames.bin"
STEPS = "steps.npz"

# vae/ and rnn/
WEIGHTS = "model.safetensors"
TRAINING_STATE = "training_state/state.safetensors"
METRICS = "metrics.jsonl"

# latents/, beside an array a file (`data.latents.ARRAYS`)
INITIAL_LATENTS = "initial_latents.safetensors"
POSITION = "position.json"

# controller/
START = "start.safetensors"
BEST = "best.safetensors"
HISTORY = "history.jsonl"
SCORES = "scores.jsonl"
PPO_LOG = "ppo.jsonl"
PPO_STATE = "ppo_state.safetensors"
COMPONENTS = "components.safetensors"

# model/, with `CONFIG` and `INITIAL_LATENTS`
VAE = "vae.safetensors"
RNN = "rnn.safetensors"
CONTROLLER = "controller.safetensors"
#: Beside a shipped or published agent: its scores, and how it was made.
CARD = "evaluation.json"
MAKING = "training.json"
#: Of a shipped agent: controllers of the way to one, of another search, and what is known of them.
WAY = "way.safetensors"
WAY_RECORD = "way.json"

# evaluation/
RESULTS = "results.json"
FIDELITY = "fidelity.json"
FIDELITY_PICTURE = "fidelity.png"
RECONSTRUCTIONS = "reconstructions.png"
CURVE = "curve.png"
VIDEO = "episode-000.mp4"

# The folder of `worldmodels iterate`, and that of `worldmodels table`
ROUNDS = "rounds.json"
ROUNDS_TEXT = "rounds.md"
TABLE = "table.json"
TABLE_TEXT = "table.md"
TABLE_PICTURE = "table.png"
