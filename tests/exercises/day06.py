"""Answers to the exercises of day 6: other right ones, and wrong ones that are really given."""

import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F


def loss_by_log_softmax(logits, labels):
    return -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean()


def loss_by_nll(logits, labels):
    shifted = logits - logits.max(dim=1, keepdim=True).values
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    one_hot = F.one_hot(labels, logits.shape[1])
    return -(log_p * one_hot).sum() / len(labels)


def loss_summed(logits, labels):
    return -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].sum()


def loss_of_softmax_twice(logits, labels):
    return loss_by_log_softmax(logits.softmax(dim=1), labels)


def loss_without_log(logits, labels):
    return (1 - logits.softmax(dim=1)[torch.arange(len(labels)), labels]).mean()


def loss_that_overflows(logits, labels):
    return (logits.exp().sum(dim=1).log() - logits[torch.arange(len(labels)), labels]).mean()


def loss_over_entries(logits, labels):
    return -(logits.log_softmax(dim=1) * F.one_hot(labels, logits.shape[1])).mean()


def loss_with_turned_sign(logits, labels):
    return logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean()


def adam(w, g, m, v, t, learning_rate, correct=True, sign=-1.0):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    m_hat, v_hat = (m / (1 - 0.9**t), v / (1 - 0.999**t)) if correct else (m, v)
    return w + sign * learning_rate * m_hat / (v_hat.sqrt() + 1e-8), m, v


def adam_by_rate(w, g, m, v, t, learning_rate):
    m = torch.lerp(m, g, 0.1)
    v = torch.lerp(v, g.square(), 0.001)
    return [torch.addcdiv(w, m, (v / (1 - 0.999**t)).sqrt() + 1e-8, value=-learning_rate / (1 - 0.9**t)), m, v]


def adam_uncorrected(w, g, m, v, t, learning_rate):
    return adam(w, g, m, v, t, learning_rate, correct=False)


def adam_uphill(w, g, m, v, t, learning_rate):
    return adam(w, g, m, v, t, learning_rate, sign=1.0)


def adam_with_t_from_zero(w, g, m, v, t, learning_rate):
    return adam(w, g, m, v, t + 1, learning_rate)


def adam_returning_corrected(w, g, m, v, t, learning_rate):
    w, m, v = adam(w, g, m, v, t, learning_rate)
    return w, m / (1 - 0.9**t), v / (1 - 0.999**t)


def adam_with_v_of_g(w, g, m, v, t, learning_rate):
    v = 0.999 * v + 0.001 * g
    return w, 0.9 * m + 0.1 * g, v


def adam_in_place(w, g, m, v, t, learning_rate):
    m *= 0.9
    m += 0.1 * g
    return adam(w, g, m, v, t, learning_rate)


def accuracy_concatenated(model, batches):
    mode = model.training
    model.train(False)
    with torch.inference_mode():
        hits = torch.cat([model(x).argmax(-1).eq(y) for x, y in batches])
    model.train(mode)
    return hits.float().mean().item()


def accuracy_of_batches(model, batches):
    mode = model.training
    model.eval()
    with torch.no_grad():
        each = [(model(x).argmax(1) == y).float().mean().item() for x, y in batches]
    model.train(mode)
    return sum(each) / len(each)


def accuracy_in_training_mode(model, batches):
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in batches)
    return right / sum(len(y) for _, y in batches)


def accuracy_left_in_eval(model, batches):
    model.eval()
    return accuracy_in_training_mode(model, batches)


def accuracy_with_graph(model, batches):
    mode = model.training
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in batches)
    model.train(mode)
    return right / sum(len(y) for _, y in batches)


def accuracy_in_percent(model, batches):
    return 100 * accuracy_concatenated(model, batches)


def loop(model, x, y, epochs, batch_size, learning_rate, *, clear=True, softmax=False, by_samples=True):
    parameters = list(model.parameters())
    losses = []
    for _ in range(epochs):
        seen = []
        for inputs, target in zip(x.split(batch_size), y.split(batch_size), strict=True):
            scores = model(inputs)
            loss = nn.CrossEntropyLoss()(scores.softmax(1) if softmax else scores, target)
            if clear:
                for p in parameters:
                    p.grad = None
            loss.backward()
            with torch.no_grad():
                for p in parameters:
                    p -= learning_rate * p.grad
            seen.append((loss.item(), len(target) if by_samples else 1))
        losses.append(sum(loss * n for loss, n in seen) / sum(n for _, n in seen))
    return losses


def loop_by_hand(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    return loop(model, x, y, epochs, batch_size, learning_rate)


def loop_with_softmax(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    return loop(model, x, y, epochs, batch_size, learning_rate, softmax=True)


def loop_without_zero_grad(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    return loop(model, x, y, epochs, batch_size, learning_rate, clear=False)


def loop_with_both(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    return loop(model, x, y, epochs, batch_size, learning_rate, clear=False, softmax=True)


def loop_weighing_batches(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    return loop(model, x, y, epochs, batch_size, learning_rate, by_samples=False)


def loop_that_never_steps(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    return [F.cross_entropy(model(x), y).item()] * epochs


def decay_by_loop(epoch, initial, factor, every):
    rate = initial
    for past in range(1, epoch + 1):
        if past % every == 0:
            rate *= factor
    return rate


def decay_every_epoch(epoch, initial, factor, every):
    return initial * factor ** (epoch / every)


def decay_too_early(epoch, initial, factor, every):
    return initial * factor ** ((epoch + 1) // every)


def decay_once(epoch, initial, factor, every):
    return initial * factor if epoch >= every else initial


def decay_linear(epoch, initial, factor, every):
    return initial * factor * (epoch // every) if epoch >= every else initial


def stop_with_counter(losses, patience):
    best, lowest, waited = 0, float("inf"), 0
    for epoch, loss in enumerate(losses):
        waited += 1
        if loss < lowest:
            best, lowest, waited = epoch, loss, 0
        if waited == patience:
            break
    return [best, epoch]


def stop_without_reset(losses, patience):
    best, waited = 0, 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[best]:
            best = epoch
        else:
            waited += 1
        if waited >= patience:
            return best, epoch
    return best, len(losses) - 1


def stop_late(losses, patience):
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best > patience:
            return best, epoch
    return best, len(losses) - 1


def stop_never_on_a_plateau(losses, patience):
    best = 0
    for epoch, loss in enumerate(losses):
        if loss <= losses[best]:
            best = epoch
        if epoch - best >= patience:
            return best, epoch
    return best, len(losses) - 1


def stop_with_foresight(losses, patience):
    return losses.index(min(losses)), stop_with_counter(losses, patience)[1]


ANSWERS = {
    "day06.cross_entropy": Answers(
        right=[loss_by_log_softmax, loss_by_nll],
        wrong=[
            (loss_summed, "the mean is asked for"),
            (loss_of_softmax_twice, "Softmax was applied twice"),
            (loss_without_log, "one minus the probability"),
            (loss_that_overflows, "beyond a float"),
            (loss_over_entries, "divide by the number of rows"),
            (loss_with_turned_sign, "sign is turned round"),
        ],
    ),
    "day06.adam_step": Answers(
        right=[adam, adam_by_rate],
        wrong=[
            (adam_uncorrected, "not corrected"),
            (adam_uphill, "against the gradient"),
            (adam_with_t_from_zero, "raised once too often"),
            (adam_returning_corrected, "without the correction"),
            (adam_with_v_of_g, "*square* of the gradient"),
            (adam_in_place, "chang"),
        ],
    ),
    "day06.validation_accuracy": Answers(
        right=[accuracy_concatenated],
        wrong=[
            (accuracy_of_batches, "mean of the batches' accuracies"),
            (accuracy_in_training_mode, "still in training mode"),
            (accuracy_left_in_eval, "put it back"),
            (accuracy_with_graph, "graph was built"),
            (accuracy_in_percent, "in percent"),
        ],
    ),
    "day06.repaired_loop": Answers(
        right=[loop_by_hand],
        wrong=[
            (loop_with_softmax, "softmax is applied before"),
            (loop_without_zero_grad, "never cleared"),
            (loop_with_both, "Both bugs"),
            (loop_weighing_batches, "weigh by samples"),
            (loop_that_never_steps, "not trained"),
        ],
    ),
    "day06.decayed_rate": Answers(
        right=[decay_by_loop],
        wrong=[
            (decay_every_epoch, "a little in every epoch"),
            (decay_too_early, "epoch too early"),
            (decay_once, "applied once"),
            (decay_linear, "each drop multiplies again"),
        ],
    ),
    "day06.early_stop": Answers(
        right=[stop_with_counter],
        wrong=[
            (stop_without_reset, "starts again from zero"),
            (stop_late, "goes on too long"),
            (stop_never_on_a_plateau, "Equal is not lower"),
            (stop_with_foresight, "never seen"),
        ],
    ),
}
