/** Demo 6: the controller that found a hole in the dream, where the run has one. */

import type { Demo } from "./demo";
import { tauOf } from "./link";
import { Stage } from "./stage";

const TAUS: readonly [number, number] = [0.1, 1.5];

export const cheat: Demo = {
  id: "cheat",
  heading: () => "The agent that cheats",
  words: ({ hit_damages }) => [
    `This agent learned in a dream that was too calm, and found a mistake of the dream that it can live on${hit_damages.length ? ": it moves in a way that makes fireballs fade, or keeps them from being thrown" : ""}.`,
    "Raise the temperature, and the trick works less often. In the real game it never works.",
  ],
  fits: (facts) => !facts.no_dream && facts.cheater_temperature !== null,
  async fill(section, place, world, link) {
    const stage = new Stage(section, {
      demo: "cheat",
      world,
      seed: link.seed ?? 1,
      slots: [
        { caption: "the agent that cheats", tau: tauOf(link, world.facts.cheater_temperature!, TAUS), who: "agent", agent: world.controller("cheater") },
      ],
      taus: TAUS,
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};
