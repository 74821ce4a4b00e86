/** What a demo of the page is. */

import type { World, WorldFacts } from "../core/world";
import type { Link } from "./link";

/** A demo: the worlds that it can show, and how it fills its section with one of them. */
export interface Demo {
  id: string;
  heading: (facts: WorldFacts) => string;
  /** Paragraphs in plain words; `<b>…</b>` is bold, and whatever else a file's names hold is text. */
  words: (facts: WorldFacts) => string[];
  fits: (facts: WorldFacts) => boolean;
  /** Why nothing fits, in a sentence; none: the section is left out. */
  without?: (all: WorldFacts[]) => string;
  fill: (section: HTMLElement, place: HTMLElement, world: World, link: Link) => Promise<() => void>;
}
