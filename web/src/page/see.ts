/** Demo 3: what V keeps of a picture: a slider a latent, the encoder on a recorded frame or on the reader's own picture. */

import { Told } from "../core/files";
import { Random } from "../core/random";
import type { Demo } from "./demo";
import { button, el, Screen, slider } from "./dom";
import { recorded } from "./episode";
import { BACKEND, cardOf } from "./facts";
import { clamped, linkButton, within } from "./link";
import { attempt } from "./told";

/** Sliders that are shown at first: the latents that tell pictures apart most. */
const FIRST = 12;
const REACH = 4;

export const see: Demo = {
  id: "see",
  heading: () => "What V sees",
  words: ({ latent }) => [
    `To a computer such a picture is 12,288 numbers. V sums them up in ${latent}, called <b>latents</b>. Left: a picture of the real game. Middle: the same, redrawn from its latents alone. What is missing there, the agent never sees. Right: the picture that the sliders stand for.`,
    "Each slider is one latent; those that differ most from picture to picture come first. Move one and see what it changes.",
    "V does not fix a latent exactly: it says about how large it is, and how far it may be off. <b>A draw</b> takes each from that range by chance. <b>Random latents</b> makes a picture that nobody has seen.",
    "Or <b>drop a picture of your own</b> on the left one. V only knows its game, and shows what it makes of yours.",
  ],
  fits: (facts) => !!facts.networks.encoder && !!facts.episode,
  async fill(section, place, world, link) {
    const { facts } = world;
    const [episode] = await Promise.all([recorded(world), world.loadEncoder()]);
    // The next draw's; each draw has its own.
    let seed = link.seed ?? 1;
    let own = false;
    const normals = (): Float32Array => {
      const random = new Random(seed);
      seedText.textContent = `this draw: seed ${seed++}`;
      return mu.map(() => random.normal());
    };
    let at = within(link.at, 0, episode.steps) ?? Math.round(episode.steps / 2);
    const real = new Screen("A picture of the real game");
    const again = new Screen("The same, redrawn by V from its latents");
    const drawn = new Screen("The picture that the sliders stand for");
    let mu = new Float32Array(facts.latent);
    let logvar = new Float32Array(facts.latent);
    let z = new Float32Array(facts.latent);
    let busy = false;
    let wanted = false;
    const what = el("span.name", {}, "from its latents");
    const speed = el("span.speed", {}, "…");
    const seedText = el("span.seed", {}, "nothing is drawn by chance yet");

    const order = facts.latent_order;
    const sliders = order.map((latent, i) =>
      slider(
        `latent ${latent + 1}`,
        { min: -REACH, max: REACH, step: 0.05, value: 0 },
        (value) => value.toFixed(2),
        (value) => {
          z[order[i]] = value;
          what.textContent = "your latents";
          show();
        },
      ),
    );
    const note = el("p.message", { role: "status" });
    const show = (): void => {
      wanted = true;
      if (!busy) void attempt(note, draw);
    };
    const draw = async (): Promise<void> => {
      busy = true;
      try {
        while (wanted) {
          wanted = false;
          const both = new Float32Array(2 * facts.latent);
          both.set(mu);
          both.set(z, facts.latent);
          const frames = await world.decode(both);
          again.show(frames.subarray(0, 64 * 64 * 4));
          drawn.show(frames.subarray(64 * 64 * 4));
        }
      } finally {
        busy = false;
      }
    };
    const take = (latents: Float32Array, name: string): void => {
      z = latents.slice() as Float32Array<ArrayBuffer>;
      order.forEach((latent, i) => sliders[i].set(z[latent]));
      what.textContent = name;
      show();
    };
    const look = async (pixels: Uint8ClampedArray): Promise<void> => {
      real.show(pixels);
      const started = performance.now();
      const found = await world.encode(pixels);
      speed.textContent = `V's encoder ${(performance.now() - started).toFixed(1)} ms a picture, its weights stored in 7 bits, ${BACKEND}`;
      mu = found.mu as Float32Array<ArrayBuffer>;
      logvar = found.logvar as Float32Array<ArrayBuffer>;
      take(mu, "from its latents");
      section.dataset.looked = String(Number(section.dataset.looked ?? 0) + 1);
    };

    const drop = el<HTMLInputElement>("input", { type: "file", accept: "image/*", class: "visually-hidden", id: `file-${facts.id}` });
    const readFile = async (file: File | undefined): Promise<void> => {
      if (!file) return;
      const bitmap = await createImageBitmap(file).catch(() => {
        throw new Told(`${file.name} is not a picture that this browser can read. What is shown is still ${named.textContent}.`);
      });
      const side = Math.min(bitmap.width, bitmap.height);
      const canvas = el<HTMLCanvasElement>("canvas", { width: 64, height: 64 });
      const context = canvas.getContext("2d")!;
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, 64, 64);
      note.textContent = "Your picture, as V makes it out. It stays on your device.";
      named.textContent = `your picture ${file.name}`;
      own = true;
      await look(context.getImageData(0, 0, 64, 64).data);
    };
    const read = (list: FileList | undefined | null): void => void attempt(note, () => readFile(list?.[0]));
    drop.addEventListener("change", () => read(drop.files));
    const named = el("span.name", {}, "the real game");
    const target = el("figure.screen", {}, real.canvas, el("figcaption", {}, named));
    target.addEventListener("dragover", (event) => {
      event.preventDefault();
      target.classList.add("over");
    });
    target.addEventListener("dragleave", () => target.classList.remove("over"));
    target.addEventListener("drop", (event) => {
      event.preventDefault();
      target.classList.remove("over");
      read(event.dataTransfer?.files);
    });

    const moment = slider(
      "Moment",
      { min: 0, max: episode.steps, step: 1, value: at },
      (value) => `${(value / facts.fps).toFixed(1)} s`,
      (value) => {
        at = value;
        own = false;
        note.textContent = "";
        named.textContent = "the real game";
        void attempt(note, () => look(episode.frame(value)));
      },
    );
    const rest = el("div.latents", { hidden: true }, ...sliders.slice(FIRST).map((each) => each.element));
    const more = button(`All ${facts.latent} latents`, "Show the others too", () => {
      rest.hidden = !rest.hidden;
      more.textContent = rest.hidden ? `All ${facts.latent} latents` : "Fewer latents";
    });
    place.append(
      el(
        "div.stage",
        {},
        el(
          "div.screens.three",
          {},
          target,
          el("figure.screen", {}, again.canvas, el("figcaption", {}, el("span.name", {}, "redrawn"))),
          el("figure.screen", {}, drawn.canvas, el("figcaption", {}, what)),
        ),
        moment.element,
        el(
          "div.tools",
          {},
          button("A draw", "Each latent by chance from the range that V gives it", () => {
            const normal = normals();
            take(mu.map((m, i) => m + Math.exp(0.5 * logvar[i]) * normal[i]), "a draw");
          }),
          button("Random latents", "A picture that nobody has seen", () => take(normals(), "random latents")),
          button("Back to the picture", "The latents of the picture on the left", () => take(mu, "from its latents")),
          el("label.button", { for: drop.id, title: "Choose a picture of your own" }, "Your own picture"),
          drop,
          sliders.length > FIRST && more,
          linkButton(() => ({ demo: "see", world: facts.id, seed, at, z: !own && z.every((value, i) => value === mu[i]) ? undefined : [...z].map((value) => Number(value.toFixed(2))) }), note, "A link to this moment of the game and to the sliders' latents", () => (own ? " Your picture is not in it: the link has only the latents." : "")),
        ),
        note,
        el("div.latents", {}, ...sliders.slice(0, FIRST).map((each) => each.element)),
        rest,
        el("p.facts", {}, speed, seedText, ...cardOf(facts)),
      ),
    );
    await look(episode.frame(at));
    if (link.z?.length === facts.latent) take(Float32Array.from(link.z, (value) => clamped(value, -REACH, REACH)), "the link's latents");
    section.dataset.begun = "yes";
    return () => undefined;
  },
};
