# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of the tracker's dependencies, and whether this PyTorch can use the device at all."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from atom_core.benchmark.acceptance.sheet import Sheet, Status
from atom_core.tracker import choose_device

OLDEST = {"torch": "2.1", "numpy": "1.26", "safetensors": "0.4.1"}  # as in pyproject.toml
_TOLD = ("torchvision", "triton", "openvino", "onnxruntime", "opencv-python-headless", "opencv-contrib-python-headless")
_JETPACK = Path("/etc/nv_tegra_release")


def check_versions(sheet: Sheet, device_name: str) -> None:
    """Adds lines on the packages, the driver and the device."""
    sheet.add("system", Status.TOLD, f"{platform.platform()}, Python {platform.python_version()}{_jetpack()}")
    for package, oldest in OLDEST.items():
        found = installed(package)
        sheet.check(package, found is not None and is_at_least(found, oldest), f"{found}; {oldest} or newer is needed")
    others = [f"{package} {found}" for package in _TOLD if (found := installed(package))]
    sheet.add("other packages", Status.TOLD, ", ".join(others))
    with sheet.attempt("device"):
        device = choose_device(device_name)
        if device.type == "cuda":
            _check_cuda(sheet, device)
        else:
            sheet.add("device", Status.TOLD, f"{device}: {platform.processor() or platform.machine()}")
    with sheet.attempt("a product on the device"):
        left = torch.arange(6.0).view(2, 3).to(choose_device(device_name))
        product = (left @ left.T).cpu().tolist()
        sheet.check("a product on the device", product == [[5.0, 14.0], [14.0, 50.0]], str(product))


def _check_cuda(sheet: Sheet, device: torch.device) -> None:
    properties = torch.cuda.get_device_properties(device)
    capability = properties.major, properties.minor
    sheet.add(
        "device",
        Status.TOLD,
        f"{properties.name}, compute capability {capability[0]}.{capability[1]}, "
        f"{properties.total_memory / 1e9:.1f} GB, {properties.multi_processor_count} multiprocessors",
        gpu=properties.name,
    )
    sheet.add(
        "CUDA",
        Status.TOLD,
        f"PyTorch is built for {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}; driver {_driver()}",
    )
    built_for = torch.cuda.get_arch_list()
    sheet.check("kernels for this device", has_kernels(built_for, capability), ", ".join(built_for))
    sheet.add("bfloat16", Status.TOLD, "supported" if torch.cuda.is_bf16_supported() else "not supported")
    free, total = torch.cuda.mem_get_info(device)
    sheet.add("free memory", Status.TOLD, f"{free / 1e9:.1f} of {total / 1e9:.1f} GB: others hold the rest")


def has_kernels(built_for: list[str], capability: tuple[int, int]) -> bool:
    """Whether code for architectures such as "sm_87" or "compute_90" runs on a device of this compute capability.

    Binary code (sm) runs on the same major version and equal or newer minor versions, intermediate code (compute) on
    all newer ones.
    """
    for name in built_for:
        kind, _, digits = name.partition("_")
        number = re.match(r"\d+", digits)
        if number is None:
            continue
        major, minor = divmod(int(number[0]), 10)
        same = major == capability[0] and minor <= capability[1]
        if same or (kind == "compute" and (major, minor) <= capability):
            return True
    return False


def installed(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def is_at_least(version: str, oldest: str) -> bool:
    """Whether a version such as "2.14.1+cu130" is at least another."""
    numbers = [[int(part) for part in re.findall(r"\d+", text.partition("+")[0])] for text in (version, oldest)]
    return numbers[0] >= numbers[1]


def _driver() -> str:
    """The driver's version from nvidia-smi, which a Jetson may lack."""
    if shutil.which("nvidia-smi") is None:
        return "unknown (no nvidia-smi)"
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    return answer.stdout.strip().partition("\n")[0] or "unknown"


def _jetpack() -> str:
    return f", Jetson: {_JETPACK.read_text(encoding='utf-8').partition(chr(10))[0]}" if _JETPACK.is_file() else ""
