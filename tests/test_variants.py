"""Other looks of the games: the official CarRacing under a wrapper and the fast one with the same look, and TakeCover's map."""

import pickle
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import vizdoom
from gymnasium.envs.box2d.car_racing import CarRacing
from gymnasium.utils.env_checker import check_env

import worldmodels as wm
from worldmodels.base.errors import EnvironmentFailure, UserError
from worldmodels.envs.area_resize import area_resize
from worldmodels.envs.car_racing.env import CarRacingEnv
from worldmodels.envs.car_racing.variants import LOOKS, VariedCarRacing
from worldmodels.envs.doom.wad import edited
from worldmodels.envs.registry import get_task
from worldmodels.envs.take_cover.env import TakeCoverEnv
from worldmodels.envs.take_cover.variants import VARIANTS, paint_text

CAR_IDS = [f"worldmodels/CarRacing-{name.capitalize()}-v0" for name in LOOKS]
DOOM_IDS = [f"worldmodels/TakeCover-{name.capitalize()}-v0" for name in VARIANTS]
DRIVE = np.array([0.05, 0.5, 0], np.float32)
STEPS = 12


def official(variant):
    return VariedCarRacing(CarRacing(), variant) if variant in LOOKS else CarRacing(domain_randomize=variant == "domain")


def ours(variant):
    return CarRacingEnv(domain_randomize=True) if variant == "domain" else CarRacingEnv(variant=variant)


def play(env, seed=1, steps=STEPS):
    """Rows of the official state pixels, or of those that ours averages down; and the rewards."""
    rows, rewards = [], []
    picture, _ = env.reset(seed=seed)
    for step in range(steps + 1):
        rows.append(env.state_rows() if isinstance(env, CarRacingEnv) else picture[:84].copy())
        if step < steps:
            picture, reward, *_ = env.step(DRIVE)
            rewards.append(reward)
    return np.array(rows), rewards


@pytest.fixture(scope="module")
def played():
    """Every look of both environments over the same steps; the plain one is called ''."""
    names = ["", *LOOKS, "domain"]
    return {name: (play(official(name)), play(ours(name))) for name in names}


@pytest.mark.parametrize("name", CAR_IDS + DOOM_IDS)
def test_gymnasiums_checker_is_content(name):
    env = gym.make(name, disable_env_checker=True)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        # A wrapper is checked as it is; pictures are looked at below.
        check_env(env if name in CAR_IDS else env.unwrapped, skip_render_check=True)
    said = [str(remark.message) for remark in remarks if issubclass(remark.category, UserWarning)]
    assert [words for words in said if "wrapped" not in words and "symmetric" not in words] == []
    assert env.spec.id == name
    env.close()


@pytest.mark.parametrize("name", [*LOOKS, "domain"])
def test_the_fast_drawing_equals_the_wrapped_official_one(name, played):
    """As far as the plain one does: as near on average, and, where a look is painted over, in every pixel that was equal."""
    (theirs, their_rewards), (mine, my_rewards) = played[name]
    (plain_theirs, plain_rewards), (plain_mine, _) = played[""]
    assert my_rewards == their_rewards
    assert name == "domain" or my_rewards == plain_rewards  # the seed's track
    assert (theirs != plain_theirs).any()
    assert np.abs(theirs.astype(int) - mine).mean() <= (2 if name == "noise" else 0.7)
    if name in ("bars", "blob", "noise"):
        equal = (plain_theirs == plain_mine).all(3)
        assert equal.mean() > 0.7
        np.testing.assert_array_equal(theirs[equal], mine[equal])


def test_the_blob_is_the_same_where_the_car_drives_and_the_view_has_come_near():
    """Its size goes with the zoom, which grows in the first second."""
    (plain_theirs, _), (plain_mine, _) = (play(env, 5, 62) for env in (official(""), ours("")))
    (theirs, _), (mine, _) = (play(env, 5, 62) for env in (official("blob"), ours("blob")))
    equal = (plain_theirs[60:] == plain_mine[60:]).all(3)
    assert equal.mean() > 0.7
    assert (theirs[60:] != plain_theirs[60:]).any()
    np.testing.assert_array_equal(theirs[60:][equal], mine[60:][equal])


def test_an_observation_is_the_painted_rows_averaged_down():
    for name in LOOKS:
        env = CarRacingEnv(variant=name)
        env.reset(seed=3)
        frame = env.step(DRIVE)[0]
        np.testing.assert_array_equal(frame, area_resize(env.state_rows(), 64))


def test_colours_are_moved_as_published(played):
    """The road by one number, the field by another, both within 0.2 of full brightness; every seed has its own."""
    seen = set()
    for seed in range(20):
        env = CarRacingEnv(variant="colour")
        env.reset(seed=seed)
        road, field = env.road_color - [102, 102, 102], env.bg_color - [102, 204, 102]
        assert len({*road}) == len({*field}) == 1
        assert max(abs(road[0]), abs(field[0])) <= 51
        assert (env.grass_color == [102, 230, 102]).all()
        seen.add((road[0], field[0]))
    assert len(seen) == 20
    env = CarRacingEnv(variant="colour3")
    env.reset(seed=0)
    assert len({*(env.road_color - 102)}) == 3
    # The next episode starts from the official colours again.
    env.reset()
    assert (np.abs(env.bg_color - [102, 204, 102]) <= 51).all()


def test_bars_and_the_blob_are_where_the_published_ones_are(played):
    theirs, plain = played["bars"][0][0], played[""][0][0]
    assert not theirs[:, :, :7].any()
    assert not theirs[:, :, -7:].any()
    np.testing.assert_array_equal(theirs[:, :, 8:-8], plain[:, :, 8:-8])
    # The published blob hangs on the first corner of the hull's fourth polygon: 20 to its right, 10 before it, 8 wide.
    env = VariedCarRacing(CarRacing(), "blob")
    env.reset(seed=0)
    x, y = env.unwrapped.car.hull.fixtures[3].shape.vertices[0]
    for _ in range(60):  # the zoom stands still by then
        picture = env.step(np.zeros(3, np.float32))[0]
    red = np.argwhere((picture[:84] == [204, 0, 0]).all(2))
    rows = (800 - 200 - 16.2 * np.array([y + 18, y + 10])) * 96 / 800
    columns = (500 + 16.2 * np.array([x + 20, x + 28])) * 96 / 1000
    assert red.min(0).tolist() == [np.ceil(rows[0]), np.ceil(columns[0])]
    assert (red.max(0) + 1).tolist() == [np.floor(rows[1]), np.floor(columns[1])]


def test_noise_is_anew_in_every_step_and_spares_the_road(played):
    theirs, plain = played["noise"][0][0], played[""][0][0]
    field = (plain == [100, 202, 100]).all(3) | (plain == [100, 228, 100]).all(3)
    road = (plain == plain[..., :1]).all(3)
    assert field.mean() > 0.2
    assert abs(theirs[field].mean() - 127.5) < 3
    np.testing.assert_array_equal(theirs[road], plain[road])
    both = field[5] & field[6]
    assert (theirs[5][both] != theirs[6][both]).mean() > 0.98


def test_a_seed_is_a_look_and_episodes_go_on_without_one():
    for name in ("colour3", "noise"):
        once, again = CarRacingEnv(variant=name), CarRacingEnv(variant=name)
        frames = [[env.reset(seed=5)[0], env.reset()[0], env.reset(seed=5)[0]] for env in (once, again)]
        np.testing.assert_array_equal(frames[0], frames[1])
        np.testing.assert_array_equal(frames[0][0], frames[0][2])
        assert (frames[0][0] != frames[0][1]).any()


def test_the_picture_for_people_has_the_look_too():
    theirs, mine = gym.make(CAR_IDS[2], render_mode="rgb_array"), CarRacingEnv(render_mode="rgb_array", variant="bars")
    for env in (theirs, mine):
        env.reset(seed=1)
    np.testing.assert_array_equal(theirs.render(), mine.render())
    assert mine.render().shape == (400, 600, 3)
    assert not mine.render()[:350, :45].any()
    assert pickle.loads(pickle.dumps(mine))._look.name == "bars"
    with pytest.raises(UserError, match="use 'rgb_array'"):
        gym.make(CAR_IDS[2], render_mode="human")


@pytest.fixture(scope="module")
def doom_frames():
    """The same seed and steps of every look, whole screens, and what the game said of itself."""
    found = {}
    for name in ("", *VARIANTS):
        env = TakeCoverEnv(variant=name, render_mode="rgb_array")
        env.reset(seed=4)
        told = [env.step(np.array([(-1) ** (step // 9)], np.float32))[1:] for step in range(60)]
        found[name] = env.render(), told
        env.close()
    return found


def test_another_look_of_take_cover_is_the_same_game(doom_frames):
    plain, told = doom_frames[""]
    for name in VARIANTS:
        screen, its = doom_frames[name]
        assert its == told
        changed = (screen != plain).any(2)
        # Higher walls hide the ceiling, the floor is below the middle, and the text is in its box alone.
        above, below = changed[:60].mean(), changed[60:].mean()
        assert (above > 0.15, below > 0.15) == {"walls": (True, False), "floor": (False, True), "text": (True, False)}[name]
    np.testing.assert_array_equal(doom_frames["text"][0], paint_text(plain))


@pytest.mark.parametrize("rows", [120, 240, 480])
def test_the_text_has_its_place_at_every_resolution(rows):
    painted = paint_text(np.full((rows, rows * 4 // 3, 3), 90, np.uint8))
    box = np.argwhere((painted != 90).any(2))
    scale = 480 / rows
    assert np.abs(box.min(0) * scale - [30, 150]).max() < scale
    assert np.abs((box.max(0) + 1) * scale - [110, 510]).max() < scale
    assert (painted == [0, 0, 255]).all(2).any()


def test_a_scenario_of_another_version_is_refused():
    whole = (Path(vizdoom.scenarios_path) / "take_cover.wad").read_bytes()
    changed = edited(whole, "TEXTMAP", "heightceiling = 104;", "heightceiling = 4040;")
    assert len(changed) == len(whole) + 1
    assert edited(changed, "TEXTMAP", "heightceiling = 4040;", "heightceiling = 104;") == edited(
        whole, "TEXTMAP", "heightceiling = 104;", "heightceiling = 104;"
    )
    for wad, word in ((whole, "heightceiling = 105;"), (whole, "texturemiddle"), (b"PWAD", "x"), (b"PWAD" + b"\xff" * 99, "x")):
        with pytest.raises(EnvironmentFailure, match="this ViZDoom's scenario"):
            edited(wad, "TEXTMAP", word, word)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CarRacingEnv(variant="color"), "CarRacing has no variant 'color'; did you mean 'colour'?"),
        (lambda: TakeCoverEnv(variant="wall"), "TakeCover has no variant 'wall'; did you mean 'walls'?"),
        (lambda: CarRacingEnv(variant="bars", domain_randomize=True), "leave domain_randomize out"),
        (lambda: gym.make("worldmodels/CarRacing-Colour-v0", domain_randomize=True), "leave domain_randomize out"),
        (lambda: get_task("car-racing").varied("blobs"), "car-racing has no variant 'blobs'; did you mean 'blob'?"),
        (lambda: get_task("health-gathering").varied("walls"), "health-gathering has no variants"),
        (lambda: wm.evaluate("take-cover", world="dream", variant="walls"), "only the real environment has other looks"),
    ],
)
def test_a_wrong_variant_is_one_line(make, said):
    with pytest.raises(UserError, match=said.replace("?", r"\?")) as error:
        make()
    assert "\n" not in str(error.value)


def test_every_variant_of_a_task_can_be_made_and_is_what_is_scored():
    for task in (get_task("car-racing"), get_task("take-cover")):
        assert set(task.published.robustness) - {"plain"} <= set(task.variants)
        for name in task.variants:
            varied = task.varied(name)
            for is_official in (False, True):
                env = varied.make_env(is_official)
                assert env.observation_space.shape == (64, 64, 3)
                env.close()
    result = wm.evaluate(lambda frame: np.zeros(3, np.float32), task="car-racing", episodes=1, variant="bars", fast=True)
    assert result["env"]["variant"] == result["env"]["settings"]["variant"] == "bars"
