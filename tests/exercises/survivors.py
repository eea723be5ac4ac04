"""Changed references that their checker accepts, and why each of them is a right answer too.

Exercise -> change, as the mutation test prints it -> reason.
"""

SURVIVORS: dict[str, dict[str, str]] = {
    "day20.open_forget_gate": {
        "gate = slice(lstm.hidden_size, 2 * lstm.hidden_size)  ->  "
        "gate = slice(lstm.hidden_size, -2 * lstm.hidden_size)": "of four blocks the second ends two before the end",
    },
    "day20.causal_attention": {
        "may_look = torch.ones(steps, steps, dtype=torch.bool, device=q.device).tril()  ->  "
        "may_look = torch.ones(steps, steps, dtype=torch.bool).tril()": (
            "a check hands over tensors on the CPU, where `ones` makes its own"
        ),
    },
    "day20.assembled": {
        "rows_together = grid.permute(0, 3, 1, 4, 2, 5)  ->  rows_together = grid.permute(0, -3, 1, 4, 2, 5)": (
            "of six dimensions the fourth is the last but two"
        ),
    },
    "day02.mended_backward": {
        "dh = dpred @ params['W2'].T  ->  dh = dpred * params['W2'].T": (
            "a column [N, 1] times a row [1, H] gives the same [N, H] as a matrix product and by broadcasting"
        ),
    },
    "day03.dead_fraction": {
        "for z in batches[1:]:  ->  for z in batches[0:]:": (
            "the first batch was looked at before, and `or` with the same again changes nothing"
        ),
    },
    "day05.train_statistics": {
        "mean = pixels.mean(dim=(0, 2, 3))  ->  mean = pixels.mean(dim=(0, -2, 3))": (
            "of four dimensions the third is the last but one"
        ),
        "std = pixels.std(dim=(0, 2, 3))  ->  std = pixels.std(dim=(0, -2, 3))": (
            "of four dimensions the third is the last but one"
        ),
    },
    "day05.shift_right": {
        "here = torch.arange(width, 2 * width, device=x.device)  ->  here = torch.arange(width, 2 * width)": (
            "a check hands over tensors on the CPU, where `arange` makes its own"
        ),
    },
    "day04.log_losses": {
        "loss = F.mse_loss(model(x), y)  ->  loss = F.mse_loss(y, model(x))": "a squared difference has no sign",
        "validation = F.mse_loss(model(x_val), y_val).item()  ->  "
        "validation = F.mse_loss(y_val, model(x_val)).item()": "a squared difference has no sign",
    },
    "day06.cross_entropy": {
        "right = logits.gather(1, labels[:, None])[:, 0]  ->  right = logits.gather(1, labels[:, None])[:, -1]": (
            "there is one column, which is the first and the last"
        ),
    },
    "day11.quiet_hook": {
        "self.generator = torch.Generator().manual_seed(0)  ->  self.generator = torch.Generator()": (
            "a new generator begins at a fixed seed too"
        ),
        "self.generator = torch.Generator().manual_seed(0)  ->  self.generator = torch.Generator().manual_seed(-1)": (
            "any digits will do, as long as the numbers are the hook's own"
        ),
        "self.generator = torch.Generator().manual_seed(0)  ->  self.generator = torch.Generator().manual_seed(1)": (
            "any digits will do, as long as the numbers are the hook's own"
        ),
    },
    "day07.conv2d": {
        "k = kernels.shape[-1]  ->  k = kernels.shape[-2]": "the kernels are square",
        "windows = images.unfold(2, k, 1).unfold(3, k, 1)  ->  windows = images.unfold(-2, k, 1).unfold(3, k, 1)": (
            "of four dimensions the third is the last but one"
        ),
    },
    "day07.switched_loss": {
        "return F.cross_entropy(logits, one_hot.argmax(dim=1))  ->  return F.cross_entropy(logits, one_hot)": (
            "PyTorch takes probabilities as targets too, and a one-hot row is one"
        ),
    },
    "day07.compare_losses": {
        "z = logits.detach().clone().requires_grad_()  ->  z = logits.clone().requires_grad_()": (
            "a gradient with respect to the copy is asked for, and `autograd.grad` stores nothing further up"
        ),
        "z = logits.detach().clone().requires_grad_()  ->  z = logits.detach().requires_grad_()": (
            "the memory is shared, but nobody writes to it"
        ),
    },
    "day08.huber": {
        "price = torch.where(size <= delta, size ** 2 / 2, delta * (size - delta / 2))  ->  "
        "price = torch.where(size < delta, size ** 2 / 2, delta * (size - delta / 2))": (
            "at delta itself the square and the line have the same height"
        ),
    },
    "day13.patient_f": {
        "model[-1] = nn.Linear(old.in_features, classes, device=old.weight.device)  ->  "
        "model[-1] = nn.Linear(old.in_features, classes)": (
            "a check hands over a network on the CPU, where new layers are made"
        ),
    },
    "day10.best_rate": {
        "lowest = min(lowest, loss)  ->  lowest = min(loss, lowest)": "the lower of two finite numbers has no order",
    },
    "day10.warm_cosine": {
        "progress = (step - warmup) / (total - warmup)  ->  progress = (step - warmup) / (warmup - total)": (
            "the cosine of minus x is that of x"
        ),
        "progress = (step - warmup) / (total - warmup)  ->  progress = (warmup - step) / (total - warmup)": (
            "the cosine of minus x is that of x"
        ),
    },
    "day10.repaired_schedule": {
        "rates.append(optimizer.param_groups[0]['lr'])  ->  rates.append(optimizer.param_groups[-1]['lr'])": (
            "there is one group, which is the first and the last"
        ),
    },
    "day10.plateau_rates": {
        "lowest = min(lowest, loss)  ->  lowest = min(loss, lowest)": "the lower of two finite numbers has no order",
        "rates, lowest, bad = ([], math.inf, 0)  ->  rates, lowest, bad = ([], math.inf, -1)": (
            "the first loss always counts as lower, which sets the count to 0"
        ),
        "rates, lowest, bad = ([], math.inf, 0)  ->  rates, lowest, bad = ([], math.inf, 1)": (
            "the first loss always counts as lower, which sets the count to 0"
        ),
    },
    "day12.f1_over_batches": {
        "return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0  ->  "
        "return 2 * tp / (2 * tp + fp + fn) if tp + fn else 0.0": "without hits and misses F1 is 0 in any case",
        "return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0  ->  "
        "return 2 * tp / (2 * tp + fp + fn) if tp + fp else 0.0": "without hits and alarms F1 is 0 in any case",
    },
    "day12.threshold_for_recall": {
        "k = math.ceil(recall * len(falling) - 1e-06)  ->  k = math.ceil(recall * len(falling) - 2e-06)": (
            "any hair larger than rounding and smaller than a share of a sample will do"
        ),
        "k = math.ceil(recall * len(falling) - 1e-06)  ->  k = math.ceil(recall * len(falling) - 5e-07)": (
            "any hair larger than rounding and smaller than a share of a sample will do"
        ),
    },
    "day12.expected_calibration_error": {
        "gap = confidence[inside].mean() - right[inside].float().mean()  ->  "
        "gap = right[inside].float().mean() - confidence[inside].mean()": "the next line takes its absolute value",
    },
    "day15.squeezed": {
        "U, S, Vh = torch.linalg.svd(layer.weight, full_matrices=False)  ->  "
        "U, S, Vh = torch.linalg.svd(layer.weight)": (
            "the full matrices have more columns and rows, and of those only the first `rank` are used"
        ),
        "U, S, Vh = torch.linalg.svd(layer.weight, full_matrices=False)  ->  "
        "U, S, Vh = torch.linalg.svd(layer.weight, full_matrices=True)": (
            "the full matrices have more columns and rows, and of those only the first `rank` are used"
        ),
    },
    "day17.inverted_dropout": {
        "return torch.zeros_like(x)  ->  return -torch.zeros_like(x)": "minus zero equals zero",
    },
    "day17.mended_net": {
        "h = h * (torch.rand_like(h) >= self.p) / (1 - self.p)  ->  "
        "h = h * (torch.rand_like(h) > self.p) / (1 - self.p)": (
            "a lot hits `p` itself once in sixteen million"
        ),
    },
    "day18.random_flip": {
        "draws = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device)  ->  "
        "draws = torch.rand(len(x), 1, 1, 1, generator=generator)": "a check hands over images on the CPU",
        "return torch.where(draws < p, x.flip(-1), x)  ->  return torch.where(draws <= p, x.flip(-1), x)": (
            "a draw of exactly p comes once in millions of times"
        ),
    },
    "day18.erase_with_mean": {
        "columns = torch.arange(x.shape[3], device=x.device)  ->  columns = torch.arange(x.shape[3])": (
            "a check hands over images on the CPU"
        ),
        "rows = torch.arange(x.shape[2], device=x.device)  ->  rows = torch.arange(x.shape[2])": (
            "a check hands over images on the CPU"
        ),
        "rows = torch.arange(x.shape[2], device=x.device)  ->  rows = torch.arange(x.shape[-2], device=x.device)": (
            "of four dimensions the third is the last but one"
        ),
        "mean = x.mean(dim=(2, 3), keepdim=True)  ->  mean = x.mean(dim=(-2, 3), keepdim=True)": (
            "of four dimensions the third is the last but one"
        ),
    },
    "day18.standardize_each": {
        "mean = x.mean(dim=(2, 3), keepdim=True)  ->  mean = x.mean(dim=(-2, 3), keepdim=True)": (
            "of four dimensions the third is the last but one"
        ),
        "std = x.std(dim=(2, 3), keepdim=True, correction=0)  ->  "
        "std = x.std(dim=(-2, 3), keepdim=True, correction=0)": "of four dimensions the third is the last but one",
        "return (x - mean) / torch.where(std > 0, std, 1)  ->  return (x - mean) / torch.where(std > 0, std, 2)": (
            "where the deviation is 0, so is what is divided"
        ),
    },
    "day21.hidden_pairs": {
        "others = [k for k in range(len(design[0])) if k != column]  ->  "
        "others = [k for k in range(len(design[-1])) if k != column]": "every run has as many signs",
        "others = [k for k in range(len(design[0])) if k != column]  ->  "
        "others = [k for k in range(len(design[1])) if k != column]": "every run has as many signs",
        "agreement = {row[i] * row[j] * row[column] for row in design}  ->  "
        "agreement = {row[i] * row[j] / row[column] for row in design}": "a sign is its own inverse",
        "agreement = {row[i] * row[j] * row[column] for row in design}  ->  "
        "agreement = {row[i] / row[j] * row[column] for row in design}": "a sign is its own inverse",
    },
    "day21.seeds_needed": {
        "return math.ceil((2 * times * deviation / effect) ** 2 / runs)  ->  "
        "return math.ceil((-2 * times * deviation / effect) ** 2 / runs)": "a square has no sign",
    },
    "day19.stack_jacobian": {
        "identity = torch.eye(len(jacobians[0]))  ->  identity = torch.eye(len(jacobians[-1]))": (
            "all Jacobians of a stack have one size"
        ),
    },
    "day19.free_shortcut": {
        "count, channels = x.shape[:2]  ->  count, channels = x.shape[:-2]": (
            "of four dimensions the third is the last but one"
        ),
        "zeros = x.new_zeros(count, out_channels - channels, *small.shape[2:])  ->  "
        "zeros = x.new_zeros(count, out_channels - channels, *small.shape[-2:])": (
            "of four dimensions the third is the last but one"
        ),
    },
    "day19.mended_unet": {
        "h = F.interpolate(h, size=across.shape[2:])  ->  h = F.interpolate(h, size=across.shape[-2:])": (
            "of four dimensions the third is the last but one"
        ),
    },
}
