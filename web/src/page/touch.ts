/** Fingers (and the mouse) that hold something down, wherever they slide. */

import type { Keys, Presses } from "./keys";

/** A finger that rests so long means to play; one that scrolls the page is taken away sooner. Milliseconds. */
const REST = 200;
/** So far from the middle, in widths of the picture, the wheel is turned all the way. */
const FULL_TURN = 0.3;
/** Below this share of the picture's height a finger brakes. */
const BRAKE = 0.75;
/** How far a finger on the picture presses the gas. */
const GAS = 0.5;

/**
 * Lets fingers on an element press keys.
 *
 * @param presses what a finger at this place presses; undefined: nothing here can be pressed.
 * @param played called when a finger means to play.
 */
export function listenToFingers(
  element: HTMLElement,
  keys: Keys,
  presses: (event: PointerEvent) => Presses | undefined,
  played: () => void,
): void {
  const waiting = new Map<number, number>();
  const means = (id: number): void => {
    if (!waiting.has(id)) return;
    clearTimeout(waiting.get(id));
    waiting.delete(id);
    played();
  };
  element.addEventListener("pointerdown", (event) => {
    const found = presses(event);
    if (!found || event.button > 0) return;
    // Its moves come here even where it leaves the element.
    element.setPointerCapture(event.pointerId);
    keys.fingers.set(event.pointerId, found);
    waiting.set(event.pointerId, window.setTimeout(() => means(event.pointerId), event.pointerType === "touch" ? REST : 0));
  });
  element.addEventListener("pointermove", (event) => {
    if (!keys.fingers.has(event.pointerId)) return;
    keys.fingers.set(event.pointerId, presses(event) ?? {});
  });
  const lift = (event: PointerEvent): void => {
    keys.fingers.delete(event.pointerId);
    // A tap means to play, too; a finger that scrolls the page does not.
    if (event.type === "pointerup") means(event.pointerId);
    clearTimeout(waiting.get(event.pointerId));
    waiting.delete(event.pointerId);
  };
  element.addEventListener("pointerup", lift);
  element.addEventListener("pointercancel", lift);
}

/** What a finger on the picture presses: it steers to where it is, gives gas, and brakes where it is low on the picture. */
export function onPicture(event: PointerEvent, picture: DOMRect, names: readonly string[]): Presses | undefined {
  if (!names.includes("left") || !names.includes("right")) return undefined;
  const turn = Math.min(Math.max(((event.clientX - picture.left) / picture.width - 0.5) / FULL_TURN, -1), 1);
  const low = (event.clientY - picture.top) / picture.height > BRAKE;
  return { left: Math.max(-turn, 0), right: Math.max(turn, 0), up: low ? 0 : GAS, down: low ? 1 : 0 };
}
