/** The address: which demo stands alone, and with which world, seed, temperature and choices it begins. */

import { button } from "./dom";
import { attempt, say } from "./told";

export interface Link {
  demo?: string;
  world?: string;
  seed?: number;
  tau?: number;
  /** A moment of the recorded episode, in steps. */
  at?: number;
  /** The number of a controller of the way. */
  controller?: number;
  /** V's latents, where they are not the frame's. */
  z?: number[];
}

function finite(text: string | null): number | undefined {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}

export function readLink(): Link {
  const query = new URLSearchParams(location.search);
  const z = query.get("z")?.split(",").map(Number);
  return {
    demo: query.get("demo") ?? undefined,
    world: query.get("world") ?? undefined,
    seed: finite(query.get("seed")),
    tau: finite(query.get("tau")),
    at: finite(query.get("at")),
    controller: finite(query.get("controller")),
    z: z?.every(Number.isFinite) ? z : undefined,
  };
}

/** The lowest and highest temperature to choose where a demo names no others. */
export const TAUS: readonly [number, number] = [0.1, 2];

/** Returns a number, or the end of the range that it is beyond. */
export function clamped(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** Returns a link's number, if it has one of these; a fraction is rounded. */
export function within(value: number | undefined, low: number, high: number): number | undefined {
  return value === undefined ? undefined : clamped(Math.round(value), low, high);
}

/** Returns a link's temperature, within what may be chosen, and `own` where it has none: it may lie outside. */
export function tauOf(link: Link, own: number, [low, high] = TAUS): number {
  return link.tau === undefined ? own : clamped(link.tau, Math.min(low, own), Math.max(high, own));
}

export function addressOf(link: Link): string {
  const url = new URL(location.pathname, location.href);
  for (const [name, value] of Object.entries(link)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url.href;
}

/** A button that copies the address of what is seen; `title` says what that address brings back, `message` that it is copied. */
export function linkButton(link: () => Link, message: HTMLElement, title: string, alsoSay = (): string => ""): HTMLButtonElement {
  const copy = async (): Promise<void> => {
    const address = addressOf(link());
    try {
      await navigator.clipboard.writeText(address);
      say(message, `The link is copied.${alsoSay()}`);
    } catch {
      history.replaceState(null, "", address);
      say(message, `The link is in the address bar.${alsoSay()}`);
    }
  };
  return button("Copy the link", title, () => void attempt(message, copy));
}
