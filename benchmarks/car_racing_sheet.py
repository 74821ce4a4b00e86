"""The fast CarRacing beside the official one, as a picture: official above, ours below it, their difference last.

    python -m benchmarks.car_racing_sheet [--out car_racing_sheet.png] [--json FILE] [--seeds 20] [--steps 1000] [--every 7]

Plays the mixed driving in both, prints how far the pictures differ, and draws the ten frames that differ most and thirty
spread evenly over the play. The differences are shown four times as strong. It takes the processor about a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.car_racing.comparison import Pair, play_both

COLUMNS, ROWS, ENLARGED, GAP = 10, 4, 2, 4
#: Pixels for the names at the left, and for the heading of a row of pairs.
LABELS, HEADING = 120, 40


def sheet(pairs: list[Pair]) -> Image.Image:
    """Returns the picture of up to 40 pairs, labelled: the first row those that differ most."""
    worst = sorted(pairs, key=lambda pair: -pair.share_far_off())[:COLUMNS]
    spread = [pairs[i] for i in np.linspace(0, len(pairs) - 1, COLUMNS * (ROWS - 1)).astype(int)]
    shown = worst + spread
    font, heading = ImageFont.load_default(18), ImageFont.load_default(22)
    side, size = LABELS, ENLARGED * 64
    high = 3 * (size + GAP) + HEADING
    image = Image.new("RGB", (side + COLUMNS * (size + GAP), 4 + high * (len(shown) // COLUMNS)), "white")
    draw = ImageDraw.Draw(image)
    for row in range(len(shown) // COLUMNS):
        top = row * high
        what = "the ten frames that differ most" if row == 0 else f"frames spread evenly over the play, {row} of {ROWS - 1}"
        draw.text((side, top + HEADING // 2), what, fill="black", font=heading, anchor="lm")
        for line, name in enumerate(("official", "ours", "difference,\nfour times")):
            y = top + HEADING + line * (size + GAP)
            draw.text((side - 10, y + size // 2), name, fill="black", font=font, anchor="rm", align="right")
            for column, pair in enumerate(shown[row * COLUMNS : (row + 1) * COLUMNS]):
                difference = np.minimum(4 * np.abs(pair.official.astype(np.int16) - pair.ours), 255).astype(np.uint8)
                frame = Image.fromarray((pair.official, pair.ours, difference)[line])
                image.paste(frame.resize((size, size), Image.Resampling.NEAREST), (side + column * (size + GAP), y))
    return image


def main() -> None:
    """Plays, prints and draws; exit code 1 when the two were not the same game."""
    parser = argparse.ArgumentParser(description="Pictures and figures of how alike the fast CarRacing is.")
    parser.add_argument("--out", type=Path, default=Path("car_racing_sheet.png"))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--every", type=int, default=7, help="compare the pictures of every such step")
    arguments = parser.parse_args()
    pairs, num_steps = [], 0
    for seed in range(arguments.seeds):
        episode = list(play_both(seed, arguments.steps, arguments.every))
        pairs += episode
        num_steps += episode[-1].step
        print(f"seed {seed}: {episode[-1].step} steps, {'equal' if episode[-1].same else 'NOT EQUAL'}", flush=True)
    figures = {
        "seeds": arguments.seeds,
        "steps": num_steps,
        "frames": len(pairs),
        "mean_difference": float(np.mean([pair.mean_difference() for pair in pairs])),
        "share_far_off": float(np.mean([pair.share_far_off() for pair in pairs])),
        "all_equal": all(pair.same for pair in pairs),
    }
    print(
        f"{figures['frames']} frames of {figures['steps']} steps: mean difference {figures['mean_difference']:.3f} of 255, ",
        end="",
    )
    print(f"{figures['share_far_off']:.3%} of the pixels off by more than 32")
    sheet(pairs).save(arguments.out, optimize=True)
    print(f"{arguments.out}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if figures["all_equal"] else 1)


if __name__ == "__main__":
    main()
