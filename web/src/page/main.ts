/** Builds the page: a section a demo, of the worlds that were exported. */

declare global {
  interface Window {
    /** What the script in `index.html` asks for: whether this one has begun. */
    pageRuns?: boolean;
  }
}

import "./style.css";
import { AGAIN, nameOf } from "../core/files";
import { start } from "../core/networks";
import { loadFacts, World, type WorldFacts } from "../core/world";
import { beside } from "./beside";
import { cheat } from "./cheat";
import type { Demo } from "./demo";
import { choice, el, title } from "./dom";
import { giveFocusBack } from "./focus";
import { learn } from "./learn";
import { readLink, type Link } from "./link";
import { playIn, startLoop, watch } from "./loop";
import { drive, dodge } from "./play";
import { see } from "./see";
import { temperature } from "./temperature";
import { sentence } from "./told";

const DEMOS: Demo[] = [drive, dodge, see, beside, temperature, cheat, learn];
const root = new URL(".", document.baseURI);
const worlds = new Map<string, Promise<World>>();

function loaded(facts: WorldFacts): Promise<World> {
  let found = worlds.get(facts.id);
  if (!found) worlds.set(facts.id, (found = World.load(root, facts)));
  return found;
}

/** The sentence for whatever went wrong. */
function told(error: unknown): HTMLElement {
  return el("p.told", { role: "alert" }, sentence(error));
}

function paragraph(text: string): HTMLElement {
  return el("p", {}, ...text.split(/<\/?b>/).map((part, i) => (i % 2 ? el("b", {}, part) : part)));
}

function build(demo: Demo, position: number, all: WorldFacts[], link: Link): HTMLElement | null {
  const fitting = all.filter(demo.fits);
  const reason = fitting.length ? "" : demo.without?.(all);
  if (!fitting.length && !reason) return null;
  const place = el("div.place");
  const wanted = fitting.findIndex((facts) => facts.id === link.world);
  let chosen = wanted < 0 ? 0 : wanted;
  const mine = !link.demo || link.demo === demo.id ? link : {};
  const section = el("section.demo", { id: demo.id, "aria-labelledby": `${demo.id}-title` });
  const words = el("div.words");
  const heading = el("a", { href: `?demo=${demo.id}`, title: "This demo by itself" });
  const describe = (facts: WorldFacts): void => {
    heading.textContent = demo.heading(facts);
    words.replaceChildren(...demo.words(facts).map(paragraph));
  };
  let remove: (() => void) | undefined;
  let turn = 0;
  let filled: Promise<void> = Promise.resolve();
  /** One world after the other: the one that was chosen last stays. */
  const fill = (own: Link): void => {
    const now = ++turn;
    filled = filled.then(async () => {
      if (now !== turn) return;
      remove?.();
      remove = undefined;
      playIn(section, { fps: () => 1, paused: true, play: async () => undefined });
      place.replaceChildren(el("div.waiting", { role: "status" }, "Loading the networks…"));
      delete section.dataset.begun;
      try {
        describe(fitting[chosen]);
        const world = await loaded(fitting[chosen]);
        if (now !== turn) return;
        place.replaceChildren();
        remove = await demo.fill(section, place, world, own);
      } catch (error) {
        place.replaceChildren(told(error));
      }
    });
  };
  const picker = choice(
    "World",
    fitting.map((facts) => title(facts.id)),
    chosen,
    (index) => {
      chosen = index;
      fill({});
    },
  );
  section.append(
    el(
      "header",
      {},
      el("span.count", { "aria-hidden": "true" }, String(position)),
      el("h2", { id: `${demo.id}-title` }, heading),
      picker,
    ),
    el("div.columns", {}, place, words),
  );
  describe(fitting[chosen] ?? all[0]);
  if (reason) place.append(el("p.told", {}, reason));
  else watch(section, () => fill(mine));
  return section;
}

/** A file that is dropped beside its place would take the reader to that file. */
function keepThePage(): void {
  addEventListener("dragover", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "none";
  });
  addEventListener("drop", (event) => event.preventDefault());
}

/** Says that the page's style is missing or cut: its last rule sets a property. */
function checkStyle(): void {
  if (getComputedStyle(document.documentElement).getPropertyValue("--style-is-whole")) return;
  const link = document.querySelector<HTMLLinkElement>("link[rel=stylesheet]");
  const name = link ? `The file ${nameOf(new URL(link.href))}` : "A file of this page";
  document.getElementById("demos")!.before(
    el("p.told", { role: "alert" }, `${name} is missing or damaged, so the page does not look as it should. ${AGAIN}`),
  );
}

async function main(): Promise<void> {
  window.pageRuns = true;
  keepThePage();
  checkStyle();
  giveFocusBack();
  const demos = document.getElementById("demos")!;
  try {
    void start(root).catch(() => undefined);
    const all = await loadFacts(root);
    const link = readLink();
    // The first world's networks are fetched beside the runtime.
    const first = all.find((facts) => facts.id === link.world) ?? all[0];
    void loaded(first).catch(() => undefined);
    await start(root);
    const alone = DEMOS.find((demo) => demo.id === link.demo);
    const sections = (alone ? [alone] : DEMOS)
      .reduce<HTMLElement[]>((built, demo) => {
        const section = build(demo, built.length + 1, all, link);
        return section ? [...built, section] : built;
      }, []);
    if (alone) {
      document.body.classList.add("alone");
      sections.push(el("p.others", {}, el("a", { href: "./" }, "All demos")));
      if (sections.length === 1) sections.unshift(el("p.told", {}, "This export has nothing to show in that demo."));
    }
    demos.replaceChildren(...sections);
    startLoop();
  } catch (error) {
    demos.replaceChildren(told(error));
  }
}

void main();
