/** Demo 3: what V keeps of a picture: a slider a latent, the encoder on a recorded frame or on the reader's own picture. */

import { Random } from "../core/random";
import { button, el, Screen, slider } from "./dom";
import { recorded } from "./episode";
import { BACKEND, cardOf } from "./facts";
import { linkButton, within } from "./link";
import type { Demo } from "./main";

/** Sliders that are shown at first: the latents that tell pictures apart most. */
const FIRST = 12;
const REACH = 4;

export const see: Demo = {
  id: "see",
  heading: "What V sees",
  words: [
    "V squeezes a picture of 12,288 numbers into a few dozen, called latents, and draws the picture again from these alone. What it leaves out, the agent never sees.",
    "V does not say exactly which numbers: it gives each a middle and a spread. <b>Draw</b> takes numbers from that spread. <b>Random latents</b> asks for a picture that nobody has seen.",
    "Each slider is one latent, the most telling first. Move one and see what it stands for. Or <b>drop a picture of your own</b> on the first one: V does what it can.",
  ],
  fits: (facts) => !!facts.networks.encoder && !!facts.episode,
  async fill(section, place, world, link) {
    const { facts } = world;
    const [episode] = await Promise.all([recorded(world), world.loadEncoder()]);
    // Each draw has the next seed, so that the address tells the next one too.
    let seed = link.seed ?? 1;
    const normals = (): Float32Array => {
      const random = new Random(seed);
      seedText.textContent = `seed ${++seed}`;
      return mu.map(() => random.normal());
    };
    let at = within(link.at, 0, episode.steps) ?? Math.round(episode.steps / 2);
    const real = new Screen("A real frame");
    const again = new Screen("V's reconstruction");
    const drawn = new Screen("The picture of the sliders' latents");
    let mu = new Float32Array(facts.latent);
    let logvar = new Float32Array(facts.latent);
    let z = new Float32Array(facts.latent);
    let busy = false;
    let wanted = false;
    const what = el("span.name", {}, "from latents");
    const speed = el("span.speed", {}, "…");
    const seedText = el("span.seed", {}, `seed ${seed}`);

    const order = facts.latent_order;
    const sliders = order.map((latent, i) =>
      slider(
        `latent ${latent + 1}`,
        { min: -REACH, max: REACH, step: 0.05, value: 0 },
        (value) => value.toFixed(2),
        (value) => {
          z[order[i]] = value;
          what.textContent = "your latents";
          void show();
        },
      ),
    );
    const show = async (): Promise<void> => {
      wanted = true;
      if (busy) return;
      busy = true;
      while (wanted) {
        wanted = false;
        const both = new Float32Array(2 * facts.latent);
        both.set(mu);
        both.set(z, facts.latent);
        const frames = await world.decode(both);
        again.show(frames.subarray(0, 64 * 64 * 4));
        drawn.show(frames.subarray(64 * 64 * 4));
      }
      busy = false;
    };
    const take = (latents: Float32Array, name: string): void => {
      z = latents.slice() as Float32Array<ArrayBuffer>;
      order.forEach((latent, i) => sliders[i].set(z[latent]));
      what.textContent = name;
      void show();
    };
    const look = async (pixels: Uint8ClampedArray): Promise<void> => {
      real.show(pixels);
      const started = performance.now();
      const found = await world.encode(pixels);
      speed.textContent = `V's encoder ${(performance.now() - started).toFixed(1)} ms a frame, weights of 7 bits, ${BACKEND}`;
      mu = found.mu as Float32Array<ArrayBuffer>;
      logvar = found.logvar as Float32Array<ArrayBuffer>;
      take(mu, "from latents");
      section.dataset.looked = String(Number(section.dataset.looked ?? 0) + 1);
    };

    const note = el("p.message", { role: "status" });
    const drop = el<HTMLInputElement>("input", { type: "file", accept: "image/*", class: "visually-hidden", id: `file-${facts.id}` });
    const readFile = async (file: Blob | undefined): Promise<void> => {
      if (!file) return;
      try {
        const bitmap = await createImageBitmap(file);
        const side = Math.min(bitmap.width, bitmap.height);
        const canvas = new OffscreenCanvas(64, 64);
        const context = canvas.getContext("2d")!;
        context.imageSmoothingQuality = "high";
        context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, 64, 64);
        note.textContent = "Your picture, as V makes it out. It stays on your device.";
        await look(context.getImageData(0, 0, 64, 64).data);
      } catch {
        note.textContent = "That file is not a picture that this browser can read.";
      }
    };
    drop.addEventListener("change", () => void readFile(drop.files?.[0]));
    const target = el("figure.screen", {}, real.canvas, el("figcaption", {}, el("span.name", {}, "a real frame")));
    target.addEventListener("dragover", (event) => {
      event.preventDefault();
      target.classList.add("over");
    });
    target.addEventListener("dragleave", () => target.classList.remove("over"));
    target.addEventListener("drop", (event) => {
      event.preventDefault();
      target.classList.remove("over");
      void readFile(event.dataTransfer?.files[0]);
    });

    const moment = slider(
      "Real frame",
      { min: 0, max: episode.steps, step: 1, value: at },
      (value) => `${(value / facts.fps).toFixed(1)} s`,
      (value) => {
        at = value;
        note.textContent = "";
        void look(episode.frame(value));
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
          button("Draw", "Numbers from V's spread", () => {
            const normal = normals();
            take(mu.map((m, i) => m + Math.exp(0.5 * logvar[i]) * normal[i]), "a draw");
          }),
          button("Random latents", "A picture that nobody has seen", () => take(normals(), "random latents")),
          button("Back to the frame", "The latents of the frame", () => take(mu, "from latents")),
          el("label.button", { for: drop.id, title: "Choose a picture of your own" }, "Your own picture"),
          drop,
          sliders.length > FIRST && more,
          linkButton(() => ({ demo: "see", world: facts.id, seed, at, z: z.every((value, i) => value === mu[i]) ? undefined : [...z].map((value) => Number(value.toFixed(2))) }), note),
        ),
        note,
        el("div.latents", {}, ...sliders.slice(0, FIRST).map((each) => each.element)),
        rest,
        el("p.facts", {}, speed, seedText, ...cardOf(facts)),
      ),
    );
    await look(episode.frame(at));
    if (link.z?.length === facts.latent) take(Float32Array.from(link.z), "the link's latents");
    section.dataset.begun = "yes";
    return () => undefined;
  },
};
