#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""The demo's flight on stock lavapipe and on vmbind, one after the other, and what each bind costs.

bench_demo.py BUILD [--json FILE]: BUILD has the drivers. Both execute shaders with the same llvmpipe;
the difference is the path of a bind, which for vmbind includes the simulated kernel driver.
"""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

COUNTERS = ("binds asked", "operations sent", "ioctls", "merged", "dropped")


def fly(build, prefix, environment, directory):
    demo = os.path.join(build, "examples/virtual-texture/virtual-texture")
    subprocess.run(prefix + [demo, "--out", directory], check=True, stdout=subprocess.DEVNULL,
                   env=dict(os.environ, **environment))
    with open(os.path.join(directory, "flight.json"), encoding="utf-8") as file:
        return json.load(file)


def driver_counters(build, trace):
    text = subprocess.run([os.path.join(build, "tools/vmbind"), "trace", "--stats", trace],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: int(re.search(rf"^{name} +(\d+)", text, re.MULTILINE).group(1))
            for name in COUNTERS}


def main(argv):
    build = os.path.abspath(argv[0])
    lavapipe = glob.glob(os.path.join(
        build, "subprojects/mesa-*/src/gallium/targets/lavapipe/lvp_devenv_icd.*.json"))[0]
    rows = []
    with tempfile.TemporaryDirectory(prefix="vmbind-bench-") as directory:
        flight = fly(build, [], {"VK_DRIVER_FILES": lavapipe, "VK_ICD_FILENAMES": lavapipe},
                     directory)
        rows.append(("stock lavapipe", flight, {}))
        for kmd in ("panthor", "msm", "xe"):
            trace = os.path.join(directory, "trace")
            flight = fly(build, [os.path.join(build, "tools/vmbind"), "run", "--kmd", kmd,
                                 "--trace", trace, "--"], {}, directory)
            rows.append(("vmbind on " + kmd, flight, driver_counters(build, trace)))

    print(f"{'':18} {'frames':>6} {'binds':>6} {'calls':>6} {'us a bind':>10} {'ratio':>6} "
          f"{'operations':>10} {'ioctls':>7} {'merged':>7} {'dropped':>7}")
    reference = None
    data = []
    for name, flight, counters in rows:
        cost = flight["bind_ns"] / 1e3 / flight["binds"]
        reference = reference or cost
        print(f"{name:18} {flight['frames']:6} {flight['binds']:6} {flight['bind_calls']:6} "
              f"{cost:10.2f} {cost / reference:6.2f} "
              + " ".join(f"{counters.get(key, ''):>{width}}" for key, width in
                         (("operations sent", 10), ("ioctls", 7), ("merged", 7), ("dropped", 7))))
        data.append({"bench": "demo", "driver": name, "us_a_bind": cost,
                     "ratio": cost / reference, **flight, **counters})
    if "--json" in argv:
        with open(argv[argv.index("--json") + 1], "w", encoding="utf-8") as file:
            for row in data:
                file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
