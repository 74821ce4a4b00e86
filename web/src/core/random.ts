/** A seeded generator of uniform and normal numbers: the same seed gives the same numbers in every browser. */

/** sfc32 (Chris Doty-Humphrey): 128 bits of state, passes PractRand. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** @param words whole numbers that together are the seed. */
  constructor(...words: number[]) {
    // SplitMix32 spreads small seeds over the state.
    let h = 0x9e3779b9;
    const spread = (word: number): number => {
      h = (h + (word | 0) + 0x9e3779b9) | 0;
      let t = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
      t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
      return (t ^ (t >>> 15)) >>> 0;
    };
    for (const word of words) spread(word);
    this.a = spread(1);
    this.b = spread(2);
    this.c = spread(3);
    for (let i = 0; i < 12; i++) this.next();
  }

  private next(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t | 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1), with 32 random bits. */
  uniform(): number {
    return this.next() / 4294967296;
  }

  /** Standard normal, by Box and Muller; the second of the pair is not kept, so that every call costs the same draws. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }
}

/** What a step of one slot needs: `uniform` and `normal`, each of the size asked for. */
export interface Draws {
  uniform: Float32Array;
  normal: Float32Array;
}

/** The numbers of one episode: they depend on its seed and on the step, and on nobody's actions. */
export class EpisodeNoise {
  private readonly random: Random;
  private readonly draws: Draws;

  constructor(seed: number, branch: number, size: number) {
    this.random = new Random(seed, branch);
    this.draws = { uniform: new Float32Array(size), normal: new Float32Array(size) };
  }

  /** Returns the next step's numbers; they are overwritten by the step after. */
  next(): Draws {
    const { uniform, normal } = this.draws;
    for (let i = 0; i < uniform.length; i++) {
      uniform[i] = Math.min(this.random.uniform(), 0.99999994);
      normal[i] = this.random.normal();
    }
    return this.draws;
  }
}
