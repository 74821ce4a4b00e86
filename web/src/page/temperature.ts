/** Demo 5: the same beginning at four temperatures. */

import { number } from "./dom";
import type { Demo } from "./main";
import { Stage } from "./stage";

const TAUS = [0.1, 0.7, 1.15, 2];

export const temperature: Demo = {
  id: "temperature",
  heading: "One beginning, four temperatures",
  words: [
    "Four dreams begin with the same picture and the same dice. Only the temperature differs. The agent plays in all of them.",
    "At τ 0.1 the network is sure of itself: things hardly change, and monsters may forget to shoot. At τ 1 it is as uncertain as it was about the real game. Above that the dream grows wild.",
    "An agent that trains in a dream that is too calm learns tricks that do not work in the real game. A little too wild is the better school.",
  ],
  fits: (facts) => !facts.no_dream,
  without: (all) => all[0].no_dream,
  async fill(section, place, world, link) {
    const agent = world.controller();
    const stage = new Stage(section, {
      demo: "temperature",
      world,
      seed: link.seed ?? 11,
      slots: TAUS.map((tau) => ({ caption: `τ ${tau}`, tau, who: "agent" as const, agent })),
      layout: "four",
      ended: (slots) => {
        const result = (i: number): string => number(world.facts.reward_head ? slots[i].score : slots[i].steps);
        return `${world.facts.reward_head ? "Points" : "Steps"}: ${TAUS.map((tau, i) => `${result(i)} at τ ${tau}`).join(", ")}.`;
      },
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};
