/** Plays the demo that the reader looks at, at the game's own speed, and no other. */

/** Steps that are made up for at most, where the browser is late: the dream then slows down and does not jump. */
const MOST_STEPS = 6;

export interface Playing {
  /** Steps a second. */
  fps(): number;
  paused: boolean;
  /** Dreams some steps and shows the last one. */
  play(steps: number): Promise<void>;
}

interface Watched {
  section: HTMLElement;
  ratio: number;
  playing?: Playing;
  shown: () => void;
}

const watched = new Map<Element, Watched>();
let owed = 0;
let before = 0;
let busy = false;
let current: Watched | undefined;

const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const found = watched.get(entry.target)!;
      // How much of the window it fills, or of itself is seen.
      const height = entry.rootBounds?.height ?? innerHeight;
      found.ratio = entry.isIntersecting ? Math.max(entry.intersectionRatio, entry.intersectionRect.height / height) : 0;
    }
    choose();
  },
  { threshold: [0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1] },
);

/** What comes into sight soon is made ready. */
const nearing = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      nearing.unobserve(entry.target);
      watched.get(entry.target)!.shown();
    }
  },
  { rootMargin: "40% 0px" },
);

function choose(): void {
  const best = [...watched.values()].reduce((a, b) => (b.ratio > a.ratio + 0.01 ? b : a));
  if (best === current) return;
  current?.section.classList.remove("active");
  current = best.ratio > 0 ? best : undefined;
  current?.section.classList.add("active");
  owed = 0;
}

/** Calls `shown` when a section is nearly seen for the first time. */
export function watch(section: HTMLElement, shown: () => void): void {
  watched.set(section, { section, ratio: 0, shown });
  observer.observe(section);
  nearing.observe(section);
}

/** From now on the section plays while it is looked at. */
export function playIn(section: HTMLElement, playing: Playing): void {
  watched.get(section)!.playing = playing;
}

/** Whether it is this section that is looked at. */
export function isCurrent(section: HTMLElement): boolean {
  return current?.section === section;
}

async function frame(now: number): Promise<void> {
  requestAnimationFrame(frame);
  const playing = current?.playing;
  const passed = Math.min((now - before) / 1000, 0.5);
  before = now;
  if (!playing || playing.paused) {
    owed = 0;
    return;
  }
  owed = Math.min(owed + passed * playing.fps(), MOST_STEPS);
  if (busy || owed < 1) return;
  const steps = Math.floor(owed);
  owed -= steps;
  busy = true;
  try {
    await playing.play(steps);
  } finally {
    busy = false;
  }
}

export function startLoop(): void {
  requestAnimationFrame(frame);
}
