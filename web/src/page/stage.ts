/** A dream that is looked at: its screens, its controls, its line of facts. The demos with a moving dream share it. */

import { copySlot, Dream, FULL_HEALTH, type Slot } from "../core/dream";
import type { Controller } from "../core/controller";
import type { World, WorldFacts } from "../core/world";
import { button, count, el, Screen, slider, title } from "./dom";
import { cardOf, Speed } from "./facts";
import { Tape } from "./gif";
import { Keys, type Presses } from "./keys";
import { linkButton, type Link } from "./link";
import { playIn, type Playing } from "./loop";
import { isMeant, press, type Shortcuts } from "./shortcuts";
import { attempt, SAVED, say, sentence } from "./told";
import { listenToFingers, onPicture } from "./touch";

/** Seconds that a press of "back" takes away, and that a GIF holds. */
export const BACK_SECONDS = 1;
export const GIF_SECONDS = 10;
/** Seconds that an ended episode stays on the screen before the next begins by itself. */
const REST_SECONDS = 3;
/** What an action's numbers are called. */
const ACTIONS: Record<string, string[]> = { "car-racing": ["steering", "gas", "brake"], "take-cover": ["left, right"] };

export type Who = "you" | "agent";

export interface Setting {
  caption: string;
  tau: number;
  who: Who;
  agent: Controller | null;
}

export interface StageOptions {
  demo: string;
  world: World;
  seed: number;
  slots: Setting[];
  /** The lowest and highest temperature of the slider; none: there is no slider. */
  taus?: readonly [number, number];
  /** Whether a person may play the first slot. */
  playable?: boolean;
  /** What a person's first key does: take over where the dream is, or begin the episode again beside the agent. */
  takeOver?: "here" | "again";
  layout?: string;
  /** What else the address of this demo says. */
  link?: () => Link;
  /** Told when all episodes have ended. */
  ended?: (slots: Slot[], seed: number) => string;
}

export class Stage implements Playing, Shortcuts {
  readonly element: HTMLElement;
  paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  private readonly dream: Dream;
  private readonly keys: Keys;
  private readonly screens: Screen[];
  private readonly huds: { element: HTMLElement; text: HTMLElement; health: HTMLElement | null; figure: HTMLElement }[] = [];
  private readonly bars: HTMLElement[] = [];
  private readonly tape = new Tape(GIF_SECONDS);
  private past: Slot[][] = [];
  private actions: Float32Array[];
  private rest = 0;
  private branch = 0;
  private readonly speed = new Speed();
  private work: Promise<void> = Promise.resolve();
  private readonly pauseButton: HTMLButtonElement;
  private readonly whoButton: HTMLButtonElement | null = null;
  private readonly seedText = el("span.seed");
  private readonly message = el("p.message", { role: "status" });
  private readonly frame: HTMLElement;
  private begun = false;

  constructor(
    private readonly section: HTMLElement,
    private readonly options: StageOptions,
  ) {
    const { facts } = options.world;
    this.seed = options.seed;
    this.dream = new Dream(options.world, options.slots.map((slot) => slot.tau));
    this.keys = new Keys(facts.keys, facts.key_ramp, facts.action, facts.choices);
    this.actions = options.slots.map(() => new Float32Array(facts.action));
    this.screens = options.slots.map((slot) => new Screen(`${slot.caption || "The dream"}: ${facts.summary}`));
    const figures = this.screens.map((screen, i) => this.figure(screen, i));
    this.frame = el(`div.screens.${options.layout ?? "one"}`, { tabindex: options.playable ? 0 : undefined }, ...figures);
    if (options.playable) {
      this.frame.setAttribute("role", "application");
      this.frame.setAttribute("aria-label", `The dream of ${title(facts.task)}. ${options.slots[0].agent ? "The keys of the game take over from the agent." : "The keys of the game play."}`);
      const picture = this.screens[0].canvas;
      const onFrame = (event: PointerEvent) => onPicture(event, picture.getBoundingClientRect(), this.keys.names);
      listenToFingers(this.frame, this.keys, onFrame, () => this.takeOver());
    }
    this.pauseButton = button("Pause", "Pause or go on (Space)", () => this.pause());
    const tools = el("div.tools", {}, this.pauseButton);
    tools.append(
      button("◂ One second back", "Go back one second; what follows is dreamt anew (Backspace)", () => this.rewind()),
      button("Another beginning", "Begin another dream (N)", () => this.another()),
    );
    if (options.playable) {
      this.whoButton = button("", "Hand the controls over (M)", () => this.switchPlayer());
      tools.append(this.whoButton);
    }
    tools.append(
      button("Save a GIF", `The last ${GIF_SECONDS} seconds as a GIF`, () => void attempt(this.message, () => this.saveGif())),
      linkButton(() => this.link(), this.message, "A link to this beginning: seed and temperature"),
    );
    this.element = el("div.stage", {}, this.frame);
    if (options.playable && this.keys.names.length) this.element.append(this.pads());
    if (options.playable) this.element.append(this.actionBars());
    if (options.taus) this.element.append(this.temperatureSlider(options.taus));
    this.element.append(tools, this.message, this.line());
    this.showWho();
    document.addEventListener("keydown", this.keyDown);
    document.addEventListener("keyup", this.keyUp);
    addEventListener("blur", this.blurred);
    void this.do(() => this.begin(this.seed));
    playIn(section, this);
  }

  seed: number;

  fps(): number {
    return this.options.world.facts.fps;
  }

  private get facts(): WorldFacts {
    return this.options.world.facts;
  }

  /** Everything that touches the dream waits for what is under way. What fails is said, and the dream rests. */
  private do(work: () => Promise<void>): Promise<void> {
    this.work = this.work.then(work).catch((error: unknown) => {
      this.paused = true;
      this.showPaused();
      this.message.textContent = sentence(error);
    });
    return this.work;
  }

  private async begin(seed: number): Promise<void> {
    this.seed = seed;
    this.rest = 0;
    this.past = [];
    this.tape.clear();
    this.dream.reset(this.options.slots.map(() => seed));
    this.actions = this.options.slots.map(() => new Float32Array(this.facts.action));
    this.keys.from(this.actions[0]);
    this.message.textContent = "";
    this.seedText.textContent = `seed ${seed}`;
    await this.show();
    if (!this.begun) {
      this.begun = true;
      this.section.dataset.begun = "yes";
      performance.mark(`first-frame-${this.options.demo}`);
    }
  }

  /** Begins another episode, also where this one rests. */
  another(): void {
    if (this.paused) this.pause();
    void this.do(() => this.begin((this.seed % 999_999) + 1));
  }

  /** Begins again with other settings of the slots. */
  restart(slots: Partial<Setting>[]): void {
    slots.forEach((change, i) => Object.assign(this.options.slots[i], change));
    slots.forEach((change, i) => change.tau !== undefined && (this.dream.temperatures[i] = change.tau));
    if (this.paused) this.pause();
    this.showWho();
    void this.do(() => this.begin(this.seed));
  }

  play(steps: number): Promise<void> {
    return this.do(async () => {
      if (this.dream.slots.every((slot) => slot.over)) {
        this.rest += steps / this.fps();
        // Whoever plays says when to go on.
        if (this.rest >= REST_SECONDS && this.options.slots[0].who === "agent") await this.begin((this.seed % 999_999) + 1);
        return;
      }
      await this.speed.steps(steps, async () => {
        for (let i = 0; i < steps; i++) await this.step();
      });
      await this.show();
      this.speed.tell(this.fps());
    });
  }

  private async step(): Promise<void> {
    this.past.push(this.dream.slots.map(copySlot));
    if (this.past.length > this.facts.max_steps) this.past.shift();
    this.actions = this.dream.slots.map((slot, i) => {
      const { who, agent } = this.options.slots[i];
      if (who === "you") return this.keys.action();
      return agent ? agent.act(slot.z, slot.hidden, slot.cell) : new Float32Array(this.facts.action);
    });
    await this.dream.step(this.actions);
    // Whoever listens to the section hears of every step, shown or not.
    this.section.dispatchEvent(new CustomEvent("dreamt", { detail: this.dream.slots }));
    if (this.dream.slots.every((slot) => slot.over)) {
      this.message.textContent = this.options.ended?.(this.dream.slots, this.seed) ?? this.endedText(this.dream.slots[0]);
    }
  }

  private result(slot: Slot): string {
    return this.facts.reward_head ? count(slot.score, "point") : count(slot.steps, "step");
  }

  private endedText(slot: Slot): string {
    return `${slot.over === "ended" ? "The dream ended" : "Time is up"} after ${this.result(slot)}.`;
  }

  private async show(): Promise<void> {
    const frames = await this.speed.frame(() => this.dream.decode());
    const size = 64 * 64 * 4;
    this.screens.forEach((screen, i) => screen.show(frames.subarray(i * size, (i + 1) * size)));
    this.tape.add(Math.max(...this.dream.slots.map((slot) => slot.steps)) / this.fps(), frames);
    this.dream.slots.forEach((slot, i) => this.showHud(slot, i));
    this.bars.forEach((bar, i) => {
      const { low, high } = this.facts;
      const at = (x: number): number => ((x - low[i]) / (high[i] - low[i])) * 100;
      const from = at(Math.max(0, low[i]));
      const to = at(Math.min(Math.max(this.actions[0][i], low[i]), high[i]));
      bar.style.left = `${Math.min(from, to)}%`;
      bar.style.width = `${Math.abs(to - from)}%`;
    });
    this.section.dataset.steps = String(this.dream.slots[0].steps);
  }

  private showHud(slot: Slot, i: number): void {
    const hud = this.huds[i];
    hud.text.textContent = this.result(slot);
    if (hud.health) hud.health.style.width = `${Math.max(0, slot.health) / FULL_HEALTH * 100}%`;
    hud.figure.classList.toggle("hit", slot.damage > 0);
    hud.figure.classList.toggle("over", !!slot.over);
  }

  private figure(screen: Screen, i: number): HTMLElement {
    const setting = this.options.slots[i];
    const text = el("span.score", {}, " ");
    const health = this.facts.hit_damages.length ? el("span.left") : null;
    const element = el("figcaption", {}, el("span.name", {}, setting.caption), text);
    if (health) element.append(el("span.health", { title: "health" }, health));
    const figure = el("figure.screen", {}, screen.canvas, element);
    this.huds.push({ element, text, health, figure });
    return figure;
  }

  private actionBars(): HTMLElement {
    const names = ACTIONS[this.facts.task] ?? this.facts.low.map((_, i) => `action ${i + 1}`);
    return el(
      "div.bars",
      { "aria-hidden": "true" },
      ...names.map((name) => {
        const bar = el("span.value");
        this.bars.push(bar);
        return el("span.bar", {}, el("span.name", {}, name), el("span.track", {}, bar));
      }),
    );
  }

  private temperatureSlider([min, max]: readonly [number, number]): HTMLElement {
    const { element } = slider(
      "Temperature",
      { min, max, step: 0.05, value: this.options.slots[0].tau },
      (value) => value.toFixed(2),
      (value) => {
        this.dream.temperatures.fill(value);
        this.options.slots.forEach((slot) => (slot.tau = value));
      },
    );
    return element;
  }

  private line(): HTMLElement {
    return el("p.facts", {}, this.speed.element, this.seedText, ...cardOf(this.facts));
  }

  pause(): void {
    this.paused = !this.paused;
    this.showPaused();
  }

  private showPaused(): void {
    this.pauseButton.textContent = this.paused ? "Go on" : "Pause";
  }

  rewind(): void {
    void this.do(async () => {
      const back = Math.min(Math.round(BACK_SECONDS * this.fps()), this.past.length);
      if (!back) return;
      const slots = this.past[this.past.length - back];
      this.past.length -= back;
      this.branch += 1;
      // The same dice for all, and not those of before.
      this.dream.goOn(slots, slots.map(() => this.seed + 1_000_003 * this.branch));
      this.rest = 0;
      this.message.textContent = "";
      await this.show();
    });
  }

  private switchPlayer(): void {
    const first = this.options.slots[0];
    if (first.who === "you") {
      first.who = "agent";
      this.showWho();
    } else this.takeOver();
  }

  /** A person takes the first slot's controls. */
  private takeOver(): void {
    const first = this.options.slots[0];
    if (first.who === "agent") {
      first.who = "you";
      this.keys.from(this.actions[0]);
      this.showWho();
      if (this.options.takeOver === "again") void this.do(() => this.begin(this.seed));
    }
    if (this.paused) this.pause();
    if (this.dream.slots.length && this.dream.slots.every((slot) => slot.over) && this.rest > 0.5) {
      void this.do(() => this.begin(this.seed));
    }
  }

  private showWho(): void {
    this.showPaused();
    const { who } = this.options.slots[0];
    this.section.dataset.who = who;
    if (!this.whoButton) return;
    const agent = this.options.slots[0].agent;
    this.whoButton.textContent = who !== "you" ? "Let me play" : agent ? "Let the agent play" : "Let go of the keys";
    if (!this.options.slots[0].caption || this.options.takeOver) {
      this.huds[0].element.querySelector(".name")!.textContent = who === "you" ? "you" : agent ? "the agent" : "nobody plays";
    }
  }

  private async saveGif(): Promise<void> {
    this.section.dataset.gif = String(await this.tape.save(`dream-${this.facts.id}-${this.seed}.gif`));
    say(this.message, SAVED);
  }

  private link(): Link {
    const { demo, link } = this.options;
    return { demo, world: this.facts.id, seed: this.seed, tau: this.options.slots[0].tau, ...link?.() };
  }

  private readonly keyDown = (event: KeyboardEvent): void => {
    if (!isMeant(event, this.section, this.element, this.frame)) return;
    const name = this.options.playable ? this.keys.nameOf(event) : undefined;
    if (name && (this.isSeen() || (name !== "up" && name !== "down"))) {
      event.preventDefault();
      this.keys.down.add(name);
      if (!event.repeat) this.takeOver();
    } else if (!press(event, this) && (event.key === "m" || event.key === "M") && this.options.playable) this.switchPlayer();
  };

  /** Whether the pictures' middle is in the window: until then ↑ and ↓ scroll the page. */
  private isSeen(): boolean {
    const { top, bottom } = this.frame.getBoundingClientRect();
    return top + bottom > 0 && top + bottom < 2 * innerHeight;
  }

  private readonly keyUp = (event: KeyboardEvent): void => {
    const name = this.keys.nameOf(event);
    if (name) this.keys.down.delete(name);
  };

  private readonly blurred = (): void => this.keys.release();

  /** Buttons to hold, for fingers. */
  private pads(): HTMLElement {
    const signs: Record<string, string> = { left: "◀", right: "▶", up: "▲", down: "▼" };
    const pads = el("div.pads");
    for (const name of ["left", "down", "up", "right"].filter((each) => this.keys.names.includes(each))) {
      const pad = el("button.pad", { type: "button", tabindex: -1, "aria-label": name, "data-name": name }, signs[name]);
      pads.append(pad);
    }
    const under = (event: PointerEvent): Presses | undefined => {
      const name = document.elementFromPoint(event.clientX, event.clientY)?.closest<HTMLElement>(".pad")?.dataset.name;
      return name ? { [name]: 1 } : undefined;
    };
    listenToFingers(pads, this.keys, under, () => this.takeOver());
    const held = (): void => {
      const fingers = [...this.keys.fingers.values()];
      for (const pad of pads.querySelectorAll<HTMLElement>(".pad")) pad.classList.toggle("held", fingers.some((each) => each[pad.dataset.name!] === 1));
    };
    // After what these mean for the fingers: they have come up from the pads, or from the picture.
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) this.element.addEventListener(kind, held);
    return pads;
  }

  /** Takes the stage away, with its listeners. */
  remove(): void {
    document.removeEventListener("keydown", this.keyDown);
    document.removeEventListener("keyup", this.keyUp);
    removeEventListener("blur", this.blurred);
    this.element.remove();
  }
}
