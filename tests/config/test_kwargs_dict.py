"""Sections that take any keys take them as one dictionary too, in Hydra's own grammar."""

import pytest

from xaiprune.config import compose, prepare, sweep_of
from xaiprune.errors import XaipruneError


def test_a_dictionary_says_the_same_as_its_keys():
    together = compose("search", ["model=digits_vit", "model.kwargs={num_classes: 10, mlp_ratio: 0.125}"])
    apart = compose(
        "search", ["model=digits_vit", "model.kwargs.num_classes=10", "model.kwargs.mlp_ratio=0.125"]
    )
    assert together == apart
    assert together.model.kwargs == {"num_classes": 10, "mlp_ratio": 0.125}


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_with_and_without_hydras_signs(prefix):
    assert compose("search", [f"{prefix}model.kwargs={{depth: 4}}"]).model.kwargs == {"depth": 4}


def test_a_dictionary_joins_what_is_there():
    config = compose(
        "search", ["model.kwargs.depth=4", "model.kwargs={num_heads: 2}", "model.kwargs.depth=5"]
    )
    assert config.model.kwargs == {"depth": 5, "num_heads": 2}


def test_nested_dictionaries_and_lists():
    config = compose("search", ["model.kwargs={layers: [1, 1], norm: {eps: 0.001}}"])
    assert config.model.kwargs == {"layers": [1, 1], "norm": {"eps": 0.001}}


def test_other_open_sections():
    config = compose("search", ["sampler={n_ei_candidates: 48}"])
    assert config.sampler["n_ei_candidates"] == 48
    assert config.sampler["_target_"] == "optuna.samplers.TPESampler"


@pytest.mark.parametrize(
    "word", ["model={name: digits_vit, kwargs: {depth: 4}}", "model={kwargs: {depth: 4}}"]
)
def test_a_dictionary_of_a_whole_section(word):
    config = compose("search", ["model=digits_vit", word])
    assert config.model.name == "digits_vit"
    assert config.model.kwargs == {"depth": 4}


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("model={kwarg: {depth: 4}}", r"unknown key 'model\.kwarg\.depth'; did you mean 'model\.kwargs'"),
        ("model={nam: a, kwargs: {depth: 4}}", r"unknown key 'model\.nam'; did you mean 'model\.name'"),
        ("prune={rate: much}", r"prune\.rate must be a number, got much"),
    ],
)
def test_a_dictionary_is_checked_key_by_key(word, error):
    with pytest.raises(XaipruneError, match=error):
        compose("search", [word])


def test_on_the_command_line_and_in_a_sweep():
    assert prepare("search", ["model.kwargs={depth: 4}"]) == ["++model.kwargs={depth: 4}"]
    swept = ["model.kwargs={depth: 4}", "prune.rate=0.1,0.2"]
    assert sweep_of("search", swept).overrides[0] == "++model.kwargs={depth: 4}"


def test_a_sweep_over_dictionaries():
    (swept,) = sweep_of("search", ["model.kwargs={depth: 4},{depth: 6}"]).overrides
    assert swept == "++model.kwargs={depth: 4},{depth: 6}"


def test_a_closed_section_still_refuses_unknown_keys():
    with pytest.raises(XaipruneError, match=r"unknown key 'prune\.rat'.*did you mean 'prune\.rate'"):
        compose("search", ["prune={rat: 0.3}"])


def test_kwargs_must_be_keys_and_values():
    with pytest.raises(XaipruneError, match=r"model\.kwargs"):
        compose("search", ["model.kwargs=10"])
