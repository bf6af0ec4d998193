# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-eval`: evaluates trackers on sequences; figures as a table, as JSON and as a page."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from atom_core.arguments import add_set, at_least
from atom_core.cluster import DaskCluster, add_scheduler
from atom_core.config import TrackerConfig
from atom_core.data.sequences import LAYOUT_CHOICES, Sequence, read_sequences
from atom_core.evaluation import calibrate_command, clips_command, compare, fixed_point_command, html_report, summary
from atom_core.evaluation.clips.source import CLIPS, make_clips
from atom_core.evaluation.contenders import BASELINES, Contender, change_config, parse_contenders
from atom_core.evaluation.parallel import Job, longest_first, make_run
from atom_core.evaluation.remote import describe_workers, run_on_cluster
from atom_core.evaluation.runner import Run
from atom_core.evaluation.store import RunStore, describe_machine, slug, write_whole
from atom_core.evaluation.submission import write_results
from atom_core.jobs import Failure, LocalProcesses, Progress

SOME_RUNS_FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130  # exit statuses


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["compare"]:
        return compare.main(argv[1:])
    if argv[:1] == ["clips"]:
        return clips_command.main(argv[1:])
    if argv[:1] == ["calibrate"]:
        return calibrate_command.main(argv[1:])
    if argv[:1] == ["fixed-point"]:
        return fixed_point_command.main(argv[1:])
    arguments = _parser().parse_args(argv)
    try:
        with ExitStack() as stack:
            evaluation = _prepare(arguments, stack)
            runs, failures = evaluation.run(evaluation.finished(arguments.restart))
        if runs:
            evaluation.report(runs, failures)
    except (ValueError, OSError) as error:  # the message says what to change
        print(f"atom-eval: {error}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        kept = f"the same command continues from {arguments.output}" if arguments.output else "nothing is kept"
        print(f"\natom-eval: interrupted; {kept}", file=sys.stderr)
        return INTERRUPTED
    for job, failure in failures:
        print(f"atom-eval: failed: {job}: {failure.reason}", file=sys.stderr)
    return SOME_RUNS_FAILED if failures else 0


@dataclass(frozen=True)
class _Evaluation:
    """The evaluation that the arguments describe."""

    arguments: argparse.Namespace
    sequences: list[Sequence]
    contenders: list[Contender]
    jobs: list[Job]
    machine: dict[str, Any]
    store: RunStore | None
    cluster: DaskCluster | None = None

    def finished(self, restart: bool) -> list[Run]:
        """The finished runs of an earlier call."""
        return [] if restart or not self.store else self.store.load(self.jobs)

    def run(self, finished: list[Run]) -> tuple[list[Run], list[tuple[Job, Failure]]]:
        """Makes the missing runs and saves each at once."""
        done = {(run.tracker, run.seed, run.sequence) for run in finished}
        jobs = [job for job in self.jobs if (job.contender.name, job.seed, job.sequence.name) not in done]
        runs, failures = list(finished), []
        frames = sum(len(job.sequence) for job in self.jobs)
        initial = frames - sum(len(job.sequence) for job in jobs)
        with (
            tqdm(total=frames, initial=initial, unit="frame", disable=None) as progress,
            closing(self._make(jobs, progress.update)) as made,
        ):
            for job, outcome in made:
                progress.set_description(str(job))
                if isinstance(outcome, Failure):
                    failures.append((job, outcome))
                    continue
                runs.append(outcome)
                if self.store:
                    self.store.save(job, outcome)
        return runs, failures

    def _make(self, jobs: list[Job], progress: Progress) -> Generator[tuple[Job, Run | Failure]]:
        if self.cluster:
            return run_on_cluster(self.cluster, longest_first(jobs), progress)
        local = LocalProcesses(self.arguments.jobs, self.machine["cpu_threads"])
        return local.run(jobs if self.arguments.jobs == 1 else longest_first(jobs), make_run, progress)

    def report(self, runs: list[Run], failures: list[tuple[Job, Failure]]) -> None:
        """Prints the table and writes the files."""
        order = {contender.name: index for index, contender in enumerate(self.contenders)}
        runs = sorted(runs, key=lambda run: (order[run.tracker], run.sequence, run.seed))
        results = self._results(runs, failures)
        print(summary.table(results["trackers"]))
        if not self.store:
            return
        folder = self.store.folder
        write_whole(folder / "results.json", json.dumps(results, indent=1, allow_nan=False))
        title = " + ".join(folder.resolve().name for folder in self.arguments.folders)
        if self.arguments.clips:
            title = f"{self.arguments.clips} clips from {title}"
        write_whole(folder / "report.html", html_report.build_page(title, results, runs, self.sequences))
        print(f"Written: {folder / 'results.json'}, {folder / 'report.html'}")
        if submitted := self._write_submission(runs, folder / "submission"):
            print(f"Written: {submitted} result files for the benchmark's server in {folder / 'submission'}")

    def _results(self, runs: list[Run], failures: list[tuple[Job, Failure]]) -> dict[str, Any]:
        """The content of `results.json`."""
        trackers = summary.summarize_all(runs, self.sequences, self.arguments.lost_is_miss)
        settings = {contender.name: contender.settings for contender in self.contenders}
        for name, entry in trackers.items():
            entry["settings"] = settings[name](entry["seeds"][0])
        return {
            "settings": {
                "folders": [str(folder) for folder in self.arguments.folders],
                "clips": self.arguments.clips,
                "lost_is_miss": self.arguments.lost_is_miss,
                "jobs": self.arguments.jobs,
                **self.machine,
            },
            "trackers": trackers,
            "failures": [{"run": str(job), "reason": failure.reason} for job, failure in failures],
        }

    def _write_submission(self, runs: list[Run], folder: Path) -> int:
        """Writes the runs on sequences whose boxes the benchmark does not publish; returns their number."""
        secret = {one.name: one for one in self.sequences if not one.has_ground_truth and one.layout != "vot"}
        chosen = [run for run in runs if run.sequence in secret]
        for run in chosen:
            name = f"{slug(run.tracker)}-seed{run.seed}"
            layout = secret[run.sequence].layout
            write_results(layout, name, run.sequence, run.boxes, run.seconds, folder)
        return len(chosen)


def _prepare(arguments: argparse.Namespace, stack: ExitStack) -> _Evaluation:
    """The checked evaluation; a connection to a cluster lasts until `stack` is closed."""
    config = change_config(TrackerConfig(), [*arguments.set, *(["vot"] if arguments.vot else [])])
    sequences = _select(_read(arguments), arguments.sequences)
    cluster, device = None, arguments.device
    if arguments.scheduler:
        cluster = stack.enter_context(DaskCluster(arguments.scheduler, arguments.threads or 1))
        machine, device = describe_workers(cluster, device)
    else:
        machine = describe_machine(arguments.threads or max(1, torch.get_num_threads() // arguments.jobs))
    contenders = parse_contenders(arguments.trackers, config, arguments.weights, device)
    jobs = [
        Job(contender, seed, sequence)
        for contender in contenders
        for seed in contender.seeds(arguments.seeds)
        for sequence in sequences
    ]
    store = RunStore(arguments.output, machine) if arguments.output else None
    return _Evaluation(arguments, sequences, contenders, jobs, machine, store, cluster)


def _read(arguments: argparse.Namespace) -> list[Sequence]:
    """The sequences of all folders, or clips made from them."""
    if arguments.clips:
        return make_clips(arguments.folders, arguments.clips, arguments.count, arguments.put_aside)
    sequences = [sequence for folder in arguments.folders for sequence in read_sequences(folder, arguments.layout)]
    twice = [name for name, number in Counter(s.name for s in sequences).items() if number > 1]
    if twice:
        raise ValueError(f"two sequences are named {twice[0]}; evaluate their folders one at a time")
    return sequences


def _select(sequences: list[Sequence], pattern: str | None) -> list[Sequence]:
    chosen = [sequence for sequence in sequences if pattern is None or fnmatch.fnmatch(sequence.name, pattern)]
    if not chosen:
        known = ", ".join(sequence.name for sequence in sequences)
        raise ValueError(f"--sequences {pattern}: matches none of {known}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-eval",
        description="One-pass evaluation of trackers on sequences: a table, and with --output a page with plots.",
        epilog="atom-eval compare A B: differences between two results. atom-eval fixed-point STILLS: whether "
        "networks keep a given box in place. atom-eval clips: writes clips. "
        "atom-eval calibrate: fits a network's confidence to results. See docs/evaluation.md.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="folder",
        help="a benchmark's folder, a folder of sequences, or a sequence; with --clips, the clips' material",
    )
    parser.add_argument("--layout", choices=LAYOUT_CHOICES, default="auto", help="layout of the folder (default: auto)")
    parser.add_argument(
        "--clips", choices=CLIPS, help="make clips with ground truth from the folders' still images and sequences"
    )
    parser.add_argument("--count", type=at_least(1), default=40, metavar="N", help="how many clips (default: 40)")
    parser.add_argument("--put-aside", action="store_true", help="clips that are held back for a final measurement")
    parser.add_argument("--sequences", metavar="PATTERN", help="only sequences whose name matches, e.g. 'uav*'")
    parser.add_argument(
        "--trackers",
        type=lambda text: text.split(","),
        default=["ours"],
        metavar="NAME,...",
        help="shipped networks or .safetensors files, each optionally with changes (default:vot, "
        f"default:memory_size=100), ours (stands for --weights), {', '.join(BASELINES)} (default: ours)",
    )
    parser.add_argument("--weights", default="default", help="network that 'ours' stands for (default: default)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:<index>")
    parser.add_argument("--vot", action="store_true", help="start from the settings for the VOT challenge")
    add_set(parser)
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seeds", type=_seeds, metavar="N,...", help="run once with each seed (default: the seed set)")
    seeds.add_argument(
        "--runs",
        dest="seeds",
        type=lambda text: tuple(range(at_least(1)(text))),
        metavar="N",
        help="run with seeds 0 .. N-1",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="parallel runs, each in a process")
    add_scheduler(where)
    parser.add_argument(
        "--threads", type=at_least(1), metavar="N", help="CPU threads of each (default: all, divided; on a cluster 1)"
    )
    parser.add_argument("--lost-is-miss", action="store_true", help="frames reported LOST count as overlap 0")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="store runs and results here; continue from there"
    )
    parser.add_argument("--restart", action="store_true", help="do not use the runs that --output holds")
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isdigit() for word in words) or len(set(words)) < len(words):
        raise argparse.ArgumentTypeError(f"'{text}'; expected different whole numbers, such as 0,1,2")
    return tuple(int(word) for word in words)


if __name__ == "__main__":
    sys.exit(main())
