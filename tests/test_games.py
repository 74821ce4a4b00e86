"""What docs/games.md says of its agents is what their scores say."""

import pytest

from tools.tables import GAMES, read_result


def scores(folder, name):
    found = read_result(f"{folder}/{name}.json")
    assert found["num_episodes"] >= 100
    return found


@pytest.mark.parametrize("folder", [folder for folder, (_, name) in GAMES.items() if name])
def test_the_agent_is_better_than_chance(folder):
    assert scores(folder, GAMES[folder][1])["ci95"][0] > scores(folder, "random")["ci95"][1]


def test_cart_pole_is_solved():
    assert scores("cart-pole", "real")["mean"] >= 475
    by_the_laptop_scale = read_result("cart-pole/laptop.json")["evaluations"]["real"]
    assert by_the_laptop_scale["num_episodes"] >= 100
    assert by_the_laptop_scale["mean"] >= 475


def test_memory_is_worth_something_in_health_gathering():
    assert scores("health-gathering", "zh")["ci95"][0] > scores("health-gathering", "z")["ci95"][1]
