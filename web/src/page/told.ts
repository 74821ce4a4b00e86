/** Sentences for what goes wrong. */

import { Told } from "../core/files";

/** Returns the sentence for an error; what nobody expected also goes to the console. */
export function sentence(error: unknown): string {
  if (error instanceof Told) return error.message;
  console.error(error);
  return `Something went wrong that this page did not expect: ${String(error)}. Load the page again.`;
}

/** Does something that may fail; then `message` says why. */
export async function attempt(message: HTMLElement, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    message.textContent = sentence(error);
  }
}
