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
from PIL import Image, ImageSequence

from benchmarks.browser import DEMOS, begun, browsing, chromium, opened, serving
from worldmodels.agent.load import load
from worldmodels.agent.target import SHIPPED
from worldmodels.base.tensors import load_tensors, save_tensors
from worldmodels.cli import main
from worldmodels.models.controller import features
from worldmodels.models.stepper import MDNStepper
from worldmodels.models.vae import from_blocks
from worldmodels.web import export, networks
from worldmodels.web.facts import solution_size

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
        # Space pauses, Backspace takes a second back, N begins anew.
        wait_for_step(page, "drive", 60)
        page.keyboard.press(" ")
        page.wait_for_timeout(300)
        still = step_of(page, "drive")
        page.keyboard.press("Backspace")
        page.wait_for_function("still => +document.getElementById('drive').dataset.steps === still - 50", arg=still)
        page.keyboard.press("n")
        page.wait_for_function("document.querySelector('#drive .seed').textContent === 'seed 4'")
        assert step_of(page, "drive") == 0
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
        pad = page.locator("#dodge .pad").first
        pad.dispatch_event("pointerdown")
        page.wait_for_function("document.querySelector('#dodge .bar .value').style.left === '0%'")
        pad.dispatch_event("pointerup")
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


@needs_browser
def test_a_gif_of_the_last_ten_seconds(browser, address, tmp_path):
    with opened(browser, f"{address}?demo=drive&seed=7") as told:
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
            frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
        assert len(frames) > 10
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
            assert re.search(r"over 1,000 episodes\s+V [0-9a-f]{8}, M [0-9a-f]{8}", page.inner_text(f"#{demo} .facts"))
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


BROKEN = [
    ({"decoder.onnx.gz": b"\x1f\x8b\x08\x00cut off"}, "", "damaged or was cut off"),
    ({"step.onnx.gz": b"not a network"}, "", "cannot be opened"),
    ({"numbers.bin.gz": None}, "", "is missing (the server answered 404)"),
    ({"worlds.json": b"{"}, "", "worlds.json is not readable"),
    ({"worlds.json": b'{"format": 99}'}, "", "not of this page's format"),
    ({"runtime.wasm.gz": None}, "", "runtime.wasm.gz is missing"),
    ({}, "WebAssembly.validate = () => false", "no WebAssembly with SIMD"),
    ({}, "delete window.WebAssembly", "no WebAssembly with SIMD"),
]


@needs_browser
@pytest.mark.parametrize(("broken", "script", "sentence"), BROKEN, ids=range(len(BROKEN)))
def test_what_goes_wrong_is_a_sentence(browser, address, broken, script, sentence):
    with opened(browser, f"{address}?demo=drive", broken, script) as told:
        told.page.wait_for_selector(".told")
        assert sentence in told.page.inner_text(".told")


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
    monkeypatch.setattr(export, "STATIC", tmp_path)
    (tmp_path / "index.html").touch()
    assert main(["export", "web", "car-racing", "--out", str(tmp_path / "site")]) == 4
    assert "'pip install onnx onnxscript'" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_without_the_page_the_mend_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "STATIC", tmp_path / "none")
    assert main(["export", "web", "car-racing", "--out", str(tmp_path / "site")]) == 4
    told = capsys.readouterr().err
    assert "make demo" in told
    assert told.count("\n") == 1


def test_an_older_site_is_replaced_where_it_is(toy_run, tmp_path, monkeypatch):
    """Also where the folder is named '.', or by a link."""
    (tmp_path / "site").mkdir()
    (tmp_path / "link").symlink_to("site")
    assert main(["export", "web", str(toy_run), "--out", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    first = (tmp_path / "site" / "worlds.json").read_bytes()
    monkeypatch.chdir(tmp_path / "site")
    assert main(["export", "web", str(toy_run), "--out", "."]) == 0
    assert (tmp_path / "site" / "worlds.json").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "site"]


def test_senseless_exports_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "STATIC", tmp_path)
    (tmp_path / "index.html").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "file").touch()
    for words, sentence in [
        (["wev", "car-racing", "--out", "site"], "did you mean 'web'"),
        (["web", "--out", "site"], "name a task"),
        (["web", "car-racing", "--out", "full"], "holds other things"),
        (["web", "car-racing", "--out", "file"], "is a file"),
        (["web", "car-racin", "--out", "site"], "did you mean 'car-racing'"),
    ]:
        monkeypatch.chdir(tmp_path)
        assert main(["export", *words]) == 2, words
        assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "index.html"]


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
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
