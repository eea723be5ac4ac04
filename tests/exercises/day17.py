"""Answers to the exercises of day 17: other right ones, and wrong ones that are really given."""

import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F


def l1_by_torch(w, gradient, rate, strength):
    return F.softshrink(w - rate * gradient, rate * strength)


def l1_by_cases(w, gradient, rate, strength):
    a, t = w - rate * gradient, rate * strength
    return torch.where(a > t, a - t, torch.where(a < -t, a + t, torch.zeros_like(a)))


def l1_past_zero(w, gradient, rate, strength):
    a = w - rate * gradient
    return a - rate * strength * a.sign()


def l1_subgradient(w, gradient, rate, strength):
    return w - rate * (gradient + strength * w.sign())


def l1_without_rate(w, gradient, rate, strength):
    return F.softshrink(w - rate * gradient, strength)


def l1_other_order(w, gradient, rate, strength):
    return F.softshrink(w, rate * strength) - rate * gradient


def l1_without_sign(w, gradient, rate, strength):
    return ((w - rate * gradient).abs() - rate * strength).clamp(min=0)


def l1_one_sided(w, gradient, rate, strength):
    return (w - rate * gradient - rate * strength).clamp(min=0)


def l1_hard(w, gradient, rate, strength):
    a = w - rate * gradient
    return a * (a.abs() > rate * strength)


def l1_uphill(w, gradient, rate, strength):
    return F.softshrink(w + rate * gradient, rate * strength)


def l1_as_l2(w, gradient, rate, strength):
    return (1 - rate * strength) * w - rate * gradient


def l1_decay_after(w, gradient, rate, strength):
    return (1 - rate * strength) * (w - rate * gradient)


def l1_price_alone(w, gradient, rate, strength):
    return F.softshrink(w, rate * strength)


def l1_gradient_alone(w, gradient, rate, strength):
    return w - rate * gradient


def l1_in_place(w, gradient, rate, strength):
    w -= rate * gradient
    return F.softshrink(w, rate * strength)


@torch.no_grad()
def decay_by_copy(model, rate, decay):
    total = 0
    for p in model.parameters():
        if p.requires_grad and p.dim() >= 2:
            p.copy_(p - rate * decay * p)
            total += p.numel()
    return total


def decay_by_data(model, rate, decay):
    paying = [p for p in model.parameters() if p.requires_grad and len(p.shape) > 1]
    for p in paying:
        p.data *= 1 - rate * decay
    return sum(p.numel() for p in paying)


def decaying(paying, factor=lambda rate, decay: 1 - rate * decay, count=None):
    """A wrong answer that shrinks what `paying` picks, by `factor`."""

    @torch.no_grad()
    def answer(model, rate, decay):
        chosen = [p for p in model.parameters() if paying(p)]
        for p in chosen:
            p.mul_(factor(rate, decay))
        return count(chosen, model) if count else sum(p.numel() for p in chosen)

    return answer


def matrix(p):
    return p.requires_grad and p.ndim > 1


@torch.no_grad()
def decay_by_amount(model, rate, decay):
    for p in filter(matrix, model.parameters()):
        p.sub_(rate * decay * p.sign())
    return sum(p.numel() for p in filter(matrix, model.parameters()))


@torch.no_grad()
def decay_in_gradient(model, rate, decay):
    for p in filter(matrix, model.parameters()):
        if p.grad is not None:
            p.grad.add_(decay * p)
    return sum(p.numel() for p in filter(matrix, model.parameters()))


def decay_replaced(model, rate, decay):
    total = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and matrix(weight):
            module.weight = nn.Parameter((1 - rate * decay) * weight.detach())
            total += weight.numel()
    return total


def decay_linear_layers(model, rate, decay):
    total = 0
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight.requires_grad:
            module.weight.data.mul_(1 - rate * decay)
            total += module.weight.numel()
    return total


def decay_without_no_grad(model, rate, decay):
    for p in filter(matrix, model.parameters()):
        p *= 1 - rate * decay


def dropout_by_where(x, lots, p, training):
    if not training:
        return x
    return torch.where(lots < p, 0.0, x / (1 - p) if p < 1 else x)


def dropout_by_index(x, lots, p, training):
    out = x.clone()
    if training:
        out[lots < p] = 0
        if p < 1:
            out = out / (1 - p)
    return out


def dropped(kept, factor=lambda p: 1 / (1 - p) if p < 1 else 0.0, outside=lambda x, p: x):
    """A wrong answer that keeps what `kept(lots, p)` says and enlarges by `factor(p)`."""

    def answer(x, lots, p, training):
        if not training:
            return outside(x, p)
        return x * kept(lots, p) * factor(p)

    return answer


def above(lots, p):
    return lots >= p


def dropout_always(x, lots, p, training):
    return x * (lots >= p) / (1 - p) if p < 1 else torch.zeros_like(x)


def dropout_nan(x, lots, p, training):
    return x * (lots >= p) / (torch.tensor(1.0) - p) if training else x


class NetByLayer(nn.Module):
    def __init__(self, inputs, hidden, p):
        super().__init__()
        self.first, self.last, self.drop = nn.Linear(inputs, hidden), nn.Linear(hidden, 10), nn.Dropout(p)

    def forward(self, x):
        return self.last(self.drop(self.first(x).relu()))


class NetByFunction(nn.Module):
    """The base of the wrong ones too: they say what becomes of the hidden numbers."""

    def __init__(self, inputs, hidden, p):
        super().__init__()
        self.first, self.last, self.p = nn.Linear(inputs, hidden), nn.Linear(hidden, 10), p

    def drop(self, h):
        return F.dropout(h, self.p, training=self.training)

    def forward(self, x):
        return self.last(self.drop(self.first(x).relu()))


class NetAlwaysOn(NetByFunction):
    def drop(self, h):
        return F.dropout(h, self.p)


class NetUnscaled(NetByFunction):
    def drop(self, h):
        return h * (torch.rand_like(h) >= self.p) if self.training else h


class NetScaledLater(NetByFunction):
    def drop(self, h):
        return h * (torch.rand_like(h) >= self.p) if self.training else h * (1 - self.p)


class NetOverP(NetByFunction):
    def drop(self, h):
        return h * (torch.rand_like(h) >= self.p) / self.p if self.training else h


class NetOff(NetByFunction):
    def drop(self, h):
        return h


class NetSwapped(NetByFunction):
    def drop(self, h):
        return h * (torch.rand_like(h) < self.p) / (1 - self.p) if self.training else h


class NetOnOutputs(NetByFunction):
    def forward(self, x):
        return F.dropout(self.last(self.first(x).relu()), self.p, training=self.training)


class NetOneMask(NetByFunction):
    def __init__(self, inputs, hidden, p):
        super().__init__(inputs, hidden, p)
        self.mask = torch.rand(hidden) >= p

    def drop(self, h):
        return h * self.mask / (1 - self.p) if self.training else h


class NetMaskForAllRows(NetByFunction):
    def drop(self, h):
        return h * (torch.rand(h.shape[1]) >= self.p) / (1 - self.p) if self.training else h


class NetRenamed(nn.Module):
    def __init__(self, inputs, hidden, p):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(p), nn.Linear(hidden, 10))

    def forward(self, x):
        return self.layers(x)


def stop_by_signs(values, patience, min_delta=0.0, mode="min"):
    signed = [v if mode == "min" else -v for v in values]
    mark, waited, last = signed[0], 0, len(signed) - 1
    for epoch in range(1, len(signed)):
        if signed[epoch] < mark - min_delta:
            mark, waited = signed[epoch], 0
        else:
            waited += 1
        if waited == patience:
            last = epoch
            break
    return min(range(last + 1), key=signed.__getitem__), last


def stopping(*, sign=1, delta=True, from_mark=False, late=0, inclusive=False, swapped=False, one=0, whole=False,
             in_all=False, last_weights=False, creeping=False):  # fmt: skip
    """A wrong answer: what it does otherwise than the task says."""

    def answer(values, patience, min_delta=0.0, mode="min"):
        signed = [sign * (v if mode == "min" else -v) for v in values]
        margin = min_delta if delta else 0.0
        mark, at, waited, last = signed[0], 0, 0, len(signed) - 1
        for epoch in range(1, len(signed)):
            v = signed[epoch]
            if v < mark - margin or (inclusive and v <= mark - margin):
                mark, at, waited = v, epoch, waited if in_all else 0
            else:
                waited += 1
                if creeping:
                    mark = min(mark, v)
            if waited >= patience + late:
                last = epoch
                break
        seen = signed if whole else signed[: last + 1]
        best = at if from_mark else len(seen) - 1 - seen[::-1].index(min(seen)) if inclusive else seen.index(min(seen))
        best = last if last_weights else best
        return (last, best) if swapped else (best + one, last + one)

    return answer


ANSWERS = {
    "day17.l1_step": Answers(
        right=[l1_by_torch, l1_by_cases],
        wrong=[
            (l1_past_zero, "come out beyond zero"),
            (l1_subgradient, "come out beyond zero"),
            (l1_without_rate, "not the strength alone"),
            (l1_other_order, "in the other order"),
            (l1_without_sign, "forgets the sign"),
            (l1_one_sided, "Negative weights became zero"),
            (l1_hard, "the large ones have to pay"),
            (l1_uphill, "against the gradient"),
            (l1_as_l2, "step of L2"),
            (l1_decay_after, "step of L2"),
            (l1_price_alone, "The gradient is missing"),
            (l1_gradient_alone, "The price is missing"),
            (l1_in_place, "in place"),
        ],
    ),
    "day17.decay_matrices": Answers(
        right=[decay_by_copy, decay_by_data],
        wrong=[
            (decaying(lambda p: p.requires_grad), "a bias or a gain"),
            (decaying(lambda p: p.ndim > 1), "It is frozen"),
            (decaying(matrix, lambda rate, decay: 1 - decay), "left the rate out"),
            (decaying(matrix, lambda rate, decay: rate * decay), "leaves 1 minus that"),
            (decaying(matrix, lambda rate, decay: (1 - rate * decay) ** 2), "shrinks it twice"),
            (decaying(lambda p: False), "It was not shrunk"),
            (decay_linear_layers, "It was not shrunk"),
            (decay_by_amount, "that is L1"),
            (decay_in_gradient, "the penalty of L2"),
            (decay_replaced, "replaced by another one"),
            (decaying(matrix, count=lambda chosen, model: len(chosen)), "Count numbers"),
            (
                decaying(matrix, count=lambda chosen, model: sum(p.numel() for p in model.parameters())),
                "only what was shrunk",
            ),
            (decaying(matrix, count=lambda chosen, model: None), "is to be returned"),
            (decay_without_no_grad, "RuntimeError"),
        ],
    ),
    "day17.inverted_dropout": Answers(
        right=[dropout_by_where, dropout_by_index],
        wrong=[
            (dropped(above, lambda p: 1.0), "not enlarged"),
            (dropped(lambda lots, p: lots > p), "equals p"),
            (dropped(lambda lots, p: lots < p), "silences the others"),
            (dropped(above, lambda p: 1 / p if p else 0.0), "not to 1 / p"),
            (dropped(above, lambda p: 1 - p), "shrinks the survivors"),
            (dropped(above, outside=lambda x, p: x * (1 - p)), "no correction"),
            (dropped(above, outside=lambda x, p: x / (1 - p) if p < 1 else x), "Outside of training nothing"),
            (dropout_always, "count for nothing"),
            (dropout_nan, "holds nan"),
            (lambda x, lots, p, training: x, "returned x itself"),
        ],
    ),
    "day17.mended_net": Answers(
        right=[NetByLayer, NetByFunction],
        wrong=[
            (NetAlwaysOn, "Lots are drawn there too"),
            (NetUnscaled, "make up for the silent ones"),
            (NetScaledLater, "enlarged or shrunk"),
            (NetOverP, "enlarged to 1 / (1 - p)"),
            (NetOff, "switched off for good"),
            (NetSwapped, "the share that is silenced"),
            (NetOnOutputs, "for the hidden units"),
            (NetOneMask, "Draw new lots"),
            (NetMaskForAllRows, "a lot of its own"),
            (NetRenamed, "Keep the names"),
        ],
    ),
    "day17.patient_stop": Answers(
        right=[stop_by_signs],
        wrong=[
            (stopping(from_mark=True), "the plainly best epoch"),
            (stopping(sign=-1), "the other direction"),
            (stopping(delta=False), "min_delta was overlooked"),
            (stopping(in_all=True), "in a row"),
            (stopping(late=1), "One epoch too late"),
            (stopping(inclusive=True), "no improvement"),
            (stopping(creeping=True), "The mark moves only"),
            (stopping(one=1), "counted from 0"),
            (stopping(swapped=True), "The order is"),
            (stopping(whole=True), "never seen"),
            (stopping(last_weights=True), "weights of the last epoch"),
        ],
    ),
}
