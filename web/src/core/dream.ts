/** M's dream, several episodes at once: the same rules as the package's `DreamEnv`. */

import { draw } from "./mixture";
import { EpisodeNoise, type Draws } from "./random";
import type { World } from "./world";

export const FULL_HEALTH = 100;

/** One episode: where it is, and how it stands. */
export interface Slot {
  z: Float32Array;
  hidden: Float32Array;
  cell: Float32Array;
  restart: number;
  steps: number;
  score: number;
  health: number;
  /** What the last step brought. */
  reward: number;
  hitChance: number;
  damage: number;
  over: "" | "ended" | "truncated";
}

function newSlot(latent: number, hidden: number): Slot {
  return {
    z: new Float32Array(latent),
    hidden: new Float32Array(hidden),
    cell: new Float32Array(hidden),
    restart: 1,
    steps: 0,
    score: 0,
    health: FULL_HEALTH,
    reward: 0,
    hitChance: 0,
    damage: 0,
    over: "",
  };
}

export function copySlot(slot: Slot): Slot {
  return { ...slot, z: slot.z.slice(), hidden: slot.hidden.slice(), cell: slot.cell.slice() };
}

export class Dream {
  slots: Slot[] = [];
  private noises: EpisodeNoise[] = [];
  private branches = 0;

  /** @param temperatures τ of each slot; may be changed at any time. */
  constructor(
    readonly world: World,
    readonly temperatures: number[],
  ) {}

  private get noiseSize(): number {
    // One number more decides whether there is a hit and what it costs.
    return this.world.facts.latent + (this.world.facts.hit_damages.length ? 1 : 0);
  }

  /** Begins all slots' episodes; a slot's seed decides its beginning and all its dice. */
  reset(seeds: readonly number[]): void {
    const { latent, hidden } = this.world.facts;
    const beginnings = this.world.mu.length / latent;
    this.noises = seeds.map((seed) => new EpisodeNoise(seed, 0, this.noiseSize));
    this.slots = this.noises.map((noise) => {
      const slot = newSlot(latent, hidden);
      const { uniform, normal } = noise.next();
      const first = Math.min(Math.floor(uniform[0] * beginnings), beginnings - 1) * latent;
      for (let j = 0; j < latent; j++) {
        slot.z[j] = this.world.mu[first + j] + Math.exp(0.5 * this.world.logvar[first + j]) * normal[j];
      }
      return slot;
    });
  }

  /** Goes on from given slots, with dice that nobody has seen yet. */
  goOn(slots: readonly Slot[], seeds: readonly number[]): void {
    this.branches += 1;
    this.slots = slots.map(copySlot);
    this.noises = seeds.map((seed) => new EpisodeNoise(seed, this.branches, this.noiseSize));
  }

  /** Advances every slot that is not over by one step. `draws` stand in for the slots' own dice. */
  async step(actions: readonly Float32Array[], draws?: readonly Draws[]): Promise<void> {
    const { facts } = this.world;
    const { latent, hidden, action, mixtures } = facts;
    const playing = this.slots.map((_, i) => i).filter((i) => !this.slots[i].over);
    if (!playing.length) return;
    const n = playing.length;
    const inputs: Record<string, Float32Array> = {
      z: new Float32Array(n * latent),
      action: new Float32Array(n * action),
      hidden: new Float32Array(n * hidden),
      cell: new Float32Array(n * hidden),
    };
    if (facts.restart_input) inputs.restart = new Float32Array(n);
    playing.forEach((i, row) => {
      const slot = this.slots[i];
      inputs.z.set(slot.z, row * latent);
      inputs.action.set(actions[i], row * action);
      inputs.hidden.set(slot.hidden, row * hidden);
      inputs.cell.set(slot.cell, row * hidden);
      if (facts.restart_input) inputs.restart[row] = slot.restart;
    });
    const found = await this.world.step!.run(inputs, n);
    const outputs = found.outputs as Float32Array;
    const columns = outputs.length / n;
    const heads = Number(facts.done_head) + Number(facts.reward_head);
    playing.forEach((i, row) => {
      const slot = this.slots[i];
      slot.hidden = (found.next_hidden as Float32Array).slice(row * hidden, (row + 1) * hidden);
      slot.cell = (found.next_cell as Float32Array).slice(row * hidden, (row + 1) * hidden);
      slot.restart = 0;
      const own = outputs.subarray(row * columns, (row + 1) * columns);
      const { uniform, normal } = draws ? draws[i] : this.noises[i].next();
      slot.z = new Float32Array(latent);
      draw(own, { latent, mixtures, heads }, uniform, normal, this.temperatures[i], slot.z);
      slot.steps += 1;
      slot.reward = facts.reward_head ? own[heads - 1] : (facts.dream_reward ?? 0);
      slot.score += slot.reward;
      slot.damage = 0;
      if (facts.hit_damages.length) this.strike(slot, own[0], uniform[latent]);
      else if (facts.done_head && own[0] > 0) slot.over = "ended";
      if (!slot.over && slot.steps >= facts.max_steps) slot.over = "truncated";
    });
  }

  /** Draws a hit with M's chance of it; how far below the chance the number lies says what the hit costs. */
  private strike(slot: Slot, logit: number, uniform: number): void {
    const damages = this.world.facts.hit_damages;
    slot.hitChance = 1 / (1 + Math.exp(-logit));
    const share = uniform / slot.hitChance;
    if (share < 1) {
      slot.damage = damages[Math.min(Math.floor(share * damages.length), damages.length - 1)];
      slot.health -= slot.damage;
    }
    if (slot.health <= 0) slot.over = "ended";
  }

  /** Returns the slots' frames, uint8 [slots, 64, 64, 4]. */
  decode(which: readonly number[] = this.slots.map((_, i) => i)): Promise<Uint8Array> {
    const { latent } = this.world.facts;
    const z = new Float32Array(which.length * latent);
    which.forEach((i, row) => z.set(this.slots[i].z, row * latent));
    return this.world.decode(z);
  }
}
