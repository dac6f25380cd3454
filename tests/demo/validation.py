#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Flies the demo under the Khronos validation layer, synchronization included.

validation.py DEMO [ARGUMENT]...: any message of the layer is a failure. Where
there is no such layer or no device, the test is skipped (77).
"""

import os
import re
import subprocess
import sys

LAYER = "VK_LAYER_KHRONOS_validation"

MESSAGE = re.compile(r"VUID-|SYNC-HAZARD|UNASSIGNED-|Validation (Error|"
                     r"Warning|Performance)", re.IGNORECASE)


def main(argv):
    env = dict(
        os.environ,
        VK_INSTANCE_LAYERS=LAYER,
        VK_LAYER_ENABLES="VK_VALIDATION_FEATURE_ENABLE_"
                         "SYNCHRONIZATION_VALIDATION_EXT",
        # The loader tells which layers it really took.
        VK_LOADER_DEBUG="layer",
    )
    run = subprocess.run(argv, env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True,
                         errors="replace", timeout=900)
    messages = [line for line in run.stdout.splitlines()
                if MESSAGE.search(line)]
    if messages:
        print("\n".join(messages[:20]))
        print(f"{len(messages)} lines of the validation layer")
        return 1
    if re.search(r"finds no driver|find no device|no device for sparse|"
                 r"VK_ERROR_LAYER_NOT_PRESENT", run.stdout):
        print(run.stdout.strip().splitlines()[-1])
        return 77
    if run.returncode:
        print(run.stdout)
        return run.returncode
    if not re.search(rf"Insert instance layer.*{LAYER}", run.stdout):
        print(f"the loader did not take {LAYER}")
        return 77
    print("no message of the validation layer")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
