/** A world as the export wrote it: a task's sizes and rules, V, M, C, the dream's beginnings, a recorded episode. */

import { Controller, type ControllerSizes, type Squash } from "./controller";
import { AGAIN, arrayOf, jsonOf, planesOf, Told, type Place } from "./files";
import { Graph } from "./networks";

export interface Score {
  world: "dream" | "real";
  agent: "trained" | "random";
  mean: number;
  std: number;
  episodes: number;
  temperature: number | null;
}

export interface CurvePoint {
  round: number;
  generation: number;
  mean: number;
}

/** A controller to choose, the agent last: its generation where it has one, and its score where it was scored. */
export interface Candidate {
  name: string;
  generation: number | null;
  mean: number | null;
}

/** The search that the candidates before the agent are of, where it was not the agent's own. */
export interface Way {
  command: string;
  seconds: number;
  /** Of the dream at this temperature each was scored over so many. */
  episodes: number;
  temperature: number;
  /** What the last of them reached in the real game. */
  last_in_reality: { mean: number; episodes: number };
}

export interface Episode {
  frames: string;
  numbers: string;
  steps: number;
  columns: number;
  seed: number;
  who: "agent" | "random";
  arrays: Record<"z" | "actions" | "rewards" | "damage", Place>;
}

/** What `worlds.json` says of a world. */
export interface WorldFacts {
  id: string;
  task: string;
  summary: string;
  latent: number;
  hidden: number;
  action: number;
  mixtures: number;
  restart_input: boolean;
  done_head: boolean;
  reward_head: boolean;
  /** What a hit may cost of a health of 100; empty: no health. */
  hit_damages: number[];
  /** What a step brings where M foresees no reward. */
  dream_reward: number | null;
  max_steps: number;
  fps: number;
  keys: Record<string, number[]>;
  key_ramp: number;
  low: number[];
  high: number[];
  squash: Squash[];
  /** How many options each choice of an action has; empty: an action is numbers. */
  choices: number[];
  inputs: string;
  layers: [number, number][];
  bias: boolean;
  temperature: number;
  /** Latents, the ones that say most first. */
  latent_order: number[];
  numbers: string;
  arrays: Record<string, Place>;
  candidates: Candidate[];
  way: Way | null;
  cheater_temperature: number | null;
  scores: Score[];
  curve: CurvePoint[];
  hashes: Record<string, string>;
  /** Why there is no dream, in a sentence; empty where there is one. */
  no_dream: string;
  networks: Partial<Record<"step" | "decoder" | "encoder", string>>;
  episode: Episode | null;
}

/** What a value must look like: an example of each number, text and truth; of a list its one element; null: anything. */
type Shape = number | string | boolean | null | readonly [Shape] | { readonly [name: string]: Shape };

const SHAPE: Shape = {
  id: "", task: "", summary: "", latent: 0, hidden: 0, action: 0, mixtures: 0, restart_input: true, done_head: true,
  reward_head: true, hit_damages: [0], dream_reward: null, max_steps: 0, fps: 0, keys: {}, key_ramp: 0, low: [0], high: [0],
  squash: [[0]], choices: [0], inputs: "", layers: [[0]], bias: true, temperature: 0, latent_order: [0], numbers: "", arrays: {},
  candidates: [{ name: "" }], scores: [{ world: "", agent: "", mean: 0, std: 0, episodes: 0 }],
  curve: [{ round: 0, generation: 0, mean: 0 }], hashes: {}, no_dream: "", networks: { decoder: "" },
};

/** Returns where a value is not of a shape, as `.worlds.0.latent`; none: it is. */
function misfit(value: unknown, shape: Shape, at = ""): string | undefined {
  if (shape === null) return undefined;
  if (typeof shape !== "object") return typeof value === typeof shape ? undefined : at;
  if (typeof value !== "object" || value === null || Array.isArray(value) !== Array.isArray(shape)) return at;
  const parts = Array.isArray(shape) ? Object.keys(value).map((i) => [i, shape[0]] as const) : Object.entries(shape);
  for (const [name, part] of parts) {
    const found = misfit((value as Record<string, unknown>)[name], part as Shape, `${at}.${name}`);
    if (found) return found;
  }
  return undefined;
}

/** Reads `worlds.json`. */
export async function loadFacts(root: URL): Promise<WorldFacts[]> {
  const found = (await jsonOf(new URL("worlds.json", root))) as { format?: number; worlds?: WorldFacts[] };
  if (found?.format !== 1 || !Array.isArray(found.worlds) || !found.worlds.length) {
    throw new Told(`worlds.json is not of this page's format. ${AGAIN}`);
  }
  const wrong = misfit(found.worlds, [SHAPE], ".worlds");
  if (wrong) throw new Told(`worlds.json is damaged at ${wrong.slice(1)}. ${AGAIN}`);
  return found.worlds;
}

/** A world with what dreaming it takes. V's encoder and the recorded episode are fetched when they are asked for. */
export class World {
  private encoder?: Promise<Graph>;

  private constructor(
    readonly facts: WorldFacts,
    private readonly root: URL,
    readonly decoder: Graph,
    readonly step: Graph | null,
    private readonly numbers: Uint8Array<ArrayBuffer>,
    /** The dream's first frames as V sees them, [beginnings, latent] each. */
    readonly mu: Float32Array,
    readonly logvar: Float32Array,
  ) {}

  static async load(root: URL, facts: WorldFacts): Promise<World> {
    const at = (name: string): URL => new URL(`${facts.id}/${name}`, root);
    const { step, decoder } = facts.networks;
    const [numbers, v, m] = await Promise.all([
      planesOf(at(facts.numbers)),
      Graph.load(root, at(decoder!)),
      step ? Graph.load(root, at(step)) : null,
    ]);
    const { mu, logvar } = facts.arrays;
    const array = (place?: Place): Float32Array => (place ? arrayOf(numbers, place, at(facts.numbers)) : new Float32Array(0));
    return new World(facts, root, v, m, numbers, array(mu), array(logvar));
  }

  url(name: string): URL {
    return new URL(`${this.facts.id}/${name}`, this.root);
  }

  /** Returns a controller: the number of a candidate (the last is the agent), or the one that cheats. */
  controller(which: number | "cheater" = this.facts.candidates.length - 1): Controller | null {
    const place = this.facts.arrays[which === "cheater" ? "cheater" : `solution${which}`];
    return place ? new Controller(this.sizes(), arrayOf(this.numbers, place, this.url(this.facts.numbers))) : null;
  }

  private sizes(): ControllerSizes {
    return this.facts;
  }

  /** Fetches V's encoder, once. */
  loadEncoder(): Promise<Graph> {
    return (this.encoder ??= Graph.load(this.root, this.url(this.facts.networks.encoder!)));
  }

  /** V's view of a frame, RGBA [64, 64, 4]: mu and logvar. */
  async encode(pixels: Uint8ClampedArray): Promise<{ mu: Float32Array; logvar: Float32Array }> {
    const encoder = await this.loadEncoder();
    const frames = new Float32Array(64 * 64 * 3);
    for (let i = 0; i < 64 * 64; i++) for (let c = 0; c < 3; c++) frames[3 * i + c] = pixels[4 * i + c];
    const found = await encoder.run({ frames }, 1, [64, 64, 3]);
    return { mu: found.mu as Float32Array, logvar: found.logvar as Float32Array };
  }

  /** Decodes latents [slots, latent] to pixels [slots, 64, 64, 4]. */
  async decode(z: Float32Array): Promise<Uint8Array> {
    return (await this.decoder.run({ z }, z.length / this.facts.latent)).frames as Uint8Array;
  }
}
