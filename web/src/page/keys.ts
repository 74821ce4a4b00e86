/** A person's keys and touches, by the names that the task gives them: left, right, up, down. */

const NAMES: Record<string, string> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  KeyA: "left",
  KeyD: "right",
  KeyW: "up",
  KeyS: "down",
};

export class Keys {
  readonly down = new Set<string>();
  private last: Float32Array;

  /** @param push what each key adds to the action; `ramp` how far an action moves towards that in one step. */
  constructor(
    private readonly push: Record<string, number[]>,
    private readonly ramp: number,
    size: number,
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

  /** Returns this step's action. */
  action(): Float32Array {
    const wanted = new Float32Array(this.last.length);
    for (const name of this.down) this.push[name].forEach((value, i) => (wanted[i] += value));
    this.last = this.last.map((value, i) => value + Math.min(Math.max(wanted[i] - value, -this.ramp), this.ramp));
    return this.last;
  }
}
