"""Checks of day 16: the size of a start, a diagnosis, BatchNorm mended and folded away, thirty layers made to learn."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    places = math.prod(shape[2:])
    return shape[1] * places, shape[0] * places


@exercise(
    "day16.starting_std",
    title="How large should the weights be?",
    stars=1,
    hints=(
        "One output of a convolution is a sum over all input channels and all places of the kernel.",
        "math.prod(shape[2:]) is the number of places; of an empty tuple it is 1, which suits a linear layer.",
        'n_in = shape[1] * places, n_out = shape[0] * places. Then one formula for "he", one for "xavier".',
    ),
    learned="torch.nn.init counts in the same way; frameworks that store a kernel in another order have to count anew.",
)
def starting_std(answer: Callable[..., Any], t: Trial) -> None:
    """Linear layers and kernels of one to three dimensions, and a scheme that there is none of."""
    shapes = [(10, 8), (8, 10), (10, 8, 2, 2), torch.Size((6, 1, 5, 5)), (7, 3, 4), (4, 5, 3, 2, 3)]
    shapes += [tuple(t.randint(2, 90, 2).tolist()), tuple(t.randint(2, 9, 4).tolist())]
    for shape in shapes:
        n_in, n_out = _fans(shape)
        for scheme in ("he", "xavier"):
            he, xavier = math.sqrt(2 / n_in), math.sqrt(2 / (n_in + n_out))
            right, other = (he, xavier) if scheme == "he" else (xavier, he)
            flat = math.sqrt(2 / (shape[1] if scheme == "he" else shape[0] + shape[1]))
            mixed = math.sqrt(2 / (n_in + shape[0]))
            known = {
                "Those two are swapped: which of them is for ReLU, with fan-in alone?": other,
                "The places of the kernel are missing: each of them brings an input of its own.": any_of(flat, mixed),
                "That is the variance; the standard deviation is its root.": right**2,
                "That belongs to the outputs: the second number of the shape is the inputs.": math.sqrt(2 / n_out),
                "The 2 is missing.": right / math.sqrt(2),
                "That would be the limit of a uniform distribution; its deviation is asked for.": right * math.sqrt(3),
            }
            got = t.call(answer, shape, scheme)
            t.expect(got, right, given=f"shape = {tuple(shape)}, scheme = {scheme!r}", known=known, atol=1e-7)
    _refuses(answer, t)


def _refuses(answer: Callable[..., Any], t: Trial) -> None:
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            answer((4, 3), "lecun")
        except Exception as error:
            raised.append(error)

    t.call(attempt)
    t.require(
        raised and isinstance(raised[0], ValueError),
        f"for the scheme 'lecun' a ValueError is expected, got {type(raised[0]).__name__ if raised else 'a result'}",
        "Whoever misspells a scheme wants to hear of it, not to train with the other one.",
    )


def _diagnosis(spreads: Sequence[float], mode: str = "") -> tuple[str, int | None]:
    """What there is to say about `spreads`; `mode` names a misconception."""
    found: list[tuple[str, int]] = []
    for k, spread in enumerate(spreads):
        first = spreads[max(k - 1, 0)] if mode == "previous" else 1.0 if mode == "absolute" else spreads[0]
        if not math.isfinite(spread) and mode != "blind":
            found.append(("explodes", k))
        elif spread < 0.01 * first or (mode == "inclusive" and spread <= 0.01 * first):
            found.append(("dies", k))
        elif spread > 100 * first or (mode == "inclusive" and spread >= 100 * first):
            found.append(("explodes", k))
    if mode == "dies first":
        found.sort(key=lambda one: (one[0] != "dies", one[1]))
    if mode == "last" and found:
        return found[-1]
    return found[0] if found else ("lives", None)


@exercise(
    "day16.diagnose",
    title="What does the network have?",
    stars=2,
    hints=(
        "Go through the layers in order, with enumerate, and return at the first one that is ill.",
        "A comparison with nan is always False, so ask math.isfinite(spread) before you compare.",
        'if not math.isfinite(spread) or spread > 100 * spreads[0]: return "explodes", k. After the loop, "lives".',
    ),
    learned="A look of this kind before training costs one batch, and a failed training costs hours.",
)
def diagnose(answer: Callable[..., Any], t: Trial) -> None:
    """Networks that die, explode, come back, and live, with limits just met and numbers that are none."""
    nan, inf = math.nan, math.inf
    cases: list[list[float]] = [
        [2.0, 0.5, 0.1, 0.015, 0.012, 0.003, 0.001],
        [1.0, 0.9, 1.1],
        [0.5, 4.0, 60.0, 900.0],
        [8.0, 0.5, 0.25, 0.5],
        [1.0, 0.01, 100.0, 1.0],
        [1.0, 3.0, nan, nan],
        [1.0, inf, inf],
        [0.002, 0.001, 0.0005],
        [300.0, 200.0, 250.0],
        [1.0, 200.0, 0.001, 1.0],
        [1.0, 0.001, 500.0, nan],
        [4.0],
        [2.0, 1.0, 201.0, 1.0],
        [2.0, 1.0, 0.0199, 1.0],
        [1.0, 0.02, 0.0004, 0.5],
        [3.0, 1.0, 0.0, 0.0],
    ]
    for factor in (0.7, 1.7, 0.99):
        noise = t.rand(29, low=0.9, high=1.1).tolist()
        cases.append([0.7 * factor**k * n for k, n in enumerate(noise)])
    for spreads in cases:
        right = _diagnosis(spreads)
        got = t.call(answer, list(spreads))
        shown = f"spreads {[round(s, 4) for s in spreads]}" if len(spreads) < 8 else f"{len(spreads)} spreads"
        if isinstance(got, list):
            got = tuple(got)
        if got == right:
            continue
        if not (isinstance(got, tuple) and len(got) == 2 and isinstance(got[0], str)):
            t.fail(f"for {shown}: expected {right}, got {got!r}", "A tuple of a word and a position is asked for.")
        reasons = {
            "previous": "Compare with the *first* layer, not with the one just before.",
            "absolute": "0.01 and 100 are factors: compare with that many times the first layer's spread.",
            "blind": "A spread that is no finite number was overlooked: every comparison with nan is False.",
            "inclusive": "*Less* than 0.01 times and *more* than 100 times: exactly that much is still healthy.",
            "dies first": "The first layer that is ill decides, whichever of the two it has.",
            "last": "That is not the *first* such layer.",
        }
        note = next((text for mode, text in reasons.items() if got == _diagnosis(spreads, mode)), "")
        if not note and right[1] is not None and got == (right[0], right[1] + 1):
            note = "Positions are counted from 0."
        elif not note and got[0] == "dies" and right[0] == "explodes":
            note = "A number that is not finite counts as too loud."
        t.fail(f"for {shown}: expected {right}, got {got!r}", note)


@exercise(
    "day16.mended_batch_norm",
    title="A BatchNorm that forgets",
    stars=2,
    hints=(
        "Which mean and variance does the last line use in evaluation mode?",
        'In __init__: self.register_buffer("running_mean", torch.zeros(units)), and the same for the variance.',
        "In forward: if self.training, measure and update; else mean, var = self.running_mean, self.running_var.",
    ),
    learned="A buffer also moves with the model, to another device or precision; a plain attribute stays behind.",
)
def mended_batch_norm(answer: Callable[..., Any], t: Trial) -> None:
    """Training, evaluation, and a journey through a state_dict."""
    for units, count in ((3, 5), (7, 4)):
        widths = torch.tensor([3.0, 0.003, 1.0, 2.0, 0.5, 3.0, 1.0])[:units]  # in the second unit, eps counts
        batches = [t.randn(count, units) * widths + 2 * widths for _ in range(3)]
        ours = t.call(answer, units)
        t.require(isinstance(ours, nn.Module), f"an nn.Module was expected, got {type(ours).__name__}")
        theirs = nn.BatchNorm1d(units, affine=False)
        for batch in batches:
            want = theirs(batch)
            got = t.call(ours, batch)
            known = {
                "Normalise with the *biased* variance, correction=0.": _normal(batch, batch.mean(0), batch.var(0)),
                "In training mode the batch itself is what counts, not the running averages.": _normal(
                    batch, theirs.running_mean, theirs.running_var
                ),
            }
            t.expect(got, want, given=f"a batch [{count}, {units}] in training mode", known=known, rtol=1e-3, atol=1e-4)
        _running_averages(ours, theirs, batches, t)
        _evaluation(ours, theirs, batches[0], t)
        _through_a_file(answer, ours, theirs, units, batches[0], t)


def _normal(x: Tensor, mean: Any, var: Any) -> Tensor:
    return (x - mean) / (var + 1e-5).sqrt()


def _running_averages(ours: nn.Module, theirs: nn.BatchNorm1d, batches: list[Tensor], t: Trial) -> None:
    biased, turned = torch.ones(len(batches[0].T)), torch.zeros(len(batches[0].T))
    for batch in batches:
        biased = 0.9 * biased + 0.1 * batch.var(0, correction=0)
        turned = 0.1 * turned + 0.9 * batch.mean(0)
    for name, known in (
        ("running_mean", {"The momentum is the share of the *new* value, not of the old one.": turned}),
        ("running_var", {"For the running variance PyTorch takes the *unbiased* one.": biased}),
    ):
        value = getattr(ours, name, None)
        t.require(isinstance(value, Tensor), f"`{name}` is gone: keep its name")
        t.expect(value, getattr(theirs, name), given="after three batches", what=f"`{name}`", known=known, rtol=1e-3)


def _evaluation(ours: nn.Module, theirs: nn.BatchNorm1d, batch: Tensor, t: Trial) -> None:
    for layer in (ours, theirs):
        layer.eval()
        with torch.no_grad():
            torch.select(cast(Tensor, layer.running_var), 0, 1).fill_(2e-5)  # where eps counts
    mean, var = (getattr(ours, name).clone() for name in ("running_mean", "running_var"))
    got = t.call(ours, batch)
    known = {
        "It still looks at the batch. In evaluation mode the running averages take its place.": (
            (batch - batch.mean(0)) / (batch.var(0, correction=0) + 1e-5).sqrt()
        )
    }
    t.expect(got, theirs(batch), given="a batch in evaluation mode", known=known, rtol=1e-3, atol=1e-4)
    kept = torch.equal(ours.running_mean, mean) and torch.equal(ours.running_var, var)  # type: ignore[arg-type]
    t.require(kept, "a look in evaluation mode changed the running averages", "Only training may write them.")
    t.expect(t.call(ours, batch[:1]), theirs(batch[:1]), given="a single sample in evaluation mode", rtol=1e-3)


def _through_a_file(
    answer: Callable[..., Any], ours: nn.Module, theirs: nn.Module, units: int, batch: Tensor, t: Trial
) -> None:
    state = copy.deepcopy(ours.state_dict())
    missing = [name for name in ("running_mean", "running_var") if name not in state]
    t.require(
        not missing,
        f"`{', '.join(missing)}` is not in the state_dict",
        "It forgets: what is neither a parameter nor a buffer is not saved. Use self.register_buffer(name, tensor).",
    )
    t.require(
        not list(ours.parameters()),
        "the running averages have become parameters",
        "An optimizer would train them. A buffer is saved too, and left alone.",
    )
    fresh = t.call(answer, units)
    fresh.load_state_dict(state)
    fresh.eval()
    t.expect(t.call(fresh, batch), theirs(batch), given="a fresh layer with the loaded state", rtol=1e-3, atol=1e-4)


@exercise(
    "day16.folded",
    title="Fold it away",
    stars=3,
    draws=True,
    hints=(
        "Evaluation mode: (z - running_mean) * scale + norm.bias, where scale = norm.weight / sqrt(running_var + eps).",
        "Put z = W x + b into it. Each row of W is multiplied by its unit's scale: scale[:, None] * linear.weight.",
        "The new bias is (b - running_mean) * scale + norm.bias, with b = 0 where the linear layer has none.",
    ),
    learned="Converters do this to convolutions as well; that is why BatchNorm costs nothing on a phone.",
)
def folded(answer: Callable[..., Any], t: Trial) -> None:
    """Layers with and without a bias, and a norm that has seen data and learned."""
    for n_in, units, bias in ((2, 1, True), (3, 5, True), (5, 3, False), (4, 4, True)):
        linear, norm = nn.Linear(n_in, units, bias=bias), nn.BatchNorm1d(units)
        with torch.no_grad():
            linear.weight.copy_(t.randn(units, n_in))
            if bias:
                linear.bias.copy_(t.randn(units))
            norm.weight.copy_(t.rand(units, low=0.5, high=2.0))
            norm.bias.copy_(t.randn(units))
            norm.running_mean.copy_(t.randn(units))  # type: ignore[union-attr]
            norm.running_var.copy_(t.rand(units, low=0.002, high=3.0))  # type: ignore[union-attr]
        norm.eps = 1e-2
        x = t.randn(6, n_in)
        got = t.call(answer, linear, norm, watch=(linear, norm))
        t.require(isinstance(got, nn.Linear), f"an nn.Linear was expected, got {type(got).__name__}")
        t.require(
            tuple(got.weight.shape) == (units, n_in),
            f"a weight of shape {[units, n_in]} was expected, got {list(got.weight.shape)}",
            "As many inputs and outputs as the linear layer that it replaces.",
        )
        _same_answers(got, linear, norm, x, t)
        shares = {p.data_ptr() for p in (*linear.parameters(), *norm.parameters())}
        t.require(
            not shares & {p.data_ptr() for p in got.parameters()},
            "the new layer shares memory with the old ones",
            "Whoever trains one of them on changes the other: copy the numbers.",
        )


def _same_answers(got: nn.Linear, linear: nn.Linear, norm: nn.BatchNorm1d, x: Tensor, t: Trial) -> None:
    with torch.no_grad():
        z = linear(x)
        mean, var, eps = norm.running_mean, norm.running_var, norm.eps
        assert mean is not None
        assert var is not None
        want = (z - mean) / (var + eps).sqrt() * norm.weight + norm.bias
        scale = norm.weight / (var + eps).sqrt()
        b = linear.bias if linear.bias is not None else torch.zeros_like(mean)
        w = scale[:, None] * linear.weight
        known = {
            "The linear layer's own bias is lost.": x @ w.T - mean * scale + norm.bias,
            "The new layer needs a bias even where the old one has none: the norm shifts, too.": x @ w.T,
            "That looks at the batch: take the running statistics.": (
                (z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() * norm.weight + norm.bias
            ),
            "`norm.eps` is missing under the root.": (z - mean) / var.sqrt() * norm.weight + norm.bias,
            "The running variance is a variance: divide by its root.": (
                (z - mean) / (var + eps) * norm.weight + norm.bias
            ),
            "The learned scale and shift of the norm are missing.": (z - mean) / (var + eps).sqrt(),
            "The old bias has to be multiplied by the scale, too.": x @ w.T + b - mean * scale + norm.bias,
            "The running mean has to be multiplied by the scale, too.": x @ w.T + b * scale - mean + norm.bias,
            "The norm's shift comes last: it is not multiplied by the scale.": (
                (z - mean + norm.bias) / (var + eps).sqrt() * norm.weight
            ),
            "The running mean is subtracted, not added.": (z + mean) * scale + norm.bias,
        }
    t.expect(got(x).detach(), want, given=f"a batch {list(x.shape)}", known=known, rtol=1e-3, atol=1e-4)


def _thirty(width: int, sizes: Sequence[int], nested: bool) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    n_in = 60
    for n_out in sizes:
        pair = [nn.Linear(n_in, n_out), nn.ReLU()]
        layers += [nn.Sequential(*pair)] if nested else pair
        n_in = n_out
    return nn.Sequential(*layers, nn.LayerNorm(n_in), nn.Linear(n_in, width, bias=False))


@exercise(
    "day16.start_well",
    title="Make thirty layers learn",
    stars=3,
    draws=True,
    hints=(
        "How many layers does the loop meet in a network made of blocks? model.children() knows only the outermost.",
        "He's formula wants the number of *inputs*: which of the two numbers of weight.shape is that?",
        "model.modules() finds all layers; std = math.sqrt(2 / layer.weight.shape[1]); a bias, if there is one, is 0.",
    ),
    learned="Three slips, none of which raises an error: a network that does not learn is the only message they send.",
)
def start_well(answer: Callable[..., Any], t: Trial) -> None:
    """Flat and nested networks, layers that narrow and widen, one without a bias, a norm that must stay."""
    for nested, sizes in ((False, [400, 100, 300]), (True, [300, 90, 400]), (True, [64] * 30)):
        model = _thirty(50, sizes, nested)
        norm = next(layer for layer in model.modules() if isinstance(layer, nn.LayerNorm))
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(t.randn(*p.shape))
        untouched = copy.deepcopy(norm.state_dict())
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        t.call(answer, model)
        layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        where = "a network of blocks" if nested else "a plain network"
        for number, (name, layer) in enumerate(layers, 1):
            _well_started(layer, before[f"{name}.weight"], f"{where}, linear layer {number} of {len(layers)}", t)
        same = all(torch.equal(value, untouched[name]) for name, value in norm.state_dict().items())
        t.require(same, "the LayerNorm was changed as well", "Only linear layers are to be drawn anew.")


def _well_started(layer: nn.Linear, before: Tensor, where: str, t: Trial) -> None:
    weight = layer.weight.detach()
    n_out, n_in = weight.shape
    t.require(
        not torch.equal(weight, before),
        f"{where}: its weights are as before",
        "Does your loop reach layers inside of other modules? model.children() gives only the outermost.",
    )
    got, want = weight.std().item(), math.sqrt(2 / n_in)
    close = 6 / math.sqrt(2 * weight.numel())  # six standard errors of a measured deviation
    reasons = {
        "That belongs to the number of outputs: He's formula has the inputs.": math.sqrt(2 / n_out),
        "That is 1/n, which is right for tanh: ReLU needs twice the variance.": math.sqrt(1 / n_in),
        "That is 1 over the number of *outputs*; ReLU needs 2 over the number of inputs.": math.sqrt(1 / n_out),
        "That is Xavier's: ReLU halves the mean square, so take 2 / inputs.": math.sqrt(2 / (n_in + n_out)),
        "That is the variance: the deviation is its root.": 2 / n_in,
        "A uniform distribution from -a to a has the deviation a / sqrt(3).": math.sqrt(2 / n_in / 3),
    }
    if abs(got / want - 1) > close:
        note = next((text for text, value in reasons.items() if abs(got / value - 1) < close), "")
        t.fail(f"{where} ({n_in} inputs, {n_out} outputs): deviation {got:.4f}, expected about {want:.4f}", note)
    t.require(
        abs(weight.mean().item()) < 6 * want / math.sqrt(weight.numel()),
        f"{where}: the mean of the weights is not 0",
        "The derivation needs weights that are as often negative as positive.",
    )
    t.require(
        layer.bias is None or not layer.bias.detach().any(), f"{where}: its biases are not 0", "Biases start at zero."
    )
