/** The line under a demo: how fast it is, on what, which seed, and the model's card. */

import type { WorldFacts } from "../core/world";
import { count, el, number } from "./dom";

export const BACKEND = "WebAssembly SIMD on one thread";

/** Measures M's steps and V's frames, and says so once a second of the dream. */
export class Speed {
  readonly element = el("span.speed", {}, "…");
  private sums = { steps: 0, stepTime: 0, frames: 0, frameTime: 0 };

  async steps(count: number, work: () => Promise<void>): Promise<void> {
    const started = performance.now();
    await work();
    this.sums.steps += count;
    this.sums.stepTime += performance.now() - started;
  }

  async frame<T>(work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const found = await work();
    this.sums.frames += 1;
    this.sums.frameTime += performance.now() - started;
    return found;
  }

  /** Says it, after so many frames. */
  tell(least: number): void {
    const { steps, stepTime, frames, frameTime } = this.sums;
    if (frames < least || !steps) return;
    this.element.textContent = `M ${(stepTime / steps).toFixed(1)} ms a step, V ${(frameTime / frames).toFixed(1)} ms a frame, ${BACKEND}`;
    this.sums = { steps: 0, stepTime: 0, frames: 0, frameTime: 0 };
  }
}

/** The model's card in a line: scores and hashes. */
export function cardOf(facts: WorldFacts): HTMLElement[] {
  const scores = facts.scores.map((score) => {
    const where = score.world === "real" ? "real game" : `dream at temperature ${score.temperature}`;
    const who = score.agent === "random" ? "a random player" : "the agent";
    return `${who} in the ${where}: ${number(score.mean)} ± ${number(score.std)} over ${count(score.episodes, "episode")}`;
  });
  const hashes = Object.entries({ V: "vae", M: "rnn", C: "controller" })
    .filter(([, part]) => facts.hashes[part])
    .map(([name, part]) => `${name} ${facts.hashes[part].slice(0, 8)}`);
  const found = scores.map((score) => el("span", {}, score));
  if (scores.length) found.push(el("span", {}, "(a mean ± how far single episodes usually lie from it)"));
  if (hashes.length) found.push(el("span", {}, `${hashes.join(", ")} (their versions: the first digits of each file's SHA-256)`));
  return found;
}
