/** A person's keys and fingers, by the names that the task gives them: left, right, up, down, or an option's digit. */

import { choose } from "../core/controller";

const NAMES: Record<string, string> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  KeyA: "left",
  KeyD: "right",
  KeyW: "up",
  KeyS: "down",
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => [`Digit${digit}`, String(digit)])),
};

/** How far each name is pressed, from 0 to 1. */
export type Presses = Record<string, number>;

export class Keys {
  readonly down = new Set<string>();
  /** What each finger presses, by its number. */
  readonly fingers = new Map<number, Presses>();
  private last: Float32Array;

  /** @param push what each key adds to the action; `ramp` how far an action moves towards that in one step; `choices` as C's. */
  constructor(
    private readonly push: Record<string, number[]>,
    private readonly ramp: number,
    size: number,
    private readonly choices: readonly number[],
  ) {
    this.last = new Float32Array(size);
  }

  get names(): string[] {
    return Object.keys(this.push);
  }

  /** The task's name of a key, if it has one. */
  nameOf(event: KeyboardEvent): string | undefined {
    const name = NAMES[event.code];
    return name !== undefined && name in this.push ? name : undefined;
  }

  /** Goes on from an action that somebody else has chosen. */
  from(action: Float32Array): void {
    this.last = action.slice();
  }

  /** Lets go of everything. */
  release(): void {
    this.down.clear();
    this.fingers.clear();
  }

  /** Returns this step's action. */
  action(): Float32Array {
    const wanted = new Float32Array(this.last.length);
    for (const [name, push] of Object.entries(this.push)) {
      const pressed = Math.max(Number(this.down.has(name)), ...[...this.fingers.values()].map((each) => each[name] ?? 0));
      push.forEach((value, i) => (wanted[i] += pressed * value));
    }
    if (this.choices.length) return (this.last = choose(wanted, this.choices));
    this.last = this.last.map((value, i) => value + Math.min(Math.max(wanted[i] - value, -this.ramp), this.ramp));
    return this.last;
  }
}
