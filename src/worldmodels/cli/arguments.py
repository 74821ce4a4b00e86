"""What each command takes; the docstring under a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from worldmodels.cli.environment import EnvArgs
from worldmodels.config import (
    BEST_RECIPE,
    ROUNDS,
    SEEDS,
    SHARES,
    STOP_AFTER,
    Backend,
    Bounds,
    Device,
    EvaluateConfig,
    Explore,
    FidelityConfig,
    LogKind,
    PlayConfig,
    ProbeConfig,
    RoundsWorld,
    VideoConfig,
    WatchConfig,
)


@dataclass(frozen=True)
class RunArgs:
    """Which run a stage works on."""

    run: Path
    """The run's folder."""
    task: str = "take-cover"
    """What to learn (a new run only), with --previous that run's; 'worldmodels tasks' lists what there is."""
    of: EnvArgs = EnvArgs()  # noqa: RUF009 (frozen)
    """Any environment in the place of a task (a new run only)."""
    scale: str = "laptop"
    """The task's settings to start from (a new run only): smoke, laptop or paper; 'reproduce' begins with smoke."""
    recipe: str = BEST_RECIPE
    """Whose settings of that scale (a new run only): best, or original, the paper's and its code's."""
    seed: Annotated[int, SEEDS] = 0
    """The seed that all of the run's randomness derives from (a new run only)."""
    previous: Path | None = None
    """A finished run to go on from (a new run only): its episodes are kept, V, M and C begin where they ended."""
    json: Path | None = None
    """Also write the stage's summary to this file; - is standard output."""


@dataclass(frozen=True)
class ReproduceArgs:
    """The whole experiment: collect, train V, encode, train M, evolve C, evaluate. The same command again resumes."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")] = ""
    """What to learn; 'worldmodels tasks' lists what there is."""
    of: EnvArgs = EnvArgs()  # noqa: RUF009 (frozen)
    """Any environment in the place of a task."""
    scale: str = "smoke"
    """smoke (minutes), laptop (hours) or paper (a large machine); a stage called by itself begins with laptop."""
    recipe: str = BEST_RECIPE
    """Whose settings of that scale: best, or original, the paper's and its code's (docs/fidelity.md)."""
    run: Path | None = None
    """The run's folder (default: runs/TASK-SCALE, or runs/TASK-SCALE-RECIPE)."""
    seed: Annotated[int, SEEDS] = 0
    """The seed that all of the run's randomness derives from."""
    device: Device = "auto"
    """Where V, M and the dream compute; auto is the GPU if there is one."""
    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    log: LogKind = "tensorboard"
    """Where the curves are shown meanwhile: RUN/tensorboard, Weights & Biases or Trackio (docs/install.md)."""
    json: Path | None = None
    """Also write the summary to this file; - is standard output."""


@dataclass(frozen=True)
class IterateArgs:
    """The paper's iterative procedure: each round the agent plays new episodes, V and M train on, C evolves on."""

    task: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK")] = ""
    """What to learn; 'worldmodels tasks' lists what there is."""
    of: EnvArgs = EnvArgs()  # noqa: RUF009 (frozen)
    """Any environment in the place of a task."""
    rounds: Annotated[int, ROUNDS] = 3
    """Rounds in all; the first one collects with the random policy. With more than before, the new ones are added."""
    scale: str = "smoke"
    """Every round's settings: smoke, laptop or paper; a stage called by itself begins with laptop."""
    recipe: str = BEST_RECIPE
    """Whose settings of that scale: best, or original, the paper's and its code's."""
    explore: Explore = "no"
    """Later rounds' episodes are those of a C that explores (collect --policy curious), and M is trained with dropout:
    uncertainty or loss says what it seeks; no: those of the agent."""
    world: RoundsWorld = "own"
    """Where each round's C is found: own (where the scale's settings say) or dream (in the dream alone; of a search the mean is
    kept that scores best in the real game, on training's seeds)."""
    stop_after: Annotated[int, STOP_AFTER] = 0
    """End after so many rounds, one after another, whose score on training's seeds of the real game is no better than the best
    before; 0: make all rounds."""
    run: Path | None = None
    """The folder of the rounds (default: runs/iterate-TASK-SCALE, or runs/iterate-TASK-SCALE-RECIPE)."""
    seed: Annotated[int, SEEDS] = 0
    """The first round's seed; round k has S + k."""
    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    log: LogKind = "tensorboard"
    """Where the curves are shown meanwhile: RUN/tensorboard, Weights & Biases or Trackio (docs/install.md)."""
    json: Path | None = None
    """Also write the rounds' scores to this file; - is standard output."""


@dataclass(frozen=True)
class EvaluateArgs:
    """Score an agent on held-out seeds: episode i has seed S + i."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")] = ""
    """A task's name (its shipped agent), a run's folder, the folder of `worldmodels iterate` (its newest finished round) or a
    model's folder."""
    of: EnvArgs = EnvArgs()  # noqa: RUF009 (frozen)
    """Any environment in the place of a task, for --agent random."""
    settings: EvaluateConfig = EvaluateConfig()  # noqa: RUF009 (frozen)
    """Where it plays, on which seeds, and who it is."""
    json: Path | None = None
    """Also write the result, every episode's seed, return and length included, to this file; - is standard output. A killed
    evaluation with a file goes on where it was."""


@dataclass(frozen=True)
class FidelityArgs:
    """Measure how true a run's dream is: the same policies in the dream and in reality, and M's predictions."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A run's folder with a finished controller, or the folder of `worldmodels iterate` (its newest finished round)."""
    settings: FidelityConfig = FidelityConfig()  # noqa: RUF009 (frozen)
    """Over how many episodes, and in which dream."""
    json: Path | None = None
    """Also write the result to this file; - is standard output."""


@dataclass(frozen=True)
class ProbeArgs:
    """Measure what V's mu, M's h and C's features know of the game's objects, which the game tells beside (take-cover)."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A task's name (its shipped agent), a run's folder (also half-trained), the folder of `worldmodels iterate` (its newest
    finished round) or a model's folder."""
    settings: ProbeConfig = ProbeConfig()  # noqa: RUF009 (frozen)
    """Over how many moments of how many episodes, and who plays."""
    json: Path | None = None
    """Also write the result to this file; - is standard output."""


@dataclass(frozen=True)
class TableArgs:
    """Make a table: a controller, a whole run or a look of the game a row. The same command again resumes."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TABLE")]
    """temperature (of the dream that C is evolved in), ablation (what C sees), optimizers (what searches, for equally many
    steps), departures (runs from the recipe original to best, one more change in each), robustness (the agent as it is, where
    its game looks otherwise; nothing is evolved), transfer (runs of another task, with this one's V and M), dropout (how much
    of M each dream leaves out) or curiosity (one round more, with episodes of an agent, of chance or of one that explores)."""
    model: Annotated[str, tyro.conf.arg(metavar="TARGET")] = "take-cover"
    """Whose V and M: a task's name (its shipped agent), a run's folder, the folder of `worldmodels iterate` (its newest
    finished round) or a model's folder. departures: of its task alone, with a V and an M a row. dropout: a task, or a run whose
    episodes, V and latents it takes, with its scale, recipe and seed. curiosity: the expert that M is measured on."""
    to: str = ""
    """transfer: the task that V and M are carried to, such as health-gathering; a variant of a task is one by itself, such as
    car-racing.bars."""
    augmented: Annotated[str, tyro.conf.arg(metavar="TARGET")] = ""
    """robustness: another agent of the same task, whose V and M have seen augmented frames; it has a column of its own."""
    scale: str = "smoke"
    """Whose settings of the controller and of the evaluation: smoke, laptop or paper; a stage called by itself begins with
    laptop."""
    recipe: str = BEST_RECIPE
    """Whose settings of that scale: best, or original, the paper's and its code's."""
    num_generations: Annotated[int, Bounds(0, 1_000_000)] = 0
    """Generations of each row's evolution; 0 is the scale's, or none with ppo_iterations."""
    ppo_iterations: Annotated[int, Bounds(0, 1_000_000)] = 0
    """Improve each row's controller in the dream for so many iterations of proximal policy optimization first."""
    share: Annotated[float, SHARES] = 1.0
    """departures: the share of the scale's episodes, and of V's and M's steps, that each row takes."""
    max_steps: Annotated[int, Bounds(0, 10**15)] = 0
    """End each row's evolution with the generation in which its candidates have played this many steps; 0: no limit."""
    episodes: Annotated[int, Bounds(0, 10_000_000)] = 0
    """Episodes of each row's score; 0 is the scale's, and 100 in the robustness table."""
    fast: bool = False
    """Score on the environment that training uses, where it is a faster copy of the official one."""
    run: Path | None = None
    """The folder to work in (default: runs/table-TABLE-TASK-SCALE, or runs/table-TABLE-TASK-SCALE-RECIPE; of the robustness
    table runs/table-robustness-TASK, of the transfer table runs/table-transfer-TASK-to-TASK-SCALE)."""
    seed: Annotated[int, SEEDS] = 0
    """The seed that every row's evolution derives from; in the robustness table the first episode's."""
    backend: Backend = "local"
    """Who plays the real environment: processes of this machine, or of a Ray cluster (docs/cluster.md)."""
    address: str = ""
    """Of the Ray cluster, HOST:PORT; empty: the one that this machine belongs to, else one of this command's own."""
    json: Path | None = None
    """Also write the table to this file; - is standard output."""


@dataclass(frozen=True)
class WatchArgs:
    """Watch the agent in a window: it plays, until you take over. The window shows the keys before it begins."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A task's name (its shipped agent), a run's folder (also half-trained), the folder of `worldmodels iterate` (its
    newest finished round) or a model's folder."""
    settings: WatchConfig = WatchConfig()  # noqa: RUF009 (frozen)
    """Which world is opened."""
    record_episodes: Path | None = None
    """Also write each episode that is played in reality into this folder, as 'worldmodels import' reads it."""


@dataclass(frozen=True)
class PlayArgs(WatchArgs):
    """Play in a window, or let the agent: reality or the dream. The window shows the keys before it begins."""

    settings: PlayConfig = PlayConfig()  # noqa: RUF009 (frozen)
    """Which world is opened, and who plays."""


@dataclass(frozen=True)
class VideoArgs:
    """Write a video of the agent, without a display."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A task's name (its shipped agent), a run's folder (also half-trained), the folder of `worldmodels iterate` (its
    newest finished round) or a model's folder."""
    out: Path
    """The file to write: .mp4 or .gif."""
    settings: VideoConfig = VideoConfig()  # noqa: RUF009 (frozen)
    """Which world is filmed, and for how long."""


@dataclass(frozen=True)
class ExportWebArgs:
    """Write a page that dreams in a browser."""

    targets: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TARGET")]
    """Tasks' names (their shipped agents), runs' folders (also half-trained), folders of `worldmodels iterate` (their newest
    finished rounds) or models' folders."""
    out: Path
    """The folder to write; any static host can serve it."""


@dataclass(frozen=True)
class PushArgs:
    """Write an agent to the Hugging Face Hub, with its page, its scores and a replay (docs/hub.md)."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A task's name (its shipped agent), a run's folder, the folder of `worldmodels iterate` (its newest finished round) or a
    model's folder."""
    repo: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="USER/REPO")]
    """The repository, which is made if it is not there."""
    private: bool = False
    """Only you see it (a new repository only)."""
    revision: str | None = None
    """The branch to write to, which is made if it is not there (default: main)."""
    json: Path | None = None
    """Also write what was done to this file; - is standard output."""


@dataclass(frozen=True)
class PlotArgs:
    """Draw a run: every picture (PNG and SVG), all in one (summary.png), and a page that stands alone (report.html)."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A run's folder, also half-trained: what is there is drawn. Of a task's shipped agent or a model's folder: V's latents, a
    dream and the scores. Of the original's training logs (*.hist.json): their curve."""
    out: Path | None = None
    """The folder to draw into (default: RUN/plots; of logs plots beside them; of a shipped agent TASK-plots)."""


@dataclass(frozen=True)
class ImportArgs:
    """Take recordings made elsewhere for a new run's episodes (docs/recordings.md). The same command again resumes."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A Minari dataset, a folder of .npz files, or videos (.mp4, .gif) with their actions beside them (.csv, .npy)."""
    run: Path
    """The run's folder."""
    task: str | None = None
    """Whose recordings they are; 'worldmodels tasks' lists what there is. Left out: a task of the recordings alone."""
    of: EnvArgs = EnvArgs()  # noqa: RUF009 (frozen)
    """Any environment in the place of a task."""
    scale: str = "laptop"
    """The task's settings to start from (a new run only): smoke, laptop or paper; 'reproduce' begins with smoke."""
    recipe: str = BEST_RECIPE
    """Whose settings of that scale (a new run only): best, or original, the paper's and its code's."""
    seed: Annotated[int, SEEDS] = 0
    """The seed that all of the run's randomness derives from (a new run only)."""
    json: Path | None = None
    """Also write the summary to this file; - is standard output."""


@dataclass(frozen=True)
class ImportOriginalArgs:
    """Make a model's folder of the original's files: a clone of its repository, or its four JSON files alone."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """A task's folder in a clone (doomrnn, carracing), or one with vae.json, rnn.json, initial_z.json and a controller."""
    out: Path
    """The model's folder to write; every command takes it."""
    json: Path | None = None
    """Also write what was read to this file; - is standard output."""


@dataclass(frozen=True)
class ExportMinariArgs:
    """Write a run's episodes as a Minari dataset, frames without loss."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A run's folder, or the folder of `worldmodels iterate`, which means its newest finished round."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The folder to write; its name is the dataset's, and ends in a version: ball-v0."""
    json: Path | None = None
    """Also write how much it holds to this file; - is standard output."""


@dataclass(frozen=True)
class InspectArgs:
    """Say what a run, an episode shard, a model or a result is: sizes, seeds, versions, hashes, health. Faults that it finds
    are no failure of it: the exit code is 0. A run's frames are not read: look at its folder episodes."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A task's name (its shipped agent), a run's folder, the folder of `worldmodels iterate` (its newest finished round), a
    model's folder, a stage's folder, a shard, a safetensors file or a result."""
    json: Path | None = None
    """Also write what was found to this file; - is standard output."""


@dataclass(frozen=True)
class TasksArgs:
    """List what can be learned."""

    json: Path | None = None
    """Also write the list to this file; - is standard output."""


@dataclass(frozen=True)
class CleanArgs:
    """Take out of finished runs what nothing but training needs: episodes, latents, the states to go on from."""

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TARGET")]
    """A run's folder with a finished controller, or the folder of `worldmodels iterate`, which means all of its rounds."""
    yes: bool = False
    """Do not ask."""
    json: Path | None = None
    """Also write what was taken out to this file; - is standard output."""


@dataclass(frozen=True)
class CompletionArgs:
    """Write what makes a shell complete commands, flags and tasks."""

    shell: Annotated[tyro.conf.Positional[Literal["bash", "zsh", "fish"]], tyro.conf.arg(metavar="SHELL")]
    """bash, zsh or fish."""
