# Copyright 2026 The atom_tracker Authors
# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `import results_example`; the tests are no package
