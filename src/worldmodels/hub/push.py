"""Writes an agent to the Hugging Face Hub: its parts, its page, its scores and a replay, in one commit."""

from __future__ import annotations

import datetime
import math
import shutil
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldmodels.agent import hub
from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.agent.target import model_folder, target_path
from worldmodels.base import files
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.versions import own_version
from worldmodels.config import EvaluateConfig, VideoConfig, World
from worldmodels.hub import card
from worldmodels.runs.layout import CARD, CONFIG, EVALUATION, RESULTS
from worldmodels.stages.evaluate import evaluate
from worldmodels.viewer.video import record

#: Played for the scores where an agent brings none, as the model zoos do; and how many steps a replay shows at most.
EPISODES, REPLAY_STEPS = 10, 500
OWN_CARD = "MODEL_CARD.md"


def push(target: str, repo: str, private: bool = False, revision: str | None = None) -> dict[str, Any]:
    """Writes the agent of ``target`` into a repository of the Hub, which is made if it is not there.

    Args:
        repo: ``user/repo``.
        private: who else may see it, where the repository is made.
        revision: the branch to write to, made if it is not there; None: main.

    Returns:
        ``repo``, ``target`` (what `load` takes), ``url``, ``commit`` and ``files``.

    Raises:
        UserError: there is no such agent, no token, a name that an address could not name, or the Hub refuses.
        BadFileError: the agent's scores are none.
        EnvironmentFailure: the Hub does not answer, or the game fails.
    """
    library = hub.library()
    where = hub.address(repo, revision)
    if library.get_token() is None:
        raise UserError(f"push: no token of the Hub is here; {hub.LOGIN}; https://huggingface.co/settings/tokens makes one")
    agent = load(target)
    api = library.HfApi(library_name="worldmodels", library_version=own_version())
    with tempfile.TemporaryDirectory(prefix="worldmodels-") as name:
        folder = Path(name)
        write_folder(target, agent, repo, folder)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        with hub.failures(repo, writes=True):
            # Only now, with all that is to be sent at hand: no empty repository is left by an agent that cannot be.
            api.create_repo(repo, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo, branch=revision, exist_ok=True)
            # What an earlier agent left there belongs to no other.
            old = set(api.list_repo_files(repo, revision=revision)) & {*hub.FILES, OWN_CARD} - set(names)
            operations = [library.CommitOperationAdd(each, folder / each) for each in names]
            operations += [library.CommitOperationDelete(each) for each in sorted(old)]
            message = f"{agent.task.name} by worldmodels {own_version()}"
            done = api.create_commit(repo, operations, commit_message=message, revision=revision)
    url = f"{library.constants.ENDPOINT}/{repo}"
    return {"repo": repo, "target": where, "url": url, "commit": done.oid, "files": names}


def write_folder(target: str, agent: Agent, repo: str, folder: Path) -> None:
    """Writes all that a repository holds into an empty folder."""
    source = target_path(target)
    if (source / CONFIG).exists():
        model = model_folder(str(source))
        for name in (*hub.FILES, OWN_CARD):
            if (model / name).exists():
                shutil.copy2(model / name, folder / name)
        config = files.read_json(folder / CONFIG)
        # An older one leaves it to its run.
        files.write_json(folder / CONFIG, {**config, "temperature": agent.temperature})
    else:  # the original's files
        agent.save(folder)
        agent = load(folder)
    scores, when = _scores(source, agent)
    files.write_json(folder / CARD, scores)
    best = scores.get("real", scores.get("dream", {}))
    files.write_json(folder / RESULTS, card.results(best, when))
    (folder / ".eval_results").mkdir()
    (folder / ".eval_results" / "worldmodels.yaml").write_text(_yaml(card.eval_results(agent, best, when)), encoding="utf-8")
    head, text = _yaml(card.metadata(agent, repo, best)), card.page(agent, repo, scores, (folder / OWN_CARD).exists())
    (folder / "README.md").write_text(f"---\n{head}---\n{text}", encoding="utf-8")
    record(agent, VideoConfig(_world(agent), REPLAY_STEPS), folder / "replay.mp4", one_episode=True)


def _scores(source: Path, agent: Agent) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Returns an agent's scores by name (`card.ROWS`), and when they were played if that is known: those that it brings, or
    new ones."""
    results = source / EVALUATION / RESULTS
    if results.exists():
        found, when = _checked(results, files.read_json(results), "evaluations"), _time(results.stat().st_mtime)
    else:
        found, when = _checked(source / CARD, {"": agent.card.get("evaluation", {})}, ""), None
    fits = {
        name: {key: value for key, value in score.items() if key != "episodes"}
        for name, score in found.items()
        if score.get("sha256") in (None, dict(agent.sha256))
    }
    if "real" in fits or "dream" in fits:
        return fits, when
    played = evaluate(EvaluateConfig(world=_world(agent), episodes=EPISODES), agent)
    return {played["world"]: {key: value for key, value in played.items() if key != "episodes"}}, _time()


def _checked(file: Path, facts: Any, name: str) -> dict[str, dict[str, Any]]:
    """Returns the scores of `card.ROWS` among a file's facts. Raises `BadFileError` for what is no score."""
    found = facts.get(name, {}) if isinstance(facts, dict) else facts
    if not isinstance(found, dict):
        raise BadFileError(f"{file}: not an agent's scores by name")
    scores = {each: score for each, score in found.items() if each in card.ROWS}
    for each, score in scores.items():
        if not isinstance(score, dict):
            raise BadFileError(f"{file}: '{each}' is {_short(score)}; expected a score")
        for key, kind, wanted in _SCORE:
            if not kind(value := score.get(key)):
                raise BadFileError(f"{file}: '{key}' of '{each}' is {_short(value)}; expected {wanted}")
    return scores


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf


#: What a score must have, and what each of it must be.
_SCORE: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("world", lambda value: value in ("real", "dream"), "real or dream"),
    ("num_episodes", lambda value: type(value) is int and value > 0, "a whole number above 0"),
    ("mean", _is_number, "a number"),
    ("std", lambda value: value is None or _is_number(value), "a number, or null of a single episode"),
    ("temperature", lambda value: value is None or _is_number(value), "a number, or null of a real game"),
)


def _short(value: Any) -> str:
    return textwrap.shorten(repr(value), 60)


def _world(agent: Agent) -> World:
    """Returns where an agent is scored and filmed: a task of recordings alone has its dream."""
    return "real" if agent.task.env_id else "dream"


def _time(seconds: float | None = None) -> str:
    now = datetime.datetime.now(datetime.UTC)
    found = now if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return found.isoformat(timespec="seconds")


def _yaml(value: Any) -> str:
    import yaml  # comes with huggingface_hub

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text
