/** Demo 7: how C learned: the curve of its search, and controllers of the way to watch. */

import type { Candidate, CurvePoint, Way, WorldFacts } from "../core/world";
import type { Demo } from "./demo";
import { choice, count, el, number } from "./dom";
import { tauOf, within } from "./link";
import { Stage } from "./stage";

const WIDTH = 560;
const HEIGHT = 200;
const LEFT = 60;
const BOTTOM = 28;
/** The share of the height that a line's name takes. */
const LABEL = 0.14;
/** A dream's score so many times the real game's is no chance any more. */
const TOO_GOOD = 1.25;

const svg = (name: string, attributes: Record<string, string | number>, text = ""): SVGElement => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.textContent = text;
  return element;
};

/** Draws the scored means, one after the other: rounds follow each other on the same axis. */
function chart(points: CurvePoint[], facts: WorldFacts): SVGElement {
  const random = facts.scores.find((score) => score.agent === "random");
  const top = Math.max(...points.map((point) => point.mean)) * 1.1;
  const lowest = Math.min(0, ...points.map((point) => point.mean), random?.mean ?? 0);
  // Where the lowest is the random player's line, below 0, its name has room below it.
  const bottom = lowest < 0 ? lowest - LABEL * (top - lowest) : lowest;
  const x = (i: number): number => LEFT + ((i + 0.5) / points.length) * (WIDTH - LEFT - 8);
  const y = (mean: number): number => 8 + ((top - mean) / (top - bottom)) * (HEIGHT - BOTTOM - 8);
  const last = points.at(-1)!;
  const label = `Scores of the search: from ${number(points[0].mean)} to ${number(last.mean)}, measured ${points.length} times`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" });
  const step = 10 ** Math.floor(Math.log10(top)) / (top / 10 ** Math.floor(Math.log10(top)) > 4 ? 0.5 : 2);
  for (let mark = 0; mark <= top; mark += step) {
    picture.append(svg("line", { x1: LEFT, x2: WIDTH, y1: y(mark), y2: y(mark), class: "grid" }));
    picture.append(svg("text", { x: LEFT - 6, y: y(mark) + 4, class: "mark end" }, number(mark)));
  }
  if (random) {
    picture.append(svg("line", { x1: LEFT, x2: WIDTH, y1: y(random.mean), y2: y(random.mean), class: "random" }));
    // Above its line, or below where another line is in the way.
    const space = (random.mean >= 0 ? step - (random.mean % step) : -random.mean) / (top - bottom);
    const at = y(random.mean);
    picture.append(svg("text", { x: WIDTH - 4, y: at - 5, dy: space < LABEL ? "1.55em" : 0, class: "mark end" }, "a random player"));
  }
  // A round has another V and M: its line does not go on.
  for (const round of new Set(points.map((point) => point.round))) {
    const own = points.map((point, i) => ({ ...point, i })).filter((point) => point.round === round);
    picture.append(svg("polyline", { points: own.map((point) => `${x(point.i)},${y(point.mean)}`).join(" "), class: "line" }));
  }
  points.forEach((point, i) => {
    const dot = svg("circle", { cx: x(i), cy: y(point.mean), r: 3.5, class: "dot" });
    dot.append(svg("title", {}, `round ${point.round + 1}, ${point.generation ? `generation ${point.generation}` : "where PPO ended"}: ${number(point.mean)}`));
    picture.append(dot);
  });
  const scored = new Set(points.map((point) => point.round)).size;
  const axis = roundsOf(points) > 1 ? `one score after the other, from ${scored} rounds of training` : "one score after the other";
  picture.append(svg("text", { x: (WIDTH + LEFT) / 2, y: HEIGHT - 6, class: "mark middle" }, axis));
  return picture;
}

/** PPO's controllers are named after it; and what it led to is scored before the first generation. */
const usesPpo = ({ curve, candidates }: WorldFacts): boolean =>
  curve.some((point) => point.generation === 0) || candidates.some(({ name }) => name.startsWith("PPO"));
const usesGenerations = ({ curve, candidates }: WorldFacts): boolean =>
  curve.some((point) => point.generation > 0) || candidates.some(({ name }) => name.startsWith("generation"));
const usesBoth = (facts: WorldFacts): boolean => usesPpo(facts) && usesGenerations(facts);

/** How many rounds a curve is of, also those without a score. */
const roundsOf = (points: CurvePoint[]): number => points.at(-1)!.round + 1;

/** What the curve's dots, lines and gaps are, in plain words. */
function aboutCurve(facts: WorldFacts): string {
  const { curve } = facts;
  const dot = `Each dot of the curve is a score: what C reached on average over many episodes, at that time of its training${usesBoth(facts) ? " (PPO's once, where it ended)" : ""}.`;
  if (roundsOf(curve) < 2) return dot;
  const scored = new Set(curve.map((point) => point.round));
  const gaps = scored.size < roundsOf(curve) ? " Some rounds were not scored, and have no dot." : "";
  return `${dot} A <b>round</b> is: the agent (in the first round a random player) plays the real game, V and M learn from what it saw, and C learns on with them. Dots of one round are joined; between two rounds the line breaks.${gaps}`;
}

export const learn: Demo = {
  id: "learn",
  heading: () => "How C learned",
  words: (facts) => [
    `C is the part of the agent that chooses actions: a controller. Nobody told it what to do${usesBoth(facts) ? "; two ways of search found it" : ""}.`,
    ...(usesGenerations(facts)
      ? ["<b>CMA-ES</b> tries many controllers that differ a little, keeps what the better ones have in common, and tries again around that. Each such try is a generation."]
      : []),
    ...(usesPpo(facts)
      ? ["<b>PPO</b> lets one controller play many dreams at once, makes the actions that turned out better than expected a little likelier, and lets it play again. Each such pass is an iteration."]
      : []),
    ...(facts.curve.length > 1 ? [aboutCurve(facts)] : []),
    "Choose a controller from along the way, and watch it play in the same dream. A number after its name is its score.",
  ],
  fits: (facts) => !facts.no_dream && facts.candidates.length > 0,
  without: (all) => (all.some((facts) => !facts.no_dream) ? "This run has no C yet: 'worldmodels train-controller' searches for one." : ""),
  async fill(section, place, world, link) {
    const { facts } = world;
    const last = facts.candidates.length - 1;
    let chosen = within(link.controller, 0, last) ?? last;
    const stage = new Stage(section, {
      demo: "learn",
      world,
      seed: link.seed ?? 5,
      slots: [{ caption: facts.candidates[chosen].name, tau: tauOf(link, facts.temperature), who: "agent", agent: world.controller(chosen) }],
      link: () => ({ controller: chosen }),
    });
    const caption = stage.element.querySelector("figcaption .name")!;
    const names = facts.candidates.map(({ name, mean }) => (mean === null ? name : `${name}: ${number(mean)}`));
    const picker = choice("Controller", names, chosen, (index) => {
      chosen = index;
      caption.textContent = facts.candidates[index].name;
      stage.restart([{ agent: world.controller(index) }]);
    });
    picker.classList.add("wide");
    const picture = facts.curve.length > 1 ? chart(facts.curve, facts) : el("p.note", {}, "No scores of the way were kept with this model.");
    place.append(el("div.learning", {}, picture, picker, aboutWay(facts)), stage.element);
    return () => {
      stage.remove();
      place.replaceChildren();
    };
  },
};

/** Says what a score means that is far higher in the dream than in the real game. */
function tooGood(way: Way, candidates: Candidate[]): string {
  const last = candidates.findLast(({ mean }) => mean !== null);
  const real = way.last_in_reality.mean;
  if (!last || last.mean! <= TOO_GOOD * Math.max(real, 0)) return "";
  return ` ${number(last.mean!)} in the dream (${last.name}), ${number(real)} in reality: C has found out what is wrong with the dream, and collects what the real game does not give.`;
}

/** Says where the controllers to choose from come from, where that is not the search of the curve. */
function aboutWay({ way, candidates, reward_head }: WorldFacts): HTMLElement | string {
  if (way) {
    return el(
      "p.note",
      {},
      "The search of the curve kept only its last controller, the agent. The others come from another, shorter search with the same V and M, " +
        `made to be shown here. It began from nothing and took ${count(Math.round(way.seconds / 60), "minute")}, in the dream (`,
      el("code", {}, way.command),
      `). Their scores, in ${reward_head ? "points" : "steps"}, are means of ${count(way.episodes, "dream")} at temperature ${way.temperature}. ` +
        `In the real game the last of them reaches ${number(way.last_in_reality.mean)}, the mean of ${count(way.last_in_reality.episodes, "episode")}.`,
      tooGood(way, candidates),
    );
  }
  return candidates.length < 3 ? el("p.note", {}, "The controllers in between were not kept with this model; a run's folder has them.") : "";
}
