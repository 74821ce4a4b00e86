/** Demos 1 and 2: drive in a dream, dodge in a dream. */

import type { WorldFacts } from "../core/world";
import type { Demo } from "./demo";
import { count, number } from "./dom";
import { TAUS, tauOf } from "./link";
import { Stage } from "./stage";

const noDream = (wanted: (facts: WorldFacts) => boolean) => (all: WorldFacts[]) => {
  const found = all.find(wanted);
  return found?.no_dream ?? "";
};
/** The car has words of its own; whatever else is played in a dream has the same ones. */
const drives = (facts: WorldFacts): boolean => facts.task === "car-racing";
const DODGE_TAUS: readonly [number, number] = [0.1, 3];
const SIGNS: Record<string, string> = { left: "←", right: "→", up: "↑", down: "↓" };
const keyNames = (facts: WorldFacts): string => Object.keys(facts.keys).map((name) => SIGNS[name] ?? name).join(", ");
const hasKeys = (facts: WorldFacts): boolean => Object.keys(facts.keys).length > 0;
const hasAgent = (facts: WorldFacts): boolean => facts.candidates.length > 0;
/** Who acts at first, in a sentence. */
const atFirst = (facts: WorldFacts, plays: string): string =>
  hasAgent(facts) ? `At first the agent ${plays}, in its own dream.` : `This run has no agent yet: at first nobody ${plays}.`;
const hurts = (facts: WorldFacts): boolean => facts.hit_damages.length > 0;

export const drive: Demo = {
  id: "drive",
  heading: (facts) => (!hasKeys(facts) ? "Watch a dream" : drives(facts) ? "Drive in a dream" : "Play in a dream"),
  words: (facts) => [
    drives(facts)
      ? `${atFirst(facts, "drives")} <b>Press an arrow key, or put a finger on the picture</b>, and you drive. ← and → steer, ↑ is the gas, ↓ the brake. With a finger, the car gathers speed and steers towards it; slide it to turn, hold it low on the picture to brake. On a phone there are buttons, too.`
      : hasKeys(facts)
        ? `${atFirst(facts, "plays")} <b>Press a key${"left" in facts.keys && "right" in facts.keys ? ", or put a finger on the picture" : ""}</b>, and you play. The keys are ${keyNames(facts)}.`
        : `${hasAgent(facts) ? "The agent plays, in its own dream." : "This run has no agent yet: nobody plays."} This game has no keys here, so that you can only watch.`,
    drives(facts)
      ? "There is no track anywhere. Each picture is what the network expects to see next, after what it remembers and what you do. Leave the road and it makes up grass; turn round and it makes up another road."
      : `There is no game here. Each picture is what the network expects to see next, after what it remembers and ${hasKeys(facts) ? "what you do" : "what is done"}.`,
    "The network never says what comes next, only how likely each next picture is; dice decide. The <b>temperature</b> loads the dice. Near 0 the most likely picture comes nearly every time. At 1 chance has as much say as in the real game. Higher up, unlikely things happen often.",
  ],
  fits: (facts) => !facts.no_dream && !hurts(facts),
  without: noDream((facts) => !hurts(facts)),
  async fill(section, place, world, link) {
    const agent = world.controller();
    const stage = new Stage(section, {
      demo: "drive",
      world,
      seed: link.seed ?? 7,
      slots: [{ caption: "", tau: tauOf(link, world.facts.temperature), who: "agent", agent }],
      taus: TAUS,
      playable: Object.keys(world.facts.keys).length > 0,
      takeOver: "here",
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};

export const dodge: Demo = {
  id: "dodge",
  heading: () => "Dodge in a dream",
  words: (facts) => [
    `Monsters throw fireballs; step aside. <b>Press ← or →, or put a finger left or right of the picture's middle</b>, and the dream begins again: you play on the left${hasAgent(facts) ? ", the agent on the right, from the same beginning and with the same dice. Until then the agent plays both" : ". This run has no agent yet: until then, and on the right, nobody plays"}.`,
    "At every step the network says how likely a hit is, and dice decide. A hit costs health; the bar below the picture shows what is left. Each step that you survive counts one.",
    ...(hasAgent(facts) ? ["The agent learned to dodge in such a dream alone. It then dodged in the real game, too."] : []),
  ],
  fits: (facts) => !facts.no_dream && hurts(facts),
  without: noDream(hurts),
  async fill(section, place, world, link) {
    const agent = world.controller();
    const tau = tauOf(link, world.facts.temperature, DODGE_TAUS);
    let best = 0;
    const stage = new Stage(section, {
      demo: "dodge",
      world,
      seed: link.seed ?? 3,
      slots: [
        { caption: "", tau, who: "agent", agent },
        { caption: agent ? "the agent" : "nobody plays", tau, who: "agent", agent },
      ],
      taus: DODGE_TAUS,
      playable: Object.keys(world.facts.keys).length > 0,
      takeOver: "again",
      layout: "duel",
      ended: ([first, second], seed) => {
        if (section.dataset.who !== "you") return `Seed ${seed}: ${agent ? "the agent survived" : "the player survived"} ${count(second.steps, "step")}.`;
        best = Math.max(best, first.steps);
        return `Seed ${seed}: you survived ${count(first.steps, "step")}, ${agent ? "the agent" : "who stands still"} ${number(second.steps)}. Your best: ${number(best)}. Press ← or → to try again.`;
      },
    });
    place.append(stage.element);
    return () => stage.remove();
  },
};
