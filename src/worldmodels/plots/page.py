"""A page that shows a run or a model and stands alone: pictures, video, style and words are all in the one file."""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodels.base import files
from worldmodels.config import BEST_RECIPE
from worldmodels.diagnostics.statistics import score_text
from worldmodels.envs.registry import get_task, tasks
from worldmodels.plots.evolution import NAMES
from worldmodels.plots.summary import Shown, headline
from worldmodels.runs.cleaning import is_cleaned
from worldmodels.runs.layout import CONFIG, EVALUATION, FIDELITY_PICTURE, VIDEO
from worldmodels.runs.run import SOURCE, STAGES, Run
from worldmodels.runs.timings import stage_seconds
from worldmodels.runtime.progress import format_seconds

#: What each picture shows, in the order of the page; one that is not named here comes last.
CAPTIONS = {
    "summary": "All in one",
    "curve": "How C learned",
    "scores": "The return of each episode",
    "fidelity": "How true the dream is",
    "reconstructions": "Frames that V was not trained on, and what it keeps of them",
    "open-loop": "What M dreams when it is left alone, beside what really came",
    "open-loop-error": "How far M's dream strays from what came",
    "traversals": "What V's latents mean",
    "vae-losses": "How V learned",
    "rnn-losses": "How M learned",
}
STAGE_NAMES = {
    "collect": "episodes played",
    "vae": "V trained",
    "encode": "frames encoded",
    "rnn": "M trained",
    "controller": "C trained",
}
#: Nothing is fetched from anywhere: what the page shows is in it.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
LOOK = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 17px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
figure { margin: 1.5rem 0; } figcaption { margin-bottom: .4rem; font-weight: 600; }
img { width: 100%; background: #fff; border-radius: 6px; } video { width: 100%; border-radius: 6px; }
div.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); } td.n { text-align: right; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; }
details { margin: .3rem 0; } summary { cursor: pointer; }
"""


def write_page(shown: Shown, pictures: Sequence[Path], path: Path) -> Path:
    """Writes the page; returns its path.

    Args:
        pictures: PNG files whose names say what they show (`CAPTIONS`).
        path: the file, replaced where it is there.
    """
    title = html.escape(headline(shown))
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">',
        f"<title>{title}</title><style>{LOOK}</style></head><body><h1>{title}</h1>",
        f"<p>{html.escape(get_task(shown.name).summary)}</p>",
        *_body(shown, _in_order(shown, pictures)),
        "</body></html>\n",
    ]
    files.write_bytes(path, "\n".join(parts).encode())
    return path


def _in_order(shown: Shown, pictures: Sequence[Path]) -> list[Path]:
    found = list(pictures)
    if shown.run is not None and (fidelity := shown.run.path / EVALUATION / FIDELITY_PICTURE).exists():
        found.append(fidelity)
    names = list(CAPTIONS)
    return sorted(found, key=lambda path: names.index(path.stem) if path.stem in names else len(names))


def _body(shown: Shown, pictures: Sequence[Path]) -> Iterator[str]:
    first = [path for path in pictures if path.stem == "summary"]
    yield from map(_figure, first)
    if shown.run is not None and (film := shown.run.path / EVALUATION / VIDEO).exists():
        yield "<h2>The agent at play</h2>"
        yield "<p>The game, what V sees, what V keeps of it, and M dreaming on beside it.</p>"
        yield f'<video controls autoplay muted loop playsinline src="{_data(film, "video/mp4")}"></video>'
    if shown.scores:
        yield "<h2>Scores</h2>" + _table(("who, where", "mean ± std", "episodes", "95% interval of the mean"), _scores(shown))
    yield "<h2>Commands</h2>"
    if Path(shown.target).name == shown.target and shown.target not in tasks():
        yield "<p>To be called in the folder that holds it.</p>"
    yield f"<pre>{html.escape(chr(10).join(_commands(shown)))}</pre>"
    if shown.run is not None:
        yield "<h2>Stages</h2>" + _table(("stage", "state", "worked for"), _stages(shown.run))
        yield "<h2>Settings</h2>" + "".join(_settings(shown.run))
    yield "<h2>Figures</h2>"
    yield from (_figure(path) for path in pictures if path not in first)


def _figure(path: Path) -> str:
    caption = html.escape(CAPTIONS.get(path.stem, path.stem))
    return f'<figure><figcaption>{caption}</figcaption><img alt="{caption}" src="{_data(path, "image/png")}"></figure>'


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _scores(shown: Shown) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, row in shown.scores.items():
        where = NAMES[name][0] + (f", temperature {row['temperature']:g}" if row.get("temperature") else "")
        interval = "" if row["ci95"] is None else "{:,.1f} to {:,.1f}".format(*row["ci95"])
        rows.append((where, score_text(row, 1), f"{row['num_episodes']:,}", interval))
    solved_at = get_task(shown.name).published.solved_at
    return rows if solved_at is None else [*rows, ("solved", f"{solved_at:g}", "", "")]


def _commands(shown: Shown) -> list[str]:
    """Returns the commands that make the run, or make it again, and those that what there is of it is enough for."""
    run, target = shown.run, shlex.quote(shown.target)
    lines: list[str] = []
    if run is not None and SOURCE not in run.inputs("collect"):
        recipe = "" if run.recipe == BEST_RECIPE else f" --recipe {run.recipe}"
        settings = f"--scale {run.scale}{recipe} --seed {run.seed} --run {target}"
        finished = run.done("controller") is not None
        what = (
            "make it again, with the settings below where they differ from the scale's" if finished else "train it to the end"
        )
        lines.append(f"# {what}")
        lines.append(f"worldmodels reproduce {run.task} {settings}")
    agent = shown.agent
    if agent is None or not agent.can_dream:
        return lines
    finished = run is None or run.done("controller") is not None
    lines.append("# look at it, and score it" if finished else "# look at it")
    real = bool(get_task(shown.name).env_id)
    if agent.solution is not None:
        lines.append(f"worldmodels watch {target}{'' if real else ' --world dream'}")
    lines.append(f"worldmodels play {target} --world dream")
    if agent.solution is not None:
        lines.append(f"worldmodels video {target} --world dream --out dream.mp4")
        if finished:
            lines.append(f"worldmodels evaluate {target}{'' if real else ' --world dream'} --episodes 10")
    return lines


def _stages(run: Run) -> list[tuple[str, str, str]]:
    seconds = stage_seconds(run)
    rows = []
    for stage, folder in STAGES.items():
        begun = "begun" if (run.path / folder).exists() else "not begun"
        state = "cleaned" if is_cleaned(run, stage) else begun if run.done(stage) is None else "finished"
        rows.append((STAGE_NAMES[stage], state, format_seconds(seconds[stage]) if stage in seconds else ""))
    return rows


def _settings(run: Run) -> Iterator[str]:
    """Yields a table a stage, and the versions, each to be opened."""
    for stage, settings in run.preset.to_dict().items():
        yield _folded(STAGE_NAMES.get(stage, stage), settings)
    versions = files.read_json(run.path / CONFIG)["versions"]
    if isinstance(versions, dict):
        yield _folded("versions", versions)


def _folded(name: str, values: Mapping[str, Any]) -> str:
    rows = [(key, str(value)) for key, value in values.items()]
    return f"<details><summary>{html.escape(name)}</summary>{_table(('setting', 'value'), rows)}</details>"
