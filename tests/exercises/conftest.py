"""Print the rate of the mutation test at the end of the run."""

from __future__ import annotations


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    counts = [value for report in reports for name, value in report.user_properties if name == "mutants"]
    if counts and any(report.when == "call" for report in reports):
        tried, accepted, explained = (sum(column) for column in zip(*counts, strict=True))
        terminalreporter.section("mutated answers to the exercises")
        terminalreporter.write_line(
            f"{tried} changed references tried for {len(counts)} exercises: {tried - accepted} refused "
            f"({(tried - accepted) / tried:.1%}), {accepted} accepted, of which {explained} are explained as right"
        )
