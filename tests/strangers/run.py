#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Runs probe with a Vulkan driver that is not ours, on the simulated node.

The driver is a library that was built (panvk, turnip), or one of Debian's, which tests/strangers/fetch
brings. Skipped, with the reason, where there is none that can run. The step that it is known to get to
must be among those that went well. Instead of probe it may be another program, of which the exit status
counts. Must know nothing of what the driver does.

usage: run.py --simulator libdrm_sim.so --probe PROGRAM --kmd KMD [--reaches STEP]
              (--library FILE | --cache DIR --icd NAME --since MAJOR) [ARGS...]
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import stranger

SKIP = 77


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--simulator', required=True)
    parser.add_argument('--probe', required=True)
    parser.add_argument('--kmd', required=True)
    parser.add_argument('--reaches')
    parser.add_argument('--library', type=Path)
    parser.add_argument('--cache', type=Path)
    parser.add_argument('--icd')
    parser.add_argument('--since', type=int)
    options, arguments = parser.parse_known_args()

    if options.library:
        driver = stranger.Stranger(options.library.resolve())
    else:
        try:
            driver = stranger.find(options.cache, options.icd, options.kmd, options.since)
        except stranger.Unusable as reason:
            print(f'skipped: {reason}')
            return SKIP
    with driver.running([options.simulator], options.kmd) as environment:
        done = subprocess.run(driver.command(options.probe, *arguments), env=environment,
                              stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end='')
    if done.returncode:
        print(f'exit status {done.returncode}')
        return 1
    if options.reaches and not re.search(rf'^{re.escape(options.reaches)} +ok$', done.stdout, re.M):
        print(f'did not get to {options.reaches}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
