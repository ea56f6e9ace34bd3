"""Units, masks and removal of transformers' own classes: tiny random networks in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.attribution.test_transformers import TEXT, build, every_attention, every_text_network
from xaiprune.attribution import Composite, aggregate, attribute, criterion
from xaiprune.attribution.lrp import Epsilon
from xaiprune.errors import XaipruneError
from xaiprune.forward import Inputs, logits_of, part_of, random_inputs, run
from xaiprune.pruning import Plan, compensate, make_plan, masked, remove_with_report
from xaiprune.units import UnitLayer, default_example, find_units, unit_costs, weight_of

KINDS = pytest.mark.parametrize("kind", ["neurons", "heads"])
GROUPED = (
    "Llama",
    "Mistral",
    "Qwen2",
    "Qwen3",
    "Gemma 2",
    "Gemma 3",
    "Phi-3",
)  # 4 heads, 2 of keys and values
ENCODERS = ("BERT", "RoBERTa")


def random_plan(units: list[UnitLayer], rate: float = 0.4) -> Plan:
    generator = torch.Generator().manual_seed(0)
    return make_plan({unit.name: torch.rand(unit.units, generator=generator) for unit in units}, units, rate)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def texts(model: nn.Module, count: int = 3) -> Inputs:
    return random_inputs(model, default_example(model), count)


def logits(model: nn.Module, inputs: Inputs) -> torch.Tensor:
    with torch.no_grad():
        return logits_of(run(model, inputs))


def answer(model: nn.Module, inputs: Inputs) -> torch.Tensor:
    """What the network generates, with its cache of keys and values."""
    ids = inputs if isinstance(inputs, torch.Tensor) else inputs["input_ids"]
    return model.generate(
        ids[:1, :6],
        max_new_tokens=8,
        do_sample=False,
        use_cache=True,
        attention_mask=torch.ones_like(ids[:1, :6]),
        **({"decoder_start_token_id": 0} if model.config.is_encoder_decoder else {}),
    )


@KINDS
@every_attention
@every_text_network
def test_removed_equals_masked_and_generates_the_same(name: str, attention: str, kind: str) -> None:
    model = build(TEXT[name], attention)
    inputs = texts(model)
    units = find_units(model, kind)
    plan = random_plan(units)
    found = remove_with_report(model, plan, units)
    with masked(model, plan, units):
        expected = logits(model, inputs)
        said = None if name in ENCODERS else answer(model, inputs)
    assert (logits(found.model, inputs) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert said is None or torch.equal(answer(found.model, inputs), said)
    assert found.removed
    assert parameters(found.model) < parameters(model)
    gone = {unit.name: found.removed.get(unit.name, 0) for unit in units}
    kept = {unit.name: found.masked.get(unit.name, (0, ""))[0] for unit in units}
    assert {name: gone[name] + kept[name] for name in gone} == {
        u.name: len(plan.removed[u.name]) for u in units
    }
    if kind == "neurons":
        assert not found.masked


@every_text_network
def test_a_neuron_takes_its_rows_and_columns_along(name: str) -> None:
    model = build(TEXT[name], "eager")
    units = find_units(model, "neurons")
    one = {units[0].name: (1,)}
    smaller = remove_with_report(model, one, units).model
    saved = parameters(model) - parameters(smaller)
    # by the weights of its layers: rows that make it, with their biases, and columns that read it
    assert saved == unit_costs(model, units[:1], "params")[units[0].name][1]
    hidden, gated = 32, name not in ("GPT-2", "GPT-NeoX", "OPT", "BERT", "RoBERTa", "T5")
    bias = name in ("GPT-2", "GPT-NeoX", "OPT", "BERT", "RoBERTa")
    assert saved == hidden * (3 if gated else 2) + bias


def test_gated_neurons_are_read_where_their_product_is() -> None:
    for name, maker in {"Llama": "gate_proj", "Phi-3": "gate_up_proj"}.items():
        units = find_units(build(TEXT[name], "eager"), "neurons")
        assert [unit.name for unit in units] == [f"model.layers.{i}.mlp.{maker}" for i in range(2)]
        assert {(unit.tap.rpartition(".")[2], unit.where, unit.units) for unit in units} == {
            ("down_proj", "input", 48)
        }


def attention_sizes(model: nn.Module) -> list[int]:
    """Channels of queries, keys and values, and of what the first attention's projection reads."""
    attention = model.model.layers[0].self_attn
    made = [attention.q_proj, attention.k_proj, attention.v_proj]
    return [len(layer.weight) for layer in made] + [attention.o_proj.weight.shape[1]]


@pytest.mark.parametrize(
    ("heads", "sizes", "left"),
    [
        ((0, 1), [16, 8, 8, 16], 0),  # a whole group, with its keys and values
        ((1, 2), [16, 16, 16, 16], 0),  # a query of each group
        ((3,), [32, 16, 16, 32], 1),  # of one group alone: only masked
        ((0, 1, 2), [8, 8, 8, 8], 0),  # a group, and a query of the other
    ],
)
@every_attention
def test_groups_of_heads_leave_with_their_keys(
    attention: str, heads: tuple[int, ...], sizes: list[int], left: int
) -> None:
    model = build(TEXT["Llama"], attention)
    assert attention_sizes(model) == [32, 16, 16, 32]
    units = find_units(model, "heads")
    found = remove_with_report(model, {units[0].name: heads}, units)
    assert attention_sizes(found.model) == sizes
    assert found.masked.get(units[0].name, (0, ""))[0] == left
    if left:
        assert "share keys and values" in found.summary()
    inputs = texts(model)
    with masked(model, {units[0].name: heads}, units):
        expected = logits(model, inputs)
    torch.testing.assert_close(logits(found.model, inputs), expected)


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_heads_can_be_removed(name: str) -> None:
    units = find_units(build(TEXT[name], "eager"), "heads")
    assert [(unit.units, unit.width, unit.removable) for unit in units] == [(4, 8, True)] * 2


def test_a_head_count_of_the_configuration_stays_the_networks() -> None:
    model = build(TEXT["Phi-3"], "eager")
    units = find_units(model, "heads")
    smaller = remove_with_report(model, {units[0].name: (0, 1)}, units).model
    layers = smaller.model.layers
    assert layers[0].self_attn.config.num_attention_heads == 2  # its forward reads it
    assert layers[1].self_attn.config.num_attention_heads == 4
    assert smaller.config.num_attention_heads == model.config.num_attention_heads == 4
    llama = build(TEXT["Llama"], "eager")
    units = find_units(llama, "heads")
    smaller = remove_with_report(llama, {units[0].name: (0, 1)}, units).model
    assert smaller.model.layers[0].self_attn.config is smaller.config  # follows set_attn_implementation
    smaller.set_attn_implementation("sdpa")
    torch.testing.assert_close(logits(smaller, texts(llama)), logits(smaller, texts(llama)))


def test_heads_with_a_shared_position_bias_are_masked_with_a_reason() -> None:
    model = build(TEXT["T5"], "eager")
    units = find_units(model, "heads")
    found = remove_with_report(model, {"encoder.block.1.layer.0.SelfAttention": (0,)}, units)
    assert "original number of heads" in found.masked["encoder.block.1.layer.0.SelfAttention"][1]


@KINDS
@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("name", ["Llama", "Phi-3", "GPT-2", "T5", "BERT"])
def test_linear_compensation_brings_logits_nearer(name: str, sequential: bool, kind: str) -> None:
    model = build(TEXT[name], "eager")
    units = find_units(model, kind)
    plan = random_plan(units, 0.3)
    dense, fitted = texts(model, 40), logits(model, texts(model, 40))
    errors = {}
    for method in ("none", "linear"):
        new = compensate(model, plan, units, dense, method, sequential=sequential)
        smaller = remove_with_report(new, plan, units).model
        errors[method] = float((logits(smaller, dense) - fitted).square().mean())
    assert errors["linear"] < errors["none"]


def test_compensation_is_the_regression_of_what_a_layer_reads() -> None:
    """One removed neuron that is another's double is replaced by it exactly, in the columns that read it."""
    for name in ("Llama", "GPT-2"):
        model = build(TEXT[name], "eager")
        units = find_units(model, "neurons")
        makers = ("gate_proj", "up_proj") if name == "Llama" else ("c_fc",)
        parent = units[0].name.rpartition(".")[0]
        with torch.no_grad():
            for maker in makers:
                layer = model.get_submodule(f"{parent}.{maker}")
                weight_of(layer)[5] = weight_of(layer)[9]
                if getattr(layer, "bias", None) is not None:
                    layer.bias[5] = layer.bias[9]
        plan = {units[0].name: (5,)}
        new = compensate(model, plan, units, texts(model, 40), "linear", sequential=False)
        torch.testing.assert_close(
            logits(remove_with_report(new, plan, units).model, texts(model)),
            logits(model, texts(model)),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("method", ["mean", "linear"])
def test_padding_takes_no_part_in_statistics(method: str) -> None:
    model = build(TEXT["Llama"], "eager")
    units = find_units(model, "neurons")
    plan = random_plan(units)
    ids = torch.randint(3, 40, (20, 12), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[:, 9:] = 0
    found = []
    for filler in (3, 7):
        padded = ids.clone()
        padded[:, 9:] = filler
        inputs = {"input_ids": padded, "attention_mask": mask}
        found.append(compensate(model, plan, units, inputs, method, sequential=False))
    alone = compensate(model, plan, units, ids[:, :9], method, sequential=False)
    for key, tensor in found[0].state_dict().items():
        torch.testing.assert_close(tensor, found[1].state_dict()[key])
        torch.testing.assert_close(tensor, alone.state_dict()[key])


@KINDS
@pytest.mark.parametrize("name", ["lrp", "taylor", "wanda"])
def test_an_encoder_decoder_is_pruned_by_labels(name: str, kind: str) -> None:
    """Texts and answers of different lengths, some padded; relevance starts at the answers' tokens."""
    model = build(TEXT["T5"], "eager")
    generator = torch.Generator().manual_seed(0)
    ids, answers = (torch.randint(3, 40, (12, size), generator=generator) for size in (9, 5))
    mask, labels = torch.ones_like(ids), answers.roll(-1, 1)
    mask[::2, 6:], labels[:, -1], labels[::3, 2:] = 0, -100, -100
    given = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": answers}
    units = find_units(model, kind, example=part_of(given, slice(0, 1)))
    if name == "lrp":
        scores = aggregate(attribute(model, given, labels, units, Composite(Epsilon(1e-6))))
    else:
        scores = criterion(name)(model, given, labels, units)
    plan = make_plan(scores, units, 0.25)
    for method in ("none", "linear"):
        new = compensate(model, plan, units, given, method)
        found = remove_with_report(new, plan, units)
        with masked(new, plan, units):
            torch.testing.assert_close(logits(found.model, given), logits(new, given))
    if kind == "neurons":  # heads of self-attention share a position bias, and are masked
        assert parameters(found.model) < parameters(model)
    alike = {**given, "decoder_input_ids": ids}  # as long as the texts, and not padded
    with pytest.raises(XaipruneError, match="both padded to 9 tokens"):
        compensate(model, plan, units, alike, "linear")


def test_fluctuation_is_the_variance_of_what_is_read_times_the_weights_that_read_it() -> None:
    model = build(TEXT["Llama"], "eager")
    units = find_units(model, "neurons")
    ids = texts(model)
    assert isinstance(ids, torch.Tensor)
    labels = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], 1)
    read: list[torch.Tensor] = []
    down = model.get_submodule(units[0].tap)
    with down.register_forward_pre_hook(lambda _, args: read.append(args[0])):
        logits(model, ids)
    expected = read[0].flatten(0, 1).var(0) * down.weight.detach().square().sum(0)
    found = criterion("fluctuation")(model, ids, labels, units)[units[0].name]
    torch.testing.assert_close(found, expected)
