"""Checks of day 4: shapes, parameters, normalisation, dropout, batches, losses epoch by epoch."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, any_of, case, example_models, exercise

SHAPES: list[tuple[str, tuple[int, ...], dict[tuple[int, ...], str]]] = [
    (
        "nn.Linear(10, 3) on [5, 7, 10]",
        (5, 7, 3),
        {
            (5, 3): "Linear works on the last dimension alone; all those before it stay.",
            (35, 3): "Linear works on the last dimension alone; all those before it stay.",
            (3, 7, 10): "Linear works on the last dimension: which of the three is it?",
        },
    ),
    (
        "nn.Conv2d(3, 8, 5) on [4, 3, 32, 32]",
        (4, 8, 28, 28),
        {
            (4, 8, 27, 27): "A window of 5 has 32 - 5 + 1 positions: the first one counts too.",
            (4, 8, 32, 32): "Without padding the window does not reach over the edge: the picture gets smaller.",
            (4, 3, 28, 28): "A convolution changes the channels: how many does it give?",
            (4, 5, 28, 28): "The second number is how many channels come out; the third is the window.",
            (8, 28, 28): "The batch comes through: the first dimension is still 4.",
        },
    ),
    (
        "nn.Conv1d(2, 6, 3, padding=1) on [4, 2, 50]",
        (4, 6, 50),
        {
            (4, 6, 48): "Padding adds a zero at each end: 50 became 52 before the window slid over it.",
            (4, 6, 49): "Padding is on both sides: it counts twice.",
            (4, 6, 51): "Count the positions of a window of 3 on 52 places.",
            (4, 6, 52): "Padding makes 52 of the 50; after that the window still takes 2 away.",
            (4, 2, 50): "A convolution changes the channels: how many does it give?",
        },
    ),
    (
        "nn.MaxPool2d(2) on [4, 8, 28, 15]",
        (4, 8, 14, 7),
        {
            (4, 8, 14, 8): "A window that would hang over the edge is left out: 15 gives room for 7.",
            (4, 8, 27, 14): "A pool's stride is the size of its window, unless you say otherwise.",
            (4, 4, 14, 7): "Pools leave the channels alone.",
            (4, 8, 14, 15): "It slides in two directions: both get smaller.",
        },
    ),
    (
        "nn.AdaptiveAvgPool2d(1) on [4, 8, 14, 9]",
        (4, 8, 1, 1),
        {
            (4, 8): "The dimensions stay, with size 1; flatten would take them away.",
            (4, 8, 1): "Two directions are pooled, and each keeps a dimension of size 1.",
            (4, 8, 14, 9): "The 1 is the size that comes out, and not a window of 1.",
            (4, 1, 1, 1): "Pools leave the channels alone.",
        },
    ),
    (
        "the last note of nn.GRU(10, 20, batch_first=True) on [4, 7, 10]",
        (1, 4, 20),
        {
            (4, 7, 20): "That is the first result, a note after every word; the last note is the second one.",
            (4, 20): "There is a dimension for the layers in front, of size 1 here.",
            (4, 1, 20): "The layers come first, whatever batch_first says.",
            (1, 7, 20): "A note for each sample, after its last word: how many samples are there?",
        },
    ),
]


@exercise(
    "day04.predict_shapes",
    title="Predict the shape",
    stars=1,
    hints=(
        "Begin with what a layer leaves alone: the batch in front; the places or the channels, depending on the layer.",
        "For windows: (in + 2 * padding - window) // stride + 1. A pool's stride is its window.",
        "4: both directions are halved and rounded down. 5: two dimensions of size 1 stay. 6: [layers, N, H].",
    ),
    learned="Half of all error messages in deep learning are about something that you can now say in advance.",
)
def predict_shapes(answer: Any, t: Trial) -> None:
    """Compare six shapes, the first wrong one with a message of its own."""
    t.require(
        isinstance(answer, list | tuple) and all(isinstance(shape, list | tuple) for shape in answer),
        "a list of six tuples is asked for, such as [(8, 3), ...].",
    )
    t.require(len(answer) == len(SHAPES), f"six shapes are asked for, and {len(answer)} came.")
    for number, (shape, (layer, want, known)) in enumerate(zip(answer, SHAPES, strict=True), start=1):
        got = tuple(shape)
        if got == want:
            continue
        t.fail(f"{number}. {layer}: {got} is not what comes out.", known.get(got, ""))


class _Branched(nn.Module):
    """A nested model, with a parameter of its own and one layer without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 3, 5, bias=False), nn.BatchNorm1d(3), nn.Dropout(0.1))
        self.heads = nn.ModuleDict({"left": nn.Linear(3, 4), "right": nn.Sequential(nn.Linear(3, 7), nn.ReLU())})


@exercise(
    "day04.layer_parameters",
    title="Print the number of parameters in each layer",
    stars=1,
    hints=(
        "named_parameters() gives names such as body.0.weight. Which part of it is the layer's name?",
        'name.rpartition(".")[0] is everything before the last dot. Add up what belongs to the same name.',
        "counts[layer] = counts.get(layer, 0) + p.numel(), then print(layer, count) for each item.",
    ),
    learned="`nnlab_helpers.models.parameter_table(model)` shows the same as a table, with shapes.",
)
def layer_parameters(answer: Callable[..., Any], t: Trial) -> None:
    """A flat model, one with a norm, a nested one."""
    models = [
        ("Sequential(Linear(2, 3), ReLU(), Linear(3, 1))", nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))),
        ("Linear, BatchNorm1d, Linear", nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))),
        ("a nested model", _Branched()),
    ]
    lines: list[tuple[str, int, list[str]]] = []
    for given, model in models:
        got = t.call(answer, model, watch=(model,))
        printed = t.printed.replace(",", "").splitlines()
        want: dict[str, int] = {}
        tensors: dict[str, int] = {}
        whole: dict[str, int] = {}
        for name, p in model.named_parameters():
            layer = name.rpartition(".")[0]
            want[layer] = want.get(layer, 0) + p.numel()
            tensors[layer] = tensors.get(layer, 0) + 1
            whole[name] = p.numel()
        everything = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_modules()}
        leaves = {n: sum(p.numel() for p in m.parameters()) for n, m in model.named_modules() if not list(m.children())}
        last = {name.rpartition(".")[0]: p.numel() for name, p in model.named_parameters()}
        weights = {name[:-7]: p.numel() for name, p in model.named_parameters() if name.endswith(".weight")}
        children = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()}
        first = {n.partition(".")[0]: 0 for n, _ in model.named_parameters()}
        first = {n: sum(p.numel() for k, p in model.named_parameters() if k.partition(".")[0] == n) for n in first}
        with_buffers: dict[str, int] = {}
        for name, value in model.state_dict().items():
            layer = name.rpartition(".")[0]
            with_buffers[layer] = with_buffers.get(layer, 0) + value.numel()
        t.expect(
            got,
            want,
            given=given,
            known={
                "That is a count per tensor: weight and bias of a layer belong together.": whole,
                "Only the weights are counted; biases are parameters too.": weights,
                "A later tensor replaces an earlier one: add them up.": last,
                "Those are numbers of tensors: numel() counts the numbers in one.": tensors,
                "Layers that own nothing are listed as well: leave them out.": leaves,
                "Containers are listed as well: name only the layers that own the numbers.": any_of(
                    everything, {k: v for k, v in everything.items() if k}, {k: v for k, v in everything.items() if v}
                ),
                "That looks at the outermost level only: models may be nested.": any_of(
                    children, {k: v for k, v in children.items() if v}, first
                ),
                "Running statistics are buffers, not parameters.": with_buffers,
            },
        )
        lines += [(layer, count, printed) for layer, count in want.items()]
    for layer, count, printed in lines:
        t.require(
            any(layer in line and str(count) in line for line in printed),
            f"a line for each layer is to be printed: none of them has both {layer!r} and {count}.",
        )


def count_trainable(model: nn.Module, *, size: Callable[[Tensor], int] = Tensor.numel) -> tuple[int, int]:
    """Trained and frozen numbers in the parameters of a model."""
    trained, frozen = ([p for p in model.parameters() if p.requires_grad is wanted] for wanted in (True, False))
    return sum(map(size, trained)), sum(map(size, frozen))


def _in_state(model: nn.Module) -> int:
    return sum(value.numel() for value in model.state_dict().values())


def _module_by_module(model: nn.Module) -> tuple[int, int]:
    own = [p for part in model.modules() for p in part._parameters.values() if p is not None]
    return sum(p.numel() for p in own if p.requires_grad), sum(p.numel() for p in own if not p.requires_grad)


exercise(
    "day04.count_trainable",
    title="Count trainable parameters",
    stars=1,
    hints=(
        "Walk through model.parameters(). Which attribute tells a frozen one?",
        "p.numel() is how many numbers there are in p, and p.requires_grad whether they are trained.",
        "Two sums: p.numel() for the p that require a gradient, and for those that do not.",
    ),
    learned="Look at this pair before you fine-tune a large model: it shows at once whether freezing worked.",
    right=count_trainable,
    cases=lambda t: [case(one.model, given=f"for {one.name}") for one in example_models()],
    mistakes={
        "Those are numbers of tensors: numel() counts the numbers in one.": partial(count_trainable, size=lambda p: 1),
        "The order is (trainable, frozen).": lambda model: count_trainable(model)[::-1],
        "The first number is that of all parameters: leave the frozen ones out of it.": lambda model: (
            sum(count_trainable(model)),
            count_trainable(model)[1],
        ),
        "The second number is that of all parameters; only the frozen ones are asked for.": lambda model: (
            count_trainable(model)[0],
            sum(count_trainable(model)),
        ),
        "Running statistics are buffers, not frozen parameters.": any_of(
            lambda model: (count_trainable(model)[0], _in_state(model) - count_trainable(model)[0]),
            lambda model: (
                count_trainable(model)[0],
                count_trainable(model)[1] + sum(buffer.numel() for buffer in model.buffers()),
            ),
        ),
        "A tied weight, which two layers share, is counted twice: `model.parameters()` gives each only once.": (
            _module_by_module
        ),
        "Two numbers are asked for: (trainable, frozen).": lambda model: count_trainable(model)[0],
        "Was `.grad` looked at? It is empty before the first backward pass, and says nothing about the future. "
        "Whether a parameter will be trained stands in `requires_grad`.": lambda model: (
            0,
            sum(count_trainable(model)),
        ),
    },
)


@exercise(
    "day04.group_norm",
    title="Group normalisation by hand",
    stars=2,
    hints=(
        "If the groups were an axis of their own, you could use standardised from above.",
        "Reshape so that each group of each sample is a row, normalise each row, and reshape back.",
        "rows = x.reshape(len(x) * groups, -1), and then torch.var_mean(rows, 1, correction=0, keepdim=True).",
    ),
    learned="With one group it is LayerNorm, with as many groups as channels it is InstanceNorm.",
)
def group_norm(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with PyTorch, from one group to as many as channels."""
    small = torch.tensor([[[1.0], [3.0], [10.0], [30.0]]])
    cases = [(small, 2), (2 * t.randn(3, 6, 5) + 1, 2), (t.randn(2, 6, 7) - 3, 3), (t.randn(2, 4, 5), 1),
             (t.randn(2, 4, 5), 4), (0.003 * t.randn(2, 6, 4), 2)]

    def over(x: Tensor, dims: tuple[int, ...], correction: int = 0, eps: float = 1e-5, outside: bool = False) -> Tensor:
        variance, mean = torch.var_mean(x, dims, correction=correction, keepdim=True)
        return (x - mean) / (variance.sqrt() + eps if outside else (variance + eps).sqrt())

    for x, groups in cases:
        got = t.call(answer, x, groups)
        n, c, _ = x.shape
        grouped = x.reshape(n, groups, c // groups, -1)
        mixed = x.reshape(n, c // groups, groups, -1)
        variance, mean = torch.var_mean(grouped, (2, 3), correction=0, keepdim=True)
        t.expect(
            got,
            F.group_norm(x, groups),
            given=f"x of shape {list(x.shape)} and {groups} groups" if x is not small else "the example and 2 groups",
            known={
                "Mean and deviation are taken over the samples too: each sample is normalised for itself.": over(
                    grouped, (0, 2, 3)
                ).reshape(x.shape),
                "That is InstanceNorm, each channel for itself. The channels of a group share a mean.": over(x, (2,)),
                "That is LayerNorm: all channels together. Each group has a mean and a deviation of its own.": over(
                    x, (1, 2)
                ),
                "That is BatchNorm: over the samples. Each sample is normalised for itself.": over(x, (0, 2)),
                "Each place is normalised for itself: mean and deviation are over the places as well.": over(
                    grouped, (2,)
                ).reshape(x.shape),
                "Neighbouring channels form a group; these groups take every second or third channel.": over(
                    mixed, (1, 3)
                ).reshape(x.shape),
                "The variance divides by n - 1; normalisation layers divide by n (correction=0).": over(
                    grouped, (2, 3), correction=1
                ).reshape(x.shape),
                "That divides by the variance; its square root is the deviation.": (
                    (grouped - mean) / (variance + 1e-5)
                ).reshape(x.shape),
                "The mean is subtracted, but the deviation is not divided out.": (grouped - mean).reshape(x.shape),
                "The mean is not subtracted.": (grouped / (variance + 1e-5).sqrt()).reshape(x.shape),
                "Epsilon is missing, or not in its place: it is added to the variance, under the root.": any_of(
                    over(grouped, (2, 3), eps=0).reshape(x.shape),
                    over(grouped, (2, 3), outside=True).reshape(x.shape),
                ),
                "The numbers are right in the groups' shape: bring it back to [N, C, L].": over(grouped, (2, 3)),
            },
        )


@exercise(
    "day04.dropout_effect",
    title="Add dropout and see what it does",
    stars=2,
    draws=True,
    hints=(
        "nn.Sequential(first, nn.ReLU(), nn.Dropout(p), second): which mode is it in when it is new?",
        "Call it `runs` times in training mode and stack the results. Then call it once after .eval().",
        "torch.stack([net(x) for _ in range(runs)]), then net.eval() and net(x): return both.",
    ),
    learned="Leaving dropout on and looking at the spread is a cheap way to ask a network how sure it is "
    "(Gal and Ghahramani, 2016).",
)
def dropout_effect(answer: Callable[..., Any], t: Trial) -> None:
    """A network of one unit, whose outputs can be told apart exactly, then a wider one."""
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        for layer, weight, bias in ((first, 1.0, 1.0), (second, 1.0, 10.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    x, p, runs = torch.tensor([[3.0]]), 0.2, 600
    got = t.call(answer, first, second, x, p, runs)
    given = "a hidden unit of 4, p = 0.2, and an output of hidden + 10"
    if isinstance(got, list | tuple) and got and isinstance(got[0], list):
        t.fail("the outputs in training mode are a list: `torch.stack` makes one tensor [runs, N, out] of them.")
    t.require(
        isinstance(got, list | tuple) and len(got) == 2 and all(isinstance(part, Tensor) for part in got),
        "two tensors are asked for: the outputs in training mode and the one in evaluation mode.",
    )
    training, evaluation = (part.detach() for part in got)
    if training.shape == (1, 1) and evaluation.shape == (runs, 1, 1):
        t.fail("the order is training mode first, evaluation mode second.")
    t.expect(tuple(training.shape), (runs, 1, 1), what="the shape of the outputs in training mode", given=given)
    t.expect(tuple(evaluation.shape), (1, 1), what="the shape of the output in evaluation mode", given=given)
    values = {round(v, 2) for v in training.flatten().tolist()}
    t.require(
        len(values) > 1,
        f"all {runs} outputs in training mode are equal.",
        "Dropout does nothing in evaluation mode, and one lot is not enough: call the network anew for each run.",
    )
    dropped = (training < 12).float().mean().item()
    t.require(
        not values & {0.0, 17.5},
        f"with {given}, the outputs in training mode are {sorted(values)}.",
        "The output itself was dropped: dropout stands before the second layer.",
    )
    t.require(
        not values & {11.0, 14.75},
        f"with {given}, the outputs in training mode are {sorted(values)}.",
        "The input was dropped, and the first bias came through: dropout stands after the first layer.",
    )
    t.require(
        14.0 not in values,
        f"with {given}, the outputs in training mode are {sorted(values)}.",
        "The survivors are not enlarged by 1 / (1 - p).",
    )
    t.require(
        abs(dropped - 0.8) > 0.12,
        f"{dropped:.0%} of the hidden units were silenced with p = 0.2.",
        "`p` is the share that is silenced, not the share that stays.",
    )
    t.require(
        values == {10.0, 15.0} and abs(dropped - p) < 0.09,
        f"with {given}, the outputs in training mode should be 10 or 15, and 10 in about 20 % of the runs; "
        f"they are {sorted(values)[:4]}, the lowest in {dropped:.0%}.",
    )
    t.expect(evaluation, torch.tensor([[14.0]]), what="the output in evaluation mode", given=given,
             known={"That was still in training mode: call .eval() first.": any_of(torch.tensor([[10.0]]),
                                                                                torch.tensor([[15.0]]))})
    first, second, x = nn.Linear(3, 7), nn.Linear(7, 2), t.randn(5, 3)
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.copy_(t.randn(*layer.weight.shape))
            layer.bias.copy_(t.randn(*layer.bias.shape))
        got = t.call(answer, first, second, x, 0.5, 400)
        training, evaluation = (part.detach() for part in got)
        straight, bent = second(first(x)), second(first(x).relu())
    t.expect(
        evaluation,
        bent,
        what="the output in evaluation mode",
        given="random layers",
        known={"The ReLU is missing.": straight, "That is the mean of the training outputs; "
               "call the network in evaluation mode.": training.mean(0) if training.ndim == 3 else bent},
    )
    t.expect(tuple(training.shape), (400, 5, 2), what="the shape of the outputs in training mode")
    spread = (bent - second.bias).square().sum().sqrt() + 3 * second.weight.abs().sum()
    t.require(
        (training.mean(0) - bent).abs().max() < spread / 4,
        "the mean of the outputs in training mode is far from the output in evaluation mode.",
    )
    t.require(
        len({tuple(row) for row in (training - bent).round(decimals=4).flatten(1).tolist()}) > 50,
        "the outputs in training mode repeat: draw a new lot for each run.",
    )


class _Notes(nn.Module):
    """A network that accepts only batches and notes how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        self.trained = False

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ValueError(f"expected a batch [N, 3], got a tensor of shape {list(x.shape)}")
        self.trained |= self.training
        return self.net(x)


@exercise(
    "day04.predict",
    title="A batch of five, and a single sample",
    stars=1,
    hints=(
        "x.ndim tells a single sample from a batch.",
        "One sample: put a batch dimension in front with unsqueeze(0), and take it away from the result with [0].",
        "was = model.training; model.eval(); ...; model.train(was)",
    ),
    learned="Take away only what you put in: a bare squeeze() also swallows a batch of one, or an output of one.",
)
def predict(answer: Callable[..., Any], t: Trial) -> None:
    """A single sample, a batch of five and of one, in both modes."""
    reference = _Notes()
    reference(t.randn(20, 3))  # statistics that differ from the start's
    five = t.randn(5, 3)
    for x, given in ((five[0], "a single sample [3]"), (five, "a batch [5, 3]"), (five[:1], "a batch of one [1, 3]")):
        for training in (False, True):
            model = copy.deepcopy(reference).train(training)
            model.trained = False
            buffers = copy.deepcopy(dict(model.named_buffers()))
            try:
                got = t.call(answer, model, x)
            except Exception as error:
                if model.trained:
                    t.fail(str(error), "The model was in training mode, where BatchNorm needs company.")
                raise
            t.require(
                not model.trained,
                f"for {given}: the model was still in training mode while it predicted. Call model.eval() first.",
            )
            with torch.no_grad():
                batch = copy.deepcopy(reference).eval()(x if x.ndim == 2 else x[None])
            want = batch if x.ndim == 2 else batch[0]
            got = got.detach() if isinstance(got, Tensor) else got
            t.expect(
                got,
                want,
                given=given,
                known={
                    "The batch dimension that you put in has to come out again.": batch,
                    "A batch of one stays a batch: its output is [1, out].": batch[0] if len(batch) == 1 else batch,
                    "That is the first sample's output alone.": batch[0],
                },
            )
            t.require(
                model.training == training,
                f"the model came in with model.training = {training} and was left with {model.training}: "
                "note the mode at the start and put it back.",
            )
            t.require(
                all(torch.equal(value, buffers[name]) for name, value in model.named_buffers()),
                "the running statistics have changed: predicting is no training.",
            )


def _note(used: list[nn.Module], module: nn.Module, *_: Any) -> None:
    used.append(module)


@exercise(
    "day04.normed_network",
    title="Batch normalisation after each linear layer",
    stars=2,
    draws=True,
    hints=(
        "Collect the layers in a list while you walk through the sizes, then hand them over: nn.Sequential(*layers).",
        "The norm's size is what the linear layer before it gives. The last linear layer comes after the loop.",
        "for a, b in pairwise(sizes[:-1]): layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]",
    ),
    learned="The biases before a BatchNorm do nothing (it subtracts the mean): many networks leave them out.",
)
def normed_network(answer: Callable[..., Any], t: Trial) -> None:
    """Follow a batch through the layers in the order in which they are used."""
    for sizes in ([4, 16, 8, 3], [2, 5, 1], [6, 2], [3, 7, 7, 7, 2]):
        net = t.call(answer, list(sizes))
        given = f"sizes {sizes}"
        t.require(isinstance(net, nn.Module), f"for {given}: a module is asked for, got {type(net).__name__}.")
        used: list[nn.Module] = []
        hooks = [
            m.register_forward_hook(functools.partial(_note, used))
            for m in net.modules()
            if isinstance(m, nn.Linear | nn.modules.batchnorm._NormBase | nn.ReLU | nn.LayerNorm | nn.Dropout)
        ]
        out = t.call(net, t.randn(9, sizes[0]))
        for hook in hooks:
            hook.remove()
        t.expect(tuple(out.shape), (9, sizes[-1]), what="the shape of the output for a batch of 9", given=given)
        hidden = len(sizes) - 2
        linears = [m for m in used if isinstance(m, nn.Linear)]
        norms = [m for m in used if isinstance(m, nn.BatchNorm1d)]
        t.require(
            list(net.parameters()) and len(linears) == hidden + 1,
            f"for {given}: {hidden + 1} linear layers are expected, and {len(linears)} were found at work.",
            "Does the module own its layers? Those in a plain list it does not know." if not linears else "",
        )
        t.require(
            [(m.in_features, m.out_features) for m in linears] == list(pairwise(sizes)),
            f"for {given}: the linear layers have the sizes {[(m.in_features, m.out_features) for m in linears]}.",
        )
        t.require(
            not isinstance(used[-1], nn.BatchNorm1d),
            f"for {given}: the answer itself is normalised.",
            "Over any batch it would have mean 0: leave the last linear layer without a norm.",
        )
        t.require(
            isinstance(used[-1], nn.Linear) and not (out.min() >= 0 and out.numel() > 8),
            f"for {given}: after the last linear layer comes something else.",
            "A ReLU would cut off every negative answer: nothing comes after the last linear layer.",
        )
        t.require(norms or not hidden, f"for {given}: there is no BatchNorm1d in it.")
        t.require(
            len({id(m) for m in norms}) == len(norms),
            f"for {given}: one BatchNorm1d serves several layers.",
            "Each layer needs statistics of its own: make a new one for each.",
        )
        kinds = [type(m).__name__ for m in used if isinstance(m, nn.Linear | nn.BatchNorm1d | nn.ReLU)]
        t.require(
            kinds != ["Linear", "ReLU", "BatchNorm1d"] * hidden + ["Linear"] or not hidden,
            f"for {given}: the norm comes after the ReLU.",
            "The order asked for is linear, norm, ReLU.",
        )
        t.require(
            kinds.count("BatchNorm1d") == hidden,
            f"for {given}: {hidden} norms are expected, one after each hidden linear layer; "
            f"there are {kinds.count('BatchNorm1d')}.",
        )
        wrong_width = [m.num_features for m in norms] != sizes[1:-1]
        t.require(not wrong_width, f"for {given}: the norms have the widths {[m.num_features for m in norms]}.")
        _bends_and_norms(net, sizes, linears, norms, given, t)


def _bends_and_norms(
    net: nn.Module, sizes: list[int], linears: Sequence[nn.Module], norms: Sequence[nn.Module], given: str, t: Trial
) -> None:
    """Hold the outputs against the same layers called one after the other."""
    x = t.randn(11, sizes[0])
    with torch.no_grad():
        got, want, straight = t.call(net.eval(), x), x, x
        for linear, norm in zip(linears, norms, strict=False):
            want = norm(linear(want)).relu()
            straight = norm(linear(straight))
        t.expect(
            got,
            linears[-1](want),
            given=given,
            what="the output in evaluation mode",
            known={"The ReLUs are missing: without a bend all layers are one.": linears[-1](straight)},
        )


def _losses(
    model: nn.Module, batches: list[Any], x_val: Tensor, y_val: Tensor, epochs: int, rate: float, bug: str = ""
) -> list[tuple[float, float]]:
    """The right answer, or that of a loop with a known bug."""
    model, history = copy.deepcopy(model).train(), []
    for _ in range(epochs):
        if bug != "never back":
            model.train()
        if bug == "before":
            first = _measure(model, x_val, y_val, True)
            model.train()
        sums = []
        for x, y in batches:
            loss = F.mse_loss(model(x), y)
            if bug != "no zero_grad":
                model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    if p.grad is not None and bug != "no step":
                        p.sub_(rate * p.grad)
            sums.append((loss.item(), len(y)))
        val = _measure(model, x_val, y_val, bug != "no eval")
        train = sum(loss * n for loss, n in sums) / sum(n for _, n in sums)
        if bug == "batch mean":
            train = sum(loss for loss, _ in sums) / len(sums)
        if bug == "last batch":
            train = sums[-1][0]
        if bug == "sum":
            train = sum(loss for loss, _ in sums)
        if bug == "afterwards":
            model.eval()
            with torch.no_grad():
                train = sum(F.mse_loss(model(x), y).item() * len(y) for x, y in batches) / sum(n for _, n in sums)
        history.append((train, first if bug == "before" else val))
    return history


def _measure(model: nn.Module, x: Tensor, y: Tensor, evaluation: bool) -> float:
    model.train(not evaluation)
    with torch.no_grad():
        return F.mse_loss(model(x), y).item()


@exercise(
    "day04.log_losses",
    title="Log the loss at each epoch",
    stars=2,
    hints=(
        "Two halves per epoch, as in train above: model.train() and the batches, then model.eval() and the measuring.",
        "total += loss.item() * len(y) and count += len(y) in the loop over batches; total / count after it.",
        "history.append((total / count, val.item())), with val computed under torch.no_grad() after model.eval().",
    ),
    learned="The training loss of an epoch is a mean over a network that was still learning: at first it lags behind.",
)
def log_losses(answer: Callable[..., Any], t: Trial) -> None:
    """Compare the history and the trained weights with the right loop and with known bugs."""
    plain = nn.Sequential(nn.Linear(2, 1))
    normed = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        for p in (*plain.parameters(), *normed[0].parameters(), *normed[3].parameters()):
            p.copy_(t.randn(*p.shape))
    x, y, x_val, y_val = t.randn(11, 2), t.randn(11, 1), t.randn(6, 2), t.randn(6, 1)
    for start, given, size in ((plain, "a linear model", 11), (plain, "a linear model, batches of 4, 4 and 3", 4),
                               (normed, "a model with BatchNorm, batches of 4, 4 and 3", 4)):
        batches, epochs, rate = list(zip(x.split(size), y.split(size), strict=True)), 3, 0.1

        run = functools.partial(_losses, start, batches, x_val, y_val, epochs, rate)
        model = copy.deepcopy(start)
        want = run()
        got = t.call(answer, model, batches, x_val, y_val, epochs, rate)
        if isinstance(got, list | tuple) and any(
            isinstance(v, Tensor) and v.requires_grad for pair in got if isinstance(pair, list | tuple) for v in pair
        ):
            t.fail(
                "the losses are tensors that still hang on their graphs: take the number out with .item().",
                "Kept like this, every epoch's graph stays in memory.",
            )
        t.expect(
            got,
            want,
            given=given,
            known={
                "The loss of a small batch counts as much as that of a large one: weigh by samples.": functools.partial(
                    run, "batch mean"
                ),
                "That is the last batch's loss: the mean over the samples is asked for.": functools.partial(
                    run, "last batch"
                ),
                "The batches' losses are added up: a mean over the samples is asked for.": functools.partial(
                    run, "sum"
                ),
                "The gradients of earlier batches are never cleared.": functools.partial(run, "no zero_grad"),
                "The model does not learn: is there a step after backward?": functools.partial(run, "no step"),
                "Validation was measured in training mode: call model.eval() first.": functools.partial(run, "no eval"),
                "An epoch ends in evaluation mode: call model.train() in every one.": functools.partial(
                    run, "never back"
                ),
                "Validation is measured before the epoch's training: it comes after.": functools.partial(run, "before"),
                "The training loss was measured after the epoch: take it from the batches.": functools.partial(
                    run, "afterwards"
                ),
                "The order in each pair is (training, validation).": [(b, a) for a, b in want],
            },
            rtol=1e-3,
        )
        t.expect(
            _measure(model, x_val, y_val, True),
            want[-1][1],
            what="the validation loss of the model that was handed in",
            given=given,
            known={"The model that was handed in has not learned: train it, not a copy.": _measure(
                copy.deepcopy(start), x_val, y_val, True)},
            rtol=1e-3,
        )
