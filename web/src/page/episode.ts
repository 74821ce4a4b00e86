/** The recorded real episode: its frames, what V drew of each, and the actions. */

import { AGAIN, arrayOf, bytesOf, nameOf, planesOf, Told } from "../core/files";
import type { World } from "../core/world";

export interface Recorded {
  steps: number;
  /** Returns a real frame's pixels, RGBA 64×64. */
  frame(index: number): Uint8ClampedArray;
  z: Float32Array;
  actions: Float32Array;
  rewards: Float32Array;
  damage: Float32Array;
}

const cache = new Map<World, Promise<Recorded>>();

export function recorded(world: World): Promise<Recorded> {
  let found = cache.get(world);
  if (!found) cache.set(world, (found = load(world)));
  return found;
}

async function load(world: World): Promise<Recorded> {
  const facts = world.facts.episode!;
  const [picture, numbers] = await Promise.all([bytesOf(world.url(facts.frames)), planesOf(world.url(facts.numbers))]);
  const damaged = new Told(`The picture ${nameOf(world.url(facts.frames))} is damaged. ${AGAIN}`);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([picture], { type: "image/webp" }));
  } catch {
    throw damaged;
  }
  if (bitmap.width !== facts.columns * 64 || bitmap.height !== Math.ceil((facts.steps + 1) / facts.columns) * 64) throw damaged;
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  const array = (name: keyof typeof facts.arrays): Float32Array => arrayOf(numbers, facts.arrays[name], world.url(facts.numbers));
  return {
    steps: facts.steps,
    frame: (index) => {
      const row = Math.floor(index / facts.columns);
      return context.getImageData((index - row * facts.columns) * 64, row * 64, 64, 64).data;
    },
    z: array("z"),
    actions: array("actions"),
    rewards: array("rewards"),
    damage: array("damage"),
  };
}
