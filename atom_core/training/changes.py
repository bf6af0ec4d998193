# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation: geometric before cropping (`warp`), photometric on the crop's pixels (`change_pixels`)."""

from __future__ import annotations

import cv2
import numpy as np

from atom_core.data.images import jpeg_compressed
from atom_core.training.config import ChangesConfig


def warp(image: np.ndarray, config: ChangesConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The image (H, W, 3) under a small rotation and perspective, and the map (3, 3) from old px to new ones."""
    height, width, _ = image.shape
    corners = np.array(((0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)), np.float32)
    moved = corners + rng.uniform(-1, 1, (4, 2)) * config.max_perspective * (width, height)
    angle = np.radians(rng.uniform(-1, 1) * config.max_rotation)
    turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    middle = corners.mean(0)
    moved = (moved - middle) @ turn.T + middle
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), matrix


def warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Warped boxes (N, 4): each side moves with its midpoint.

    The box around the four warped corners would grow with every rotation, and so would the boxes of a predictor trained
    on it.
    """
    x, y, w, h = boxes.T
    middles = np.stack(((x, y + h / 2), (x + w, y + h / 2), (x + w / 2, y), (x + w / 2, y + h)), axis=0)  # (4, 2, N)
    points = np.concatenate((middles, np.ones_like(middles[:, :1])), axis=1)
    mapped = np.einsum("ij,sjn->sin", matrix, points)
    left, right, top, bottom = mapped[:, :2] / mapped[:, 2:]
    # Left and right give x and width, top and bottom y and height; the centre is the mean of all four middles.
    width = np.hypot(*(right - left))
    height = np.hypot(*(bottom - top))
    center = (left + right + top + bottom) / 4
    return np.stack((center[0] - width / 2, center[1] - height / 2, width, height), axis=1)


def change_pixels(pixels: np.ndarray, config: ChangesConfig, rng: np.random.Generator) -> np.ndarray:
    """A crop (S, S, 3) uint8, relit, blurred, downsampled, made noisy or compressed, each with its probability."""
    if config.contrast or config.colour:
        gain = 1 + rng.uniform(-config.contrast, config.contrast)
        gains = gain * (1 + rng.uniform(-config.colour, config.colour, 3))
        middle = pixels.mean((0, 1))
        table = np.arange(256)[:, None] * gains + middle * (1 - gain)
        pixels = cv2.LUT(pixels, np.clip(np.rint(table), 0, 255).astype(np.uint8)[:, None])
    if rng.random() < config.resolution_probability:
        size = pixels.shape[0]
        small = cv2.resize(pixels, (round(size * rng.uniform(0.25, 0.7)),) * 2, interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < config.blur_probability:
        pixels = _blur(pixels, rng)
    if rng.random() < config.noise_probability:
        noise = rng.normal(0, rng.uniform(2, 12), pixels.shape).astype(np.float32)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if rng.random() < config.jpeg_probability:
        pixels = jpeg_compressed(pixels, int(rng.integers(20, 80)))
    return pixels


def _blur(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.6, 2.5))
    half = int(rng.integers(1, 6))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    dx, dy = round(half * np.cos(angle)), round(half * np.sin(angle))
    cv2.line(kernel, (half - dx, half - dy), (half + dx, half + dy), 1.0)
    return cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def occlude(pixels: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop (S, S, 3) in which another patch of it covers one side of the box (4,), a quarter to half of its area."""
    size = pixels.shape[0]
    x, y, w, h = box
    share = rng.uniform(0.25, 0.5)
    if rng.random() < 0.5:  # left or right
        start, extent = np.array((x + rng.choice((0, 1 - share)) * w, y)), np.array((share * w, h))
    else:
        start, extent = np.array((x, y + rng.choice((0, 1 - share)) * h)), np.array((w, share * h))
    start -= 0.1 * extent
    first = np.clip(np.rint(start), 0, size - 2).astype(int)
    last = np.clip(np.rint(start + 1.2 * extent), first + 1, size - 1).astype(int)
    width, height = last - first
    left, top = rng.integers(0, size - width), rng.integers(0, size - height)
    pixels = pixels.copy()
    pixels[first[1] : last[1], first[0] : last[0]] = pixels[top : top + height, left : left + width].copy()
    return pixels
