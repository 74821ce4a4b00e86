"""Makes docs/environments/ from the tasks and the docstrings of their environments: ``python -m tools.env_pages``.

A page a task, with Gymnasium's headings for each of its three ids: the real game, M's dream of it, and the real game as C sees
it.
``--check`` writes nothing and returns 1 if a page is not what they say.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import gymnasium as gym

from tools.pages import write_or_check
from worldmodels.agent.gym_envs import SingleDreamEnv, SingleLatentEnv
from worldmodels.envs.registry import tasks
from worldmodels.envs.task import Task

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "environments"
TITLES = {
    "take-cover": "TakeCover",
    "car-racing": "CarRacing",
    "health-gathering": "HealthGathering",
    "health-gathering-supreme": "HealthGatheringSupreme",
    "pong": "Pong",
    "boxing": "Boxing",
    "airstriker": "Airstriker",
    "sonic": "Sonic",
}
HEADINGS = (
    "Description",
    "Action Space",
    "Observation Space",
    "Rewards",
    "Starting State",
    "Info",
    "Episode End",
    "Arguments",
    "Threads",
    "Copies",
    "Version History",
)
ATARI = {
    "Description": "ALE's own environment of version 5, as it is: 4 frames a step. The games come with `pip install "
    "'worldmodels-vmc[atari]'`.",
    "Action Space": "`Discrete`, ALE's actions; an action is ignored with a chance of 1/4 (sticky actions).",
    "Observation Space": "`Box(0, 255, (210, 160, 3), uint8)`: the screen. V sees it averaged over areas to 64×64.",
    "Rewards": "The game's score.",
    "Starting State": "The game's own; the seed decides what the sticky actions do.",
    "Episode End": "Terminated at the end of the whole game.",
    "Arguments": "ALE's.",
    "Version History": "- v5: ALE's.",
}
#: What no docstring says.
ADDED = {
    "pong": ATARI,
    "boxing": ATARI,
    "car-racing": {"Info": "None."},
    "health-gathering": {"Version History": "- v0: first."},
    "health-gathering-supreme": {"Version History": "- v0: first."},
    "airstriker": {
        "Episode End": "Terminated when the game is over.",
        "Arguments": '- `render_mode`: None or `"rgb_array"`.',
        "Version History": "- v0: first.",
    },
    "sonic": {
        "Episode End": "Terminated when the game is over.",
        "Arguments": '- `render_mode`: None or `"rgb_array"`.',
        "Version History": "- v0: first.",
    },
}


def sections(kind: type, gym_id: str = "") -> dict[str, str]:
    """Returns a docstring's parts by heading, in Markdown; what comes first is the description.

    An example's id becomes ``gym_id``.
    """
    text = re.split(r"^(?:Args|Raises):$", inspect.cleandoc(kind.__doc__ or ""), flags=re.M)[0].replace("``", "`")
    first, *rest = re.split(r"^### (.+)$", text, flags=re.M)
    found = {"Description": first}
    for heading, said in zip(rest[::2], rest[1::2], strict=True):
        found[heading] = said
    return {
        heading: re.sub(r"worldmodels/TakeCover(Dream|Latent)-v\d", gym_id, said).strip() for heading, said in found.items()
    }


def in_order(found: dict[str, str], level: str) -> list[str]:
    """Returns the sections under Gymnasium's headings."""
    assert found.keys() <= set(HEADINGS), found.keys()
    return [f"{level} {heading}\n\n{found[heading]}" for heading in HEADINGS if heading in found]


def real(task: Task) -> dict[str, str]:
    """Returns what is said of the real game."""
    entry = gym.registry[task.env_id].entry_point if task.env_id in gym.registry else None
    found: dict[str, str] = {}
    if isinstance(entry, str) and entry.startswith("worldmodels."):
        module, _, name = entry.partition(":")
        kind = getattr(import_module(module), name)
        for each in reversed([base for base in kind.__mro__ if base.__module__.startswith("worldmodels.") and base.__doc__]):
            found |= sections(each) if each is kind or "###" in str(each.__doc__) else {}
    found |= ADDED.get(task.name, {})
    if task.max_episode_steps:
        steps = f"By `Task.make_env`, in training and in scores, truncated after {task.max_episode_steps:,} steps."
        found["Episode End"] = " ".join([found["Episode End"], steps])
    return found


def facts(task: Task) -> str:
    """Returns a table of what the task says."""
    hits = ", ".join(f"{damage:g}" for damage in task.hit_damages)
    rows = {
        "played in training": f"`{task.env_id}`",
        "scored on": f"`{task.official_id}`" if task.official_id else "",
        "arguments in training and scores": ", ".join(f"`{name}={value}`" for name, value in task.env_kwargs.items()),
        "steps of an episode, at most": f"{task.max_episode_steps:,}" if task.max_episode_steps else "",
        "solved at a mean return of": f"{task.published.solved_at:g}" if task.published.solved_at else "",
        "what a hit costs of 100, each as likely": hits,
        "the dream's reward": f"{task.dream_reward:g} a step" if task.dream_reward is not None else "M's expectation",
        "the dream ends": "with the health, or at the limit of steps" if hits else
        "as M's done head says, or at the limit of steps" if task.done_head else "at the limit of steps",
        "the same in a mirror": "yes" if task.mirrored_action else "no",
        "Z, H, K": f"{task.latent_size}, {task.hidden_size}, {task.num_mixtures}",
        "C has biases": "yes" if task.controller_bias else "no",
        "a person's keys": ", ".join(task.play.keys),
        "other frames (`collect --frames`)": ", ".join(task.frames),
        "scales": ", ".join(task.presets),
        "recipes": ", ".join(["best", *task.recipes]),
    }  # fmt: skip
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {said} |" for name, said in rows.items() if said)


def page(task: Task) -> str:
    """Returns a task's page."""
    title, dream, latent = TITLES[task.name], task.gym_id("Dream"), task.gym_id("Latent")
    shipped = (ROOT / "src/worldmodels/shipped" / task.name).exists()
    env = task.env_id.rpartition(":")
    make = f'import {env[0] or "worldmodels"}\n\nenv = gym.make("{env[2]}")'
    parts = [
        f"# {title}",
        f"{task.summary}.",
        "Made from the code by `python -m tools.env_pages`.",
        *([f"![The shipped agent](../../results/{task.name}/shipped/agent.gif)"] if shipped else []),
        f"The task `{task.name}` of the command line and of [`wm.tasks()`](../api.md) has three environments:",
        "| | |\n| --- | --- |\n"
        f"| [`{task.env_id}`](#the-real-game) | the real game |\n"
        f"| [`{dream}`](#the-dream) | M's dream of it |\n"
        f"| [`{latent}`](#as-c-sees-it) | the real game as C sees it |",
        f"```python\nimport gymnasium as gym\n{make}\n```",
        *([] if shipped else ["No agent is shipped: the dream, and the game as C sees it, need `model=` with a run's folder."]),
        "## The real game",
        f"`{task.env_id}`",
        *in_order(real(task), "###"),
        "## The dream",
        f"`{dream}`; many side by side: [`Agent.dream`](../api.md#agentdream).",
        *in_order(sections(SingleDreamEnv, dream), "###"),
        "## As C sees it",
        f"`{latent}`",
        *in_order(sections(SingleLatentEnv, latent), "###"),
        "## What the task says",
        facts(task),
        f'The settings of a scale: `wm.tasks()["{task.name}"].preset("smoke")`.',
    ]
    return "\n\n".join(parts) + "\n"


def index(found: dict[str, Task]) -> str:
    """Returns the page that lists them."""
    rows = [f"| [{TITLES[name]}]({name}.md) | `{name}` | `{task.env_id}` | {task.summary} |" for name, task in found.items()]
    return "\n".join(
        [
            "# Environments",
            "",
            "Made from the code by `python -m tools.env_pages`. Each task has three Gymnasium environments: the real game, M's",
            "dream of it, and the real game as C sees it. Any other environment that is installed can be learned, too:",
            "[your own environment](../your_own_environment.md).",
            "",
            "| | task | the real game | |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def pages() -> dict[Path, str]:
    """Returns every page."""
    known = tasks()
    found = {name: known[name] for name in TITLES}
    return {FOLDER / "index.md": index(found)} | {FOLDER / f"{name}.md": page(task) for name, task in found.items()}


if __name__ == "__main__":
    sys.exit(write_or_check(pages(), "tools.env_pages", __doc__))
