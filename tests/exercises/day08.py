"""Answers to the exercises of day 8: other right ones, and wrong ones that are really given."""

import torch
from answers import Answers
from torch.nn import functional as F


def huber_by_clamp(error, delta=1.0):
    near = error.clamp(-delta, delta)
    return [near * error - near**2 / 2, near]


def huber_by_autograd(error, delta=1.0):
    e = error.detach().clone().requires_grad_()
    price = torch.where(e.abs() > delta, delta * e.abs() - delta**2 / 2, 0.5 * e * e)
    (pull,) = torch.autograd.grad(price.sum(), e)
    return price.detach(), pull


def huber_with_a_jump(error, delta=1.0):
    price = torch.where(error.abs() <= delta, error**2 / 2, delta * error.abs())
    return price, error.clamp(-delta, delta)


def huber_of_slope_one(error, delta=1.0):
    price = torch.where(error.abs() <= delta, error**2 / 2, error.abs() - 0.5)
    return price, error.clamp(-delta, delta)


def huber_without_half(error, delta=1.0):
    price, pull = huber_by_clamp(error, delta)
    return 2 * price, 2 * pull


def huber_smooth_l1(error, delta=1.0):
    price, pull = huber_by_clamp(error, delta)
    return price / delta, pull / delta


def huber_unsigned(error, delta=1.0):
    return huber_by_clamp(error, delta)[0], error.abs().clamp(max=delta)


def huber_with_the_squares_pull(error, delta=1.0):
    return huber_by_clamp(error, delta)[0], error


def huber_pull_of_one(error, delta=1.0):
    return huber_by_clamp(error, delta)[0], torch.where(error.abs() <= delta, error, error.sign())


def huber_mean(error, delta=1.0):
    price, pull = huber_by_clamp(error, delta)
    return price.mean(), pull


def huber_of_pytorch(error, delta=1.0):
    return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta), error.clamp(-delta, delta)


def bce_by_logsigmoid(z, y):
    return -(y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z)).mean()


def bce_by_hand(z, y):
    return (z.clamp(min=0) - z * y + (-z.abs()).exp().log1p()).mean()


def bce_by_logsumexp(z, y):
    return (torch.stack([torch.zeros_like(z), z]).logsumexp(0) - y * z).mean()


def bce_naive(z, y):
    p = z.sigmoid()
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def bce_with_epsilon(z, y, eps=1e-8):
    p = z.sigmoid()
    return -(y * (p + eps).log() + (1 - y) * (1 - p + eps).log()).mean()


def bce_clamped(z, y):
    return bce_naive(torch.logit(z.sigmoid().clamp(1e-7, 1 - 1e-7)), y)


def bce_that_overflows(z, y):
    return ((1 + z.exp()).log() - y * z).mean()


def bce_summed(z, y):
    return bce_by_logsigmoid(z, y) * z.numel()


def bce_of_yes_alone(z, y):
    return -(y * F.logsigmoid(z)).mean()


def bce_exchanged(z, y):
    return bce_by_logsigmoid(z, 1 - y)


def bce_of_hard_targets(z, y):
    return torch.where(y > 0.5, F.softplus(-z), F.softplus(z)).mean()


def bce_as_a_number(z, y):
    return torch.tensor(bce_by_logsigmoid(z, y).item())


def bce_of_pytorch(z, y):
    return F.binary_cross_entropy_with_logits(z, y)


def bce_turned(z, y):
    return -bce_by_logsigmoid(z, y)


def kl_by_xlogy(p, q):
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=1)


def kl_by_nansum(p, q):
    return (p * (p / q).log()).nansum(dim=-1)


def kl_by_loop(p, q):
    rows = [sum(a * (a / b).log() for a, b in zip(r, s, strict=True) if a > 0) for r, s in zip(p, q, strict=True)]
    return torch.stack(rows)


def kl_naive(p, q):
    return (p * (p / q).log()).sum(dim=1)


def kl_turned(p, q):
    return kl_by_xlogy(q, p)


def kl_as_cross_entropy(p, q):
    return -torch.xlogy(p, q).sum(dim=1)


def kl_mean(p, q):
    return kl_by_xlogy(p, q).mean()


def kl_over_the_batch(p, q):
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=0)


def kl_with_epsilon(p, q, eps=1e-8):
    return (p * ((p + eps) / (q + eps)).log()).sum(dim=1)


def kl_without_infinity(p, q):
    return torch.nan_to_num(p * (p / q).log(), posinf=0.0).sum(dim=1)


def kl_averaged(p, q):
    return kl_by_xlogy(p, q) / p.shape[1]


TASKS = (
    "the length of a fish, errors bell-shaped and equally large",
    "the price of a house, a few entries mistyped",
    "which of 26 letters was written",
    "which of 20 symptoms a patient has",
    "spam or not, from one logit",
    "a small network imitates a large one's probabilities",
)


def choices(*words):
    return dict(zip(TASKS, words, strict=True))


def smooth_by_filling(labels, num_classes, epsilon):
    targets = torch.full((len(labels), num_classes), epsilon / num_classes)
    targets[torch.arange(len(labels)), labels] += 1 - epsilon
    return targets


def smooth_by_lerp(labels, num_classes, epsilon):
    return torch.lerp(torch.eye(num_classes)[labels], torch.full((num_classes,), 1 / num_classes), epsilon)


def smooth_among_the_others(labels, num_classes, epsilon):
    one_hot = F.one_hot(labels, num_classes)
    return (1 - epsilon) * one_hot + (1 - one_hot) * epsilon / (num_classes - 1)


def smooth_with_too_little(labels, num_classes, epsilon):
    one_hot = F.one_hot(labels, num_classes)
    return (1 - epsilon) * one_hot + (1 - one_hot) * epsilon / num_classes


def smooth_with_too_much(labels, num_classes, epsilon):
    return F.one_hot(labels, num_classes) + epsilon / num_classes


def smooth_undivided(labels, num_classes, epsilon):
    return (1 - epsilon) * F.one_hot(labels, num_classes) + epsilon


def smooth_nothing_for_others(labels, num_classes, epsilon):
    return (1 - epsilon) * F.one_hot(labels, num_classes)


def smooth_exchanged(labels, num_classes, epsilon):
    return smooth_by_filling(labels, num_classes, 1 - epsilon)


def grad_by_exp(z, t, temperature):
    e = ((z - z.amax(1, keepdim=True)) / temperature).exp()
    return (e / e.sum(1, keepdim=True) - t).div(temperature).div(z.shape[0])


def grad_by_rows(z, t, temperature):
    rows = [F.softmax(row / temperature, 0) - target for row, target in zip(z, t, strict=True)]
    return torch.stack(rows) / (temperature * len(z))


def grad_without_chain_rule(z, t, temperature):
    return grad_by_exp(z, t, temperature) * temperature


def grad_of_the_sum(z, t, temperature):
    return grad_by_exp(z, t, temperature) * len(z)


def grad_of_plain_softmax(z, t, temperature):
    return (z.softmax(1) - t) / (temperature * len(z))


def grad_times_temperature(z, t, temperature):
    return grad_by_exp(z, t, temperature) * temperature**2


def grad_over_entries(z, t, temperature):
    return grad_by_exp(z, t, temperature) / z.shape[1]


def grad_turned(z, t, temperature):
    return -grad_by_exp(z, t, temperature)


def grad_of_hard_targets(z, t, temperature):
    return grad_by_exp(z, F.one_hot(t.argmax(1), z.shape[1]), temperature)


def grad_by_autograd(z, t, temperature):
    z = z.clone().requires_grad_()
    F.cross_entropy(z / temperature, t).backward()
    return z.grad


def loss_by_logsumexp(logits, labels):
    return (logits.logsumexp(dim=1) - logits[torch.arange(len(labels)), labels]).mean()


def loss_by_gather(logits, labels):
    return -logits.log_softmax(-1).gather(1, labels[:, None]).sum() / len(labels)


def loss_with(dim, mean, log=True):
    def loss(logits, labels):
        log_p = logits.log_softmax(dim) if log else logits.softmax(dim).log()
        picked = F.one_hot(labels, logits.shape[1]) * log_p
        return -(picked.mean() if mean else picked.sum(1).mean())

    return loss


def loss_with_epsilon(logits, labels):
    return -(F.one_hot(labels, logits.shape[1]) * (logits.softmax(1) + 1e-8).log()).sum(1).mean()


def loss_summed(logits, labels):
    return loss_by_logsumexp(logits, labels) * len(labels)


def loss_of_softmax_twice(logits, labels):
    return loss_by_logsumexp(logits.softmax(1), labels)


def loss_of_pytorch(logits, labels):
    return F.cross_entropy(logits, labels)


ANSWERS = {
    "day08.huber": Answers(
        right=[huber_by_clamp, huber_by_autograd],
        wrong=[
            (huber_with_a_jump, "jumps at delta"),
            (huber_of_slope_one, "slope is wrong"),
            (huber_without_half, "*over 2*"),
            (huber_smooth_l1, "smooth_l1_loss` and not"),
            (huber_unsigned, "pull has no sign"),
            (huber_with_the_squares_pull, "must stop growing"),
            (huber_pull_of_one, "not 1."),
            (huber_mean, "its own price"),
            (huber_of_pytorch, "ready-made"),
        ],
    ),
    "day08.binary_cross_entropy": Answers(
        right=[bce_by_logsigmoid, bce_by_hand, bce_by_logsumexp],
        wrong=[
            (bce_naive, "rounded to 0 or 1"),
            (bce_that_overflows, "rounded to 0 or 1"),
            (bce_with_epsilon, "price is capped"),
            (bce_clamped, "price is capped"),
            (bce_summed, "sum over all entries"),
            (bce_of_yes_alone, "Only the yes half"),
            (bce_exchanged, "halves are exchanged"),
            (bce_of_hard_targets, "lies in between"),
            (bce_as_a_number, "autograd cannot go through"),
            (bce_of_pytorch, "ready-made"),
            (bce_turned, "sign is turned round"),
        ],
    ),
    "day08.kl_divergence": Answers(
        right=[kl_by_xlogy, kl_by_nansum, kl_by_loop],
        wrong=[
            (kl_naive, "has a NaN"),
            (kl_turned, "KL(q || p)"),
            (kl_as_cross_entropy, "entropy of p is still in it"),
            (kl_mean, "a number for each row"),
            (kl_over_the_batch, "for each column"),
            (kl_with_epsilon, "was called impossible"),
            (kl_without_infinity, "was called impossible"),
            (kl_averaged, "mean over the classes"),
        ],
    ),
    "day08.choose_loss": Answers(
        right=[choices("MSE", "huber", "CE", "bce", "BCE", " kl ")],
        wrong=[
            (choices("mse", "mse", "ce", "bce", "bce", "kl"), "would move everything"),
            (choices("mse", "huber", "bce", "bce", "bce", "kl"), "Exactly one letter"),
            (choices("mse", "huber", "ce", "ce", "bce", "kl"), "shares out a single 1"),
            (choices("mse", "huber", "ce", "bce", "ce", "kl"), "over a single logit"),
            (choices("mse", "huber", "ce", "bce", "bce", "ce"), "imitation is perfect"),
            (choices("huber", "mse", "ce", "bce", "bce", "kl"), "little harm"),
            (choices("mse", "huber", "ce", "bce", "bce", "mse"), "for predicting a number"),
        ],
    ),
    "day08.smooth_labels": Answers(
        right=[smooth_by_filling, smooth_by_lerp],
        wrong=[
            (smooth_among_the_others, "*other* classes alone"),
            (smooth_with_too_little, "less than 1"),
            (smooth_with_too_much, "more than 1"),
            (smooth_undivided, "whole to every class"),
            (smooth_nothing_for_others, "nobody got it"),
            (smooth_exchanged, "changed places"),
        ],
    ),
    "day08.soft_loss_grad": Answers(
        right=[grad_by_exp, grad_by_rows],
        wrong=[
            (grad_without_chain_rule, "another 1 / T"),
            (grad_of_the_sum, "sum over the batch"),
            (grad_of_plain_softmax, "not of z / T"),
            (grad_times_temperature, "does not multiply"),
            (grad_over_entries, "all B times C entries"),
            (grad_turned, "sign is turned round"),
            (grad_of_hard_targets, "made one-hot"),
            (grad_by_autograd, "ready-made"),
        ],
    ),
    "day08.mended_loss": Answers(
        right=[loss_by_logsumexp, loss_by_gather],
        wrong=[
            (loss_with(0, True, log=False), "At least two bugs are left"),
            (loss_with(0, False), "columns add up to 1"),
            (loss_with(1, True), "most of which are zero"),
            (loss_with(1, False, log=False), "rounds to 0"),
            (loss_with_epsilon, "caps the price"),
            (loss_summed, "sum over the batch"),
            (loss_of_softmax_twice, "applied twice"),
            (loss_of_pytorch, "ready-made"),
        ],
    ),
}
