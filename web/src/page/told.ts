/** Sentences for what goes wrong. */

import { Told } from "../core/files";

/** Returns the sentence for an error; what nobody expected also goes to the console. */
export function sentence(error: unknown): string {
  if (error instanceof Told) return error.message;
  console.error(error);
  return `Something went wrong that this page did not expect: ${String(error)}. Load the page again.`;
}

/** Seconds that the news of a thing done stays. */
const NEWS_SECONDS = 5;
export const SAVED = "The GIF is saved.";

const news = new WeakMap<HTMLElement, { text: string; before: string }>();

/** Says that something is done, for some seconds, or until something else is said; then what was said before stands there again. */
export function say(message: HTMLElement, text: string): void {
  const last = news.get(message);
  const before = last?.text === message.textContent ? last.before : (message.textContent ?? "");
  message.textContent = text;
  const own = { text, before };
  news.set(message, own);
  setTimeout(() => {
    if (news.get(message) === own && message.textContent === text) message.textContent = before;
  }, NEWS_SECONDS * 1000);
}

/** Does something that may fail; then `message` says why. */
export async function attempt(message: HTMLElement, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // It stays until something else is said, and what is said next does not bring it back.
    message.textContent = sentence(error);
    news.set(message, { text: message.textContent, before: "" });
  }
}
