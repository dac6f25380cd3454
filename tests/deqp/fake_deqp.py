#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Plays deqp-vk for the test of the runner: its cases are named after what they do."""

import fnmatch
import os
import signal
import sys
import time

CASES = [f'dEQP-VK.fake.{group}.{name}.{i}' for group in ('a', 'b')
         for name in ('pass', 'fail', 'crash', 'hang', 'unsupported') for i in range(30)
         if name not in ('crash', 'hang') or i == 7]


def main():
    options = dict(a.split('=', 1) for a in sys.argv[1:])
    if options.get('--deqp-runmode') == 'stdout-caselist':
        for case in CASES:
            if fnmatch.fnmatchcase(case, options['--deqp-case']):
                print(f'TEST: {case}')
        return
    with open(options['--deqp-caselist-file'], encoding='utf-8') as f:
        for case in f.read().split():
            print(f"Test case '{case}'..", flush=True)
            kind = case.split('.')[3]
            if kind == 'crash':
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == 'hang':
                time.sleep(1000)
            print({'pass': '  Pass (fine)', 'fail': '  Fail (wrong)',
                   'unsupported': '  NotSupported (no)'}[kind], flush=True)


main()
