"""Measure how much sooner a sweep is done with a worker on each core than with one run at a time.

Run it from the top folder with `python -m tests.benchmarks.workers`. The ways take turns; the first turn,
which starts the workers, is shown apart. Of the others the fastest of each way counts.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from nnlab_helpers.data import TensorLoader, load_images
from nnlab_helpers.models import MLP, LeNet
from nnlab_helpers.sweep import sweep
from nnlab_helpers.train import evaluate, fit

MODELS: dict[str, dict[str, Any]] = {
    "MLP 256-256": {"model": "mlp", "images": 5000, "epochs": 10},
    "LeNet": {"model": "lenet", "images": 2500, "epochs": 4},
}


def run(config: dict[str, Any], seed: int) -> dict[str, float]:
    """Train once, as a lesson's sweep does."""
    data = load_images("mnist", "train").take(torch.arange(config["images"] + 1000))
    model: nn.Module = LeNet(image_size=28) if config["model"] == "lenet" else MLP(784, (256, 256))
    loader = TensorLoader(data, torch.arange(config["images"]), batch_size=128, shuffle=True, seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    fit(model, loader, epochs=config["epochs"], optimizer=optimizer, progress=False)
    held_out = torch.arange(config["images"], len(data))
    return {"accuracy": evaluate(model, TensorLoader(data, held_out))["accuracy"]}


def measure(config: dict[str, Any], seeds: range, n_jobs: int, threads: int) -> tuple[float, list[float]]:
    """Seconds for a sweep over `seeds`, and the accuracies, which must not depend on the way."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # of this process; workers get their share from joblib
    started = time.perf_counter()
    frame = sweep(run, [config], seeds=seeds, n_jobs=n_jobs, progress=False)
    seconds = time.perf_counter() - started
    torch.set_num_threads(before)
    assert frame["error"].isna().all(), frame["error"].tolist()
    return seconds, frame["accuracy"].tolist()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.workers", description=__doc__)
    parser.add_argument("--runs", type=int, default=8, help="runs in a sweep (default: 8)")
    parser.add_argument("--turns", type=int, default=2, help="turns that count (default: 2)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="workers (default: one per core)")
    arguments = parser.parse_args()
    workers, threads = arguments.workers, torch.get_num_threads()
    ways = {
        "one run at a time, one thread": (1, 1),
        f"one run at a time, {threads} threads": (1, threads),
        f"{workers} workers": (workers, threads),
    }
    about = f"{arguments.runs} runs, fastest of {arguments.turns} turns. torch {torch.__version__}."
    console = Console(width=100)
    out = Table(title="A sweep, seconds", caption=about, title_justify="left", caption_justify="left")
    for heading in ("", "seconds", "times as fast", "first turn"):
        out.add_column(heading, justify="right" if heading else "left")
    for name, config in MODELS.items():
        took: dict[str, list[float]] = {way: [] for way in ways}
        found: dict[str, list[float]] = {}
        for turn in range(arguments.turns + 1):
            for way, (n_jobs, share) in ways.items():
                spent, found[way] = measure(config, range(arguments.runs), n_jobs, share)
                took[way].append(spent)
            latest = ", ".join(f"{way} {seconds[-1]:.1f}" for way, seconds in took.items())
            console.print(f"{name}, {f'turn {turn}' if turn else 'warm-up'}: {latest}")
        drift = max(max(accuracies) - min(accuracies) for accuracies in zip(*found.values(), strict=True))
        assert drift < 0.02, f"an accuracy depends on the way, by {drift}"
        out.add_row(f"[bold]{name}[/]")
        slowest = min(took[next(iter(ways))][1:])
        for way, (first, *seconds) in took.items():
            out.add_row(f"  {way}", f"{min(seconds):.1f}", f"{slowest / min(seconds):.2f}", f"{first:.1f}")
    console.print(out)


if __name__ == "__main__":
    main()
