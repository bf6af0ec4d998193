# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""What tests run in processes of their own, see the fixture `start`."""

import itertools
import os
import signal

import torch
import torch.distributed as dist
from torch import nn

from atom_core.networks import weights
from atom_core.networks.backbones import build_backbone
from atom_core.training.distill import Distillation, distill
from atom_core.training.distributed import Group
from atom_core.training.loop import IoUTraining, train_iou
from atom_core.training.pretrained import published_file, read_tensors

OWNERS = {"os": os, "weights": weights, "training": IoUTraining, "distillation": Distillation}


def kill_by_call(moment, call):
    """The process is killed by the call of that number, such as of "os.replace"."""
    owner, name = moment.split(".")
    owner = OWNERS[owner]
    function, calls = getattr(owner, name), itertools.count(1)

    def call_or_die(*args, **kwargs):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, call_or_die)


def train_until_killed(config, data, output, moment, call):
    """Trains with a checkpoint after each batch."""
    kill_by_call(moment, call)
    torch.manual_seed(0)
    backbone = build_backbone("efficientnet_lite0").state_dict()
    train_iou(config, [data], [data], backbone, output, checkpoint_minutes=0)


def distill_until_killed(config, images, output, step):
    """Distils with a checkpoint after each step."""
    kill_by_call("distillation.step", step)
    distill(config, images, read_tensors(published_file("efficientnet_lite0")), output, checkpoint_minutes=0)


def distill_together(config, images, output, rank, size):
    """Distils as one of some processes."""
    dist.init_process_group("gloo", init_method=f"file://{output}.store", rank=rank, world_size=size)
    distill(config, images, read_tensors(published_file("efficientnet_lite0")), output, Group(rank, size))
    dist.destroy_process_group()


def normalize(rank, size, folder):
    """One step of a small network on this process's rows of `inputs.pt`; writes what came of it."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=size)
    inputs, network = torch.load(folder / "inputs.pt"), small_network()
    parallel = Group(rank, size).parallel(network)
    share = inputs[Group(rank, size).owns(torch.arange(len(inputs)))]
    loss = parallel(share).square().mean()
    loss.backward()
    result = {"loss": Group(rank, size).sum(loss) / size, "state": network.state_dict()}
    result["gradients"] = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.eval()
    result["evaluated"] = network(inputs)
    torch.save(result, folder / f"result{rank}.pt")
    dist.destroy_process_group()


def small_network():
    """With both kinds of batch normalisation, float64."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5), nn.BatchNorm1d(5))
    return nn.Sequential(*layers, nn.Linear(5, 1)).double()


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the fixture `one_thread` does for the tests' own process
    globals()[globals()["JOB"]](*globals()["ARGUMENTS"])
