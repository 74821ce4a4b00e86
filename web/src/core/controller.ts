/** C, the controller: action = squash(tanh(W · features + b)), or the same with one hidden layer. */

/** What C sees: z (or mu, for which z stands in a dream), then the hidden and the cell state, as named. */
export type Inputs = string;

/** Of one component, what C's outputs -1, 0 and 1 become as an action; linear between them. */
export type Squash = readonly [number, number, number];

interface Layer {
  bias: Float32Array | null;
  weight: Float32Array;
  inputs: number;
  outputs: number;
}

export interface ControllerSizes {
  inputs: Inputs;
  latent: number;
  hidden: number;
  /** Inputs and outputs of each layer. */
  layers: readonly (readonly [number, number])[];
  bias: boolean;
  squash: readonly Squash[];
  /** How many options each choice has; empty: actions are numbers. */
  choices: readonly number[];
}

export class Controller {
  private readonly layers: Layer[] = [];
  private readonly memory: string;

  /** @param solution of each layer first the biases, if there are any, then the weights [outputs, inputs]. */
  constructor(
    private readonly sizes: ControllerSizes,
    solution: Float32Array,
  ) {
    let start = 0;
    for (const [inputs, outputs] of sizes.layers) {
      const bias = sizes.bias ? solution.subarray(start, start + outputs) : null;
      start += bias ? outputs : 0;
      this.layers.push({ bias, weight: solution.subarray(start, start + inputs * outputs), inputs, outputs });
      start += inputs * outputs;
    }
    if (start !== solution.length) throw new Error(`a controller of ${solution.length} numbers; ${start} are expected`);
    this.memory = sizes.inputs.split("+")[0].replace(/^(mu|z)/, "");
  }

  /** Returns the environment's action for one slot. */
  act(z: Float32Array, hidden: Float32Array, cell: Float32Array): Float32Array {
    const parts = [z, ...[...this.memory].map((name) => (name === "h" ? hidden : cell))];
    let x = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      x.set(part, at);
      at += part.length;
    }
    for (const layer of this.layers) {
      const y = new Float32Array(layer.outputs);
      for (let o = 0; o < layer.outputs; o++) {
        let sum = layer.bias ? layer.bias[o] : 0;
        const first = o * layer.inputs;
        for (let i = 0; i < layer.inputs; i++) sum += layer.weight[first + i] * x[i];
        y[o] = Math.tanh(sum);
      }
      x = y;
    }
    if (this.sizes.choices.length) return choose(x, this.sizes.choices);
    return x.map((value, i) => squash(value, this.sizes.squash[i]));
  }
}

/** Returns of each choice the option with the largest output, one-hot (the first of equals). */
export function choose(outputs: Float32Array, choices: readonly number[]): Float32Array {
  const chosen = new Float32Array(outputs.length);
  let first = 0;
  for (const size of choices) {
    const options = outputs.subarray(first, first + size);
    chosen[first + options.indexOf(Math.max(...options))] = 1;
    first += size;
  }
  return chosen;
}

function squash(value: number, [low, middle, high]: Squash): number {
  return value < 0 ? middle + value * (middle - low) : middle + value * (high - middle);
}
