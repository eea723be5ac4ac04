"""Day 1: other right answers, and wrong ones that are really given."""

from __future__ import annotations

import numpy as np
import torch
from answers import Answers

from nnlab_helpers.exercises.days.tiny_engine import Value

# -- divide ----------------------------------------------------------------------------------------------------


def divide_by_reciprocal(a, b):
    return a * Value(1 / b.data, "1/", [(b, -1 / b.data**2)])


def divide_with_lists(a, b):
    result = Value(a.data / b.data)
    result.inputs = [[b, -result.data / b.data], [a, 1 / b.data]]
    return result


def divide_quotient_only(a, b):
    return Value(a.data / b.data, "/")


def divide_plain(a, b):
    return a.data / b.data


def divide_nothing(a, b):
    a.data / b.data


def divide_sets_grads(a, b):
    a.grad, b.grad = 1 / b.data, -a.data / b.data**2
    return Value(a.data / b.data, "/", [(a, a.grad), (b, b.grad)])


def divide_no_pairs(a, b):
    return Value(a.data / b.data, "/", [a, b])


# -- accumulate ------------------------------------------------------------------------------------------------


def accumulate_one_by_one(batch_loss, line, x, y, batch_size):
    line.grad = torch.zeros_like(line)
    for i in range(len(x)):
        batch_loss(line, x[i : i + 1], y[i : i + 1]).div(len(x)).backward()
    return line.grad


def accumulate_by_hand(batch_loss, line, x, y, batch_size):
    total = torch.zeros(2)
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        (gradient,) = torch.autograd.grad(batch_loss(line, x[part], y[part]), line, materialize_grads=True)
        total += gradient * len(x[part])
    return total / len(x)


def accumulate_whole(batch_loss, line, x, y, batch_size):
    line.grad = None
    batch_loss(line, x, y).backward()
    return line.grad


def accumulate_moving_the_line(batch_loss, line, x, y, batch_size):
    gradient = accumulate_one_by_one(batch_loss, line, x, y, batch_size)
    with torch.no_grad():
        line -= 0.1 * gradient
    return gradient


def accumulate_unevenly(batch_loss, line, x, y, batch_size):
    line.grad = None
    for part, target in zip(x.split(batch_size), y, strict=False):
        batch_loss(line, part, target).backward()
    return line.grad


# -- two gradients ---------------------------------------------------------------------------------------------


def two_gradients_autograd(leaf, loss_a, loss_b):
    first = torch.autograd.grad(loss_a, leaf, retain_graph=True)[0]
    return first, torch.autograd.grad(loss_b, leaf)[0]


def two_gradients_subtract(leaf, loss_a, loss_b):
    loss_a.backward(retain_graph=True)
    first = leaf.grad.clone()
    loss_b.backward()
    return [first, leaf.grad - first]


def two_gradients_wiped(leaf, loss_a, loss_b):
    loss_a.backward()
    first = leaf.grad.clone()
    leaf.grad = None
    loss_b.backward()
    return first, leaf.grad


def two_gradients_same_box(leaf, loss_a, loss_b):
    loss_a.backward(retain_graph=True)
    first = leaf.grad
    loss_b.backward()
    return first, leaf.grad


def two_gradients_emptied_in_place(leaf, loss_a, loss_b):
    loss_a.backward(retain_graph=True)
    first = leaf.grad
    leaf.grad.zero_()
    loss_b.backward()
    return first, leaf.grad


def two_gradients_of_one(leaf, loss_a, loss_b):
    loss_a.backward(retain_graph=True)
    return leaf.grad


# -- one step --------------------------------------------------------------------------------------------------


def one_step_torch(weight, bias, x, y, learning_rate):
    line = torch.tensor([weight, bias], requires_grad=True)
    ((line[0] * x + line[1] - y) ** 2).mean().backward()
    with torch.no_grad():
        line -= learning_rate * line.grad
    return line[0], line[1]


def one_step_as_tensor(weight, bias, x, y, learning_rate):
    return torch.stack([torch.as_tensor(part) for part in one_step_torch(weight, bias, x, y, learning_rate)])


def one_step_on_a_graph(weight, bias, x, y, learning_rate):
    line = torch.tensor([weight, bias], requires_grad=True)
    ((line[0] * x + line[1] - y) ** 2).mean().backward()
    line -= learning_rate * line.grad
    return line


def one_step_per_sample(weight, bias, x, y, learning_rate):
    mistake = weight * x + bias - y
    return weight - learning_rate * 2 * mistake * x, bias - learning_rate * 2 * mistake


def one_step_scaling_its_input(weight, bias, x, y, learning_rate):
    x *= learning_rate
    return weight, bias


RIGHT_SHAPES = [(3, 4), (8, 1, 28, 28), "error", (5, 3, 2)]


def _shapes(number, answer):
    return [answer if i == number - 1 else right for i, right in enumerate(RIGHT_SHAPES)]


ANSWERS = {
    "day01.broadcast_shapes": Answers(
        right=[
            ([3, 4], torch.Size([8, 1, 28, 28]), "Error", [5, 3, 2]),
            [(3, 4), (8, 1, 28, 28), " error ", torch.Size([5, 3, 2])],
        ],
        wrong=[
            (_shapes(1, "error"), "3 and 4 do not meet"),
            (_shapes(1, (4, 3)), "wrong way round"),
            (_shapes(1, (3, 1, 4)), "not joined end to end"),
            (_shapes(2, (8, 28, 28)), "dimensions are never dropped"),
            (_shapes(2, (28,)), "nothing is summed away"),
            (_shapes(3, (64, 10)), "It reads from the right"),
            (_shapes(3, (64, 64)), "neither of them is 1"),
            (_shapes(4, "error"), "In each column is a 1 or a gap"),
            (_shapes(4, (5, 3, 1)), "At the right end 2 meets 1"),
            (_shapes(4, (5, 1, 2)), "The middle 1 meets a 3"),
            (_shapes(2, 28), "with a comma"),
            (_shapes(3, ...), "still waits for your answer"),
            (RIGHT_SHAPES[:3], "four answers were expected, got 3"),
            ("error", "a list of four answers was expected"),
        ],
    ),
    "day01.divide": Answers(
        right=[divide_by_reciprocal, divide_with_lists],
        wrong=[
            (divide_quotient_only, "does not remember what it was made from"),
            (divide_plain, "A plain number forgets where it came from"),
            (divide_nothing, "Is a `return` missing?"),
            (divide_sets_grads, "changes `a` or `b`"),
            (divide_no_pairs, "`inputs` is a list of pairs"),
        ],
    ),
    "day01.accumulate": Answers(
        right=[accumulate_one_by_one, accumulate_by_hand],
        wrong=[
            (accumulate_moving_the_line, "changes its input `line` in place"),
            (accumulate_unevenly, "len() of a 0-d tensor"),
            (accumulate_whole, "batch_loss was shown 3 samples at once"),
        ],
    ),
    "day01.two_gradients": Answers(
        right=[two_gradients_autograd, two_gradients_subtract],
        wrong=[
            (two_gradients_wiped, "Trying to backward through the graph a second time"),
            (two_gradients_of_one, "two things are to be returned"),
            (two_gradients_same_box, "with both gradients in it"),
            (two_gradients_emptied_in_place, "what you kept is the letterbox itself"),
        ],
    ),
    "day01.one_step": Answers(
        right=[one_step_torch, one_step_as_tensor],
        wrong=[
            (one_step_on_a_graph, "a leaf Variable that requires grad"),
            (one_step_per_sample, "what came has shape [2]"),
            (one_step_scaling_its_input, "changes its input `x` in place"),
        ],
    ),
    "day01.faster_rate": Answers(
        right=[0.24, 0.26, torch.tensor(0.27), np.float32(0.25), torch.tensor([0.25])],
        wrong=[
            (0.05, "its legs are too short"),
            (0.2, "its legs are too short"),
            (0.3, "zigzags from slope to slope"),
            (0.5, "beyond the border"),
            (-0.1, "walks uphill"),
            (0, "nobody moves"),
            ("0.25", "a number was expected"),
        ],
    ),
}
