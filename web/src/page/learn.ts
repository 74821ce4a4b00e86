/** Demo 7: how C learned: the curve of its search, and controllers of the way to watch. */

import type { CurvePoint, WorldFacts } from "../core/world";
import { choice, el, number } from "./dom";
import { tauOf, within } from "./link";
import type { Demo } from "./main";
import { Stage } from "./stage";

const WIDTH = 560;
const HEIGHT = 200;
const LEFT = 60;
const BOTTOM = 28;

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
  const bottom = Math.min(0, ...points.map((point) => point.mean), random?.mean ?? 0);
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
    picture.append(svg("text", { x: WIDTH - 4, y: y(random.mean) - 5, class: "mark end" }, "a random player"));
  }
  // A round has another V and M: its line does not go on.
  for (const round of new Set(points.map((point) => point.round))) {
    const own = points.map((point, i) => ({ ...point, i })).filter((point) => point.round === round);
    picture.append(svg("polyline", { points: own.map((point) => `${x(point.i)},${y(point.mean)}`).join(" "), class: "line" }));
  }
  points.forEach((point, i) => {
    const dot = svg("circle", { cx: x(i), cy: y(point.mean), r: 3.5, class: "dot" });
    dot.append(svg("title", {}, `round ${point.round + 1}, generation ${point.generation}: ${number(point.mean)}`));
    picture.append(dot);
  });
  const rounds = new Set(points.map((point) => point.round)).size;
  const axis = rounds > 1 ? `one score after the other, in ${rounds} rounds of training` : "one score after the other";
  picture.append(svg("text", { x: (WIDTH + LEFT) / 2, y: HEIGHT - 6, class: "mark middle" }, axis));
  return picture;
}

export const learn: Demo = {
  id: "learn",
  heading: () => "How C learned",
  words: () => [
    "C is the part of the agent that chooses actions: a controller. Nobody told it what to do. A search tries many controllers that differ a little, keeps what the better ones have in common, and tries again. Each such try is a generation.",
    "Each point of the curve is a score: that of the controller in the middle of the search, generation after generation.",
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

/** Says where the controllers to choose from come from, where that is not the search of the curve. */
function aboutWay({ way, candidates, reward_head }: WorldFacts): HTMLElement | string {
  if (way) {
    return el(
      "p.note",
      {},
      "The search of the curve kept only its last controller, the agent. The others come from another, shorter search with the same V and M, " +
        `made to be shown here. It began from nothing and took ${number(way.seconds / 60)} minutes, in the dream (`,
      el("code", {}, way.command),
      `). Their scores, in ${reward_head ? "points" : "steps"}, are means of ${number(way.episodes)} dreams at temperature ${way.temperature}. ` +
        `In the real game the last of them reaches ${number(way.last_in_reality.mean)}, the mean of ${number(way.last_in_reality.episodes)} episodes.`,
    );
  }
  return candidates.length < 3 ? el("p.note", {}, "The controllers in between were not kept with this model; a run's folder has them.") : "";
}
