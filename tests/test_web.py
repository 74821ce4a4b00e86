"""The dream in a browser: the page built, exported and opened in Debian's Chromium; its numbers are PyTorch's."""

import base64
import copy
import dataclasses
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
from conftest import random_world_model
from PIL import Image, ImageSequence

from benchmarks.browser import DEMOS, begun, browsing, chromium, opened, serving
from worldmodels.agent.agent import Agent
from worldmodels.agent.load import load
from worldmodels.agent.target import SHIPPED
from worldmodels.base.errors import BadFileError, UserError
from worldmodels.base.extras import how_to_install
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.cli import main
from worldmodels.envs.choices import Choose
from worldmodels.envs.from_id import describe
from worldmodels.models.controller import features
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.vae import from_blocks
from worldmodels.web import built, networks
from worldmodels.web.facts import solution_size, task_facts
from worldmodels.web.site import files_of, replaced

ROOT = Path(__file__).parents[1]
#: WEB_RESULTS=results/web keeps the pictures that are looked at.
KEPT = Path(os.environ["WEB_RESULTS"]) if "WEB_RESULTS" in os.environ else None
STEPS = 200
#: Widths and colours that the page is looked at in; the tests look at the first two.
LOOKS = [(1440, "light"), (390, "dark"), (1440, "dark"), (820, "light"), (390, "light")]

needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="the page is built with Node and npm")
needs_browser = pytest.mark.skipif(
    shutil.which("npm") is None or chromium() is None, reason="the page is built with Node and looked at in Chromium"
)


@pytest.fixture(scope="module")
def page_built():
    subprocess.run(["make", "page"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def site(page_built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "site"
    assert main(["export", "web", "car-racing", "take-cover", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def own_site(page_built, toy_run, tmp_path_factory):
    """The page of a whole run, made by the commands."""
    folder = tmp_path_factory.mktemp("own") / "site"
    assert main(["export", "web", str(toy_run), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def half_run(tmp_path_factory):
    """The toy task's run up to M: there is no C yet."""
    path = tmp_path_factory.mktemp("half") / "run"
    assert main(["collect", "--run", str(path), "--task", "toy", "--scale", "smoke"]) == 0
    for verb in ("train-vae", "encode", "train-rnn"):
        assert main([verb, "--run", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def address(site):
    with serving(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with browsing() as found:
        yield found


def pixels(page, demo, which=0):
    """The canvas as the reader sees it, uint8 [64, 64, 4]."""
    code = "([demo, which]) => document.querySelectorAll(`#${demo} canvas`)[which].toDataURL('image/png')"
    png = base64.b64decode(page.evaluate(code, [demo, which]).partition(",")[2])
    return np.array(Image.open(io.BytesIO(png)).convert("RGBA"))


def step_of(page, demo):
    return int(page.get_attribute(f"#{demo}", "data-steps"))


def wait_for_step(page, demo, least):
    page.wait_for_function("([demo, least]) => +document.getElementById(demo).dataset.steps >= least", arg=[demo, least])


#: Keeps of every step of a demo's first dream what it was and the numbers that it saw.
LISTEN = """demo => {
    window.dreamt = {};
    document.getElementById(demo).addEventListener("dreamt", ({ detail: [slot] }) => {
        window.dreamt[slot.steps] = [...slot.z.slice(0, 4)];
    });
}"""


# Parity


def recorded_steps(agent):
    """A dream's first steps in PyTorch: what each step is given, and what comes of it, float32 [T, …] by name."""
    rnn, spec, initial = agent.rnn, agent.task, agent.world_model.initial
    size, stepper = agent.vae.latent_size, MDNStepper(agent.rnn, torch.float32)
    rng = np.random.default_rng(5)
    z, state, restart = initial.mu[:1].clone(), rnn.initial_state(1), torch.ones(1)
    rows = []
    for _ in range(STEPS):
        uniform = torch.from_numpy(rng.random((1, size + 1), np.float32))
        normal = torch.from_numpy(rng.standard_normal((1, size + 1), np.float32))
        action = torch.from_numpy(agent.act(features(z, z, state.hidden, state.cell, agent.inputs).numpy()))
        row = {"z": z, "hidden": state.hidden, "cell": state.cell, "restart": restart[:, None], "action": action}
        row = {name: tensor.clone() for name, tensor in row.items()} | {"uniform": uniform, "normal": normal}
        state = stepper.step(z, action, restart, state)
        z, done, reward = stepper.sample(state.hidden, uniform[:, :size], normal[:, :size], agent.temperature)
        restart = torch.zeros(1)
        row |= {"next_z": z.clone(), "next_hidden": state.hidden.clone(), "next_cell": state.cell.clone()}
        row["hit"] = done.sigmoid()[:, None] if spec.hit_damages else torch.zeros(1, 1)
        row["reward"] = torch.full((1, 1), float(spec.dream_reward)) if reward is None else reward[:, None].clone()
        rows.append(row)
    found = {name: torch.cat([row[name] for row in rows]).numpy() for name in rows[0]}
    return found


IN_THE_PAGE = """async ([task, tau, given]) => {
    const { World, Dream, loadFacts } = await import(new URL("assets/core.js", location.href));
    const root = new URL(".", location.href);
    const facts = (await loadFacts(root)).find((each) => each.task === task);
    const world = await World.load(root, facts);
    const numbers = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    const arrays = Object.fromEntries(Object.entries(given).map(([name, text]) => [name, numbers(text)]));
    const steps = arrays.restart.length;
    const at = (name, t) => arrays[name].slice((t * arrays[name].length) / steps, ((t + 1) * arrays[name].length) / steps);
    const agent = world.controller();
    const dream = new Dream(world, [tau]);
    dream.reset([1]);
    const found = { action: [], next_z: [], next_hidden: [], next_cell: [], hit: [], reward: [] };
    const frames = [];
    for (let t = 0; t < steps; t++) {
        const slot = dream.slots[0];
        Object.assign(slot, { z: at("z", t), hidden: at("hidden", t), cell: at("cell", t), restart: arrays.restart[t] });
        Object.assign(slot, { over: "", health: 100 });
        found.action.push(...agent.act(slot.z, slot.hidden, slot.cell));
        await dream.step([at("action", t)], [{ uniform: at("uniform", t), normal: at("normal", t) }]);
        found.next_z.push(...slot.z);
        found.next_hidden.push(...slot.hidden);
        found.next_cell.push(...slot.cell);
        found.hit.push(slot.hitChance);
        found.reward.push(slot.reward);
        frames.push(await dream.decode());
    }
    const url = await new Promise((resolve) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.readAsDataURL(new Blob(frames));
    });
    return { ...found, frames: url.split(",")[1] };
}"""


def rounded(agent):
    """The agent with V and M as the page has them: weights rounded to float16, as shipped ones are already; biases are not."""
    world_model = agent.world_model
    half = [copy.deepcopy(part) for part in (world_model.vae, world_model.rnn)]
    with torch.no_grad():
        for weight in (weight for part in half for weight in part.parameters() if weight.ndim > 1):
            weight.copy_(weight.half())
    return dataclasses.replace(agent, world_model=dataclasses.replace(world_model, vae=half[0], rnn=half[1]))


@needs_browser
@pytest.mark.parametrize("task", ["car-racing", "take-cover"])
def test_the_pages_numbers_are_pytorchs(browser, address, task):
    agent = load(task)
    for part in ("vae", "rnn"):  # what ships is float16 already: the page's weights are the agent's own
        ours, read_back = getattr(agent, part).state_dict(), getattr(rounded(agent), part).state_dict()
        assert all(torch.equal(ours[name], read_back[name]) for name in ours)
    assert_the_pages_numbers(browser, address, agent)


@needs_browser
def test_the_pages_numbers_of_ones_own_run_are_pytorchs(browser, own_site, toy_run):
    """A run's weights are float32; the page has them rounded."""
    with serving(own_site) as address:
        assert_the_pages_numbers(browser, address, rounded(load(str(toy_run))))


def assert_the_pages_numbers(browser, address, agent):
    task, wanted = agent.task.name, recorded_steps(agent)
    given = {
        name: base64.b64encode(np.ascontiguousarray(wanted[name], np.float32).tobytes()).decode()
        for name in ("z", "hidden", "cell", "restart", "action", "uniform", "normal")
    }
    with opened(browser, f"{address}worlds.json") as told:
        found = told.page.evaluate(IN_THE_PAGE, [task, agent.temperature, given])
    for name in ("action", "next_z", "next_hidden", "next_cell", "hit", "reward"):
        ours = np.array(found[name], np.float64).reshape(wanted[name].shape)
        off = float(np.abs(ours - wanted[name]).max())
        print(f"{task}: {name} differs by {off:.1e} at most")
        assert off < 1e-4, name
    frames = np.frombuffer(base64.b64decode(found["frames"]), np.uint8).reshape(STEPS, 64, 64, 4).astype(np.int64)
    with torch.no_grad():  # in float32, as the page computes; `decode` itself computes in bfloat16 where it can
        logits = agent.vae.decode_logits(torch.from_numpy(wanted["next_z"]))
    levels = from_blocks((torch.sigmoid(logits) * 255).round()).numpy()
    off = np.abs(frames[..., :3] - levels).max()
    print(f"{task}: frames differ by {off} levels at most")
    assert off <= 2
    assert frames[..., 3].min() == 255
    assert wanted["next_z"].std(0).max() > 0.1  # something happens


# The page, played

SHIFTS = """
    window.shifted = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifted += entry.value))).observe({
        type: "layout-shift", buffered: true,
    });
"""


@needs_browser
@pytest.mark.parametrize(
    ("width", "scheme"),
    [(1440, "light"), (390, "dark")] + [(1440, "dark"), (820, "light"), (390, "light")] * (KEPT is not None),
)
def test_every_demo_moves_and_nobody_else_is_asked(browser, address, width, scheme):
    with opened(browser, address, script=SHIFTS, viewport={"width": width, "height": 900}, color_scheme=scheme) as told:
        page = told.page
        for demo in DEMOS:
            begun(page, demo)
            if demo == "see":
                continue
            first, before = pixels(page, demo), step_of(page, demo)
            wait_for_step(page, demo, before + 12)
            assert (pixels(page, demo) != first).any(), demo
        # What was seen first is no longer looked at: it rests.
        resting = step_of(page, "drive")
        page.wait_for_timeout(300)
        assert step_of(page, "drive") == resting
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
        page.evaluate("document.getElementById('drive').scrollIntoView()")
        page.wait_for_function("document.querySelector('#drive .facts').textContent.includes('ms a frame, WebAssembly SIMD')")
        assert "over 1,000 episodes" in page.inner_text("#drive .facts")
        # Nothing jumps: Chromium's own measure of it, of the whole way down, where 0.1 counts as good.
        assert page.evaluate("window.shifted") < 0.05
        assert all(url.startswith((address, "data:", "blob:")) for url in told.requests)
        assert told.complaints == []
        if KEPT is not None:
            keep_pictures(page, width, scheme)


def keep_pictures(page, width, scheme):
    KEPT.mkdir(parents=True, exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    # 256 colours are enough to judge it by, and small.
    picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(KEPT / f"page-{width}-{scheme}.png", optimize=True)


@needs_browser
def test_keys_take_over_and_steer(browser, address):
    with opened(browser, f"{address}?demo=drive&seed=3") as told:
        page = told.page
        begun(page, "drive")
        assert page.get_attribute("#drive", "data-who") == "agent"
        page.keyboard.down("ArrowLeft")
        page.wait_for_selector("#drive[data-who=you]")
        left = "() => document.querySelector('#drive .bar .value').style"
        page.wait_for_function(f"({left})().left === '0%' && ({left})().width === '50%'")
        page.keyboard.up("ArrowLeft")
        page.keyboard.down("ArrowUp")
        page.wait_for_function("document.querySelectorAll('#drive .bar .value')[1].style.width === '100%'")
        page.keyboard.up("ArrowUp")
        page.keyboard.press("m")
        page.wait_for_selector("#drive[data-who=agent]")
        # Up is a first key, too, and scrolls nothing; a click leaves the keys to the dream.
        page.locator("#drive .screens").scroll_into_view_if_needed()
        scrolled = page.evaluate("scrollY")
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#drive[data-who=you]")
        page.wait_for_timeout(100)
        assert page.evaluate("scrollY") == scrolled
        page.locator("#drive").get_by_role("button", name="Let the agent play").click()
        assert page.evaluate("document.activeElement === document.body")
        # Space pauses, Backspace takes a second back, N begins anew.
        wait_for_step(page, "drive", 60)
        page.keyboard.press(" ")
        page.wait_for_timeout(300)
        still = step_of(page, "drive")
        page.keyboard.press("Backspace")
        page.wait_for_function("still => +document.getElementById('drive').dataset.steps === still - 50", arg=still)
        page.keyboard.press("n")
        page.wait_for_function("document.querySelector('#drive .seed').textContent === 'seed 4'")
        assert step_of(page, "drive") < still
        wait_for_step(page, "drive", 10)  # and plays
        assert told.complaints == []


@needs_browser
def test_the_keys_work_beside_reality_and_its_end_is_said(browser, address):
    with opened(browser, f"{address}?demo=beside&world=take-cover&at=240", viewport={"width": 1200, "height": 500}) as told:
        page = told.page
        begun(page, "beside")
        wait_for_step(page, "beside", 245)
        scrolled = page.evaluate("scrollY")
        page.keyboard.press(" ")
        page.locator("#beside").get_by_role("button", name="Go on").wait_for()
        assert page.evaluate("scrollY") == scrolled
        page.keyboard.press("Backspace")
        page.wait_for_function("document.getElementById('beside').dataset.steps === '240'")
        page.keyboard.press("n")  # which plays on
        page.wait_for_selector("#beside .seed:text('seed 2')")
        page.wait_for_function("document.querySelector('#beside .message').textContent.includes('both begin again at 6.9 s')")
        assert step_of(page, "beside") == 280
        page.wait_for_timeout(1000)
        assert step_of(page, "beside") == 280  # time to read
        assert told.complaints == []


@needs_browser
def test_fingers_steer_and_the_dream_begins_again_beside_the_agent(browser, address):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with opened(browser, f"{address}?demo=dodge&seed=2", **phone) as told:
        page = told.page
        begun(page, "dodge")
        wait_for_step(page, "dodge", 5)
        page.evaluate(LISTEN, "dodge")
        box = page.locator("#dodge canvas").first.bounding_box()
        cdp = page.context.new_cdp_session(page)
        finger = [{"x": box["x"] + box["width"] * 0.8, "y": box["y"] + box["height"] * 0.5}]
        cdp.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": finger})
        page.wait_for_selector("#dodge[data-who=you]")
        wait_for_step(page, "dodge", 20)
        assert page.evaluate("document.querySelector('#dodge .bar .value').style.left") == "50%"  # to the right
        cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_function("document.querySelector('#dodge .bar .value').style.width === '0%'")
        assert min(map(int, page.evaluate("window.dreamt"))) <= 6  # the same beginning, once more
        assert told.complaints == []


#: A finger that the browser takes for one that scrolls.
SCROLLS = """demo => {
    for (const kind of ["pointerdown", "pointercancel"]) {
        const finger = { pointerId: 1, pointerType: "touch", bubbles: true, clientX: 10 };
        document.querySelector(`#${demo} canvas`).dispatchEvent(new PointerEvent(kind, finger));
    }
}"""
#: Where a task's steering shows: from the bar's middle to the left, or to the right.
STEERS = {"left": "left !== '50%'", "right": "left === '50%'"}


@needs_browser
@pytest.mark.parametrize("demo", ["drive", "dodge"])
def test_a_finger_that_slides_turns(browser, address, demo):
    """On the picture and on the buttons below it; one that scrolls the page away leaves the agent at play."""
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with opened(browser, f"{address}?demo={demo}&seed=2", **phone) as told:
        page = told.page
        page.add_style_tag(content=".pads { display: grid !important; grid-auto-flow: column; } .pad { touch-action: none; }")
        begun(page, demo)
        cdp = page.context.new_cdp_session(page)

        def touch(kind, on="canvas", across=0.5, down=0.5):
            box = page.locator(f"#{demo} {on}").first.bounding_box()
            point = {"x": box["x"] + box["width"] * across, "y": box["y"] + box["height"] * down}
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else [point]})

        def bar(condition, which=0):
            style = f"document.querySelectorAll('#{demo} .bar .value')[{which}].style"
            page.wait_for_function(f"{style}.{condition} && {style}.width !== '0%'")

        page.evaluate(SCROLLS, demo)
        page.wait_for_timeout(300)
        assert page.get_attribute(f"#{demo}", "data-who") == "agent"
        touch("touchStart", across=0.9)
        page.wait_for_selector(f"#{demo}[data-who=you]")
        bar(STEERS["right"])
        touch("touchMove", across=0.1)
        bar(STEERS["left"])
        touch("touchMove", across=0.9)
        bar(STEERS["right"])
        if demo == "drive":
            bar("width !== '0%'", 1)  # gas
            touch("touchMove", across=0.9, down=0.95)
            bar("width !== '0%'", 2)  # the brake
        touch("touchEnd")
        page.wait_for_function(f"document.querySelector('#{demo} .bar .value').style.width === '0%'")
        touch("touchStart", "[data-name=left]")
        bar(STEERS["left"])
        touch("touchMove", "[data-name=right]")
        bar(STEERS["right"])
        touch("touchEnd")
        assert told.complaints == []


#: Two worlds' dreams, one after the other and at once: the numbers that each ends with.
AT_ONCE = """async () => {
    const { World, Dream, loadFacts } = await import(new URL("assets/core.js", location.href));
    const root = new URL(".", location.href);
    const worlds = await Promise.all((await loadFacts(root)).map((facts) => World.load(root, facts)));
    const dreamt = async (world, seed) => {
        const dream = new Dream(world, [1]);
        dream.reset([seed]);
        const agent = world.controller();
        for (let t = 0; t < 15; t++) {
            const slot = dream.slots[0];
            await dream.step([agent.act(slot.z, slot.hidden, slot.cell)]);
            await dream.decode();
        }
        return [...dream.slots[0].z, ...dream.slots[0].hidden];
    };
    const jobs = [1, 2].flatMap((seed) => worlds.map((world) => () => dreamt(world, seed)));
    const alone = [];
    for (const job of jobs) alone.push(await job());
    return [alone, await Promise.all(jobs.map((job) => job()))];
}"""


@needs_browser
def test_sections_that_compute_at_once_do_not_disturb_each_other(browser, address):
    """The runtime does one thing at a time; graphs wait for each other."""
    with opened(browser, f"{address}worlds.json") as told:
        alone, at_once = told.page.evaluate(AT_ONCE)
        assert len(alone) == 4
        assert alone == at_once


@needs_browser
def test_a_world_that_is_chosen_while_another_loads_is_the_one_that_stays(browser, address):
    """Reality beside the dream follows the whole recording before it begins."""
    with opened(browser, f"{address}?demo=beside&world=take-cover") as told:
        page = told.page
        # Loaded, and it follows the recording.
        page.wait_for_function("document.querySelector('#beside .place')?.childElementCount === 0", polling=5)
        page.evaluate("document.querySelector('#beside [role=radio]').click()")
        page.wait_for_selector("#beside[data-begun] .facts :text('912')")
        page.wait_for_timeout(500)
        assert page.locator("#beside .stage").count() == 1
        assert told.complaints == []


@needs_browser
def test_a_link_dreams_the_same_and_the_temperature_another(browser, address):
    def dreamt(tau, slide=None):
        """Returns the steps that were heard of, the last one before the slider was moved, and the first one after it."""
        with opened(browser, f"{address}?demo=drive&world=car-racing&seed=9&tau={tau}") as told:
            page = told.page
            page.wait_for_selector("#drive")
            page.evaluate(LISTEN, "drive")
            begun(page, "drive")
            wait_for_step(page, "drive", 60)
            before = step_of(page, "drive")
            if slide:
                page.locator("#drive input[type=range]").first.focus()
                page.keyboard.press(slide)
            after = step_of(page, "drive")
            wait_for_step(page, "drive", 140)
            assert told.complaints == []
            return {int(step): z for step, z in page.evaluate("window.dreamt").items()}, before, after

    (first, _, _), (again, _, _), (cold, _, _) = dreamt(1), dreamt(1), dreamt(0.1)
    slid, before, after = dreamt(1, "End")
    common = set(first) & set(again)
    assert len(common) > 20
    assert all(first[step] == again[step] for step in common)
    assert all(first[step] != cold[step] for step in set(first) & set(cold))
    assert all(first[step] == slid[step] for step in set(first) & set(slid) if step <= before)
    later = [step for step in set(first) & set(slid) if step > after + 8]
    assert later
    assert all(first[step] != slid[step] for step in later)


#: A slow machine: ten pictures a second.
SLOW = "window.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 100);"


@needs_browser
def test_a_gif_of_the_last_ten_seconds(browser, address, tmp_path):
    """It is as fast as the dream, also where the machine is slow."""
    with opened(browser, f"{address}?demo=drive&seed=7", script="" if KEPT else SLOW) as told:
        page = told.page
        begun(page, "drive")
        wait_for_step(page, "drive", 620 if KEPT else 120)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save a GIF").click()
        assert download.value.suggested_filename == "dream-car-racing-7.gif"
        path = tmp_path / "dream.gif"
        download.value.save_as(path)
        with Image.open(path) as picture:
            assert picture.size == (256, 256)
            shown = [(np.array(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(picture)]
        frames, durations = zip(*shown, strict=True)
        assert len(frames) > 10
        if KEPT is None:
            assert 120 * 20 - 120 <= sum(durations) <= step_of(page, "drive") * 20 + 60  # a step is 20 ms
        assert page.inner_text("#drive .message") == "The GIF is saved."
        assert (frames[0] != frames[-1]).any()
        assert told.complaints == []
        if KEPT is not None:
            KEPT.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, KEPT / "dream.gif")


@needs_browser
def test_v_looks_at_a_picture_of_ones_own(browser, address):
    picture = io.BytesIO()
    Image.new("RGB", (200, 100), (200, 30, 30)).save(picture, "PNG")
    with opened(browser, f"{address}?demo=see") as told:
        page = told.page
        begun(page, "see")
        real, drawn = pixels(page, "see"), pixels(page, "see", 2)
        page.locator("#see input[type=file]").set_input_files(
            {"name": "mine.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        )
        page.wait_for_selector("#see[data-looked='2']")
        assert (pixels(page, "see") != real).any()
        assert pixels(page, "see")[32, 32].tolist() == [200, 30, 30, 255]
        page.locator("#see input[type=range]").nth(1).focus()
        page.keyboard.press("Home")
        page.wait_for_function("document.querySelectorAll('#see output')[1].textContent === '-4.00'")
        page.wait_for_timeout(200)
        assert (pixels(page, "see", 2) != drawn).any()
        page.locator("#see input[type=file]").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no"})
        page.wait_for_function("document.querySelector('#see .message').textContent.includes('not a picture')")
        assert "a.png is not a picture" in page.inner_text("#see .message")
        assert "still your picture mine.png" in page.inner_text("#see .message")
        assert page.inner_text("#see figcaption >> nth=0") == "your picture mine.png"
        assert told.complaints == []


@needs_browser
def test_by_the_keyboard_alone(browser, address):
    """Tab reaches every control of a demo, Enter and the arrows work them, and the focus is seen."""
    with opened(browser, f"{address}?demo=temperature") as told:
        page = told.page
        begun(page, "temperature")
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            focus = (
                "() => { const e = document.activeElement; return [e.textContent.trim(), getComputedStyle(e).outlineStyle]; }"
            )
            text, outline = page.evaluate(focus)
            reached.append(text)
            if text == "Car racing":
                page.keyboard.press("ArrowRight")  # the other world
                page.wait_for_function(
                    "document.querySelector('#temperature [aria-checked=true]').textContent === 'Take cover'"
                )
                begun(page, "temperature")
            if text == "Pause":
                assert outline != "none"
                page.keyboard.press("Enter")
                page.wait_for_function("document.activeElement.textContent === 'Go on'")
        assert {"Car racing", "Pause", "Save a GIF", "Copy the link", "All demos"} <= set(reached), reached
        assert told.complaints == []


#: Keeps what is copied where the test reads it.
CLIPBOARD = """
    const writeText = async (text) => { window.copied = text; };
    Object.defineProperty(navigator, "clipboard", { value: { writeText } });
"""


@needs_browser
def test_every_section_has_a_link_that_shows_the_same_and_the_card(browser, address):
    with opened(browser, address, script=CLIPBOARD) as told:
        page = told.page
        for demo in DEMOS:
            begun(page, demo)
            assert re.search(
                r"over 1,000 episodes\s+\(a mean ±.*\)\s+V [0-9a-f]{8}, M [0-9a-f]{8}", page.inner_text(f"#{demo} .facts")
            )
            page.wait_for_function(
                "demo => document.querySelector(`#${demo} .speed`).textContent.includes('WebAssembly')", arg=demo
            )
            page.locator(f"#{demo}").get_by_role("button", name="Copy the link").click()
            page.wait_for_function("demo => window.copied?.includes(`demo=${demo}`)", arg=demo)
            wanted = {"world", "seed"} if demo == "see" else {"world", "seed", "tau"}
            assert wanted <= set(parse_qs(urlsplit(page.evaluate("window.copied")).query))
        # V's latents are in the address, too: what was drawn is seen again.
        begun(page, "see")
        page.get_by_role("button", name="Random latents").click()
        page.wait_for_timeout(300)
        drawn = pixels(page, "see", 2)
        page.locator("#see").get_by_role("button", name="Copy the link").click()
        page.wait_for_function("window.copied.includes('z=')")
        link = page.evaluate("window.copied")
        assert told.complaints == []
    with opened(browser, link) as told:
        begun(told.page, "see")
        told.page.wait_for_timeout(300)
        off = np.abs(pixels(told.page, "see", 2).astype(int) - drawn)  # two decimals of each latent are in it
        assert off.max() < 16
        assert off.mean() < 1
        assert told.complaints == []


def chosen_controllers(page, names):
    """What the dream is, some steps on, with each of the controllers to choose from, by their buttons."""
    found = {}
    for name in names:
        page.locator("#learn .wide").get_by_role("radio", name=name).click()
        page.wait_for_function(
            "name => name.startsWith(document.querySelector('#learn figcaption .name').textContent)", arg=name
        )
        page.wait_for_function("+document.getElementById('learn').dataset.steps < 20")
        page.evaluate(LISTEN, "learn")
        page.wait_for_function("window.dreamt[40] !== undefined")
        found[name] = page.evaluate("window.dreamt[40]")
    return found


@needs_browser
def test_a_runs_own_controllers_of_the_way_are_there_to_choose(browser, own_site, toy_run):
    """CMA-ES's means are rebuilt from the run's history: the one that scored best is what the run kept as its C."""
    (world,) = json.loads((own_site / "worlds.json").read_text())["worlds"]
    rows = [json.loads(line) for line in (toy_run / "controller" / "history.jsonl").read_text().splitlines()]
    assert [each["generation"] for each in world["candidates"]] == [0, *(row["generation"] for row in rows), None]
    assert world["way"] is None
    packed = gzip.decompress((own_site / world["id"] / world["numbers"]).read_bytes())
    half = (len(packed) + 1) // 2
    data = bytearray(len(packed))
    data[0::2], data[1::2] = packed[:half], packed[half:]
    solutions = []
    for index in range(len(world["candidates"])):
        place = world["arrays"][f"solution{index}"]
        solutions.append(np.frombuffer(data, np.float32, int(np.prod(place["shape"])), place["offset"]))
    scored = [json.loads(line) for line in (toy_run / "controller" / "scores.jsonl").read_text().splitlines()]
    best = max(scored, key=lambda row: row["mean"])["generation"]
    kept = load_tensors(toy_run / "controller" / "best.safetensors")["solution"].numpy()
    assert (solutions[best] == kept).all()
    assert (solutions[-1] == kept).all()
    assert world["candidates"][best]["mean"] == max(row["mean"] for row in scored)
    with serving(own_site) as address, opened(browser, f"{address}?demo=learn") as told:
        begun(told.page, "learn")
        names = told.page.locator("#learn .wide [role=radio]").all_inner_texts()
        assert len(names) == len(world["candidates"])
        assert told.page.query_selector("#learn .note code") is None
        assert told.complaints == []
    assert len({solution.tobytes() for solution in solutions[:-1]}) == len(rows) + 1


@needs_browser
@pytest.mark.parametrize("task", ["car-racing", "take-cover"])
def test_a_shipped_agents_way_is_another_search_and_says_so(browser, address, task):
    record = json.loads((SHIPPED / task / "way.json").read_text())
    with opened(browser, f"{address}?demo=learn&world={task}", script=CLIPBOARD) as told:
        page = told.page
        begun(page, "learn")
        note = page.inner_text("#learn .note")
        assert "another, shorter search" in note
        assert record["command"] in note
        last, real = record["controllers"][-1]["mean"], record["last_in_reality"]["mean"]
        assert ("found out what is wrong with the dream" in note) == (last > 1.25 * real)
        words = page.inner_text("#learn .words")
        assert ("PPO" in words) == (task == "take-cover")
        assert "is a generation" in words  # TakeCover's first rounds were searched by CMA-ES
        names = page.locator("#learn .wide [role=radio]").all_inner_texts()
        assert len(names) == len(record["controllers"]) + 1 > 4
        found = chosen_controllers(page, [names[0], names[2], names[-1]])
        assert len(set(map(tuple, found.values()))) == 3
        page.get_by_role("button", name="Copy the link").click()
        page.wait_for_function("window.copied?.includes('controller=')")
        assert told.complaints == []


@needs_browser
def test_no_shipped_agent_cheats_and_the_page_says_so(browser, address):
    with opened(browser, address) as told:
        begun(told.page, "learn")
        assert told.page.query_selector("#cheat") is None
    with opened(browser, f"{address}?demo=cheat") as told:
        told.page.wait_for_selector(".told")
        assert "nothing to show in that demo" in told.page.inner_text(".told")


# What goes wrong is a sentence


AGAIN = "Load the page again"
EXPORT = "Export the page again, or copy it again"
BROKEN = [
    ({"assets/page-*.js": None}, "", rf"The demos cannot be shown: the file assets/page-\S+\.js is missing.*{AGAIN}"),
    ({"assets/page-*.js": b"import{t as e}from'./dream"}, "", r"the file assets/page-\S+\.js is missing, damaged"),
    ({"assets/page-*.js": b""}, "", "a file of this page is missing, damaged"),
    ({"assets/dream-*.js": None}, "", r"the file assets/dream-\S+\.js is missing, damaged"),
    ({"assets/page-*.css": None}, "", rf"The file assets/page-\S+\.css is missing or damaged.*{EXPORT}"),
    ({"assets/page-*.css": b"html{margin:0}kbd{bord"}, "", r"The file assets/page-\S+\.css is missing or damaged"),
    ({"decoder.onnx.gz": b"\x1f\x8b\x08\x00cut off"}, "", "The file car-racing/decoder.onnx.gz is damaged or was cut off"),
    ({"step.onnx.gz": b"not a network"}, "", "The network car-racing/step.onnx.gz cannot be opened"),
    ({"numbers.bin.gz": None}, "", r"is missing \(the server answered 404\)"),
    ({"numbers.bin.gz": b"short"}, "", f"The file car-racing/numbers.bin.gz is damaged or was cut off. {EXPORT}"),
    ({"worlds.json": b"{"}, "", "The file worlds.json is not readable"),
    ({"worlds.json": b'{"format": 99}'}, "", "not of this page's format"),
    ({"worlds.json": b'{"format": 1, "worlds": [{"id": 3}]}'}, "", "worlds.json is damaged at worlds.0.id"),
    ({"worlds.json": b'{"format": 1, "worlds": [null]}'}, "", "worlds.json is damaged at worlds.0"),
    ({"runtime.wasm.gz": None}, "", "The file runtime.wasm.gz is missing"),
    ({"runtime.wasm.gz": b"\0asm"}, "", f"^The file runtime.wasm.gz cannot be started. {EXPORT}.$"),
    ({"runtime.js": None}, "", "The file runtime.js is missing"),
    ({"runtime.js": b"export default ("}, "", "The file runtime.js is damaged"),
    ({}, "WebAssembly.validate = () => false", "no WebAssembly with SIMD"),
    ({}, "delete window.WebAssembly", "no WebAssembly with SIMD"),
]


@needs_browser
@pytest.mark.parametrize(("broken", "script", "sentence"), BROKEN, ids=range(len(BROKEN)))
def test_what_goes_wrong_is_a_sentence(browser, address, broken, script, sentence):
    with opened(browser, f"{address}?demo=drive", broken, script) as told:
        # What went wrong first is said at once; a file that proves to be the cause is named a moment later.
        told.page.locator(".told", has_text=re.compile(sentence)).first.wait_for()


@needs_browser
@pytest.mark.parametrize("name", ["episode.webp", "episode.bin.gz"])
def test_a_damaged_recording_is_named_with_its_folder(browser, address, name):
    with opened(browser, f"{address}?demo=see&world=take-cover", {name: b"short"}) as told:
        told.page.wait_for_selector(".told")
        assert re.search(f"take-cover/{name} is damaged.*{EXPORT}", told.page.inner_text(".told"))


@needs_browser
def test_names_from_files_are_text(browser, site, address):
    """A task's key and what a score or a controller is called may hold anything."""
    evil = "<img src=x onerror='window.ran = 1'>"
    found = json.loads((site / "worlds.json").read_text())
    world = found["worlds"][0]
    world |= {"task": evil, "summary": evil, "keys": {evil: [1, 0, 0]}, "no_dream": ""}
    world["candidates"][0]["name"] = evil
    with opened(browser, address, {"worlds.json": json.dumps(found).encode()}) as told:
        page = told.page
        for demo in ("drive", "learn"):
            begun(page, demo)
        assert f"The keys are {evil}." in page.inner_text("#drive .words")
        assert page.locator("#drive .words b").first.inner_text() == "Press a key"
        assert evil in page.inner_text("#learn .wide")
        assert page.locator("#demos img").count() == 0
        assert page.evaluate("window.ran") is None


@needs_browser
@pytest.mark.parametrize(("demo", "tau", "wanted"), [("dodge", 1e9, "3"), ("learn", -3, "0.1")])
def test_a_link_beyond_a_range_gets_the_ranges_end(browser, address, demo, tau, wanted):
    with opened(browser, f"{address}?demo={demo}&tau={tau}", script=CLIPBOARD) as told:
        begun(told.page, demo)
        told.page.get_by_role("button", name="Copy the link").click()
        told.page.wait_for_function("window.copied")
        assert parse_qs(urlsplit(told.page.evaluate("window.copied")).query)["tau"] == [wanted]
        assert told.complaints == []


@needs_browser
def test_a_links_latents_beyond_the_sliders_get_their_ends(browser, address):
    z = ",".join(["1e9", "-50", *["0"] * 30])
    with opened(browser, f"{address}?demo=see&z={z}", script=CLIPBOARD) as told:
        begun(told.page, "see")
        told.page.get_by_role("button", name="Copy the link").click()
        told.page.wait_for_function("window.copied")
        (found,) = parse_qs(urlsplit(told.page.evaluate("window.copied")).query)["z"]
        assert found.split(",")[:3] == ["4", "-4", "0"]


@needs_browser
def test_without_scripts_or_from_a_file_the_page_says_what_it_needs(browser, site, address):
    with opened(browser, address, java_script_enabled=False) as told:
        assert "JavaScript, which is switched off" in told.page.inner_text(".told")
    with opened(browser, (site / "index.html").as_uri()) as told:
        told.page.wait_for_selector(".told")
        assert "python -m http.server" in told.page.inner_text(".told")


@needs_browser
def test_a_gif_that_cannot_be_made_says_why(browser, address):
    """Its part of the page is missing; or nothing has been played yet, as for whoever wants no motion."""
    with opened(browser, f"{address}?demo=drive", {"assets/gifenc-*.js": None}, reduced_motion="reduce") as told:
        page = told.page
        begun(page, "drive")
        page.get_by_role("button", name="Save a GIF").click()
        page.wait_for_function("document.querySelector('#drive .message').textContent.includes('nothing to save yet')")
        page.keyboard.press("n")  # the new beginning plays
        wait_for_step(page, "drive", 10)
        assert page.inner_text("#drive .seed") == "seed 8"
        page.get_by_role("button", name="Save a GIF").click()
        page.wait_for_function("document.querySelector('#drive .message').textContent.includes('cannot be fetched')")


@needs_browser
def test_what_fails_while_it_dreams_is_a_sentence(browser, address):
    """As where the device has no memory left: the dream rests, and says so."""
    with opened(browser, f"{address}?demo=drive") as told:
        page = told.page
        begun(page, "drive")
        page.evaluate("() => { ImageData = class { constructor() { throw Error('full'); } }; }")
        page.wait_for_function("document.querySelector('#drive .message').textContent.includes('did not expect: Error: full')")
        assert page.get_by_role("button", name="Go on").is_visible()


@needs_browser
def test_a_picture_that_is_dropped_beside_its_place_changes_nothing(browser, address, tmp_path):
    Image.new("RGB", (100, 100), (200, 30, 30)).save(tmp_path / "mine.png")
    with opened(browser, f"{address}?demo=see") as told:
        page = told.page
        begun(page, "see")
        cdp = page.context.new_cdp_session(page)
        data = {"items": [], "files": [str(tmp_path / "mine.png")], "dragOperationsMask": 1}

        def drop(on):
            box = page.locator(on).first.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            for kind in ("dragEnter", "dragOver", "drop"):
                cdp.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})

        page.evaluate("addEventListener('drop', (event) => (window.kept = event.defaultPrevented))")
        page.evaluate("addEventListener('dragover', (event) => (window.over = event.defaultPrevented))")
        drop("#see .words")
        page.wait_for_function("window.over === true")
        assert page.evaluate("window.kept !== false")
        assert page.url.startswith(address)
        assert page.get_attribute("#see", "data-looked") == "1"
        drop("#see canvas")
        page.wait_for_selector("#see[data-looked='2']")
        assert pixels(page, "see")[32, 32].tolist() == [200, 30, 30, 255]
        assert told.complaints == []


@needs_browser
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("rnn", "nothing can dream"), ("controller", "This run has no C yet")],
    ids=["no M", "no C"],
)
def test_a_half_trained_run_says_what_it_has_not(browser, page_built, half_run, tmp_path, missing, sentence):
    run = shutil.copytree(half_run, tmp_path / "run")
    shutil.rmtree(run / missing, ignore_errors=True)
    # A controller that somebody has put there as the one that cheats is shown as that.
    cheater = {"solution": torch.ones(solution_size(load(run, finished=False))), "temperature": torch.tensor(0.1)}
    (run / "controller").mkdir(exist_ok=True)
    save_tensors(run / "controller" / "cheater.safetensors", cheater)
    assert main(["export", "web", str(run), "--out", str(tmp_path / "site")]) == 0
    with serving(tmp_path / "site") as address, opened(browser, address) as told:
        page = told.page
        page.wait_for_selector(".told")
        assert sentence in page.inner_text("#demos")
        begun(page, "see")  # V sees
        if missing != "rnn":
            begun(page, "drive")
            wait_for_step(page, "drive", 10)
            begun(page, "cheat")
        assert told.complaints == []


# The command


def test_without_what_torch_needs_the_mend_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(built, "STATIC", tmp_path)
    (tmp_path / "index.html").touch()
    assert main(["export", "web", "car-racing", "--out", str(tmp_path / "site")]) == 4
    assert how_to_install("web") in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_without_the_page_the_mend_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(built, "STATIC", tmp_path / "none")
    assert main(["export", "web", "car-racing", "--out", str(tmp_path / "site")]) == 4
    told = capsys.readouterr().err
    assert "make demo" in told
    assert told.count("\n") == 1


def test_an_older_site_is_replaced_where_it_is_and_what_is_not_its_own_stays(toy_run, tmp_path, monkeypatch, capsys):
    """Also where the folder is named '.', or by a link."""
    place = tmp_path / "site"
    place.mkdir()
    (tmp_path / "link").symlink_to("site")
    assert main(["export", "web", str(toy_run), "--out", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert "make page" not in capsys.readouterr().err
    first = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    # An earlier export wrote more, and the owner has put other things there.
    listed = json.loads((place / "site.json").read_text())
    (place / "old-task").mkdir()
    (place / "old-task" / "step.onnx.gz").touch()
    (place / "site.json").write_text(json.dumps(listed | {"files": [*listed["files"], "old-task/step.onnx.gz"]}))
    owned = [place / name for name in ("CNAME", ".nojekyll", ".git/config", "toy/notes.txt", "assets/logo.svg")]
    for path in owned:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (place / "index.html").write_text("changed by hand")
    monkeypatch.chdir(place)
    assert main(["export", "web", str(toy_run), "--out", "."]) == 0
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == first | dict.fromkeys(owned, b"mine")
    assert not (place / "old-task").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "site"]


def site_of(folder, names, meanwhile=None):
    with replaced(folder) as new:
        if meanwhile:
            meanwhile()
        for name in names:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(f"new {name}")


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def refuse_to_move(monkeypatch, name, error):
    """From here on the disk refuses to move files of this name."""
    rename = Path.rename

    def refuses(self, target):
        if self.name == name:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuses)


def test_an_export_that_fails_leaves_the_older_site_whole(tmp_path, monkeypatch):
    place = tmp_path / "site"
    site_of(place, ["index.html", "a/1", "b"])
    (place / "CNAME").write_text("mine")
    (place / "c").write_text("mine")
    before = content(place)
    with pytest.raises(ValueError, match="null byte"):
        site_of(place, ["index.html", "half\0"])
    assert content(place) == before
    with pytest.raises(UserError, match="c: is not the page's"):
        site_of(place, ["index.html", "c"])
    with pytest.raises(UserError, match="CNAME: is not the page's"):
        site_of(place, ["index.html", "CNAME/x"])
    assert content(place) == before
    # The disk refuses in the midst of the exchange.
    refuse_to_move(monkeypatch, "d", PermissionError(30, "Read-only file system"))
    with pytest.raises(PermissionError):
        site_of(place, ["index.html", "a/2", "d"])
    assert content(place) == before
    with pytest.raises(PermissionError):
        site_of(tmp_path / "another", ["d"])
    assert not (tmp_path / "another").exists()


def test_two_exports_at_once_do_not_disturb_each_other(tmp_path):
    """The second is refused, in a new folder and in an older site, and the first one's files stay."""
    place = tmp_path / "site"
    code = (
        "import sys; from pathlib import Path; from worldmodels.web.site import replaced\n"
        "with replaced(Path(sys.argv[1])): pass"
    )
    for turn in (1, 2):
        with replaced(place) as new:
            (new / "index.html").write_text(f"{turn}")
            second = subprocess.run([sys.executable, "-c", code, str(place)], check=False, capture_output=True, text=True)
            assert second.stderr.endswith("; wait for it, or name another folder\n")
            assert f"UserError: {place}: in use by process {os.getpid()} on" in second.stderr
        assert content(place)["index.html"] == f"{turn}"
        assert sorted(content(place)) == ["index.html", "site.json"]


@pytest.mark.parametrize("at", ["half\0", "d"], ids=["before the exchange", "in the exchange"])
def test_an_export_that_fails_removes_only_its_own(tmp_path, monkeypatch, at):
    """What others put into the new folder meanwhile stays; with nothing in them, it and the folders that it lies in go."""
    refuse_to_move(monkeypatch, "d", OSError(28, "No space left on device"))
    place = tmp_path / "new" / "site"
    with pytest.raises((OSError, ValueError), match=r"null byte|No space"):
        site_of(place, ["a/index.html", at])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises((OSError, ValueError), match=r"null byte|No space"):
        site_of(place, ["a/index.html", at], lambda: (place / "letter.txt").write_text("mine"))
    assert content(place) == {"letter.txt": "mine"}
    assert [path.name for path in place.iterdir()] == ["letter.txt"]


def test_what_is_not_a_file_of_the_site_is_refused_by_name(tmp_path):
    """A folder where a listed file was, and a link to elsewhere in place of the site's folder."""
    place, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    site_of(place, ["index.html", "a/1", "b/2"])
    shutil.move(place / "a", elsewhere)
    (place / "a").symlink_to(elsewhere)
    for names in (["index.html"], ["index.html", "a/1"], ["index.html", "a/new"]):
        with pytest.raises(UserError, match=r"site/a: is a link"):
            site_of(place, names)
    assert content(elsewhere) == {"1": "new a/1"}
    (place / "a").unlink()
    (place / "index.html").unlink()
    (place / "index.html").mkdir()
    (place / "index.html" / "letter.txt").write_text("mine")
    before = content(place)
    for names in ([], ["index.html"]):
        with pytest.raises(UserError, match=r"index\.html: is not the page's"):
            site_of(place, names)
    assert content(place) == before
    shutil.rmtree(place / "index.html")

    def linked():
        shutil.rmtree(place / "b")
        (place / "b").symlink_to(elsewhere)

    with pytest.raises(UserError, match=r"site/b: is a link"):
        site_of(place, ["index.html", "b/2"], linked)
    assert content(elsewhere) == {"1": "new a/1"}


def test_a_disk_that_refuses_is_one_sentence(toy_run, tmp_path):
    """Said once, not for each of the page's files; nothing is left."""
    code = (
        "import resource, sys; from worldmodels.cli import main; import worldmodels.web.export\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "sys.exit(main(['export', 'web', *sys.argv[1:]]))"
    )
    command = [sys.executable, "-c", code, str(toy_run), "--out", str(tmp_path / "new" / "site")]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    assert made.returncode == 4
    assert re.fullmatch(r"worldmodels: .*/new/site: cannot be written \(File too large\)", made.stderr.splitlines()[-1])
    assert made.stderr.count("File too large") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_is_made_good_by_the_next(tmp_path):
    place = tmp_path / "site"
    code = (
        "import os, sys; from pathlib import Path; from worldmodels.web.site import replaced\n"
        "place = Path(sys.argv[1]); rename = Path.rename\n"
        "def dies(self, target): os._exit(9) if self.name == 'z' else rename(self, target)\n"
        "Path.rename = dies\n"
        "with replaced(place) as new: [(new / name).touch() for name in ('a', 'index.html', 'z')]\n"
    )
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", code, str(place)], check=False).returncode == 9
    site_of(place, ["index.html", "a"])
    assert set(content(place)) == {"site.json", "index.html", "a"}


@pytest.mark.parametrize(
    ("listed", "error"),
    [
        (None, UserError),
        ("{", BadFileError),
        ('{"format": 1}', BadFileError),
        ('{"format": 1, "files": ["../letter.txt"]}', BadFileError),
        ('{"format": 1, "files": ["/etc/hosts"]}', BadFileError),
    ],
)
def test_a_folder_without_a_list_of_ours_is_not_a_site(tmp_path, listed, error):
    """A file called worlds.json makes none."""
    (tmp_path / "worlds.json").write_text('{"format": 1, "worlds": []}')
    if listed is not None:
        (tmp_path / "site.json").write_text(listed)
    with pytest.raises(error, match=r"name an empty or a new folder|not readable"):
        files_of(tmp_path)


def test_a_page_that_is_older_than_its_sources_is_named(tmp_path, monkeypatch, capsys):
    web, static = tmp_path / "web", tmp_path / "static"
    shutil.copytree(ROOT / "web", web, ignore=shutil.ignore_patterns("node_modules"))
    static.mkdir()
    (static / "index.html").touch()
    (static / built.HASH).write_text(built.sources_hash(web) + "\n")
    monkeypatch.setattr(built, "WEB", web)
    monkeypatch.setattr(built, "STATIC", static)
    built.check_built()
    assert capsys.readouterr().err == ""
    (web / "src" / "page" / "new.ts").write_text("export {};")
    built.check_built()
    assert re.fullmatch(r"export web: .*'make page' builds it anew\n", capsys.readouterr().err)
    shutil.rmtree(web)  # an installed wheel
    built.check_built()
    assert capsys.readouterr().err == ""


CHOSEN = """async ([given, outputs, solution]) => {
    const { Controller } = await import(new URL("assets/core.js", location.href));
    const agent = new Controller(given, new Float32Array(solution));
    return outputs.map((z) => [...agent.act(new Float32Array(z), new Float32Array(0), new Float32Array(0))]);
}"""


@needs_browser
def test_actions_that_are_choices_are_chosen_as_in_python(browser, address):
    """As in CartPole: of each choice the option that C wants most, the first of equals."""
    facts = task_facts(Agent(random_world_model(describe("CartPole-v1")), "zh", None, 1.0))
    assert facts["choices"] == [2]
    assert facts["keys"] == {"left": [1.0, 0.0], "right": [0.0, 1.0]}
    choices, rng = (2, 3), np.random.default_rng(0)
    outputs = rng.normal(size=(40, 5)).astype(np.float32)
    outputs[0] = 0
    given = {"inputs": "z", "latent": 5, "hidden": 0, "layers": [[5, 5]], "bias": False, "squash": [], "choices": choices}
    with opened(browser, f"{address}worlds.json") as told:
        found = told.page.evaluate(CHOSEN, [given, outputs.tolist(), np.eye(5).ravel().tolist()])
    assert (np.array(found) == Choose(choices)(np.tanh(outputs))).all()


def test_senseless_exports_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(built, "STATIC", tmp_path)
    (tmp_path / "index.html").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for words, sentence in [
        (["wev", "car-racing", "--out", "site"], "did you mean 'web'"),
        (["web", "--out", "site"], "name a task"),
        (["web", "car-racing", "--out", "full"], "holds other things"),
        (["web", "car-racing", "--out", "file"], "is a file"),
        (["web", "car-racing", "--out", "loop"], "loop: cannot be opened (Too many levels of symbolic links)"),
        (["web", "car-racing", "--out", "loop/site"], "loop/site: cannot be opened (Too many levels of symbolic links)"),
        (["web", "", "--out", "site"], "a name is empty"),
        (["web", "car-racing", "--out", ""], "--out is empty"),
        (["web", "car-racing", "--out", "  "], "--out is empty"),
        (["web", "car-racing", "--out=  "], "--out is empty"),
        (["web", "car-racin", "--out", "site"], "did you mean 'car-racing'"),
    ]:
        monkeypatch.chdir(tmp_path)
        assert main(["export", *words]) == 2, words
        *_, told = capsys.readouterr().err.splitlines()
        assert sentence in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "index.html", "loop"]


@pytest.mark.skipif(sys.platform != "linux", reason="make")
def test_make_demo_names_what_it_needs(tmp_path):
    for program in ("make", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program))
    command = ["make", "page"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)})
    assert made.returncode == 2
    assert "Node 20" in made.stderr


@needs_node
def test_the_site_is_whole_and_small(site):
    facts = json.loads((site / "worlds.json").read_text())
    assert [world["id"] for world in facts["worlds"]] == ["car-racing", "take-cover"]
    for world in facts["worlds"]:
        for name in (*world["networks"].values(), world["numbers"], world["episode"]["frames"], world["episode"]["numbers"]):
            assert (site / world["id"] / name).stat().st_size > 0
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 10_000_000
    page = "".join(path.read_text() for path in site.rglob("*") if path.suffix in (".html", ".css"))
    assert "http://" not in page.replace("http://www.w3.org/", "").replace("http://localhost:8000", "")
    assert "https://" not in page
