/** Draws the next latent from M's mixtures of Gaussians. */

/** Log standard deviations are clipped to this range, as in training. */
const LOW = -6;
const HIGH = 2;

/** Where one slot's numbers lie, and how it draws. */
export interface Mixture {
  /** Latents. */
  latent: number;
  /** Gaussians a latent. */
  mixtures: number;
  /** Columns before the mixtures: the done logit and the reward, where M has them. */
  heads: number;
}

/**
 * Writes the next z of one slot: mixture logits divided by the temperature, the noise multiplied by its square root.
 *
 * @param outputs M's columns of this slot: heads, then logits, means and log standard deviations, each [mixtures, latent].
 * @param uniform picks each latent's mixture, in [0, 1).
 * @param normal the Gaussian's noise.
 * @param z is written.
 */
export function draw(
  outputs: Float32Array,
  { latent, mixtures, heads }: Mixture,
  uniform: Float32Array,
  normal: Float32Array,
  temperature: number,
  z: Float32Array,
): void {
  const size = mixtures * latent;
  const scale = Math.sqrt(temperature);
  for (let j = 0; j < latent; j++) {
    let top = -Infinity;
    for (let k = 0; k < mixtures; k++) top = Math.max(top, outputs[heads + k * latent + j]);
    let total = 0;
    for (let k = 0; k < mixtures; k++) total += Math.exp((outputs[heads + k * latent + j] - top) / temperature);
    let left = uniform[j] * total;
    let chosen = 0;
    for (; chosen < mixtures - 1; chosen++) {
      left -= Math.exp((outputs[heads + chosen * latent + j] - top) / temperature);
      if (left < 0) break;
    }
    const at = heads + size + chosen * latent + j;
    const deviation = Math.exp(Math.min(Math.max(outputs[at + size], LOW), HIGH));
    z[j] = outputs[at] + deviation * normal[j] * scale;
  }
}
