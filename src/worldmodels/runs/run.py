"""The folder of a run: its configuration, its stages' folders, who works in it, and what is finished.

runs/<name>/
  config.json     what was asked (task, scale, seed, every stage's settings, versions)
  <stage>/…       one folder a stage, with a DONE file once its result is complete and verified
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.seeding import derive_seed
from worldmodels.base.versions import versions
from worldmodels.config import BEST_RECIPE, Config, Preset, check_seed
from worldmodels.runs import task_file
from worldmodels.runs.layout import CONFIG, DONE, STARTED, TASK, VAE

FORMAT = 1
#: Among the inputs of a collection that was imported: the hash of the recordings.
SOURCE = "source"
#: The stages in the order of the data's flow, with the folder that each writes.
STAGES = {
    "collect": "episodes",
    "vae": "vae",
    "encode": "latents",
    "rnn": "rnn",
    "controller": "controller",
}
#: The command that makes each stage's result.
VERBS = {
    "collect": "collect",
    "vae": "train-vae",
    "encode": "encode",
    "rnn": "train-rnn",
    "controller": "train-controller",
}


def original_mend(path: Path) -> str:
    """Returns what makes a model of the original's files, where some are in a folder or in one below it; else nothing."""
    if not any(file for pattern in ("rnn.json", "*/rnn.json", "*/*/rnn.json") for file in path.glob(pattern)):
        return ""
    return f"the original's files are: 'worldmodels import-original {path} --out MODEL' makes a model of them"


def nearest_run(path: Path) -> str:
    """Returns ``"; did you mean 'runs/x'?"`` for the first run in a folder, or else for the run, beside a path or in ``runs``,
    whose name is most like the path's, or nothing where none is like it."""
    if inside := sorted(found.parent for found in path.glob("*/config.json")):
        return f"; did you mean '{inside[0]}', which lies in it?"
    near = [found.parent for folder in (Path("runs"), path.parent) for found in folder.glob("*/config.json")]
    known = {run.name: run for run in near}
    match = difflib.get_close_matches(path.name, known, n=1)
    return f"; did you mean '{known[match[0]]}'?" if match else ""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder. Paths inside it are relative, so that it may be moved, renamed and copied."""

    path: Path
    task: str
    scale: str
    seed: int
    preset: Preset
    previous: Run | None = None
    """The run that this one goes on from: its episodes are kept, and V, M and C begin where they ended."""
    unsaved: Preset | None = dataclasses.field(default=None, compare=False)
    """Settings that config.json does not hold yet. The next stage to begin writes them: one that is refused leaves nothing."""
    recipe: str = BEST_RECIPE
    """Whose settings of the scale it began with."""

    @classmethod
    def create(
        cls,
        path: Path,
        task: str,
        scale: str,
        seed: int,
        preset: Preset,
        previous: Path | None = None,
        recipe: str = BEST_RECIPE,
    ) -> Run:
        """Makes the folder and its config.json. Raises `UserError` as `plan` does."""
        run = cls.plan(path, task, scale, seed, preset, previous, recipe)
        run.save()
        return dataclasses.replace(run, unsaved=None)

    @classmethod
    def plan(
        cls,
        path: Path,
        task: str,
        scale: str,
        seed: int,
        preset: Preset,
        previous: Path | None = None,
        recipe: str = BEST_RECIPE,
    ) -> Run:
        """Returns a new run, of which nothing is written yet. One that goes on from another has that one's frames, and V and M
        of its sizes.

        Raises:
            UserError: a run is there already, the seed is out of range, or ``previous`` is none to go on from.
        """
        if (path / CONFIG).exists():
            raise UserError(f"{path}: holds a run already")
        check_seed(seed)
        earlier = None if previous is None else cls.open(previous)
        if earlier is not None:
            vae, rnn = earlier.preset.vae, earlier.preset.rnn
            preset = preset.with_sizes(vae.latent_size, vae.width, rnn.hidden_size, rnn.num_mixtures)
            collect = dataclasses.replace(preset.collect, frames=earlier.preset.collect.frames)
            preset = dataclasses.replace(preset, collect=collect)
            # Its V, M and C are the earlier run's.
            anew = {stage: dataclasses.replace(getattr(preset, stage), from_model="") for stage in ("vae", "rnn", "controller")}
            preset = dataclasses.replace(preset, **anew)
        run = cls(path, task, scale, seed, preset, earlier, unsaved=preset, recipe=recipe)
        if earlier is not None and earlier.task != task:
            raise UserError(f"{previous}: a run of {earlier.task}; {task} cannot go on from it")
        if seed in {ancestor.seed for ancestor in run.ancestors()}:
            raise UserError(f"{previous}: has the seed {seed} too, and the same episodes would be played; use another --seed")
        return run

    @classmethod
    def open_or_create(
        cls,
        path: Path,
        task: str,
        scale: str,
        seed: int,
        preset: Preset,
        previous: Path | None = None,
        recipe: str = BEST_RECIPE,
    ) -> Run:
        """Opens a run, whatever its settings, or plans it. Raises `UserError` if another one than asked for is there."""
        if not (path / CONFIG).exists():
            return cls.plan(path, task, scale, seed, preset, previous, recipe)
        run = cls.open(path)
        run.warn_of_other_versions()
        for name, asked in (("task", task), ("scale", scale), ("recipe", recipe), ("seed", seed)):
            if getattr(run, name) != asked:
                raise UserError(f"{path}: holds a run with {name} {getattr(run, name)}, not {asked}; use another --run")
        if previous is not None and (run.previous is None or run.previous.path.resolve() != previous.resolve()):
            before = "begins anew" if run.previous is None else f"goes on from {run.previous.path.resolve()}"
            raise UserError(f"{path}: holds a run that {before}, not from {previous}; use another --run")
        return run

    def ancestors(self) -> list[Run]:
        """Returns the runs that this one goes on from, the first one first."""
        return [] if self.previous is None else [*self.previous.ancestors(), self.previous]

    @classmethod
    def open(cls, path: Path, later: tuple[Path, ...] = ()) -> Run:
        """Opens an existing run; ``later`` are the runs that go on from it.

        Raises:
            UserError: there is no run at ``path``, or its configuration holds an unknown key or a bad value.
            BadFileError: its config.json is not JSON, or the runs before it go in a circle.
        """
        file = path / CONFIG
        if not file.exists():
            files.check_folder(path)
            mend = original_mend(path) or f"'worldmodels reproduce TASK --run {path}' makes one"
            raise UserError(f"{path}: no run is here (no config.json){nearest_run(path)}; {mend}")
        data = files.read_json(file)
        known = {"format", "task", "scale", "seed", "stages", "versions"}
        if (path / VAE).exists():
            raise UserError(f"{path}: holds a model, not a run; use another folder")
        if not isinstance(data, dict) or set(data) - {"previous", "recipe"} != known:
            raise BadFileError(f"{file}: expected exactly the keys {', '.join(sorted(known))}")
        if data["format"] != FORMAT:
            raise UserError(f"{file}: format {data['format']!r}; this version reads format {FORMAT}")
        if not (isinstance(data["task"], str) and isinstance(data["scale"], str) and type(data["seed"]) is int):
            raise BadFileError(f"{file}: 'task' and 'scale' must be text and 'seed' a whole number")
        recipe = data.get("recipe", BEST_RECIPE)
        if not isinstance(recipe, str):
            raise BadFileError(f"{file}: 'recipe' must be text")
        check_seed(data["seed"])
        preset = Preset.from_dict(data["stages"], str(file))
        task_file.note_folder(path)
        previous = None
        if "previous" in data:
            if not isinstance(data["previous"], str) or not data["previous"]:
                raise BadFileError(f"{file}: 'previous' must be the path of a run")
            if path.resolve() in later:
                raise BadFileError(f"{file}: 'previous' leads in a circle")
            previous = cls.open(path / data["previous"], (*later, path.resolve()))
        return cls(path, data["task"], data["scale"], data["seed"], preset, previous, recipe=recipe)

    def save(self) -> None:
        """Writes config.json."""
        preset = self.preset if self.unsaved is None else self.unsaved
        config = {
            "format": FORMAT,
            "task": self.task,
            "scale": self.scale,
            "seed": self.seed,
            "stages": preset.to_dict(),
            "versions": versions(),
        }
        if self.recipe != BEST_RECIPE:
            config["recipe"] = self.recipe
        if self.previous is not None:
            # Relative: the folder of all rounds may be moved.
            config["previous"] = os.path.relpath(self.previous.path.resolve(), self.path.resolve())
        task_file.write(self.task, self.path)
        files.write_json(self.path / CONFIG, config)

    def warn_of_other_versions(self) -> None:
        """Says so if the run was made with other versions of what its results depend on."""
        made_with = files.read_json(self.path / CONFIG)["versions"]
        here = versions()
        if not isinstance(made_with, dict):
            raise BadFileError(f"{self.path}/config.json: 'versions' must be a table")
        other = [
            f"{name} {made_with.get(name, 'missing')} → {here[name]}" for name in here if made_with.get(name) != here[name]
        ]
        if other:
            print(
                f"{self.path}: made with other versions ({', '.join(other)}): what is done from here on is the same up to "
                f"rounding, no longer to the byte; scores then agree within their 95% intervals, not episode by episode",
                file=sys.stderr,
                flush=True,
            )

    def stage_path(self, stage: str) -> Path:
        """Returns the folder of a stage."""
        return self.path / STAGES[stage]

    def derive_seed(self, stage: str, *index: int) -> int:
        """Returns the seed of one draw of a stage (see the function of the same name)."""
        return derive_seed(self.seed, stage, *index)

    def done(self, stage: str) -> dict[str, Any] | None:
        """Returns the content of a stage's DONE file, or None while the stage is unfinished."""
        path = self.stage_path(stage) / DONE
        return read_done(path) if path.exists() else None

    def inputs(self, stage: str) -> dict[str, Any]:
        """Returns what a stage was begun from, by name; nothing where it has not begun. Raises `BadFileError`."""
        started = self.stage_path(stage) / STARTED
        return dict(_read_started(started)["inputs"]) if started.exists() else {}

    def require(self, stage: str) -> dict[str, Any]:
        """Returns the content of a finished stage's DONE file. Raises `UserError` naming the command that is missing."""
        done = self.done(stage)
        if done is None:
            if not (self.stage_path(stage) / STARTED).exists() and self.done("controller") is not None:
                raise UserError(f"{self.stage_path(stage)}: was taken out by 'worldmodels clean'; this needs a run that has it")
            raise UserError(f"{self.stage_path(stage)}: not finished; run 'worldmodels {VERBS[stage]} --run {self.path}' first")
        self._refuse_mixed(stage)
        return done

    def _refuse_mixed(self, stage: str) -> None:
        """Raises `UserError`, naming both hashes, if a stage was made from something else than what lies in the run now."""
        started = self.stage_path(stage) / STARTED
        if not started.exists():
            return
        made_from = _read_started(started)["inputs"]
        for earlier in STAGES:
            done = None if earlier == stage else self.done(earlier)
            for name, digest in ({} if done is None else done["outputs"]).items():
                if made_from.get(name, digest) != digest:
                    raise UserError(
                        f"{self.stage_path(stage)}: was made from '{name}' {str(made_from[name])[:12]}…, but "
                        f"{self.stage_path(earlier)} holds {digest[:12]}…: parts of different runs do not go together"
                    )

    def require_part(self, stage: str, name: str, path: Path) -> Path:
        """Returns ``path``, the part ``name`` of a finished stage, after comparing its content to the stage's own record.

        Raises:
            UserError: the stage is not finished, or the file is another run's or another stage's; both hashes are named.
            BadFileError: it is missing.
        """
        made = self.require(stage)["outputs"].get(name, "nothing")
        if not path.is_file():
            raise BadFileError(f"{path}: missing; {self.stage_path(stage)} says it is finished")
        found = files.sha256_of(path)
        if found != made:
            raise UserError(
                f"{path}: has SHA-256 {found[:12]}…, '{VERBS[stage]}' made {made[:12]}…: it is damaged or another run's; put "
                f"the right one back, or remove {self.stage_path(stage)} and call '{VERBS[stage]}' again"
            )
        return path

    def inherited(self, stage: str) -> dict[str, str]:
        """Returns the hashes of what a stage takes over from the previous run, if there is one, as inputs of `begin`.

        Raises:
            UserError: the previous run has not finished that stage.
        """
        if self.previous is None:
            return {}
        return {f"previous/{name}": digest for name, digest in self.previous.require(stage)["outputs"].items()}

    def stage_fingerprint(self, stage: str, config: Config, inputs: Mapping[str, str]) -> str:
        """Returns the hash of what decides a stage's result: task, seed, settings, and the results it builds on."""
        return files.fingerprint(
            {
                "task": self.task,
                "seed": self.seed,
                "stage": stage,
                "config": config.fingerprint_fields(),
                "inputs": dict(inputs),
            }
        )

    def begin(self, stage: str, config: Config, inputs: Mapping[str, str]) -> bool:
        """Starts or resumes a stage; returns False if it is finished already.

        The first call leaves the fingerprint in ``STARTED``. Raises `UserError` if the folder was made from other
        settings or other inputs: nothing is ever silently mixed or thrown away.
        """
        folder = self.stage_path(stage)
        fingerprint = self.stage_fingerprint(stage, config, inputs)
        started = folder / STARTED
        if started.exists():
            self.refuse_other_settings(stage, config)
            found = _read_started(started)
            if found.get("fingerprint") != fingerprint:
                before = found["inputs"]
                changed = [name for name in dict.fromkeys([*inputs, *before]) if before.get(name) != inputs.get(name)]
                raise UserError(
                    f"{folder}: was made from other inputs ({', '.join(changed) or 'task or seed'}); "
                    f"remove the folder to make it anew, or use another --run"
                )
        if self.unsaved is not None:
            if not (self.path / CONFIG).exists():
                made = f"task {self.task}, scale {self.scale}, seed {self.seed}"
                print(f"{self.path}: a new run: {made}", file=sys.stderr, flush=True)
            self.save()
        if not started.exists():
            files.write_json(
                started, {"fingerprint": fingerprint, "config": config.fingerprint_fields(), "inputs": dict(inputs)}
            )
        if cleared := files.remove_leftovers(folder):
            print(
                f"{folder}: cleared {cleared} half-written leftovers of a process that was killed", file=sys.stderr, flush=True
            )
        return self.done(stage) is None

    @contextlib.contextmanager
    def nothing_left_if_refused(self, stage: str) -> Iterator[None]:
        """Inside, a stage may begin. Where it is refused after that and before it has written anything, what `begin` has
        written is taken back."""
        config, folder = self.path / CONFIG, self.stage_path(stage)
        before = config.read_bytes() if config.exists() else None
        begun = (folder / STARTED).exists()
        try:
            yield
        except (UserError, BadFileError):
            if not begun and folder.is_dir() and {path.name for path in folder.iterdir()} <= {STARTED}:
                shutil.rmtree(folder)
                if before is None:
                    config.unlink(missing_ok=True)
                    (self.path / TASK).unlink(missing_ok=True)
                else:
                    files.write_bytes(config, before)
            raise

    def refuse_other_settings(self, stage: str, config: Config) -> None:
        """Raises `UserError`, naming them, if a stage has begun with settings that give another result."""
        started = self.stage_path(stage) / STARTED
        if not started.exists():
            return
        found, wanted = _read_started(started)["config"], config.fingerprint_fields()
        settings = {setting.first_name: setting for setting in config.settings()}
        changed = [
            f"{settings[name].name} {found.get(name, 'unset')} → {settings[name].value}"
            if name in settings
            else f"{name} {found.get(name, 'unset')} → {wanted.get(name, 'unknown')}"
            for name in sorted(wanted | found)
            if found.get(name) != wanted.get(name)
        ]
        if changed:
            raise UserError(
                f"{self.stage_path(stage)}: was made with other settings ({', '.join(changed)}); "
                f"remove the folder to make it anew, or use another --run"
            )

    def finish(self, stage: str, outputs: Mapping[str, str], **summary: Any) -> None:
        """Marks a stage as complete; ``outputs`` maps a part's name to its SHA-256."""
        fingerprint = files.read_json(self.stage_path(stage) / STARTED)["fingerprint"]
        files.write_json(self.stage_path(stage) / DONE, {"fingerprint": fingerprint, "outputs": dict(outputs), **summary})


def _read_started(path: Path) -> dict[str, Any]:
    """Reads a stage's STARTED file. Raises `BadFileError`."""
    found = files.read_json(path)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), dict) for name in ("config", "inputs")):
        raise BadFileError(f"{path}: not the start of a stage")
    return dict(found)


def read_done(path: Path) -> dict[str, Any]:
    """Reads a stage's DONE file. Raises `BadFileError`."""
    done = files.read_json(path)
    outputs = done.get("outputs") if isinstance(done, dict) else None
    if not isinstance(outputs, dict) or not all(isinstance(digest, str) for digest in outputs.values()):
        raise BadFileError(f"{path}: not the end of a stage")
    return dict(done)
