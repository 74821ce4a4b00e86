/** A GIF of the last ten seconds. */

/** Pixels of the GIF for one of the dream's, and milliseconds between two of its pictures. */
const SCALE = 4;
const DELAY = 60;

/** Keeps the last pictures, RGBA 64×64 each, with their times in seconds of the dream. */
export class Tape {
  private readonly frames: { time: number; pixels: Uint8Array }[] = [];

  constructor(private readonly seconds: number) {}

  add(time: number, pixels: Uint8Array): void {
    const last = this.frames.at(-1);
    if (last && time < last.time) this.frames.length = 0;
    if (last && time - last.time < DELAY / 1000 - 0.001 && time >= last.time) return;
    this.frames.push({ time, pixels: pixels.slice() });
    while (this.frames[0].time < time - this.seconds) this.frames.shift();
  }

  clear(): void {
    this.frames.length = 0;
  }

  get length(): number {
    return this.frames.length;
  }

  /** Returns the GIF's bytes. */
  async gif(): Promise<Blob> {
    const { GIFEncoder, applyPalette, quantize } = await import("gifenc");
    const encoder = GIFEncoder();
    const side = 64 * SCALE;
    // One palette for all: a picture's own would flicker.
    const sample = new Uint8Array(Math.min(this.frames.length, 12) * 64 * 64 * 4);
    for (let i = 0; i * 64 * 64 * 4 < sample.length; i++) {
      const which = Math.floor((i * this.frames.length * 64 * 64 * 4) / sample.length);
      sample.set(this.frames[which].pixels, i * 64 * 64 * 4);
    }
    const palette = quantize(sample, 256);
    for (const { pixels } of this.frames) {
      const small = applyPalette(pixels, palette);
      const large = new Uint8Array(side * side);
      for (let y = 0; y < side; y++) {
        const row = Math.floor(y / SCALE) * 64;
        for (let x = 0; x < side; x++) large[y * side + x] = small[row + Math.floor(x / SCALE)];
      }
      encoder.writeFrame(large, side, side, { palette, delay: DELAY });
    }
    encoder.finish();
    return new Blob([encoder.bytes() as BlobPart], { type: "image/gif" });
  }
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
