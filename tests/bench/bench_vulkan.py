#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""vkQueueBindSparse on stock lavapipe and on vmbind, the same program, one after the other.

bench_vulkan.py BUILD [--json FILE]: BUILD has the drivers. "own" is CPU time in user space: of all
of the process's threads, without what happens behind the kernel's interface, which is the simulated
kernel driver for vmbind and mmap for lavapipe. Times are the least of 15 rounds. The last column is
own time beside lavapipe's.
"""

import glob
import json
import os
import subprocess
import sys

KMDS = ("panthor", "msm", "xe")


def run(build, icd, preload, environment):
    program = os.path.join(build, "tests/bench/bench-vulkan")
    environment = dict(os.environ, VK_DRIVER_FILES=icd, VK_ICD_FILENAMES=icd,
                       LD_PRELOAD=":".join(preload), **environment)
    done = subprocess.run([program], check=True, stdout=subprocess.PIPE, env=environment, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(argv):
    build = os.path.abspath(argv[0])
    lavapipe = glob.glob(os.path.join(
        build, "subprojects/mesa-*/src/gallium/targets/lavapipe/lvp_devenv_icd.*.json"))[0]
    ours = glob.glob(os.path.join(build, "src/vulkan/vmbind/vmbind_devenv_icd.*.json"))[0]
    calls = os.path.join(build, "tests/bench/libbench_calls.so")
    sim = os.path.join(build, "src/drm-sim/libdrm_sim.so")

    results = {"lavapipe": run(build, lavapipe, [calls], {})}
    for kmd in KMDS:
        results[kmd] = run(build, ours, [calls, sim], {"DRM_SIM_KMD": kmd})

    data = []
    for i, stock in enumerate(results["lavapipe"]):
        print(f"{stock['pattern']}\n{'':10} {'us a bind':>10} {'kernel':>8} {'own':>8} "
              f"{'ops a call':>11} {'binds':>6} {'others':>7} {'mmaps':>7} {'own/stock':>10}")
        for name, rows in results.items():
            row = rows[i]
            ratio = row["own_us_a_bind"] / stock["own_us_a_bind"]
            print(f"{name:10} {row['us_a_bind']:10.3f} {row['kernel_us_a_bind']:8.3f} "
                  f"{row['own_us_a_bind']:8.3f} {row['operations_a_call']:11.1f} "
                  f"{row['bind_ioctls_a_call']:6.2f} {row['other_ioctls_a_call']:7.2f} "
                  f"{row['mmaps_a_call']:7.1f} {ratio:10.2f}")
            data.append({"bench": "vulkan", "driver": name, "own_ratio": ratio, **row})
        print()

    if "--json" in argv:
        with open(argv[argv.index("--json") + 1], "w", encoding="utf-8") as file:
            for row in data:
                file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
