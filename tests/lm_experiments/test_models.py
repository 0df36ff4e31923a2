"""Shapes, counts, initialisation and dropout of the language models."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from common.settings import WrongUse
from lm_experiments import checkpoints, models
from lm_experiments.cross_entropy import mean_loss, token_losses
from lm_experiments.dropout import Dropout, everywhere, installed
from lm_experiments.kernels import fast, fast_products, two_products
from lm_experiments.loss import LossOf
from tests.lm_experiments.tiny import SHAPE


@pytest.mark.parametrize(
    ("name", "tied", "count"),
    [
        ("nano", True, 204_224),
        ("135m", True, 134_515_008),
        ("135m", False, 162_826_560),
        ("1b", False, 1_029_917_376),
        ("1b", True, 944_982_720),
    ],
)
def test_presets_have_the_published_counts(name, tied, count):
    assert models.parameter_count(replace(models.PRESETS[name], tied=tied)) == count


@pytest.mark.parametrize("name", models.PRESETS)
def test_counts_are_those_of_the_model_itself(name):
    with torch.device("meta"):
        made = LlamaForCausalLM(models.configuration(models.PRESETS[name]))
    made.tie_weights()
    assert models.parameter_count(models.PRESETS[name]) == sum(one.numel() for one in made.parameters())


def test_presets_are_what_they_are_called():
    assert models.parameter_count(models.PRESETS["micro"]) >= 2_000_000
    assert models.PRESETS["135m"].tied
    assert not models.PRESETS["1b"].tied
    assert models.PRESETS["135m"].init_std == pytest.approx(0.041667, abs=1e-6)  # what SmolLM2-135M publishes


def test_tying_is_what_the_settings_say():
    for tied in (True, False):
        model = models.build(replace(SHAPE, tied=tied), 0)
        assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
        assert model.config.tie_word_embeddings == tied
        assert model.config.rope_parameters["rope_theta"] == SHAPE.rope_theta


def test_initialisation_is_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first = models.build(SHAPE, 3).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = models.build(SHAPE, 3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], models.build(SHAPE, 4).model.embed_tokens.weight)
    assert first["model.embed_tokens.weight"].std().item() == pytest.approx(SHAPE.init_std, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "named"), [({"heads": 3}, "hidden"), ({"kv_heads": 3, "heads": 4}, "heads"), ({"hidden": 6}, "odd")]
)
def test_impossible_shapes_are_refused(changes, named):
    with pytest.raises(WrongUse, match=named):
        replace(SHAPE, **changes)


CPU = torch.device("cpu")


def batch():
    return torch.randint(0, SHAPE.vocabulary, (3, 17), generator=torch.Generator().manual_seed(0))


def gradients(model, dropout):
    model.zero_grad()
    with installed(model, dropout) as masks:
        masks.at(0, 0, 0, 3, CPU)
        loss = LossOf(model).train()(batch())
        loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in model.parameters()]


def test_dropout_of_zero_is_no_dropout_bit_for_bit():
    model = models.build(SHAPE, 0)
    model.train()
    plain = LossOf(model)(batch())
    plain.backward()
    wanted = [parameter.grad.clone() for parameter in model.parameters()]
    loss, found = gradients(model, everywhere(0.0))
    assert torch.equal(loss, plain)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("site", ["embed", "attn", "resid", "mlp"])
def test_each_site_drops_in_training_only_and_is_removed_after(site):
    model = models.build(SHAPE, 0)
    plain, _ = gradients(model, Dropout())
    dropped, _ = gradients(model, Dropout(**{site: 0.3}))
    assert dropped != plain
    again, _ = gradients(model, Dropout())
    assert torch.equal(again, plain)
    with installed(model, Dropout(**{site: 0.3})), torch.no_grad():
        assert torch.equal(LossOf(model).eval()(batch()), LossOf(model).eval()(batch()))


def test_sites_are_where_the_docstring_says():
    model = models.build(SHAPE, 0)
    seen = {}
    for name, site in (("embed", model.model.embed_tokens), ("resid", model.model.layers[0].mlp.down_proj)):
        site.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: (inputs[0], output)}))
    model.train()
    with installed(model, everywhere(0.5)) as masks:
        masks.at(0, 0, 0, 3, CPU)
        LossOf(model)(batch())
    plain = model.model.embed_tokens.weight[batch()[:, :-1]]
    assert torch.equal(seen["embed"][1], plain)  # our hook runs after this one, so this one saw no dropout yet
    assert 0.3 < (seen["resid"][0] == 0).float().mean() < 0.7  # the gated activations, dropped on their way in


@pytest.mark.parametrize(("tokens", "vocabulary"), [(5, 7), (256, 50), (700, 1000)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_chunked_cross_entropy_is_the_plain_one(tokens, vocabulary, scale):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, 12, generator=generator, requires_grad=True)
    weight = (torch.randn(vocabulary, 12, generator=generator) * scale).requires_grad_()
    labels = torch.randint(0, vocabulary, (tokens,), generator=generator)
    plain = torch.nn.functional.cross_entropy(hidden @ weight.t(), labels)
    wanted = torch.autograd.grad(3 * plain, (hidden, weight))
    ours = mean_loss(hidden, weight, labels)
    found = torch.autograd.grad(3 * ours, (hidden, weight))
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6 * scale)
    assert token_losses(hidden, weight, labels).mean().item() == pytest.approx(plain.item(), rel=1e-5)


def test_no_tensor_of_all_logits_exists():
    tokens, vocabulary = 4096, 512
    hidden = torch.randn(tokens, 8, requires_grad=True)
    weight = torch.randn(vocabulary, 8, requires_grad=True)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor):
                largest = max(largest, found.numel())
            return found

    with Watch():
        mean_loss(hidden, weight, torch.zeros(tokens, dtype=torch.int64)).backward()
    assert largest <= tokens * vocabulary // 8


def test_loss_is_that_of_transformers():
    model = models.build(SHAPE, 0)
    windows = batch()
    logits = model(input_ids=windows[:, :-1]).logits
    plain = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="none")
    assert LossOf(model).train()(windows).item() == pytest.approx(plain.mean().item(), rel=1e-6)
    sums = LossOf(model).eval()(windows)
    assert torch.allclose(sums, plain.double().view(3, -1).sum(1), rtol=1e-6)


def test_a_saved_model_opens_with_transformers(tmp_path):
    for tied in (True, False):
        model = models.build(replace(SHAPE, tied=tied), 0).eval()
        checkpoints.save_model(tmp_path, model, checkpoints.weights(model))
        for opened in (
            AutoModelForCausalLM.from_pretrained(tmp_path),
            checkpoints.load_model(tmp_path, replace(SHAPE, tied=tied)),
        ):
            assert torch.equal(opened.eval()(batch()).logits, model(batch()).logits)
            assert (opened.lm_head.weight is opened.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_made_of_weights_is_the_model_they_are_of(tied):
    shape = replace(SHAPE, tied=tied)
    model = models.build(shape, 3)
    held = checkpoints.weights(model)
    drawn = torch.random.get_rng_state()
    made = models.assembled(shape, held)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert (made.lm_head.weight is made.model.embed_tokens.weight) == tied
    assert [name for name, _ in made.named_parameters()] == [name for name, _ in model.named_parameters()]
    ids = torch.arange(10)[None]
    assert torch.equal(made(ids).logits, model(ids).logits)
    assert all(p.requires_grad and p.device.type == "cpu" for p in made.parameters())
    with torch.no_grad():
        made.model.norm.weight.add_(1)
    assert torch.equal(held["model.norm.weight"], model.model.norm.weight), "the weights are copies"


def test_fast_products_keep_float32():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(128, 96, generator=generator), torch.randn(96, 80, generator=generator)
    exact = left.double() @ right.double()
    before = torch.backends.mkldnn.matmul.fp32_precision
    with fast_products():
        assert (left @ right - exact).abs().max() < 1e-4
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (3, 1)])
def test_attention_in_two_products_is_the_usual_one(heads):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(3, count, 20, 8, generator=generator, requires_grad=True)
        for count in (heads[0], heads[1], heads[1])
    )
    upstream = torch.randn(3, 20, heads[0], 8, generator=generator)
    found, _ = two_products(None, query, key, value, None, scaling=0.3)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    assert torch.allclose(found, wanted, atol=1e-6)
    for a, b in zip(
        torch.autograd.grad(found, (query, key, value), upstream),
        torch.autograd.grad(wanted, (query, key, value), upstream),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-5)


def test_fast_changes_rounding_only_and_is_undone():
    model = models.build(SHAPE, 0).eval()
    usual, name = model(batch()).logits, model.config._attn_implementation
    with fast(model):
        quick = model(batch()).logits
        generated = model.generate(batch()[:1, :4], max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert torch.allclose(quick, usual, atol=1e-5)
    assert model.config._attn_implementation == name == "sdpa"
    assert torch.equal(generated, model.generate(batch()[:1, :4], max_new_tokens=4, do_sample=False, pad_token_id=0))
