/** Demo 4: a recorded real episode, and M dreaming on from any moment of it with the same actions. */

import { copySlot, Dream, FULL_HEALTH, type Slot } from "../core/dream";
import type { Demo } from "./demo";
import { button, el, Screen, slider } from "./dom";
import { recorded } from "./episode";
import { cardOf, Speed } from "./facts";
import { Tape } from "./gif";
import { linkButton, TAUS, tauOf, within } from "./link";
import { playIn } from "./loop";
import { isMeant, press, type Shortcuts } from "./shortcuts";
import { BACK_SECONDS, GIF_SECONDS } from "./stage";
import { attempt, SAVED, say, sentence } from "./told";

/** Seconds that both pictures stay as they are at the recording's end. */
const REST_SECONDS = 3;

export const beside: Demo = {
  id: "beside",
  heading: () => "Reality beside the dream",
  words: () => [
    "Left: a game that was really played, and recorded. Right: the dream. The network watches the recording up to a moment that you choose. <b>From then on it sees nothing more</b> and dreams on, told only which actions the player took.",
    "For a while the two agree: the network has learned how actions move the world. Then they part. Both could have happened; only the left one did.",
    "The first slider chooses the moment. \"With other dice\" dreams on from there in another way.",
  ],
  fits: (facts) => !facts.no_dream && !!facts.episode,
  without: (all) => all[0].no_dream,
  async fill(section, place, world, link) {
    const { facts } = world;
    const episode = await recorded(world);
    const { latent, action } = facts;
    // What M remembers at each moment: it follows the game, told what V saw and what was done.
    const follower = new Dream(world, [tauOf(link, facts.temperature)]);
    follower.reset([1]);
    const moments: Slot[] = [];
    let health = FULL_HEALTH;
    for (let t = 0; t <= episode.steps; t++) {
      const slot = follower.slots[0];
      Object.assign(slot, { z: episode.z.slice(t * latent, (t + 1) * latent), steps: t, health, score: 0, over: "" });
      moments.push(copySlot(slot));
      if (t === episode.steps) break;
      await follower.step([episode.actions.subarray(t * action, (t + 1) * action)]);
      health -= episode.damage[t];
      if (t % 50 === 49) await new Promise((resolve) => setTimeout(resolve));
    }

    const real = new Screen("The real game");
    const dreamt = new Screen("The dream");
    const dream = new Dream(world, [tauOf(link, facts.temperature)]);
    const speed = new Speed();
    const tape = new Tape(GIF_SECONDS);
    const message = el("p.message", { role: "status" });
    const seed = el("span.seed");
    let from = within(link.at, 0, episode.steps - 1) ?? Math.min(Math.round(episode.steps * 0.3), episode.steps - 1);
    let t = from;
    let turn = link.seed ?? 1;
    const caption = el("span.name", {}, "the dream");
    const since = el("span.score", {}, " ");
    const at = el("span.score", {}, " ");
    const dreamtFigure = el("figure.screen", {}, dreamt.canvas, el("figcaption", {}, caption, since));
    let past: Slot[] = [];
    let branch = 0;
    let rested = 0;
    let told = "";
    /** Seconds that were played, also before the last jump: the tape's clock. */
    let played = 0;
    const begin = (): void => {
      t = from;
      past = [];
      rested = 0;
      told = "";
      dream.goOn([moments[from]], [turn]);
      message.textContent = "";
      seed.textContent = `the dream's dice: seed ${turn}`;
    };
    const show = async (): Promise<void> => {
      const both = new Uint8Array(2 * 64 * 64 * 4);
      both.set(episode.frame(t));
      both.set(await speed.frame(() => dream.decode()), both.length / 2);
      real.show(both.subarray(0, both.length / 2));
      dreamt.show(both.subarray(both.length / 2));
      tape.add(played, both);
      dreamtFigure.classList.toggle("over", !!dream.slots[0].over);
      at.textContent = `${(t / facts.fps).toFixed(1)} s`;
      since.textContent = `+ ${((t - from) / facts.fps).toFixed(1)} s`;
      section.dataset.steps = String(t);
    };
    let work: Promise<void> = Promise.resolve();
    const queue = (job: () => Promise<void>): Promise<void> =>
      (work = work.then(job).catch((error: unknown) => {
        rest(true);
        message.textContent = sentence(error);
      }));
    const playing = {
      fps: () => facts.fps,
      paused: matchMedia("(prefers-reduced-motion: reduce)").matches,
      play: (steps: number) =>
        queue(async () => {
          played += steps / facts.fps;
          if (t >= episode.steps) {
            rested += steps / facts.fps;
            if (rested < REST_SECONDS) return;
            begin();
          } else {
            const most = Math.min(steps, episode.steps - t);
            const goOn = async (): Promise<void> => {
              for (let i = 0; i < most; i++, t++) {
                past.push(copySlot(dream.slots[0]));
                await dream.step([episode.actions.subarray(t * action, (t + 1) * action)]);
              }
            };
            await (dream.slots[0].over ? goOn() : speed.steps(most, goOn));
            const text = ended();
            if (text !== told) message.textContent = told = text;
          }
          await show();
          speed.tell(facts.fps);
        }),
    };
    /** What has ended, in a sentence. */
    const ended = (): string => {
      const { over, steps } = dream.slots[0];
      const seconds = `${((steps - from) / facts.fps).toFixed(1)} s`;
      const hurt = facts.hit_damages.length > 0;
      const dreamEnds = over !== "ended" ? "" : hurt ? `In the dream the player was hit, and died after ${seconds}.` : `The dream ended after ${seconds}.`;
      if (t < episode.steps) return dreamEnds && `${dreamEnds} The real game goes on…`;
      const died = hurt && moments[episode.steps].health <= 0;
      return `${dreamEnds} ${died ? "In the real game the player died here." : "Here the recording ends."} In a moment both begin again at ${(from / facts.fps).toFixed(1)} s.`.trim();
    };
    const pause = button("Pause", "Pause or go on (Space)", () => rest(!playing.paused));
    const rest = (paused: boolean): void => {
      playing.paused = paused;
      pause.textContent = paused ? "Go on" : "Pause";
    };
    rest(playing.paused);
    const again = (): void =>
      void queue(async () => {
        begin();
        tape.clear();
        await show();
      });
    const rewind = (): void =>
      void queue(async () => {
        const back = Math.min(Math.round(BACK_SECONDS * facts.fps), past.length);
        if (!back) return;
        t -= back;
        branch += 1;
        // Other dice than before.
        dream.goOn([past[past.length - back]], [turn + 1_000_003 * branch]);
        past.length -= back;
        rested = 0;
        told = "";
        played = Math.max(played - back / facts.fps, 0);
        message.textContent = "";
        await show();
      });
    const anew = (): void => {
      rest(false);
      again();
    };
    const another = (): void => {
      turn += 1;
      anew();
    };
    const saveGif = async (): Promise<void> => {
      await tape.save(`beside-${facts.id}-${turn}.gif`);
      say(message, SAVED);
    };
    const moment = slider(
      "Dream on from",
      { min: 0, max: episode.steps - 1, step: 1, value: from },
      (value) => `${(value / facts.fps).toFixed(1)} s`,
      (value) => {
        from = value;
        again();
      },
    );
    const tau = slider(
      "Temperature",
      { min: TAUS[0], max: TAUS[1], step: 0.05, value: dream.temperatures[0] },
      (value) => value.toFixed(2),
      (value) => (dream.temperatures[0] = value),
    );
    place.append(
      el(
        "div.stage",
        {},
        el(
          "div.screens.duel",
          {},
          el("figure.screen", {}, real.canvas, el("figcaption", {}, el("span.name", {}, "the real game"), at)),
          dreamtFigure,
        ),
        moment.element,
        tau.element,
        el(
          "div.tools",
          {},
          pause,
          button("From that moment again", "Dream on from there again, with the same dice", anew),
          button("With other dice", "Dream on from there, another way (N)", another),
          button("Save a GIF", `The last ${GIF_SECONDS} seconds as a GIF, the game beside the dream`, () => void attempt(message, saveGif)),
          linkButton(() => ({ demo: "beside", world: facts.id, seed: turn, tau: dream.temperatures[0], at: from }), message, "A link to this dream: the moment, the dice's seed and the temperature"),
        ),
        message,
        el("p.facts", {}, speed.element, seed, el("span", {}, `the recorded game was played by ${facts.episode!.who === "agent" ? "the agent" : "a random player"} (game ${facts.episode!.seed})`), ...cardOf(facts)),
      ),
    );
    begin();
    await show();
    section.dataset.begun = "yes";
    playIn(section, playing);
    const keys: Shortcuts = { pause: () => rest(!playing.paused), rewind, another };
    const keyDown = (event: KeyboardEvent): void => void (isMeant(event, section, place) && press(event, keys));
    document.addEventListener("keydown", keyDown);
    return () => document.removeEventListener("keydown", keyDown);
  },
};
