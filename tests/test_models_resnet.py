"""Residual blocks and networks: shapes, an oracle, and what they say to a wrong batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nnlab_helpers.models import ResidualBlock, ResNet, count_parameters


@pytest.mark.parametrize(("channels", "stride"), [((4, 4), 1), ((4, 6), 1), ((4, 4), 2), ((4, 6), 2), ((6, 4), 3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore")  # of importing torchvision
def test_a_block_is_torchvisions(channels, stride, training):
    from torchvision.models.resnet import BasicBlock

    torch.manual_seed(0)
    before, after = channels
    ours = ResidualBlock(before, after, stride).train(training)
    projection = None
    if stride != 1 or before != after:
        projection = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
    theirs = BasicBlock(before, after, stride, projection).train(training)
    names = {"f.0": "conv1", "f.1": "bn1", "f.3": "conv2", "f.4": "bn2", "shortcut": "downsample"}
    state = {}
    for key, value in ours.state_dict().items():
        old = next(name for name in names if key.startswith(f"{name}."))
        state[names[old] + key.removeprefix(old)] = value
    theirs.load_state_dict(state)
    x = torch.randn(3, before, 7, 8)
    torch.testing.assert_close(ours(x), theirs(x))


def test_without_its_correction_a_block_is_the_relu_of_its_input():
    block = ResidualBlock(5, 5)
    nn.init.zeros_(block.f[-1].weight)
    x = torch.randn(2, 5, 6, 6)
    assert torch.equal(block(x), x.relu())
    plain = ResidualBlock(5, 5, skip=False)
    nn.init.zeros_(plain.f[-1].weight)
    assert (plain(x) == 0).all(), "nothing crosses a plain block but through its convolutions"


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (14, 14), (28, 28), (9, 16)])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_any_size_of_image(size, stem_stride):
    model = ResNet(3, num_classes=7, channels=(4, 8), stem_stride=stem_stride).eval()
    assert model(torch.zeros(2, 3, *size)).shape == (2, 7)


def test_stages_halve_and_blocks_count():
    model = ResNet(channels=(4, 6, 8), blocks=2)
    sizes = []
    for block in model.stages:
        block.register_forward_hook(lambda block, given, out: sizes.append(tuple(out.shape[1:])))
    model(torch.zeros(2, 1, 14, 14))
    assert sizes == [(4, 14, 14), (4, 14, 14), (6, 7, 7), (6, 7, 7), (8, 4, 4), (8, 4, 4)]
    kinds = [type(block.shortcut).__name__ for block in model.stages]
    assert kinds == ["Identity", "Identity", "Sequential", "Identity", "Sequential", "Identity"]


def test_the_plain_twin_lacks_the_projections_alone():
    skip, plain = ResNet(channels=(4, 6)), ResNet(channels=(4, 6), skip=False)
    assert count_parameters(skip) - count_parameters(plain) == 4 * 6 + 2 * 6
    assert all(block.shortcut is None for block in plain.stages)


def test_every_weight_hears_the_loss():
    model = ResNet(channels=(4, 6))
    model(torch.randn(4, 1, 14, 14)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ResidualBlock(0, 4), "at least one channel"),
        (lambda: ResidualBlock(4, 4, stride=0), "stride of 1 or more"),
        (lambda: ResidualBlock(4, 4)(torch.zeros(2, 3, 5, 5)), r"\[N, 4, H, W\], got shape \[2, 3, 5, 5\]"),
        (lambda: ResNet(channels=()), "at least one stage"),
        (lambda: ResNet(channels=(4, 0)), r"channels \(4, 0\)"),
        (lambda: ResNet(blocks=0), "blocks 0"),
        (lambda: ResNet()(torch.zeros(14, 14)), r"\[N, 1, H, W\], got shape \[14, 14\]"),
        (lambda: ResNet()(torch.zeros(2, 3, 14, 14)), r"\[N, 1, H, W\]"),
    ],
)
def test_mistakes_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
