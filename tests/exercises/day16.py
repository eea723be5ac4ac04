"""Answers to the exercises of day 16: other right ones, and wrong ones that are really given."""

import copy
import math

import torch
from answers import Answers
from torch import nn


def std_by_torch(shape, scheme):
    n_in, n_out = nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    if scheme not in ("he", "xavier"):
        raise ValueError(scheme)
    return (2 / (n_in if scheme == "he" else n_in + n_out)) ** 0.5


def std_without_places(shape, scheme):
    return std_by_torch(shape[:2], scheme)


def std_half_with_places(shape, scheme):
    if scheme == "he":
        return std_by_torch(shape, scheme)
    return math.sqrt(2 / (math.prod(shape[1:]) + shape[0])) if scheme == "xavier" else std_by_torch(shape, scheme)


def std_variance(shape, scheme):
    return std_by_torch(shape, scheme) ** 2


def std_of_outputs(shape, scheme):
    turned = (shape[1], shape[0], *shape[2:])
    return std_by_torch(turned, scheme)


def std_swapped(shape, scheme):
    return std_by_torch(shape, {"he": "xavier", "xavier": "he"}.get(scheme, scheme))


def std_without_two(shape, scheme):
    return std_by_torch(shape, scheme) / math.sqrt(2)


def std_limit(shape, scheme):
    return std_by_torch(shape, scheme) * math.sqrt(3)


def std_of_anything(shape, scheme):
    return std_by_torch(shape, scheme if scheme == "he" else "xavier")


def diagnose_by_search(spreads):
    for k, spread in enumerate(spreads):
        share = spread / spreads[0]
        if share < 0.01:
            return ("dies", k)
        if not share <= 100:
            return ("explodes", k)
    return ("lives", None)


def diagnose_against_previous(spreads):
    for k in range(1, len(spreads)):
        if not math.isfinite(spreads[k]) or spreads[k] > 100 * spreads[k - 1]:
            return ("explodes", k)
        if spreads[k] < 0.01 * spreads[k - 1]:
            return ("dies", k)
    return ("lives", None)


def diagnose_absolute(spreads):
    return diagnose_by_search([1.0, *spreads])[0], None if diagnose_by_search([1.0, *spreads])[1] is None else (
        diagnose_by_search([1.0, *spreads])[1] - 1
    )


def diagnose_blind(spreads):
    for k, spread in enumerate(spreads):
        if spread > 100 * spreads[0] and math.isfinite(spread):
            return ("explodes", k)
        if spread < 0.01 * spreads[0]:
            return ("dies", k)
    return ("lives", None)


def diagnose_inclusive(spreads):
    for k, spread in enumerate(spreads):
        if spread <= 0.01 * spreads[0]:
            return ("dies", k)
        if not spread < 100 * spreads[0]:
            return ("explodes", k)
    return ("lives", None)


def diagnose_deaths_first(spreads):
    for k, spread in enumerate(spreads):
        if spread < 0.01 * spreads[0]:
            return ("dies", k)
    return diagnose_by_search(spreads)


def diagnose_last(spreads):
    found = ("lives", None)
    for k, spread in enumerate(spreads):
        if spread < 0.01 * spreads[0]:
            found = ("dies", k)
        elif not spread <= 100 * spreads[0]:
            found = ("explodes", k)
    return found


def diagnose_from_one(spreads):
    word, k = diagnose_by_search(spreads)
    return word, None if k is None else k + 1


def diagnose_word(spreads):
    return diagnose_by_search(spreads)[0]


class NormByTorch(nn.Module):
    """The momentum form written out, with `lerp_`."""

    def __init__(self, units, momentum=0.1, eps=1e-5):
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("running_mean", torch.zeros(units))
        self.register_buffer("running_var", torch.ones(units))

    def forward(self, x):
        if self.training:
            var, mean = torch.var_mean(x, 0, correction=0)
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(x.detach().var(0), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / (var + self.eps) ** 0.5


class NormOfTheBatch(NormByTorch):
    def forward(self, x):
        super().forward(x)
        return (x - x.mean(0)) / (x.var(0, correction=0) + self.eps).sqrt()


class NormForgetful(NormByTorch):
    def __init__(self, units, momentum=0.1, eps=1e-5):
        super().__init__(units, momentum, eps)
        del self.running_mean, self.running_var
        self.running_mean, self.running_var = torch.zeros(units), torch.ones(units)

    def forward(self, x):
        if not self.training:
            return (x - self.running_mean) / (self.running_var + self.eps).sqrt()
        with torch.no_grad():
            self.running_mean += self.momentum * (x.mean(0) - self.running_mean)
            self.running_var += self.momentum * (x.var(0) - self.running_var)
        return (x - x.mean(0)) / (x.var(0, correction=0) + self.eps).sqrt()


class NormOfParameters(NormForgetful):
    def __init__(self, units, momentum=0.1, eps=1e-5):
        super().__init__(units, momentum, eps)
        del self.running_mean, self.running_var
        self.running_mean = nn.Parameter(torch.zeros(units), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(units), requires_grad=False)


class NormNotSaved(NormByTorch):
    def __init__(self, units, momentum=0.1, eps=1e-5):
        super().__init__(units, momentum, eps)
        del self.running_mean, self.running_var
        self.register_buffer("running_mean", torch.zeros(units), persistent=False)
        self.register_buffer("running_var", torch.ones(units), persistent=False)


class NormOfRunning(NormByTorch):
    def forward(self, x):
        super().forward(x)
        return (x - self.running_mean) / (self.running_var + self.eps).sqrt()


class NormAlwaysWriting(NormByTorch):
    def forward(self, x):
        if len(x) == 1 or self.training:
            return super().forward(x)
        mean, var = self.running_mean.clone(), self.running_var.clone()
        self.running_mean.lerp_(x.mean(0), self.momentum)
        return (x - mean) / (var + self.eps).sqrt()


class NormBiased(NormByTorch):
    def forward(self, x):
        if self.training:
            self.running_var.lerp_(x.detach().var(0, correction=0) - x.detach().var(0) + self.running_var, 1.0)
            biased, unbiased = x.detach().var(0, correction=0), x.detach().var(0)
            before = self.running_var - biased + unbiased
            self.running_var.copy_(before)
            out = super().forward(x)
            self.running_var.add_(self.momentum * (biased - unbiased))
            return out
        return super().forward(x)


class NormTurned(NormByTorch):
    def __init__(self, units, momentum=0.1, eps=1e-5):
        super().__init__(units, 1 - momentum, eps)

    def forward(self, x):
        return super().forward(x)


class NormUnbiased(NormByTorch):
    def forward(self, x):
        out = super().forward(x)
        return out if not self.training else (x - x.mean(0)) / (x.var(0) + self.eps).sqrt()


def folded_by_fusing(linear, norm):
    linear, norm = copy.deepcopy(linear).eval(), copy.deepcopy(norm).eval()
    return torch.nn.utils.fusion.fuse_linear_bn_eval(linear, norm)


def fold(linear, norm, *, bias=True, root=True, eps=True, affine=True, shift_scaled=False, mean_scaled=True, sign=-1):
    """The reference, with slips to choose from."""
    new = nn.Linear(linear.in_features, linear.out_features)
    with torch.no_grad():
        var = norm.running_var + (norm.eps if eps else 0)
        scale = (norm.weight if affine else 1) / (var.sqrt() if root else var)
        old = linear.bias if linear.bias is not None and bias else torch.zeros_like(norm.bias)
        shift = norm.bias if affine else torch.zeros_like(norm.bias)
        new.weight.copy_(scale[:, None] * linear.weight)
        mean = norm.running_mean if mean_scaled else norm.running_mean / scale
        new.bias.copy_((old + sign * mean) * scale + shift * (scale if shift_scaled else 1))
    return new


def folded_without_bias(linear, norm):
    return fold(linear, norm, bias=False)


def folded_without_root(linear, norm):
    return fold(linear, norm, root=False)


def folded_without_eps(linear, norm):
    return fold(linear, norm, eps=False)


def folded_without_affine(linear, norm):
    return fold(linear, norm, affine=False)


def folded_shift_scaled(linear, norm):
    return fold(linear, norm, shift_scaled=True)


def folded_mean_unscaled(linear, norm):
    return fold(linear, norm, mean_scaled=False)


def folded_mean_added(linear, norm):
    return fold(linear, norm, sign=1)


def folded_where_there_was_a_bias(linear, norm):
    new = fold(linear, norm)
    if linear.bias is None:
        new.bias = None
    return new


def folded_in_place(linear, norm):
    new = fold(linear, norm)
    with torch.no_grad():
        linear.weight.copy_(new.weight)
    return new


def folded_sharing(linear, norm):
    new = fold(linear, norm)
    with torch.no_grad():
        numbers = new.bias.detach().clone()
        new.bias = norm.bias
        return new if not torch.equal(numbers, norm.bias) else None


def folded_as_sequence(linear, norm):
    return nn.Sequential(linear, copy.deepcopy(norm).eval())


def start(model, std, *, layers="modules", bias=True, uniform=False, mean=0.0, norms=False):
    """The reference, with slips to choose from."""
    for layer in getattr(model, layers)():
        if isinstance(layer, nn.Linear):
            n_out, n_in = layer.weight.shape
            deviation = std(n_in, n_out)
            if uniform:
                nn.init.uniform_(layer.weight, -deviation, deviation)
            else:
                nn.init.normal_(layer.weight, mean, deviation)
            if layer.bias is not None and bias:
                nn.init.zeros_(layer.bias)
        elif norms and isinstance(layer, nn.LayerNorm):
            nn.init.zeros_(layer.bias)


def he(n_in, n_out):
    return math.sqrt(2 / n_in)


def start_by_torch(model):
    def draw(layer):
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    model.apply(draw)


def start_outermost(model):
    start(model, he, layers="children")


def start_fan_out(model):
    start(model, lambda n_in, n_out: math.sqrt(2 / n_out))


def start_without_two(model):
    start(model, lambda n_in, n_out: math.sqrt(1 / n_in))


def start_one_over_outputs(model):
    start(model, lambda n_in, n_out: math.sqrt(1 / n_out))


def start_xavier(model):
    start(model, lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)))


def start_variance(model):
    start(model, lambda n_in, n_out: 2 / n_in)


def start_uniform(model):
    start(model, he, uniform=True)


def start_with_biases(model):
    start(model, he, bias=False)


def start_shifted(model):
    start(model, he, mean=0.05)


def start_norms_too(model):
    start(model, he, norms=True)


ANSWERS = {
    "day16.starting_std": Answers(
        right=[std_by_torch],
        wrong=[
            (std_without_places, "places of the kernel are missing"),
            (std_half_with_places, "places of the kernel are missing"),
            (std_variance, "the standard deviation is its root"),
            (std_of_outputs, "second number of the shape"),
            (std_swapped, "Those two are swapped"),
            (std_without_two, "The 2 is missing"),
            (std_limit, "limit of a uniform distribution"),
            (std_of_anything, "ValueError is expected"),
        ],
    ),
    "day16.diagnose": Answers(
        right=[diagnose_by_search],
        wrong=[
            (diagnose_against_previous, "not with the one just before"),
            (diagnose_absolute, "are factors"),
            (diagnose_blind, "every comparison with nan"),
            (diagnose_inclusive, "still healthy"),
            (diagnose_deaths_first, "first layer that is ill"),
            (diagnose_last, "not the *first* such layer"),
            (diagnose_from_one, "counted from 0"),
            (diagnose_word, "a word and a position"),
        ],
    ),
    "day16.mended_batch_norm": Answers(
        right=[NormByTorch],
        wrong=[
            (NormOfTheBatch, "still looks at the batch"),
            (NormForgetful, "is not in the state_dict"),
            (NormNotSaved, "is not in the state_dict"),
            (NormOfParameters, "have become parameters"),
            (NormOfRunning, "the batch itself is what counts"),
            (NormAlwaysWriting, "Only training may write"),
            (NormBiased, "*unbiased* one"),
            (NormTurned, "share of the *new* value"),
            (NormUnbiased, "*biased* variance"),
        ],
    ),
    "day16.folded": Answers(
        right=[folded_by_fusing],
        wrong=[
            (folded_without_bias, "own bias is lost"),
            (folded_without_root, "divide by its root"),
            (folded_without_eps, "`norm.eps` is missing"),
            (folded_without_affine, "learned scale and shift"),
            (folded_shift_scaled, "not multiplied by the scale"),
            (folded_mean_unscaled, "running mean has to be multiplied"),
            (folded_mean_added, "subtracted, not added"),
            (folded_where_there_was_a_bias, "needs a bias even where"),
            (folded_in_place, "only to look at"),
            (folded_as_sequence, "an nn.Linear was expected"),
        ],
    ),
    "day16.start_well": Answers(
        right=[start_by_torch],
        wrong=[
            (start_outermost, "gives only the outermost"),
            (start_fan_out, "number of outputs"),
            (start_without_two, "right for tanh"),
            (start_one_over_outputs, "number of *outputs*"),
            (start_xavier, "That is Xavier's"),
            (start_variance, "deviation is its root"),
            (start_uniform, "deviation a / sqrt(3)"),
            (start_with_biases, "biases are not 0"),
            (start_shifted, "mean of the weights is not 0"),
            (start_norms_too, "LayerNorm was changed"),
        ],
    ),
}
