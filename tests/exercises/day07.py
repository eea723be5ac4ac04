"""Answers to the exercises of day 7: other right ones, and wrong ones that are really given."""

import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F


def windows_of(images, k):
    return images.unfold(2, k, 1).unfold(3, k, 1)


def conv_by_matrix_product(images, kernels):
    k = kernels.shape[-1]
    b, _, h, w = images.shape
    columns = F.unfold(images, k)  # [B, C k k, H' W']
    return (kernels.flatten(1) @ columns).reshape(b, len(kernels), h - k + 1, w - k + 1)


def conv_by_broadcasting(images, kernels):
    products = windows_of(images, kernels.shape[-1]).unsqueeze(1) * kernels[:, :, None, None]
    return products.sum(dim=(2, 5, 6))


def conv_turned_round(images, kernels):
    return conv_by_broadcasting(images, kernels.flip(2, 3))


def conv_transposed_window(images, kernels):
    return torch.einsum("bchwij,ocji->bohw", windows_of(images, kernels.shape[-1]), kernels)


def conv_with_loops(images, kernels):
    k = kernels.shape[-1]
    h, w = images.shape[2] - k + 1, images.shape[3] - k + 1
    out = torch.zeros(len(images), len(kernels), h, w)
    for i in range(h):
        for j in range(w):
            out[:, :, i, j] = torch.einsum("bcij,ocij->bo", images[:, :, i : i + k, j : j + k], kernels)
    return out


def conv_of_pytorch(images, kernels):
    return F.conv2d(images, kernels)


def conv_averaging_channels(images, kernels):
    return conv_by_broadcasting(images, kernels) / images.shape[1]


def conv_averaging_window(images, kernels):
    return conv_by_broadcasting(images, kernels) / kernels.shape[-1] ** 2


def conv_in_a_local_name(images, kernels):
    convolution = torch.einsum("bchwij,ocij->bohw", windows_of(images, kernels.shape[-1]), kernels)
    return convolution


def conv_transposed(images, kernels):
    return F.conv_transpose2d(images, kernels.flip(2, 3).transpose(0, 1), padding=kernels.shape[-1] - 1)


def conv_by_a_helper(images, kernels):
    return conv_with_loops(images, kernels)


class ConvWithLoops:
    def __call__(self, images, kernels):
        return conv_with_loops(images, kernels)


def conv_row_by_row(images, kernels):
    windows = windows_of(images, kernels.shape[-1])
    return sum(torch.einsum("bchwj,ocj->bohw", windows[..., i, :], kernels[:, :, i]) for i in range(kernels.shape[-1]))


def conv_cut_off(images, kernels):
    return conv_by_broadcasting(images.detach(), kernels)


def size(n, window, padding=0, stride=1):
    if window > n + 2 * padding:
        raise ValueError("the window does not fit")
    return len(range(0, n + 2 * padding - window + 1, stride))


def size_padded_once(n, window, padding=0, stride=1):
    if window > n + padding:
        raise ValueError
    return (n + padding - window) // stride + 1


def size_one_short(n, window, padding=0, stride=1):
    return (n + 2 * padding - window) // stride


def size_rounded_up(n, window, padding=0, stride=1):
    return -(-(n + 2 * padding - window) // stride) + 1


def size_unchecked(n, window, padding=0, stride=1):
    return (n + 2 * padding - window) // stride + 1


def lenet(side=13, last=(), bend=nn.ReLU, padding=0, dims=1):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=padding), bend(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=padding), bend(), nn.MaxPool2d(2),
        nn.Flatten(dims), nn.Linear(16 * side * side, 120), bend(), nn.Linear(120, 84), bend(),
        nn.Linear(84, 10), *last,
    )  # fmt: skip


def lenet_with_tanh():
    return lenet(bend=nn.Tanh)


class LeNetComputed(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(1, 6, 5), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.GELU())
        count = F.avg_pool2d(self.maps(torch.zeros(1, 1, 64, 64)), 2).numel()
        self.decide = nn.Sequential(nn.Linear(count, 120), nn.GELU(), nn.Linear(120, 84), nn.GELU(), nn.Linear(84, 10))

    def forward(self, x):
        return self.decide(F.avg_pool2d(self.maps(x), 2).flatten(1))


def lenet_as_it_was():
    return lenet(side=5)


def lenet_padded():
    return lenet(side=16, padding=2)


def lenet_with_softmax():
    return lenet(last=[nn.Softmax(dim=1)])


def lenet_without_bends():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(16 * 13 * 13, 120), nn.Linear(120, 84), nn.Linear(84, 10),
    )  # fmt: skip


class LeNetPooledToFixedSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = lenet(side=5)
        self.net[5] = nn.AdaptiveMaxPool2d(5)

    def forward(self, x):
        return self.net(x)


def lenet_in_place():
    return lenet(bend=lambda: nn.ReLU(inplace=True))


class General(nn.Module):
    def __init__(self, side=32):
        super().__init__()
        n = ((side - 4) // 2 - 4) // 2
        # made from the last to the first
        self.fc3, self.fc2, self.fc1 = nn.Linear(84, 10), nn.Linear(120, 84), nn.Linear(16 * n * n, 120)
        self.conv2, self.conv1 = nn.Conv2d(6, 16, 5), nn.Conv2d(1, 6, 5)

    def pooled(self, x):
        return F.max_pool2d(x.relu(), 2)

    def last(self, x):
        return x

    def forward(self, x):
        x = self.pooled(self.conv2(self.pooled(self.conv1(x)))).flatten(1)
        return self.last(self.fc3(self.fc2(self.fc1(x).relu()).relu()))


class Child(General):
    def __init__(self):
        super().__init__(side=64)


class EndsInReLU(Child):
    def last(self, x):
        return x.relu()


class EndsInSigmoid(Child):
    def last(self, x):
        return x.sigmoid()


class AlwaysDrops(Child):
    def pooled(self, x):
        return F.dropout(F.max_pool2d(x.relu(), 2), 0.5)


class DropsInTraining(Child):
    def pooled(self, x):
        return F.dropout(F.max_pool2d(x.relu(), 2), 0.5, self.training)


class Strides(Child):
    def pooled(self, x):
        return x.relu()[..., ::2, ::2]


class LargerWindows(Child):
    def pooled(self, x):
        return F.max_pool2d(x.relu(), 3, 2, padding=1)


SHARED = lenet()


def lenet_made_once():
    return SHARED


def flow(model, x, y, measure=lambda g: g.abs().mean(), clear=True, least=2, reduction="mean"):
    if clear:
        for p in model.parameters():
            p.grad = None
    F.cross_entropy(model(x), y, reduction=reduction).backward()
    return [(name, measure(p.grad).item()) for name, p in model.named_parameters() if p.dim() >= least]


def flow_without_storing(model, x, y):
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    grads = torch.autograd.grad(-model(x).log_softmax(1)[torch.arange(len(y)), y].mean(), list(weights.values()))
    return tuple((name, float(g.abs().mean())) for name, g in zip(weights, grads, strict=True))


def flow_signed(model, x, y):
    return flow(model, x, y, lambda g: g.mean())


def flow_of_norms(model, x, y):
    return flow(model, x, y, lambda g: g.norm())


def flow_with_biases(model, x, y):
    return flow(model, x, y, least=1)


def flow_on_top_of_the_old(model, x, y):
    return flow(model, x, y, clear=False)


def flow_of_sums(model, x, y):
    return flow(model, x, y, reduction="sum")


def flow_of_weights(model, x, y):
    return [(name, p.abs().mean().item()) for name, p in model.named_parameters() if p.dim() > 1]


def flow_of_matrices(model, x, y):
    return [pair for pair, p in zip(flow(model, x, y, least=0), model.parameters(), strict=True) if p.dim() == 2]


def flow_by_name(model, x, y):
    return [(name, size) for name, size in flow(model, x, y, least=0) if name.endswith("weight") and "1." not in name]


def switched_by_the_largest_of_all(logits, one_hot):
    z = logits - logits.max()
    return (z.exp().sum(1).log() - (z * one_hot).sum(1)).mean()


def switched_and_cut_off(logits, one_hot):
    return F.cross_entropy(logits.detach(), one_hot)


def switched_naively(logits, one_hot):
    return (logits.exp().sum(1).log() - (logits * one_hot).sum(1)).mean()


def switched_by_probabilities(logits, one_hot):
    return F.cross_entropy(logits, one_hot)


def switched_by_hand(logits, one_hot):
    return -(one_hot * logits.log_softmax(dim=1)).sum(dim=1).mean()


def switched_through_probabilities(logits, one_hot):
    return -(one_hot * logits.softmax(dim=1).log()).sum(dim=1).mean()


def switched_and_clamped(logits, one_hot):
    return -(one_hot * logits.softmax(dim=1).clamp(min=1e-44).log()).sum(dim=1).mean()


def compared(logits, labels, losses, measure=lambda g: g.norm().item()):
    result = {}
    for name, loss in losses.items():
        z = logits.detach().clone().requires_grad_()
        value = loss(z, labels)
        value.backward()
        result[name] = (value.item(), measure(z.grad))
    return result


def compared_by_square_root(logits, labels, losses):
    return compared(logits, labels, losses, lambda g: g.square().sum().sqrt().item())


def compared_on_one_leaf(logits, labels, losses):
    z = logits.detach().clone().requires_grad_()
    result = {}
    for name, loss in losses.items():
        value = loss(z, labels)
        value.backward()
        result[name] = (value.item(), z.grad.norm().item())
    return result


def compared_in_place(logits, labels, losses):
    logits.requires_grad_()
    result = {}
    for name, loss in losses.items():
        logits.grad = None
        value = loss(logits, labels)
        value.backward()
        result[name] = (value.item(), logits.grad.norm().item())
    return result


def compared_by_mean(logits, labels, losses):
    return compared(logits, labels, losses, lambda g: g.abs().mean().item())


def compared_by_square(logits, labels, losses):
    return compared(logits, labels, losses, lambda g: g.square().sum().item())


ANSWERS = {
    "day07.conv2d": Answers(
        right=[conv_by_matrix_product, conv_by_broadcasting, conv_in_a_local_name],
        wrong=[
            (conv_turned_round, "turned round"),
            (conv_transposed_window, "rows and columns of the window"),
            (conv_with_loops, "still a loop"),
            (conv_by_a_helper, "still a loop"),
            (ConvWithLoops(), "still a loop"),
            (conv_row_by_row, "still a loop"),
            (conv_of_pytorch, "already there"),
            (conv_transposed, "already there"),
            (conv_averaging_channels, "mean over the channels"),
            (conv_averaging_window, "mean over the window"),
            (conv_cut_off, "not the gradient"),
        ],
    ),
    "day07.output_size": Answers(
        right=[size],
        wrong=[
            (size_padded_once, "it counts twice"),
            (size_one_short, "One is missing"),
            (size_rounded_up, "rounded up"),
            (size_unchecked, "raise a ValueError"),
        ],
    ),
    "day07.lenet64": Answers(
        right=[lenet_with_tanh, LeNetComputed, lenet_in_place, Child],
        wrong=[
            (lenet_as_it_was, "mat1 and mat2 shapes"),
            (lenet_padded, "keeps them without padding"),
            (lenet_with_softmax, "softmaxed"),
            (lenet_without_bends, "nothing bends between"),
            (LeNetPooledToFixedSize, "13 x 13 arrive"),
            (EndsInReLU, "something comes after"),
            (EndsInSigmoid, "something comes after"),
            (AlwaysDrops, "other logits the second time"),
            (DropsInTraining, "other logits the second time"),
            (Strides, "thrown away unseen"),
            (LargerWindows, "more than one window"),
            (lenet_made_once, "shares its memory"),
        ],
    ),
    "day07.gradient_flow": Answers(
        right=[flow, flow_without_storing],
        wrong=[
            (flow_signed, "or signs cancel"),
            (flow_of_norms, "That is the norm"),
            (flow_with_biases, "biases are in the list"),
            (flow_on_top_of_the_old, "clear them first"),
            (flow_of_sums, "summed over the batch"),
            (flow_of_weights, "size of the weights"),
            (flow_of_matrices, "the names"),
            (flow_by_name, "the names"),
        ],
    ),
    "day07.switched_loss": Answers(
        right=[switched_by_probabilities, switched_by_hand],
        wrong=[
            (switched_by_the_largest_of_all, "of the whole batch was subtracted"),
            (switched_and_cut_off, "no gradient flows back"),
            (switched_naively, "beyond a float"),
            (switched_through_probabilities, "beyond a float"),
            (switched_and_clamped, "beyond a float"),
        ],
    ),
    "day07.compare_losses": Answers(
        right=[compared, compared_by_square_root],
        wrong=[
            (compared_on_one_leaf, "pile up"),
            (compared_in_place, "changes its input `logits`"),
            (compared_by_mean, "mean size of the gradient"),
            (compared_by_square, "square of the norm"),
        ],
    ),
}
