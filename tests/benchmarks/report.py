"""What the benchmark shows: a table and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

Seconds = dict[str, float]


@dataclass
class Result:
    """One setting, measured: seconds per epoch and what they mean."""

    name: str
    seconds: Seconds
    accuracy: dict[str, float]
    limit: float
    gflops: float
    target: float
    within: float | None

    @property
    def baseline(self) -> str:
        """The faster of the per-image pipelines."""
        return min((name for name in self.seconds if name.startswith("DataLoader")), key=self.seconds.__getitem__)

    @property
    def speedup(self) -> float:
        """How many times as fast as the baseline `fit` is."""
        return self.seconds[self.baseline] / self.seconds["fit, TensorLoader"]

    @property
    def over_bare(self) -> float:
        """The time of `fit` over that of the bare loop."""
        return self.seconds["fit, TensorLoader"] / self.seconds["bare loop"]

    @property
    def reached(self) -> bool:
        """Whether all that is asked of the setting holds."""
        return self.speedup >= self.target and (self.within is None or self.over_bare <= self.within)


def table(results: list[Result], about: str) -> Table:
    """All results, a block per setting."""
    out = Table(title="Seconds per epoch (fastest turn)", caption=about, title_justify="left", caption_justify="left")
    for heading, justify in (("", "left"), ("seconds", "right"), ("times", "right"), ("test accuracy", "right")):
        out.add_column(heading, justify=justify)
    for result in results:
        verdict = "reached" if result.reached else "MISSED"
        asked = f"asked: {result.target:g} x the per-image pipeline"
        asked += f", {result.within} of the bare loop" if result.within else ""
        out.add_row(f"[bold]{result.name}[/]   {asked}: {verdict}", end_section=False)
        base = result.seconds[result.baseline]
        for name, seconds in result.seconds.items():
            mark = " (baseline)" if name == result.baseline else ""
            out.add_row(
                f"  {name}{mark}", f"{seconds:.2f}", f"{base / seconds:.1f}", f"{100 * result.accuracy[name]:.1f} %"
            )
        out.add_row(f"  matrix products alone, {result.gflops:.0f} GFLOP/s", f"{result.limit:.2f}",
                    f"{base / result.limit:.1f}", "")  # fmt: skip
        out.add_row(f"  fit takes {result.over_bare:.2f} of the bare loop", end_section=True)
    return out


def picture(results: list[Result], path: Path) -> None:
    """Seconds per epoch as bars, a panel per setting."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from nnlab_helpers.plots import use_style

    use_style()
    figure, axes = plt.subplots(len(results), 1, figsize=(7, 2.1 * len(results)), squeeze=False)
    for ax, result in zip(axes[:, 0], results, strict=True):
        bars = {**result.seconds, "matrix products alone": result.limit}
        colours = ["C0" if name.startswith("fit") else "0.72" for name in bars]
        drawn = ax.barh(list(bars), list(bars.values()), color=colours)
        ax.bar_label(drawn, [f"{value:.2f} s" for value in bars.values()], padding=4, fontsize=9)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.grid(False, axis="y")
        ax.set_title(f"{result.name}: {result.speedup:.1f} times as fast", fontsize=10)
    axes[-1, 0].set_xlabel("seconds per epoch")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
