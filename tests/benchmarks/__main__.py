"""Measure the package against a per-image pipeline, a bare loop and the machine's matrix-multiply rate.

Run it from the top folder with `python -m tests.benchmarks`. Contenders take turns, epoch by epoch, in one process, so
that a busy moment of the machine falls on all of them; the first turn warms up and does not count. Of the others the
fastest is shown: what each can do when nothing else is running.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console

from nnlab_helpers.data import load_images
from nnlab_helpers.device import pick_device

from .contenders import SETTINGS, line_up
from .limit import Limit, products
from .report import Result, picture, table


def run(key: str, images: int, turns: int, device: torch.device, folder: Path, console: Console) -> Result:
    """Measure one setting."""
    setting = SETTINGS[key]
    contenders = line_up(setting, device, images, folder / "data")
    side = 28 + 2 * setting.pad
    sample = torch.zeros(setting.batch_size, 1, side, side, device=device)
    limit = Limit(products(setting.model().to(device), sample), device)
    for turn in range(turns + 1):
        for contender in contenders:
            contender.measure()
        limit.measure()
        took = ", ".join(f"{c.name} {c.seconds[-1]:.2f}" for c in contenders)
        console.print(f"[dim]{key}, {'warm-up' if turn == 0 else f'turn {turn}'}: {took}[/]")
    test = load_images("mnist", "test")
    step = min(limit.seconds[1:])
    return Result(
        name=setting.name,
        seconds={c.name: min(c.seconds[1:]) for c in contenders},
        accuracy={c.name: c.test_accuracy(test) for c in contenders},
        limit=step * images / setting.batch_size,
        gflops=limit.flop / step / 1e9,
        target=setting.target,
        within=setting.within,
    )


def main() -> int:
    """Run the settings asked for; the exit status is 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"of {', '.join(SETTINGS)} (default: all)")
    parser.add_argument("--images", type=int, default=60_000, help="training images per epoch (default: all 60000)")
    parser.add_argument("--turns", type=int, default=3, help="epochs that count, per contender (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="folder for the picture")
    arguments = parser.parse_args()
    if unknown := set(arguments.settings) - set(SETTINGS):
        parser.error(f"no such setting: {', '.join(sorted(unknown))}")
    if not 128 <= arguments.images <= 60_000 or arguments.turns < 1:
        parser.error("--images goes from 128 to 60000, --turns from 1")
    device = pick_device()
    console = Console(width=100)
    results = [
        run(key, arguments.images, arguments.turns, device, arguments.out, console)
        for key in arguments.settings or SETTINGS
    ]
    about = (
        f"{arguments.images} images, {arguments.turns} turns after one to warm up; device {device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}. Baseline: the faster of 0 and 2 workers."
    )
    console.print(table(results, about))
    picture(results, arguments.out / "epochs.png")
    console.print(f"picture: {arguments.out / 'epochs.png'}")
    return 0 if all(result.reached for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
