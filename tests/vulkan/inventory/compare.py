#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Compares what two drivers say that they can do.  Everything that the reference has the candidate
must have: what is missing, or neither less nor more but another, needs a line in the list of reasons,
and each line of the list such a difference.  What the candidate has more is printed.

A line of the list: kind:pattern (fnmatch, on the name) | reason."""

import argparse
import fnmatch
import os
import re
import subprocess
import sys


def read_list(path):
    reasons = []
    with open(path, encoding='utf-8') as f:
        for line in f:
            line = line.strip()
            if line and not line.startswith('#'):
                pattern, _, reason = line.partition('|')
                if not reason.strip():
                    sys.exit(f'{path}: no reason: {line}')
                reasons.append((pattern.strip(), reason.strip()))
    return reasons


def inventory(program, icd, preload):
    env = dict(os.environ, VK_DRIVER_FILES=icd, VK_ICD_FILENAMES=icd)
    if preload:
        env['LD_PRELOAD'] = preload
    output = subprocess.run([program], env=env, check=True, capture_output=True, text=True).stdout
    result = {}
    for line in output.splitlines():
        kind, name, value = line.split('\t')
        result[kind, name] = value
    return result


def queue_missing(ours, stock):
    """A family of the reference for which no family of the candidate can do as much."""
    for (kind, name), value in stock.items():
        if kind != 'queue':
            continue
        flags, count, bits = (int(v) for v in value.split())
        families = [[int(v) for v in other.split()] for (k, _), other in ours.items() if k == 'queue']
        if not any(f & flags == flags and c >= count and b >= bits for f, c, b in families):
            yield f'queue:{name}', value, 'no such family'


def is_less(kind, name, ours, stock):
    """Whether less than the reference can; of what has no order, whether it is another."""
    is_promise = name.startswith('VkPhysicalDeviceSparseProperties.')
    if kind in ('feature', 'flags', 'memory', 'external') or is_promise:
        return int(stock) & ~int(ours) != 0
    if kind == 'image':
        return int(ours) < int(stock)
    if kind == 'extension':
        return int(ours) < int(stock)
    return ours != stock


def differences(ours, stock):
    """Name, what the reference says, what the candidate says, whether that is a gain."""
    for difference in queue_missing(ours, stock):
        yield *difference, False
    for key in sorted(stock.keys() | ours.keys()):
        kind, name = key
        if kind == 'queue':
            continue
        a, b = ours.get(key), stock.get(key)
        if a != b:
            gain = b is None or (a is not None and not is_less(kind, name, a, b))
            yield f'{kind}:{name}', b, a, gain


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('--reference-icd', required=True)
    parser.add_argument('--candidate-icd', required=True)
    parser.add_argument('--candidate-preload')
    parser.add_argument('--reasons', required=True)
    args = parser.parse_args()

    reasons = read_list(args.reasons)
    used = {pattern: 0 for pattern, _ in reasons}
    stock = inventory(args.program, args.reference_icd, None)
    ours = inventory(args.program, args.candidate_icd, args.candidate_preload)

    unexplained = 0
    gains = {}
    for name, b, a, gain in differences(ours, stock):
        pattern = next((p for p, _ in reasons if fnmatch.fnmatchcase(name, p)), None)
        if gain:
            # Formats by what of them there is more, and not each alone.
            short = re.sub(r'^(\w+:)[A-Z0-9]\w*\.[123]D\..*\.(\S+)$', r'\1(format).\2', name)
            gains[short] = gains.get(short, 0) + 1
        elif pattern is None:
            print(f'unexplained: {name}: reference {b}, candidate {a}')
            unexplained += 1
        else:
            used[pattern] += 1

    for name, count in gains.items():
        print(f'{count:6} {name}: more than the reference')
    for pattern, reason in reasons:
        print(f'{used[pattern]:6} {pattern}: {reason}')
    stale = [p for p, count in used.items() if count == 0]
    for pattern in stale:
        print(f'stale: {pattern}: no such difference')

    print(f'{len(stock)} answers of the reference, {len(ours)} of the candidate, '
          f'{unexplained} unexplained differences')
    return 1 if unexplained or stale else 0


if __name__ == '__main__':
    sys.exit(main())
