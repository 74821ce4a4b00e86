"""Settings: JSON in and out, with every key, type and range checked by name."""

import dataclasses
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodels.base.errors import UserError, nearest
from worldmodels.base.seeding import FIRST_TRAINING_SEED
from worldmodels.config import CollectConfig, ControllerConfig, EncodeConfig, EvaluateConfig, Preset, RNNConfig, VAEConfig
from worldmodels.envs.task import get_task

KINDS = [CollectConfig, VAEConfig, EncodeConfig, RNNConfig, ControllerConfig, EvaluateConfig]


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_valid_and_survive_json(kind):
    kind().validate()
    assert kind.from_dict(json.loads(json.dumps(kind().to_dict())), "here") == kind()


@given(
    st.builds(
        ControllerConfig,
        num_generations=st.integers(1, 10**6),
        sigma=st.floats(1e-6, 100),
        temperature=st.floats(0.01, 10),
        world=st.sampled_from(["dream", "real"]),
    )
)
def test_any_setting_survives_json(config):
    assert ControllerConfig.from_dict(json.loads(json.dumps(config.to_dict())), "here") == config


def test_a_preset_survives_json():
    preset = get_task("take-cover").preset("laptop")
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict())), "here") == preset


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_gets_the_nearest_match(kind):
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(UserError, match=f"config.json: unknown setting '{name}x'; did you mean '{name}'"):
        kind.from_dict({f"{name}x": 1}, "config.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [None, "many", [1], {"a": 1}, True, 1.5])
def test_a_wrong_type_is_named(kind, wrong):
    for name, hint in typing.get_type_hints(kind).items():
        if type(wrong) is hint:
            continue
        with pytest.raises(UserError, match=f"here: '{name}' is .*expected"):
            kind.from_dict({name: wrong}, "here")


@pytest.mark.parametrize("wrong", [[], None, "text", 3])
def test_no_table_no_settings(wrong):
    for kind in (*KINDS, Preset):
        with pytest.raises(UserError, match="expected a table"):
            kind.from_dict(wrong, "here")


def test_a_preset_names_stages():
    whole = get_task("toy").preset("smoke").to_dict()
    with pytest.raises(UserError, match="unknown stage 'colect'; did you mean 'collect'"):
        Preset.from_dict({**whole, "colect": {}}, "here")
    del whole["rnn"]
    with pytest.raises(UserError, match="the stage 'rnn' is missing"):
        Preset.from_dict(whole, "here")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (CollectConfig, "num_episodes", 1),
        (CollectConfig, "max_hold_steps", 0),
        (CollectConfig, "num_workers", -1),
        (VAEConfig, "num_steps", 0),
        (VAEConfig, "batch_size", 10**9),
        (RNNConfig, "num_slices", 0),
        (VAEConfig, "learning_rate", 0.0),
        (VAEConfig, "learning_rate", float("nan")),
        (VAEConfig, "kl_tolerance", -0.5),
        (VAEConfig, "quartic_weight", -1.0),
        (EncodeConfig, "batch_size", 0),
        (RNNConfig, "sequence_length", 0),
        (RNNConfig, "max_grad_value", float("inf")),
        (RNNConfig, "held_out_fraction", 0.0),
        (ControllerConfig, "population_size", 1),
        (ControllerConfig, "temperature", 0.0),
        (ControllerConfig, "temperature", -1.0),
        (ControllerConfig, "num_slots", 0),
        (EvaluateConfig, "episodes", 0),
        (EvaluateConfig, "seed", -1),
        (EvaluateConfig, "seed", FIRST_TRAINING_SEED),
    ],
)
def test_a_value_out_of_range_is_named_with_the_range(kind, name, value):
    with pytest.raises(UserError, match=f"^{name} is .*; it must lie between .* and "):
        kind.from_dict({name: value}, "here")


def test_an_absurd_whole_number_is_out_of_range_too():
    with pytest.raises(UserError, match="num_episodes"):
        CollectConfig.from_dict({"num_episodes": 10**400}, "here")


def test_held_out_seeds_stay_below_the_training_seeds():
    EvaluateConfig(episodes=100, seed=FIRST_TRAINING_SEED - 100).validate()
    with pytest.raises(UserError, match="seed"):
        EvaluateConfig(episodes=100, seed=FIRST_TRAINING_SEED - 99).validate()


def test_runtime_settings_stay_out_of_the_fingerprint():
    assert CollectConfig(num_workers=3).fingerprint_fields() == CollectConfig().fingerprint_fields()
    assert CollectConfig(num_episodes=3).fingerprint_fields() != CollectConfig().fingerprint_fields()
    assert "num_slots" not in ControllerConfig().fingerprint_fields()


def test_nearest_lists_what_is_known_when_nothing_is_near():
    assert nearest("smke", ["smoke", "paper"]) == "; did you mean 'smoke'?"
    assert nearest("zzz", ["smoke", "paper"]) == "; known: paper, smoke"


def test_no_file_of_a_run_remembers_the_place():
    placed = get_task("toy").preset("smoke").on(backend="ray", address="host:6379")
    assert placed.collect.backend == placed.controller.backend == placed.evaluate.backend == "ray"
    assert placed.to_dict() == get_task("toy").preset("smoke").to_dict()
    assert placed.collect.fingerprint_fields() == get_task("toy").preset("smoke").collect.fingerprint_fields()
    with pytest.raises(UserError, match="backend is local"):
        placed.on(backend="local")
