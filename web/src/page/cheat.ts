/** Demo 6: the controller that found a hole in the dream, where the run has one. */

import type { Demo } from "./main";
import { Stage } from "./stage";

export const cheat: Demo = {
  id: "cheat",
  heading: "The agent that cheats",
  words: [
    "This agent learned in a dream that was too calm, and found out how to play with the dream in place of the game: it moves so that fireballs are never thrown, or fade away.",
    "Raise the temperature and its trick stops working. In the real game it never did.",
  ],
  fits: (facts) => !facts.no_dream && facts.cheater_temperature !== null,
  async fill(section, place, world, link) {
    const stage = new Stage(section, {
      demo: "cheat",
      world,
      seed: link.seed ?? 1,
      slots: [
        { caption: "the agent that cheats", tau: link.tau ?? world.facts.cheater_temperature!, who: "agent", agent: world.controller("cheater") },
      ],
      taus: [0.1, 1.5],
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};
