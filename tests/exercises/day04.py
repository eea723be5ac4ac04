"""Answers to the exercises of day 4: other right ones, and wrong ones that are really given."""

from itertools import pairwise

import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F

SHAPES = [(5, 7, 3), (4, 8, 28, 28), (4, 6, 50), (4, 8, 14, 7), (4, 8, 1, 1), (1, 4, 20)]


def with_shape(number, shape):
    return [*SHAPES[: number - 1], shape, *SHAPES[number:]]


def parameters_by_module(model):
    counts = {}
    for name, module in model.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        if own:
            counts[name] = own
            print(name, "has", own)
    return counts


def parameters_silent(model):
    return {n: c for n, m in model.named_modules() if (c := sum(p.numel() for p in m.parameters(recurse=False)))}


def parameters_of_tensors(model):
    return {name: p.numel() for name, p in model.named_parameters()}


def parameters_replaced(model):
    return {name.rpartition(".")[0]: p.numel() for name, p in model.named_parameters()}


def parameters_of_weights(model):
    return {n.removesuffix(".weight"): p.numel() for n, p in model.named_parameters() if n.endswith("weight")}


def parameters_of_all_modules(model):
    return {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_modules()}


def parameters_of_children(model):
    return {n: c for n, m in model.named_children() if (c := sum(p.numel() for p in m.parameters()))}


def parameters_with_buffers(model):
    counts = {}
    for name, value in model.state_dict().items():
        layer = name.rpartition(".")[0]
        counts[layer] = counts.get(layer, 0) + value.numel()
    return counts


def trainable_in_a_loop(model):
    counts = [0, 0]
    for p in model.parameters():
        counts[not p.requires_grad] += p.numel()
    return counts


def trainable_by_grad(model):
    trained = sum(p.numel() for p in model.parameters() if p.grad is not None)
    return trained, sum(p.numel() for p in model.parameters() if p.grad is None)


def trainable_after_a_pass(model):
    for p in model.parameters():
        p.requires_grad = p.requires_grad and p.ndim > 1
    return trainable_in_a_loop(model)


def trainable_printed(model):
    print(trainable_in_a_loop(model))


def norm_over(grouped, dims, correction=0):
    mean = grouped.mean(dims, keepdim=True)
    return (grouped - mean) / (grouped.var(dims, correction=correction, keepdim=True) + 1e-5).sqrt()


def norm_by_chunks(x, groups):
    return torch.cat([norm_over(chunk, (1, 2)) for chunk in x.chunk(groups, dim=1)], dim=1)


def norm_by_unflatten(x, groups):
    return norm_over(x.unflatten(1, (groups, -1)), (2, 3)).flatten(1, 2)


def norm_unbiased(x, groups):
    return norm_over(x.unflatten(1, (groups, -1)), (2, 3), correction=1).flatten(1, 2)


def norm_over_samples_too(x, groups):
    return norm_over(x.unflatten(1, (groups, -1)), (0, 2, 3)).flatten(1, 2)


def norm_of_channels(x, groups):
    return norm_over(x, (2,))


def norm_of_everything(x, groups):
    return norm_over(x, (1, 2))


def norm_interleaved(x, groups):
    return norm_over(x.unflatten(1, (-1, groups)), (1, 3)).flatten(1, 2)


def norm_by_variance(x, groups):
    grouped = x.unflatten(1, (groups, -1))
    variance, mean = torch.var_mean(grouped, (2, 3), correction=0, keepdim=True)
    return ((grouped - mean) / (variance + 1e-5)).flatten(1, 2)


def norm_without_eps(x, groups):
    grouped = x.unflatten(1, (groups, -1))
    variance, mean = torch.var_mean(grouped, (2, 3), correction=0, keepdim=True)
    return ((grouped - mean) / variance.sqrt()).flatten(1, 2)


def norm_left_in_groups(x, groups):
    return norm_over(x.unflatten(1, (groups, -1)), (2, 3))


def dropout_before_the_bend(first, second, x, p, runs):
    net = nn.Sequential(first, nn.Dropout(p), nn.ReLU(), second).train()
    outputs = [net(x)[None] for _ in range(runs)]
    return torch.cat(outputs), net.eval()(x)


def dropout_by_hand(first, second, x, p, runs):
    hidden = first(x).clamp(min=0)
    lots = (torch.rand(runs, *hidden.shape) >= p) / (1 - p)
    return second(hidden * lots), second(hidden)


def dropout_unscaled(first, second, x, p, runs):
    hidden = first(x).relu()
    lots = (torch.rand(runs, *hidden.shape) >= p).float()
    return second(hidden * lots), second(hidden)


def dropout_of_the_output(first, second, x, p, runs):
    net = nn.Sequential(first, nn.ReLU(), second, nn.Dropout(p))
    return torch.stack([net(x) for _ in range(runs)]), net.eval()(x)


def dropout_of_the_input(first, second, x, p, runs):
    net = nn.Sequential(nn.Dropout(p), first, nn.ReLU(), second)
    return torch.stack([net(x) for _ in range(runs)]), net.eval()(x)


def dropout_in_evaluation_mode(first, second, x, p, runs):
    net = nn.Sequential(first, nn.ReLU(), nn.Dropout(p), second).eval()
    return torch.stack([net(x) for _ in range(runs)]), net(x)


def dropout_always_on(first, second, x, p, runs):
    def net():
        return second(F.dropout(first(x).relu(), p))

    return torch.stack([net() for _ in range(runs)]), net()


def dropout_keeping_p(first, second, x, p, runs):
    return dropout_before_the_bend(first, second, x, 1 - p, runs)


def dropout_without_a_bend(first, second, x, p, runs):
    net = nn.Sequential(first, nn.Dropout(p), second)
    return torch.stack([net(x) for _ in range(runs)]), net.eval()(x)


def dropout_turned_round(first, second, x, p, runs):
    return dropout_before_the_bend(first, second, x, p, runs)[::-1]


def predict_at_least_2d(model, x):
    mode = model.training
    model.train(False)
    out = model(torch.atleast_2d(x)).detach()
    model.train(mode)
    return out.reshape(*x.shape[:-1], -1)


def predict_in_training_mode(model, x):
    with torch.no_grad():
        return model(x) if x.ndim == 2 else model(x[None])[0]


def predict_left_in_eval(model, x):
    model.eval()
    return predict_in_training_mode(model, x)


def predict_without_a_batch(model, x):
    mode = model.training
    model.eval()
    out = model(x)
    model.train(mode)
    return out


def predict_keeping_the_batch(model, x):
    return predict_without_a_batch(model, torch.atleast_2d(x))


def predict_squeezed(model, x):
    return predict_keeping_the_batch(model, x).squeeze()


class NormedByList(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(size) for size in sizes[1:-1]])

    def forward(self, x):
        for linear, norm in zip(self.linears[:-1], self.norms, strict=True):
            x = F.relu(norm(linear(x)))
        return self.linears[-1](x)


class NormedByPlainList(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = list(normed(sizes))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def normed(sizes, order=("linear", "norm", "bend"), last=()):
    layers = []
    for a, b in pairwise(sizes[:-1]):
        made = {"linear": nn.Linear(a, b), "norm": nn.BatchNorm1d(b), "bend": nn.ReLU()}
        layers += [made[name] for name in order]
    made = {"norm": nn.BatchNorm1d(sizes[-1]), "bend": nn.ReLU()}
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]), *(made[name] for name in last))


def normed_without_norms(sizes):
    return normed(sizes, ("linear", "bend"))


def normed_after_the_bend(sizes):
    return normed(sizes, ("linear", "bend", "norm"))


def normed_to_the_end(sizes):
    return normed(sizes, last=("norm",))


def normed_and_cut_off(sizes):
    return normed(sizes, last=("bend",))


def normed_without_bends(sizes):
    return normed(sizes, ("linear", "norm"))


def normed_by_one_norm(sizes):
    net = normed(sizes)
    shared = {}
    layers = [shared.setdefault(m.num_features, m) if isinstance(m, nn.BatchNorm1d) else m for m in net]
    return nn.Sequential(*layers)


def losses(model, batches, x_val, y_val, epochs, rate, *, clear=True, step=True, evaluate=True, back=True, number=True):
    history = []
    model.train()
    for _ in range(epochs):
        if back:
            model.train()
        seen = []
        for x, y in batches:
            loss = nn.MSELoss()(model(x), y)
            if clear:
                model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= rate * p.grad if step else 0
            seen += [loss if not number else loss.item()] * len(y)
        if evaluate:
            model.eval()
        with torch.no_grad():
            validation = (model(x_val) - y_val).square().mean().item()
        history.append((sum(seen) / len(seen), validation))
    return history


def losses_by_hand(model, batches, x_val, y_val, epochs, learning_rate):
    return losses(model, batches, x_val, y_val, epochs, learning_rate)


def losses_of_batches(model, batches, x_val, y_val, epochs, learning_rate):
    history = []
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    for _ in range(epochs):
        model.train()
        each = []
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            each.append(loss.item())
        model.eval()
        with torch.no_grad():
            history.append((sum(each) / len(each), F.mse_loss(model(x_val), y_val).item()))
    return history


def losses_without_zero_grad(model, batches, x_val, y_val, epochs, learning_rate):
    return losses(model, batches, x_val, y_val, epochs, learning_rate, clear=False)


def losses_without_a_step(model, batches, x_val, y_val, epochs, learning_rate):
    return losses(model, batches, x_val, y_val, epochs, learning_rate, step=False)


def losses_without_eval(model, batches, x_val, y_val, epochs, learning_rate):
    return losses(model, batches, x_val, y_val, epochs, learning_rate, evaluate=False)


def losses_never_back(model, batches, x_val, y_val, epochs, learning_rate):
    return losses(model, batches, x_val, y_val, epochs, learning_rate, back=False)


def losses_on_graphs(model, batches, x_val, y_val, epochs, learning_rate):
    return losses(model, batches, x_val, y_val, epochs, learning_rate, number=False)


def losses_turned_round(model, batches, x_val, y_val, epochs, learning_rate):
    return [pair[::-1] for pair in losses(model, batches, x_val, y_val, epochs, learning_rate)]


ANSWERS = {
    "day04.predict_shapes": Answers(
        right=[tuple(SHAPES), [torch.Size(shape) for shape in SHAPES]],
        wrong=[
            (with_shape(1, (5, 3)), "last dimension alone"),
            (with_shape(2, (4, 8, 27, 27)), "the first one counts too"),
            (with_shape(2, (4, 3, 28, 28)), "changes the channels"),
            (with_shape(3, (4, 6, 48)), "50 became 52"),
            (with_shape(4, (4, 8, 14, 8)), "room for 7"),
            (with_shape(5, (4, 8)), "flatten would take"),
            (with_shape(6, (4, 7, 20)), "a note after every word"),
            (with_shape(6, (4, 1, 20)), "The layers come first"),
            (SHAPES[:5], "six shapes are asked for, and 5 came"),
        ],
    ),
    "day04.layer_parameters": Answers(
        right=[parameters_by_module],
        wrong=[
            (parameters_silent, "is to be printed"),
            (parameters_of_tensors, "count per tensor"),
            (parameters_replaced, "replaces an earlier one"),
            (parameters_of_weights, "Only the weights"),
            (parameters_of_all_modules, "Containers are listed"),
            (parameters_of_children, "outermost level"),
            (parameters_with_buffers, "buffers, not parameters"),
        ],
    ),
    "day04.count_trainable": Answers(
        right=[trainable_in_a_loop],
        wrong=[
            (trainable_by_grad, "stands in `requires_grad`"),
            (trainable_after_a_pass, "Its `requires_grad` are not as before"),
            (trainable_printed, "Is a `return` missing?"),
        ],
    ),
    "day04.group_norm": Answers(
        right=[norm_by_chunks, norm_by_unflatten],
        wrong=[
            (norm_unbiased, "divides by n - 1"),
            (norm_over_samples_too, "taken over the samples too"),
            (norm_of_channels, "InstanceNorm"),
            (norm_of_everything, "LayerNorm"),
            (norm_interleaved, "Neighbouring channels"),
            (norm_by_variance, "divides by the variance"),
            (norm_without_eps, "Epsilon is missing"),
            (norm_left_in_groups, "bring it back"),
        ],
    ),
    "day04.dropout_effect": Answers(
        right=[dropout_before_the_bend, dropout_by_hand],
        wrong=[
            (dropout_unscaled, "not enlarged"),
            (dropout_of_the_output, "output itself was dropped"),
            (dropout_of_the_input, "The input was dropped"),
            (dropout_in_evaluation_mode, "does nothing in evaluation mode"),
            (dropout_always_on, "still in training mode"),
            (dropout_keeping_p, "not the share that stays"),
            (dropout_without_a_bend, "The ReLU is missing"),
            (dropout_turned_round, "training mode first"),
        ],
    ),
    "day04.predict": Answers(
        right=[predict_at_least_2d],
        wrong=[
            (predict_in_training_mode, "needs company"),
            (predict_left_in_eval, "put it back"),
            (predict_without_a_batch, "expected a batch"),
            (predict_keeping_the_batch, "has to come out again"),
            (predict_squeezed, "stays a batch"),
        ],
    ),
    "day04.normed_network": Answers(
        right=[NormedByList],
        wrong=[
            (normed_without_norms, "no BatchNorm1d"),
            (normed_after_the_bend, "after the ReLU"),
            (normed_to_the_end, "the answer itself is normalised"),
            (normed_and_cut_off, "cut off every negative"),
            (normed_without_bends, "without a bend"),
            (normed_by_one_norm, "one BatchNorm1d serves"),
            (NormedByPlainList, "plain list"),
        ],
    ),
    "day04.log_losses": Answers(
        right=[losses_by_hand],
        wrong=[
            (losses_of_batches, "weigh by samples"),
            (losses_without_zero_grad, "never cleared"),
            (losses_without_a_step, "does not learn"),
            (losses_without_eval, "measured in training mode"),
            (losses_never_back, "call model.train() in every one"),
            (losses_on_graphs, "hang on their graphs"),
            (losses_turned_round, "The order in each pair"),
        ],
    ),
}
