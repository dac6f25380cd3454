#!/usr/bin/python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Runs the benchmarks and prints one table: nanoseconds from a run at full speed, instructions from
one under callgrind, which repeat exactly.

usage: bench.py BUILD_DIRECTORY [--json FILE] [NAME...]

A NAME is "core", or one of its rows ("core/random/4096").
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"bench: {' '.join(command)}\n{done.stdout}bench: exit code {done.returncode}")
    return done.stdout


def core_rows(program, wanted):
    """The rows of bench-core, as it writes them down itself."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, 'core.json')
        run([program, '--json', path])
        with open(path) as file:
            rows = [json.loads(line) for line in file]
    for row in rows:
        row['name'] = f"core/{row['pattern']}/{row['batch']}"
    return [row for row in rows if wanted(row['name'])]


def add_instructions(program, row):
    with tempfile.TemporaryDirectory() as scratch:
        output = run(['valgrind', '--tool=callgrind', '--toggle-collect=bench_submit',
                      f'--callgrind-out-file={scratch}/out', program,
                      '--only', f"{row['pattern']}/{row['batch']}"])
    collected = int(re.search(r'Collected : (\d+)', output)[1])
    binds = int(re.search(r'binds counted: (\d+)', output)[1])
    row['instructions_a_bind'] = round(collected / binds, 1)


def main():
    parser = argparse.ArgumentParser(description='runs the benchmarks')
    parser.add_argument('build')
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('names', nargs='*', metavar='NAME')
    args = parser.parse_args()

    def wanted(name):
        return not args.names or any(name == n or name.startswith(n + '/') for n in args.names)

    program = os.path.join(args.build, 'tests', 'bench-core')
    rows = core_rows(program, wanted)
    if not rows:
        sys.exit(f"bench: nothing is called {' or '.join(args.names)}")

    has_valgrind = shutil.which('valgrind')
    if not has_valgrind:
        print('bench: no valgrind here, so no instructions')

    print(f"{'':28} {'ns':>10} {'instructions':>13} {'operations':>11} {'ioctls':>7}")
    print(f"{'':28} {'a bind':>10} {'a bind':>13} {'a batch':>11} {'a batch':>7}")
    for row in rows:
        if has_valgrind:
            add_instructions(program, row)
        print(f"{row['name']:28} {row['ns_a_bind']:10.1f} {row.get('instructions_a_bind', '-'):>13} "
              f"{row['operations']:11} {row['ioctls']:7}", flush=True)

    if args.json:
        with open(args.json, 'w') as file:
            for row in rows:
                file.write(json.dumps(row) + '\n')


if __name__ == '__main__':
    main()
