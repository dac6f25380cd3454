#!/usr/bin/python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Runs the benchmarks and prints one table: nanoseconds from a run at full speed, instructions from
one under callgrind, which repeat exactly.

usage: bench.py BUILD_DIRECTORY [--json FILE] [NAME...]

A NAME is one of:
   core    a bind in the core alone; or one of its rows ("core/random/4096")
   gpuvm   the mirror beside the kernel's drm_gpuvm
   va      the VA heap beside Mesa's util_vma_heap
"""

import argparse
import glob
import json
import math
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


def count_instructions(program, function, arguments, counted):
    """Instructions a counted thing, of everything that a function does."""
    with tempfile.TemporaryDirectory() as scratch:
        output = run(['valgrind', '--tool=callgrind', f'--toggle-collect={function}',
                      f'--callgrind-out-file={scratch}/out', program, *arguments])
    collected = int(re.search(r'Collected : (\d+)', output)[1])
    return round(collected / int(re.search(rf'{counted} counted: (\d+)', output)[1]), 1)


def core(build, wanted, has_valgrind):
    program = os.path.join(build, 'tests', 'bench', 'bench-core')
    rows = core_rows(program, wanted)

    if rows:
        print(f"{'':28} {'ns':>10} {'instructions':>13} {'operations':>11} {'ioctls':>7}")
        print(f"{'':28} {'a bind':>10} {'a bind':>13} {'a batch':>11} {'a batch':>7}")
    for row in rows:
        if has_valgrind:
            row['instructions_a_bind'] = count_instructions(
                program, 'bench_submit', ['--only', f"{row['pattern']}/{row['batch']}"], 'binds')
        print(f"{row['name']:28} {row['ns_a_bind']:10.1f} {row.get('instructions_a_bind', '-'):>13} "
              f"{row['operations']:11} {row['ioctls']:7}", flush=True)
    return rows


def show_and_load(program):
    """Runs a program that prints a table of its own, and returns its rows."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, 'rows.json')
        if subprocess.run([program, '--json', path]).returncode:
            sys.exit(f'bench: {program} failed')
        with open(path) as file:
            rows = json.load(file)
    for row in rows:
        row['live'] = int(row['live'])
    return rows


def va(build, wanted, has_valgrind):
    if not wanted('va'):
        return []
    rows = show_and_load(os.path.join(build, 'tests', 'bench', 'bench-va'))
    for row in rows:
        row['name'] = f"va/{row['heap']}/{row['load']}/{row['alignment']}/{row['live']}"
    return rows


INSTRUCTIONS_LIVE = 100000

# What the mirror is to reach: times faster than the kernel's code, at 10^6 mappings; bytes a mapping there;
# instructions an operation at INSTRUCTIONS_LIVE; geometric means of all patterns at a size.
FASTER = {
    'stream-rows/bind': 8, 'stream-rows/unbind': 3,
    'stream-any-order/bind': 6, 'stream-any-order/unbind': 6, 'tiles/bind': 6, 'tiles/unbind': 6,
    'random/map': 3, 'random/unmap': 3, 'rebind/exact': 3, 'split/split': 6,
}
FASTER_MEAN = {100000: 4, 1000000: 5}
MAPPING_B = {
    'sequential/map': 32, 'random/map': 50,
    'stream-rows/bind': 16, 'stream-any-order/bind': 16, 'tiles/bind': 16,
}
INSTRUCTIONS = {
    'stream-rows/bind': 450, 'stream-rows/unbind': 500, 'random/map': 800, 'rebind/exact': 750,
}


def show_target(name, value, unit, target, at_least):
    met = value >= target if at_least else value <= target
    print(f"   {name:44} {value:8.1f}{unit:3} {'at least' if at_least else 'at most':8} {target:4}{unit:3}"
          f" {'met' if met else 'MISSED'}")
    return met


def gpuvm_targets(rows, has_valgrind):
    """Each target, what it came to, and whether that is enough."""
    largest = {f"{row['pattern']}/{row['phase']}": row for row in rows if row['live'] == 1000000}
    counted = {f"{row['pattern']}/{row['phase']}": row for row in rows
               if row['live'] == INSTRUCTIONS_LIVE}
    met = []

    print('\ntargets')
    for name, target in FASTER.items():
        met.append(show_target(f'10^6: {name}, faster', largest[name]['ratio'], 'x', target, True))
    for live, target in FASTER_MEAN.items():
        logs = [math.log(row['ratio']) for row in rows if row['live'] == live]
        met.append(show_target(f'{live}: geometric mean, faster', math.exp(sum(logs) / len(logs)),
                               'x', target, True))
    lowest = min(rows, key=lambda row: row['ratio'])
    met.append(show_target(f"slowest: {lowest['pattern']}/{lowest['phase']} at {lowest['live']}",
                           lowest['ratio'], 'x', 1, True))
    for name, target in MAPPING_B.items():
        met.append(show_target(f'10^6: {name}, a mapping', largest[name]['mirror_mapping_B'], ' B',
                               target, False))
    for name, target in INSTRUCTIONS.items() if has_valgrind else ():
        met.append(show_target(f'10^5: {name}, instructions', counted[name]['mirror_instructions'], '',
                               target, False))
    print(f'   {sum(met)} of {len(met)} met')


def gpuvm(build, wanted, has_valgrind):
    if not wanted('gpuvm'):
        return []
    programs = sorted(glob.glob(os.path.join(build, 'tests', 'bench', 'bench-gpuvm-*[0-9]')))
    if not programs:
        print("bench: no kernel source to compare with, see tests/oracle/fetch")
        return []
    # Baselines are kept against one version, if it is there.
    program = next((p for p in programs if p.endswith('-7.2')), programs[-1])
    rows = show_and_load(program)
    for row in rows:
        row['name'] = f"gpuvm/{row['pattern']}/{row['phase']}/{row['live']}"

    if has_valgrind:
        print(f"\n{'instructions an operation':34} {'kernel':>8} {'mirror':>8} {'fewer':>8}")
    for row in rows:
        if not has_valgrind or row['live'] != INSTRUCTIONS_LIVE:
            continue
        for subject in 'kernel', 'mirror':
            row[f'{subject}_instructions'] = count_instructions(
                program, 'bench_counted',
                ['--count', f"{subject}/{row['pattern']}/{row['phase']}",
                 '--live', str(INSTRUCTIONS_LIVE)], 'operations')
        ratio = row['kernel_instructions'] / row['mirror_instructions']
        print(f"{row['live']:8}  {row['pattern'] + '/' + row['phase']:24} "
              f"{row['kernel_instructions']:8.0f} {row['mirror_instructions']:8.0f} {ratio:7.1f}x",
              flush=True)
    gpuvm_targets(rows, has_valgrind)
    return rows


def main():
    parser = argparse.ArgumentParser(description='runs the benchmarks')
    parser.add_argument('build')
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('names', nargs='*', metavar='NAME')
    args = parser.parse_intermixed_args()

    def wanted(name):
        return not args.names or any(name == n or name.startswith(n + '/') for n in args.names)

    has_valgrind = shutil.which('valgrind')
    if not has_valgrind:
        print('bench: no valgrind here, so no instructions')

    rows = []
    for benchmark in core, gpuvm, va:
        rows += benchmark(args.build, wanted, has_valgrind)
    if not rows:
        sys.exit(f"bench: nothing is called {' or '.join(args.names)}")

    if args.json:
        with open(args.json, 'w') as file:
            for row in rows:
                file.write(json.dumps(row) + '\n')


if __name__ == '__main__':
    main()
