# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
"""A calibration file as camera_calibration writes it."""

CALIBRATION = """
image_width: 64
image_height: 48
camera_name: webcam
camera_matrix: {rows: 3, cols: 3, data: [70, 0, 31.5, 0, 71, 23.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [68, 0, 31, 0, 0, 69, 23, 0, 0, 0, 1, 0]}
"""
