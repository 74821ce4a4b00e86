/** The keys that every moving demo has. */

import { isCurrent } from "./loop";

export interface Shortcuts {
  pause(): void;
  rewind(): void;
  another(): void;
}

/** Whether a key is meant for this demo: it is the one that is looked at, and what has the focus has no use for the key itself. */
export function isMeant(event: KeyboardEvent, section: HTMLElement, element: HTMLElement, frame?: HTMLElement): boolean {
  if (!isCurrent(section) || !element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return false;
  const target = event.target as HTMLElement;
  if (target === document.body || frame?.contains(target)) return true;
  return !(target.matches("input, textarea, select, [role=radio]") || event.key === " " || event.key === "Enter");
}

/** Does what a key stands for; returns whether it stands for anything. */
export function press(event: KeyboardEvent, demo: Shortcuts): boolean {
  if (event.key === " ") demo.pause();
  else if (event.key === "Backspace") demo.rewind();
  else if (event.key === "n" || event.key === "N") demo.another();
  else return false;
  event.preventDefault();
  return true;
}
