/** A GIF of the last ten seconds. */

/** Milliseconds between two of the GIF's pictures. */
const DELAY = 60;
const SIDE = 64;

/** Keeps the last pictures, with their times in seconds of the dream: one screen, or several side by side. */
export class Tape {
  private readonly frames: { time: number; pixels: Uint8Array }[] = [];

  constructor(private readonly seconds: number) {}

  /** @param pixels RGBA [screens, 64, 64, 4]. */
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
    for (const { pixels } of this.frames) {
      const small = applyPalette(pixels, palette);
      const large = new Uint8Array(width * height);
      for (let y = 0; y < height; y++) {
        const row = Math.floor(y / scale) * SIDE;
        for (let x = 0; x < width; x++) {
          const column = Math.floor(x / scale);
          large[y * width + x] = small[Math.floor(column / SIDE) * SIDE * SIDE + row + (column % SIDE)];
        }
      }
      encoder.writeFrame(large, width, height, { palette, delay: DELAY });
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
