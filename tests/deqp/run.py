#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Runs the Vulkan CTS (deqp-vk, which is not in Debian: put it into PATH or name it) on the simulated
kernel drivers, and compares with what is known.

   tests/deqp/run.py [--kmd msm ...] [--jobs N] [--pattern 'dEQP-VK.api.*' ...] [--out DIR]

What is run are the patterns of lists/*.txt.  Known results are in known/KMD-fails.txt (case,result) and
known/KMD-flakes.txt (regular expressions), as in Mesa's CI: a failure that is not in the list, and an
entry of the list that passes, are errors.  Knows nothing of Vulkan."""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD = {'Pass', 'NotSupported', 'QualityWarning', 'CompatibilityWarning', 'Waiver'}
CASE = re.compile(r"^Test case '(\S+)'\.\.")
RESULT = re.compile(r'^  (Pass|Fail|NotSupported|QualityWarning|CompatibilityWarning|Waiver|'
                    r'InternalError|ResourceError|DeviceLost|Crash|Timeout)\b')


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as f:
        return [l.strip() for l in f if l.strip() and not l.startswith('#')]


def read_patterns():
    lists = os.path.join(HERE, 'lists')
    return [p for name in sorted(os.listdir(lists)) for p in read_lines(os.path.join(lists, name))]


def list_cases(command, env, cwd, patterns):
    cases = []
    for pattern in patterns:
        output = subprocess.run(
            command + ['--deqp-runmode=stdout-caselist', f'--deqp-case={pattern}'],
            cwd=cwd, env=env, capture_output=True, text=True, check=True).stdout
        found = [l[6:].strip() for l in output.splitlines() if l.startswith('TEST: ')]
        if not found:
            sys.exit(f'no cases: {pattern}')
        cases += found
    return list(dict.fromkeys(cases))


def run_once(command, env, cwd, cases, timeout):
    """Results of the cases up to where the program ended, and the case in which it did."""
    results, current = {}, None

    with tempfile.TemporaryDirectory() as scratch:
        caselist = os.path.join(scratch, 'cases.txt')
        with open(caselist, 'w', encoding='utf-8') as f:
            f.write('\n'.join(cases) + '\n')
        process = subprocess.Popen(
            command + [f'--deqp-caselist-file={caselist}', '--deqp-log-images=disable',
                       '--deqp-log-shader-sources=disable',
                       f'--deqp-log-filename={os.path.join(scratch, "log.qpa")}'],
            cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            output, _ = process.communicate(timeout=timeout)
            ended = 'Crash'
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            ended = 'Timeout'

    for line in output.splitlines():
        case, result = CASE.match(line), RESULT.match(line)
        if case:
            current = case.group(1)
        elif result and current:
            results[current] = result.group(1)
            current = None
    return results, current, ended


def run_chunk(command, env, cwd, cases, timeout):
    """Every case of the chunk: after a crash the rest is run by a new process."""
    results, left = {}, list(cases)

    while left:
        found, current, ended = run_once(command, env, cwd, left, timeout)
        results.update(found)
        if current is not None:
            results[current] = ended
        elif not found:
            # Not even the first one was begun.
            results[left[0]] = 'Crash'
        left = [c for c in left if c not in results]
    return results


def compare(results, known, flakes):
    """Lines that say what is not as known; and the numbers of each result."""
    lines, counts = [], {}

    for case, result in sorted(results.items()):
        counts[result] = counts.get(result, 0) + 1
        if any(f.fullmatch(case) for f in flakes):
            continue
        expected = known.get(case)
        if result not in GOOD and result != expected:
            lines.append(f'{case},{result}' + (f' (known: {expected})' if expected else ''))
        elif result in GOOD and expected:
            lines.append(f'{case},{result} (known: {expected}; take it off the list)')
    return lines, counts


def run_kmd(args, kmd, deqp):
    command = ([args.vmbind, 'run', '--kmd', kmd, '--'] if args.vmbind else []) + [deqp]
    cwd = os.path.dirname(os.path.realpath(deqp))
    env = dict(os.environ)
    known = dict(l.rsplit(',', 1) for l in read_lines(os.path.join(args.known, f'{kmd}-fails.txt')))
    flakes = [re.compile(l) for l in read_lines(os.path.join(args.known, f'{kmd}-flakes.txt'))]

    cases = list_cases(command, env, cwd, args.pattern or read_patterns())
    # Neighbours cost the same: deal them out.
    count = max(1, min(len(cases) // 50, args.jobs * 8))
    chunks = [cases[i::count] for i in range(count)]
    results = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in pool.map(lambda c: run_chunk(command, env, cwd, c, args.timeout), chunks):
            results.update(done)

    if args.out:
        os.makedirs(args.out, exist_ok=True)
        with open(os.path.join(args.out, f'{kmd}.csv'), 'w', encoding='utf-8') as f:
            f.writelines(f'{c},{r}\n' for c, r in sorted(results.items()))

    lines, counts = compare(results, known, flakes)
    for line in lines:
        print(f'{kmd}: {line}')
    print(f'{kmd}: {len(results)} cases: ' +
          ', '.join(f'{n} {r}' for r, n in sorted(counts.items())) + f'; {len(lines)} unexpected')
    return not lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--deqp', default='deqp-vk', help='the program, if it is not in PATH')
    parser.add_argument('--vmbind', default=os.path.join(HERE, '../../build/tools/vmbind'),
                        help='the vmbind tool; empty: whatever driver the environment names')
    parser.add_argument('--kmd', action='append', help='panthor, msm and xe if none is named')
    parser.add_argument('--pattern', action='append', help='cases to run in place of the lists')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('--timeout', type=float, default=3600, help='seconds for each process')
    parser.add_argument('--known', default=os.path.join(HERE, 'known'))
    parser.add_argument('--out', help='a directory for KMD.csv, all results')
    args = parser.parse_args()

    deqp = shutil.which(args.deqp)
    if not deqp:
        print(f'{args.deqp} is not in PATH (the Vulkan CTS is not in Debian)', file=sys.stderr)
        return 77
    if args.vmbind:
        args.vmbind = os.path.abspath(args.vmbind)

    return 0 if all([run_kmd(args, kmd, deqp) for kmd in args.kmd or ['panthor', 'msm', 'xe']]) else 1


if __name__ == '__main__':
    sys.exit(main())
