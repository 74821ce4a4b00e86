/** A GIF of the last ten seconds. */

import { Told } from "../core/files";

/** Seconds between two of the GIF's pictures, at least; the last picture stays as long. */
const DELAY = 0.06;
const SIDE = 64;

/** Keeps the last pictures, with their times in seconds of the dream: one screen, or several side by side. */
export class Tape {
  private readonly frames: { time: number; pixels: Uint8Array }[] = [];

  constructor(private readonly seconds: number) {}

  /** @param pixels RGBA [screens, 64, 64, 4]. */
  add(time: number, pixels: Uint8Array): void {
    const last = this.frames.at(-1);
    if (last && time >= last.time && time - last.time < DELAY - 0.001) return;
    // What was taken back has not happened.
    while (this.frames.length && this.frames.at(-1)!.time >= time) this.frames.pop();
    this.frames.push({ time, pixels: pixels.slice() });
    while (this.frames[0].time < time - this.seconds) this.frames.shift();
  }

  clear(): void {
    this.frames.length = 0;
  }

  /** Returns the GIF's bytes. */
  private async gif(): Promise<Blob> {
    if (this.frames.length < 2) throw new Told("There is nothing to save yet: let it play a moment.");
    const { GIFEncoder, applyPalette, quantize } = await import("gifenc").catch(() => {
      throw new Told("The part of this page that makes GIFs cannot be fetched. Load the page again, or export it again.");
    });
    const encoder = GIFEncoder();
    const size = this.frames[0].pixels.length;
    const screens = size / (4 * SIDE * SIDE);
    /** Pixels of the GIF for one of the dream's. */
    const scale = screens === 1 ? 4 : screens === 2 ? 3 : 2;
    const [width, height] = [screens * SIDE * scale, SIDE * scale];
    // One palette for all: a picture's own would flicker.
    const sample = new Uint8Array(Math.min(this.frames.length, 12) * size);
    for (let i = 0; i * size < sample.length; i++) {
      const which = Math.floor((i * this.frames.length * size) / sample.length);
      sample.set(this.frames[which].pixels, i * size);
    }
    const palette = quantize(sample, 256);
    // A GIF counts in hundredths of a second. Rounded times, not rounded delays: so the sum is right.
    const begins = [...this.frames.map(({ time }) => time), this.frames.at(-1)!.time + DELAY].map((time) => Math.round(100 * time));
    for (const [i, { pixels }] of this.frames.entries()) {
      const small = applyPalette(pixels, palette);
      const large = new Uint8Array(width * height);
      for (let y = 0; y < height; y++) {
        const row = Math.floor(y / scale) * SIDE;
        for (let x = 0; x < width; x++) {
          const column = Math.floor(x / scale);
          large[y * width + x] = small[Math.floor(column / SIDE) * SIDE * SIDE + row + (column % SIDE)];
        }
      }
      encoder.writeFrame(large, width, height, { palette, delay: 10 * (begins[i + 1] - begins[i]) });
    }
    encoder.finish();
    return new Blob([encoder.bytes() as BlobPart], { type: "image/gif" });
  }

  /** Gives the GIF to the reader as a file; returns its size in bytes. */
  async save(name: string): Promise<number> {
    const blob = await this.gif();
    offer(blob, name);
    return blob.size;
  }
}

function offer(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
