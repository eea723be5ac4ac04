"""Attention and the vision transformer: against PyTorch's own, what they do not see, errors that speak."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import SelfAttention, TransformerBlock, VisionTransformer, count_parameters


def pytorchs(ours, dim, heads):
    theirs = nn.MultiheadAttention(dim, heads, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    return theirs


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_multihead_attention(heads, causal):
    ours, x = SelfAttention(12, heads), torch.randn(4, 7, 12)
    mask = torch.ones(7, 7, dtype=torch.bool).tril() if causal else None
    hidden = None if mask is None else ~mask  # there True means "may not look"
    want, weights = pytorchs(ours, 12, heads)(x, x, x, attn_mask=hidden, average_attn_weights=False)
    torch.testing.assert_close(ours(x, mask), want)
    torch.testing.assert_close(ours.weights(x, mask), weights)


def test_attention_is_scaled_dot_product_attention():
    layer, x = SelfAttention(6, 1), torch.randn(3, 5, 6)
    q, k, v = layer.qkv(x).chunk(3, dim=2)
    torch.testing.assert_close(layer(x), layer.out(F.scaled_dot_product_attention(q, k, v)))


def test_a_mask_for_each_sample():
    layer, x = SelfAttention(8, 2), torch.randn(2, 4, 8)
    mask = torch.ones(2, 1, 1, 4, dtype=torch.bool)
    mask[1, ..., 3] = False
    weights = layer.weights(x, mask)
    assert (weights[1, ..., 3] == 0).all()
    assert (weights[0, ..., 3] > 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 4))
    torch.testing.assert_close(layer(x, mask)[1, :3], layer(x[1:, :3])[0])


def test_attention_does_not_see_the_order():
    layer, x, order = TransformerBlock(8, 2, 16), torch.randn(3, 6, 8), torch.randperm(6)
    torch.testing.assert_close(layer(x)[:, order], layer(x[:, order]))


def test_a_block_is_pytorchs_encoder_layer():
    ours = TransformerBlock(12, 3, 20)
    theirs = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    theirs.self_attn = pytorchs(ours.attention, 12, 3)
    theirs.norm1, theirs.norm2, theirs.linear1, theirs.linear2 = ours.norm1, ours.norm2, ours.mlp[0], ours.mlp[2]
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("pool", ["mean", "class"])
@pytest.mark.parametrize(("size", "patch", "channels"), [(28, 7, 1), (16, 4, 3), (8, 8, 1)])
def test_shapes(pool, size, patch, channels):
    model = VisionTransformer(size, patch, channels, 7, dim=12, heads=3, pool=pool)
    x = torch.rand(2, channels, size, size)
    tokens = (size // patch) ** 2 + (pool == "class")
    assert model(x).shape == (2, 7)
    assert model.tokens(x).shape == (2, tokens, 12)
    maps = model.attention_maps(x)
    assert maps.shape == (2, 2, 3, tokens, tokens)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 2, 3, tokens))


def test_embedding_patches_is_a_convolution_with_a_stride():
    model = VisionTransformer(12, 4, 3, dim=8, position_std=None)
    x = torch.rand(2, 3, 12, 12)
    conv = F.conv2d(x, model.embed.weight.view(8, 3, 4, 4), model.embed.bias, stride=4)
    torch.testing.assert_close(model.tokens(x), conv.flatten(2).mT)


def test_without_positions_places_do_not_matter_and_with_them_they_do():
    x = torch.rand(2, 1, 16, 16)
    rolled = x.roll(4, dims=3)  # whole patches move
    for std, alike in ((None, True), (1.0, False)):
        torch.manual_seed(0)
        model = VisionTransformer(16, 4, position_std=std)
        assert torch.allclose(model(x), model(rolled), atol=1e-5) == alike


def test_the_class_token_is_read_and_the_spread_of_positions_kept():
    model = VisionTransformer(28, 7, dim=64, pool="class", position_std=0.5)
    assert model.positions.std().item() == pytest.approx(0.5, rel=0.1)
    x = torch.rand(3, 1, 28, 28)
    before = model(x)
    model.class_token.data[..., ::2] += 1  # not all: a LayerNorm does not see a constant
    assert not torch.allclose(before, model(x), atol=1e-3)


def test_size():
    block = 4 * 32 * 33 + (32 * 64 + 64) + (64 * 32 + 32) + 4 * 32
    assert count_parameters(VisionTransformer()) == 49 * 32 + 32 + 16 * 32 + 2 * block + 64 + 330


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: SelfAttention(10, 4), "multiple of heads.*dim 10 and 4 heads"),
        (lambda: SelfAttention(0, 1), "multiple of heads"),
        (lambda: SelfAttention(8, 2)(torch.zeros(5, 8)), r"\[N, T, 8\], got shape \[5, 8\]"),
        (lambda: SelfAttention(8, 2)(torch.zeros(5, 3, 9)), r"\[N, T, 8\]"),
        (lambda: SelfAttention(8, 2)(torch.zeros(5, 3, 8), torch.zeros(3, 3)), "the mask is bool"),
        (
            lambda: SelfAttention(8, 2)(torch.zeros(5, 3, 8), torch.ones(4, 4, dtype=torch.bool)),
            r"\[5, 2, 3, 3\], got shape \[4, 4\]",
        ),
        (
            lambda: SelfAttention(8, 2).weights(torch.zeros(1, 3, 8), torch.ones(6, 1, 3, 3, dtype=torch.bool)),
            "must fit",
        ),
        (lambda: TransformerBlock(8, 2, 0), "mlp_width"),
        (lambda: VisionTransformer(28, 5), "patches of 5 pixels do not tile an image of 28"),
        (lambda: VisionTransformer(pool="max"), "unknown pool 'max'.*'mean', 'class'"),
        (lambda: VisionTransformer(depth=-1), "depth=-1"),
        (lambda: VisionTransformer(position_std=-1.0), "None for no positions"),
        (lambda: VisionTransformer(mlp_width=0), "mlp_width"),
        (lambda: VisionTransformer()(torch.zeros(2, 1, 32, 32)), r"\[N, 1, 28, 28\], got shape \[2, 1, 32, 32\]"),
    ],
)
def test_mistakes_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
