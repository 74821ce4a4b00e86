"""A program: one emulator of stable-retro, which allows one a process, played through standard input and output.

It is told a line of JSON a call, ``{"reset": frames}`` or ``{"buttons": [...], "frames": n}``, and answers with a line of JSON
and the screen's bytes, uint8 rows × columns × 3. It ends when its input does.

    python -m worldmodels.envs.retro_emulator GAME
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def main(game: str) -> None:
    """Plays until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is our parent's to answer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the emulator prints is no answer
    import stable_retro

    env = stable_retro.make(game, render_mode="rgb_array", use_restricted_actions=stable_retro.Actions.ALL)

    def answer(screen: Any, **said: Any) -> None:
        answers.write(json.dumps({**said, "shape": screen.shape}).encode() + b"\n" + screen.tobytes())
        answers.flush()

    nothing = [0] * len(env.buttons)
    for line in sys.stdin:
        asked = json.loads(line)
        if "reset" in asked:
            screen, _ = env.reset()
            for _ in range(asked["reset"]):
                screen, *_ = env.step(nothing)
            answer(screen)
            continue
        pressed, total = [int(button in asked["buttons"]) for button in env.buttons], 0.0
        for _ in range(asked["frames"]):
            screen, reward, terminated, truncated, _ = env.step(pressed)
            total += float(reward)
            if terminated or truncated:
                break
        answer(screen, reward=total, terminated=bool(terminated), truncated=bool(truncated))


if __name__ == "__main__":
    main(sys.argv[1])
