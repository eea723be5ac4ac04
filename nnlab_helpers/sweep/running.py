"""Run a function over a grid and several seeds: in parallel, remembered, and robust against runs that fail."""

from __future__ import annotations

import copy
import numbers
import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nnlab_helpers.device import seed_everything
from nnlab_helpers.sweep.fingerprint import code_version
from nnlab_helpers.sweep.grid import RESERVED, Config, Grid, configurations, described
from nnlab_helpers.sweep.records import Record, Records
from nnlab_helpers.train.progress import silent

if TYPE_CHECKING:
    import pandas

Run = Callable[[Config, int], dict[str, Any]]


def sweep(
    run: Run,
    grid: Grid,
    *,
    seeds: Iterable[int] = (0, 1, 2),
    cache: str | os.PathLike[str] | None = None,
    n_jobs: int = -1,
    retry: bool = True,
    progress: bool = True,
) -> pandas.DataFrame:
    """Call `run(config, seed)` for every configuration and every seed; return a table with one row a run.

    Before each run the random numbers of Python, NumPy and PyTorch are seeded with `seed`, so a run gives the same
    whatever ran before it and in whichever process; it gets a copy of its configuration. A run that raises, calls
    `sys.exit` or whose process is killed is recorded with its error, and the others go on. With a `cache`, each
    finished run is written to a file of its own at once: a sweep that was interrupted or killed goes on where it was,
    and loses at most the runs that were under way.

    The runs are handed to joblib: to processes on this machine, or to whatever `joblib.parallel_config` says, a Dask
    cluster for example. `run` may be defined in a notebook.

    Args:
        run: `run(config, seed)` -> a dict of numbers, strings or truth values: a row's results.
        grid: a dict of lists, for all their combinations, or a list of dicts, for these alone.
        seeds: whole numbers, each used with each configuration.
        cache: a folder for the records, such as `cache_folder("mine")`. A record serves again only if configuration,
            seed and code are the same: the code of `run`, of all it names, of the functions and classes among the
            choices, of this package's parts that train, and the versions of libraries. A record that cannot be written
            (a full disk) is told in a warning; its run counts all the same. Records that come with the course are
            told in a line, with the processor that they were made on.
        n_jobs: runs at the same time; -1 for one per core (on a cluster: all its workers). They share the cores.
        retry: run those again that failed last time.
        progress: show a progress bar with the time left (silent where TQDM_DISABLE=1).

    Returns:
        A frame in the order of the grid, whatever finished first: the configuration's names, "seed", what `run`
        returned, "seconds", "error" (None, or what went wrong) and "cached" (whether it came from a record).
        `frame.attrs["damaged"]` counts records that were found broken, and so were run again.

    Raises:
        ValueError: nothing to run, a configuration or seed given twice, a reserved name.
        TypeError: a seed that is no whole number, a configuration that cannot be named in a record, or code that cannot
            be checked for changes.
        OSError: the folder of `cache` cannot be made or written; told before the first run.

    Example:
        >>> def run(config, seed):
        ...     return {"loss": config["width"] ** -0.5 + 0.01 * seed}
        >>> frame = sweep(run, {"width": [4, 16]}, seeds=[0, 1], n_jobs=1, progress=False)
        >>> frame["loss"].tolist()
        [0.5, 0.51, 0.25, 0.26]
    """
    configs = configurations(grid)
    seeds = _checked_seeds(seeds)
    version = code_version(run) if cache is not None else ""
    code = code_version(run, rounding=False) if cache is not None else ""
    records = Records(cache)
    tasks = [(config, described(config), seed) for config in configs for seed in seeds]
    done: dict[int, Record] = {}
    for number, (_, description, seed) in enumerate(tasks):
        record = records.find(description, seed, version)
        if record is not None and not (record.error and retry):
            done[number] = record
    cached = set(done)
    waiting = [number for number in range(len(tasks)) if number not in done]
    if waiting:
        records.prepare()
    with _bar(len(tasks), len(done), progress) as tick:
        calls = [(number, run, *tasks[number], version, code, os.getpid()) for number in waiting]
        for number, record in _in_parallel(calls, n_jobs):
            done[number] = record
            _keep(records, record)
            tick(sum(record.error is not None for record in done.values()))
    if records.from_course:
        made = records.made_with
        told = f"made on {made.get('processor')} with PyTorch {made.get('torch')}"
        print(f"{records.from_course} of {len(tasks)} runs came with the course, {told}")
    return _frame(tasks, done, cached, records)


def _keep(records: Records, record: Record) -> None:
    """Write a record; where that fails, the run has still been made."""
    try:
        records.keep(record)
    except OSError as error:
        warnings.warn(f"a run could not be kept, and will be made again next time: {error}", stacklevel=3)


def _checked_seeds(seeds: Iterable[int]) -> list[int]:
    found: list[int] = []
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
            raise TypeError(f"a seed is a whole number, got {seed!r}")
        found.append(int(seed))
    if not found:
        raise ValueError("there is nothing to run: seeds is empty")
    if len(set(found)) < len(found):
        raise ValueError(f"a seed comes twice in {found}: it would count one run as two")
    return found


def _in_parallel(calls: Sequence[tuple[Any, ...]], n_jobs: int) -> Iterator[tuple[int, Record]]:
    """Yield the records as they come, each with its number.

    A process that is killed takes those at work beside it along, and does not say at which run it died. So whatever
    may have been under way is then made again, one run at a time: the one that dies alone gets its row.
    """
    from joblib import effective_n_jobs
    from joblib.externals.loky.process_executor import BrokenProcessPool

    waiting = {call[0]: call for call in calls}
    while waiting:
        try:
            for number, record in _joblib(list(waiting.values()), n_jobs):
                del waiting[number]
                yield number, record
        except BrokenProcessPool:
            for number in list(waiting)[: 2 * effective_n_jobs(n_jobs)]:
                call = waiting.pop(number)
                try:
                    yield from _joblib([call], 2)  # 2, so that it is in a process of its own
                except BrokenProcessPool:
                    told = "the process was killed in the middle of the run, perhaps for want of memory"
                    _, _, _, description, seed, version, code, _ = call
                    yield number, Record(description, seed, version, code, {}, f"RuntimeError: {told}", None, 0.0)


def _joblib(calls: Sequence[tuple[Any, ...]], n_jobs: int) -> Iterator[tuple[int, Record]]:
    from joblib import Parallel, delayed, effective_n_jobs

    tasks = [delayed(_one_run)(*call) for call in calls]
    # One run to a task, as runs take seconds; and no more of them under way than can run.
    options: dict[str, Any] = {"n_jobs": n_jobs, "batch_size": 1, "pre_dispatch": "2*n_jobs"}
    try:
        parallel = Parallel(return_as="generator_unordered", **options)
    except ValueError:  # a backend that gives its results all at once (Ray's, multiprocessing): so in small bundles
        bundle = 2 * effective_n_jobs(n_jobs)
        for start in range(0, len(tasks), bundle):
            yield from Parallel(**options)(tasks[start : start + bundle])
    else:
        yield from parallel(tasks)


def _one_run(
    number: int, run: Run, config: Config, description: Any, seed: int, version: str, code: str, sweeper: int
) -> tuple[int, Record]:
    """Run once and describe what came of it; raises only if it is stopped from outside."""
    if os.getppid() == sweeper:
        _end_with(sweeper)
    started = time.perf_counter()
    result: dict[str, Any] = {}
    error = trace = None
    try:
        seed_everything(seed)
        result = _checked_result(run(copy.deepcopy(config), seed), config)
    except BaseException as problem:  # sys.exit among them; only who stops the sweep stops it
        if isinstance(problem, KeyboardInterrupt | GeneratorExit):
            raise
        error, trace = _told(problem), _writable(traceback.format_exc())
    return number, Record(description, seed, version, code, result, error, trace, time.perf_counter() - started)


def _told(problem: BaseException) -> str:
    """A line about an exception, even one that cannot be turned into text."""
    try:
        text = str(problem)
    except BaseException as another:
        text = f"(its text could not be made: {type(another).__name__})"
    return _writable(f"{type(problem).__name__}: {text}".splitlines()[0])


def _writable(text: str) -> str:
    """`text` as a file can hold it: half characters written out."""
    return text.encode("utf-8", "backslashreplace").decode()


_watched: set[int] = set()


def _end_with(parent: int) -> None:
    """End this worker process when its parent is gone, killed perhaps: else it would wait for work for minutes."""
    if parent in _watched:
        return
    _watched.add(parent)

    def watch() -> None:
        import psutil

        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="nnlab-end-with-parent", daemon=True).start()


def _checked_result(result: Any, config: Config) -> dict[str, Any]:
    if not isinstance(result, dict) or not result:
        raise TypeError(f"run(config, seed) must return a dict of results, got {result!r}")
    clean: dict[str, Any] = {}
    for name, value in result.items():
        if name in config or name in RESERVED:
            raise ValueError(f"a result may not be called {name!r}: the table has another column of that name")
        if hasattr(value, "item"):  # a number in a tensor or an array
            value = value.item()
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise TypeError(f"the result {name!r} is {value!r}: return numbers, strings or truth values")
        if isinstance(value, str) and value != _writable(value):
            raise ValueError(f"the result {name!r} is {value!r}, which is no whole text: no file can hold it")
        if not isinstance(name, str) or name != _writable(name):
            raise TypeError(f"a result is called {name!r}: use a string that a file can hold")
        clean[name] = value
    return clean


@contextmanager
def _bar(total: int, done: int, show: bool) -> Iterator[Callable[[int], None]]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="run", desc="sweep", disable=silent(show)) as bar:

        def tick(failed: int) -> None:
            if failed:
                bar.set_postfix(failed=failed, refresh=False)
            bar.update()

        yield tick


def _frame(
    tasks: Sequence[tuple[Config, Any, int]], done: dict[int, Record], cached: set[int], records: Records
) -> pandas.DataFrame:
    import pandas

    rows = []
    for number, (config, _, seed) in enumerate(tasks):
        record = done[number]
        end = {"seconds": record.seconds, "error": record.error, "cached": number in cached}
        rows.append({**config, "seed": seed, **record.result, **end})
    frame = pandas.DataFrame(rows)
    last = ["seconds", "error", "cached"]
    frame = frame[[name for name in frame.columns if name not in last] + last]
    for name in {name for config, _, _ in tasks for name, value in config.items() if value is None}:
        values = [row.get(name, float("nan")) for row in rows]
        frame[name] = pandas.Series(values, dtype=object)  # so that None stays None here too
    errors = [done[number].error for number in range(len(tasks))]
    frame["error"] = pandas.Series(errors, dtype=object)  # so that None stays None
    frame.attrs["factors"] = list(dict.fromkeys(name for config, _, _ in tasks for name in config))
    frame.attrs["damaged"] = len(records.damaged)
    frame.attrs["tracebacks"] = {number: r.traceback for number, r in sorted(done.items()) if r.traceback}
    return frame
