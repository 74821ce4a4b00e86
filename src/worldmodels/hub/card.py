"""What a repository on the Hub says of an agent: its page, and its scores as the Hub and the model zoos write them."""

from __future__ import annotations

from typing import Any

from worldmodels.agent.agent import Agent
from worldmodels.agent.files import PARTS
from worldmodels.diagnostics.statistics import score_text

#: How the rows of a table of scores are called.
ROWS = {"random": "random policy", "dream": "agent, in its dream", "real": "agent, real environment"}


def env_of(agent: Agent, world: str) -> str:
    """Returns the Gymnasium id of what an agent was scored in."""
    return agent.task.gym_id("Dream") if world == "dream" else agent.task.score_id(True)


def results(score: dict[str, Any], when: str | None) -> dict[str, Any]:
    """Returns ``results.json`` as the model zoos of Stable-Baselines3 write it; ``when`` the episodes were played, if known."""
    found = {"mean_reward": score["mean"], "std_reward": score["std"], "is_deterministic": False}
    found |= {"n_eval_episodes": score["num_episodes"]}
    return found | ({} if when is None else {"eval_datetime": when})


def eval_results(agent: Agent, score: dict[str, Any], when: str | None) -> list[dict[str, Any]]:
    """Returns ``.eval_results/*.yaml``, the Hub's own form. An environment stands in the place of a dataset."""
    env = env_of(agent, score["world"])
    notes = f"mean return of {score['num_episodes']} episodes, standard deviation {score['std']:.2f}"
    row = {"dataset": {"id": env if "/" in env else f"gymnasium/{env}", "task_id": score["world"]}, "value": score["mean"]}
    return [row | ({} if when is None else {"date": when}) | {"notes": notes}]


def metadata(agent: Agent, repo: str, score: dict[str, Any]) -> dict[str, Any]:
    """Returns the head of the page: what the Hub searches and filters by."""
    env = env_of(agent, score["world"])
    metric = {"type": "mean_reward", "name": "mean_reward", "value": f"{score['mean']:.2f} +/- {score['std']:.2f}"}
    task = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
    result = {"task": task, "dataset": {"type": env, "name": env}, "metrics": [metric]}
    return {
        "library_name": "worldmodels",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["reinforcement-learning", "deep-reinforcement-learning", "world-models", "gymnasium", agent.task.name, env],
        "model-index": [{"name": repo.split("/")[1], "results": [result]}],
    }


def page(agent: Agent, repo: str, scores: dict[str, dict[str, Any]], has_own_card: bool) -> str:
    """Returns the page's text."""
    name, task = repo.split("/")[1], agent.task
    rows = [
        f"| {ROWS[key]}{'' if score['temperature'] is None else ', τ ' + format(score['temperature'], 'g')} "
        f"| `{env_of(agent, score['world'])}` | {score_text(score, 1)} | {score['num_episodes']:,} |"
        for key, score in scores.items()
    ]
    hashes = [f"| `{part}.safetensors` | `{agent.sha256[part]}` |" for part in PARTS]
    own = ["How it was made: [MODEL_CARD.md](MODEL_CARD.md).", ""] if has_own_card else []
    lines = [
        f"# {name}",
        "",
        f"An agent of {task.name}: Ha & Schmidhuber's V (a convolutional variational autoencoder) sees, M (a recurrent mixture",
        "density network) predicts, C acts. [replay.mp4](replay.mp4) shows it.",
        "",
        "```",
        'pip install "worldmodels-vmc[hub]"',
        f"worldmodels evaluate hf://{repo} --episodes 10",
        f"worldmodels play hf://{repo}",
        "```",
        "",
        "```python",
        "import worldmodels as wm",
        "",
        f'agent = wm.load("hf://{repo}")',
        "```",
        "",
        "| | where | mean ± std | episodes |",
        "| --- | --- | --: | --: |",
        *rows,
        "",
        *own,
        f"C sees `{agent.inputs}`; its dream's temperature is {agent.temperature:g}. No file here is code or a pickle.",
        "`worldmodels` compares each part to its hash:",
        "",
        "| part | SHA-256 |",
        "| --- | --- |",
        *hashes,
    ]
    return "\n".join(lines) + "\n"
