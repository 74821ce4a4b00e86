/** Demo 5: the same beginning at four temperatures. */

import type { Demo } from "./demo";
import { number } from "./dom";
import { Stage } from "./stage";

const TAUS = [0.1, 0.7, 1.15, 2];

export const temperature: Demo = {
  id: "temperature",
  heading: () => "One beginning, four temperatures",
  words: ({ hit_damages, candidates }) => [
    `Four dreams begin with the same picture and the same dice${candidates.length ? ", and the agent plays in all of them" : ""}. Only the temperature differs: how much is left to chance.`,
    `At 0.1 nearly nothing is: the most likely picture follows each time, and little happens${hit_damages.length ? "; the monsters may forget to shoot" : ""}. A temperature of 1, between the second picture and the third, would leave as much to chance as the network found in the real game. Above 1 the dream grows wild: see the last one.`,
    "An agent that trains in a calm dream learns tricks that fail in the real game. One that trains in a wild dream is ready for worse than the game has.",
  ],
  fits: (facts) => !facts.no_dream,
  without: (all) => all[0].no_dream,
  async fill(section, place, world, link) {
    const agent = world.controller();
    const stage = new Stage(section, {
      demo: "temperature",
      world,
      seed: link.seed ?? 11,
      slots: TAUS.map((tau) => ({ caption: `at ${tau}`, tau, who: "agent" as const, agent })),
      layout: "four",
      ended: (slots) => {
        const result = (i: number): string => number(world.facts.reward_head ? slots[i].score : slots[i].steps);
        return `${world.facts.reward_head ? "Points" : "Steps"}: ${TAUS.map((tau, i) => `${result(i)} at ${tau}`).join(", ")}.`;
      },
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};
