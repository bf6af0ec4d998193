# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""The command `atom-eval calibrate`: fits a network's confidence to results and writes it into the network's file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atom_core.confidence import HEADER_KEY, Calibration, fit
from atom_core.data.sequences import Sequence as VideoSequence
from atom_core.data.sequences import read_sequences
from atom_core.evaluation import metrics
from atom_core.evaluation.runner import Run
from atom_core.evaluation.state_measures import CORRECT, Said, calibration_bins, calibration_error
from atom_core.evaluation.store import read_run
from atom_core.networks import weights
from atom_core.report_errors import report_errors


class Claims(NamedTuple):
    """The frames in which the tracker reports the target as visible."""

    scores: np.ndarray  # (N,)
    ious: np.ndarray  # (N,) predicted
    overlaps: np.ndarray  # (N,) with the reference


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    return report_errors("atom-eval calibrate", lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atom-eval calibrate",
        description="Fits the confidence of a network to results of atom-eval: the probability that a box overlaps the "
        "target by more than half, from score and predicted IoU.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder", help="sequences with ground truth")
    parser.add_argument("--results", type=Path, required=True, help="the --output of atom-eval on them, of one tracker")
    parser.add_argument("--network", required=True, help="shipped network or .safetensors file that made the results")
    parser.add_argument("--output", type=Path, required=True, help="file to write: the network with its calibration")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    sequences = {s.name: s for folder in arguments.folders for s in read_sequences(folder)}
    runs = [read_run(path)[1] for path in sorted((arguments.results / "runs").glob("*/seed*/*.json"))]
    names = sorted({run.tracker for run in runs})
    if len(names) != 1:
        raise ValueError(
            f"{arguments.results} holds results of {', '.join(names) or 'no tracker'}; expected one tracker"
        )
    runs = [run for run in runs if run.sequence in sequences]
    if not runs:
        raise ValueError(f"no result in {arguments.results} belongs to a sequence in the folders")
    claims = {name: _claims([run for run in runs if run.sequence == name], s) for name, s in sequences.items()}
    calibration = fit_claims(claims.values())
    network = weights.load(arguments.network)
    weights.save(arguments.output, network, {**network.metadata, HEADER_KEY: calibration.to_json()})
    scores, _, overlaps = _joined(claims.values())
    print(f"{len(runs)} runs, {len(scores)} frames with a claim, {(overlaps > CORRECT).mean():.3f} of them right")
    print(f"calibration error: {_error(scores, overlaps):.3f} of the score, ", end="")
    print(f"{_error(*confidences(calibration, claims.values())):.3f} of the confidence")
    print(f"of sequences left out of the fit, one at a time: {_error(*left_out(claims)):.3f}")
    print(f"written: {arguments.output} with {calibration}")


def _claims(runs: Sequence[Run], sequence: VideoSequence) -> Claims:
    """The claims of all runs of a sequence. A claim with the target absent has overlap 0."""
    parts = []
    for run in runs:
        claimed = ~run.lost[1:]
        overlaps = np.nan_to_num(metrics.overlap(run.boxes, sequence.boxes)[1:], nan=0.0)
        parts.append(Claims(run.scores[1:][claimed], run.ious[1:][claimed], overlaps[claimed]))
    return _joined(parts)


def _joined(parts: Iterable[Claims]) -> Claims:
    none = Claims(*[np.empty(0)] * 3)
    return Claims(*map(np.concatenate, zip(none, *parts, strict=True)))


def fit_claims(parts: Iterable[Claims]) -> Calibration:
    """The maximum-likelihood calibration of all claims together; raises ValueError as `fit` does."""
    scores, ious, overlaps = _joined(parts)
    return fit(scores, ious, overlaps > CORRECT)


def confidences(calibration: Calibration, parts: Iterable[Claims]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and overlaps (N,) of claims."""
    scores, ious, overlaps = _joined(parts)
    pairs = zip(scores.tolist(), ious.tolist(), strict=True)
    return np.array([calibration.confidence(score, iou) for score, iou in pairs]), overlaps


def left_out(claims: Mapping[str, Claims]) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and overlaps (N,), each sequence's from a calibration fitted to the other sequences."""
    parts = [
        confidences(fit_claims(c for other, c in claims.items() if other != name), [own])
        for name, own in claims.items()
    ]
    said, overlaps = map(np.concatenate, zip(*parts, strict=True))
    return said, overlaps


def _error(said: np.ndarray, overlaps: np.ndarray) -> float:
    return calibration_error(calibration_bins(Said(overlaps, np.ones(len(said), bool), said)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
