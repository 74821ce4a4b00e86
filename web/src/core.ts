/** What the page is made of, for whoever wants the dream without the page: tests, measurements, other pages. */

export { Controller } from "./core/controller";
export { Dream, copySlot, FULL_HEALTH } from "./core/dream";
export { draw } from "./core/mixture";
export { Random, EpisodeNoise } from "./core/random";
export { World, loadFacts } from "./core/world";
