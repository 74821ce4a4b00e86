/** Demos 1 and 2: drive in a dream, dodge in a dream. */

import type { WorldFacts } from "../core/world";
import { number } from "./dom";
import type { Demo } from "./main";
import { Stage } from "./stage";

const noDream = (wanted: (facts: WorldFacts) => boolean) => (all: WorldFacts[]) => {
  const found = all.find(wanted);
  return found?.no_dream ?? "";
};
const hurts = (facts: WorldFacts): boolean => facts.hit_damages.length > 0;

export const drive: Demo = {
  id: "drive",
  heading: "Drive in a dream",
  words: [
    "The agent plays in its own dream. <b>Press an arrow key, or touch the picture</b>, and you play: left and right steer, up and down are gas and brake.",
    "There is no track anywhere. Each picture is what the network expects to see next, given the last one and the action. Drive off the road and it makes up grass; turn round and it makes up another road.",
    "The <b>temperature</b> says how uncertain the dream is. Near 0 the most likely thing happens every time; high up, anything may.",
  ],
  fits: (facts) => !facts.no_dream && !hurts(facts),
  without: noDream((facts) => !hurts(facts)),
  async fill(section, place, world, link) {
    const agent = world.controller();
    const stage = new Stage(section, {
      demo: "drive",
      world,
      seed: link.seed ?? 7,
      slots: [{ caption: "", tau: link.tau ?? world.facts.temperature, who: "agent", agent }],
      taus: [0.1, 2],
      playable: Object.keys(world.facts.keys).length > 0,
      takeOver: "here",
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};

export const dodge: Demo = {
  id: "dodge",
  heading: "Dodge in a dream",
  words: [
    "Monsters throw fireballs; step aside. <b>Press ← or →, or hold a half of the picture</b>: you and the agent then meet the same dream, with the same dice. Until then the agent and its twin do the same.",
    "At every step the network says how likely a hit is, and the page rolls the dice. A hit costs health; the bar below the picture shows what is left. Every step survived counts one.",
    "The agent learned to dodge in this dream alone, and then survived in the real game.",
  ],
  fits: (facts) => !facts.no_dream && hurts(facts),
  without: noDream(hurts),
  async fill(section, place, world, link) {
    const agent = world.controller();
    const tau = link.tau ?? world.facts.temperature;
    let best = 0;
    const stage = new Stage(section, {
      demo: "dodge",
      world,
      seed: link.seed ?? 3,
      slots: [
        { caption: "", tau, who: "agent", agent },
        { caption: "its twin", tau, who: "agent", agent },
      ],
      taus: [0.1, 3],
      playable: Object.keys(world.facts.keys).length > 0,
      takeOver: "again",
      layout: "duel",
      ended: ([first, second], seed) => {
        if (section.dataset.who !== "you") return `Seed ${seed}: the agent survived ${number(second.steps)} steps.`;
        best = Math.max(best, first.steps);
        return `Seed ${seed}: you survived ${number(first.steps)} steps, the agent ${number(second.steps)}. Your best: ${number(best)}. Press ← or → to try again.`;
      },
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};
