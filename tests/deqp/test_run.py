#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""The runner, on a program that passes, fails, crashes and hangs as it is told."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def run(known, *patterns, timeout=300):
    """With these known failures: the exit status, what was said, and the results."""
    with tempfile.TemporaryDirectory() as scratch:
        with open(os.path.join(scratch, 'msm-fails.txt'), 'w', encoding='utf-8') as f:
            f.write('# known\n' + ''.join(f'{l}\n' for l in known))
        arguments = [a for p in patterns for a in ('--pattern', p)]
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, 'run.py'), '--vmbind', '', '--kmd', 'msm',
             '--deqp', os.path.join(HERE, 'fake_deqp.py'), '--known', scratch, '--jobs', '2',
             '--timeout', str(timeout), '--out', scratch] + arguments,
            capture_output=True, text=True)
        results = {}
        if os.path.exists(os.path.join(scratch, 'msm.csv')):
            with open(os.path.join(scratch, 'msm.csv'), encoding='utf-8') as f:
                results = dict(l.strip().rsplit(',', 1) for l in f)
        return done.returncode, done.stdout + done.stderr, results


class Runner(unittest.TestCase):
    def test_all_is_well(self):
        status, said, results = run([], 'dEQP-VK.fake.a.pass.*', 'dEQP-VK.fake.*.unsupported.*')
        self.assertEqual(status, 0, said)
        self.assertIn('90 cases: 60 NotSupported, 30 Pass; 0 unexpected', said)
        self.assertEqual(len(results), 90)

    def test_failures(self):
        status, said, _ = run([], 'dEQP-VK.fake.a.fail.*')
        self.assertEqual(status, 1)
        self.assertIn('dEQP-VK.fake.a.fail.29,Fail', said)

    def test_known_failures(self):
        status, said, _ = run([f'dEQP-VK.fake.a.fail.{i},Fail' for i in range(30)],
                              'dEQP-VK.fake.a.fail.*')
        self.assertEqual(status, 0, said)

    def test_what_passes_now_is_an_error(self):
        status, said, _ = run(['dEQP-VK.fake.a.pass.3,Fail'], 'dEQP-VK.fake.a.pass.*')
        self.assertEqual(status, 1)
        self.assertIn('take it off the list', said)

    def test_crashes_and_hangs_lose_no_case(self):
        status, said, results = run(['dEQP-VK.fake.a.crash.7,Crash', 'dEQP-VK.fake.a.hang.7,Timeout'],
                                    'dEQP-VK.fake.a.pass.*', 'dEQP-VK.fake.a.crash.*',
                                    'dEQP-VK.fake.a.hang.*', 'dEQP-VK.fake.b.pass.*', timeout=15)
        self.assertEqual(status, 0, said)
        self.assertEqual(len(results), 62)
        self.assertIn('1 Crash, 60 Pass, 1 Timeout', said)

    def test_no_cases(self):
        status, said, _ = run([], 'dEQP-VK.nothing.*')
        self.assertNotEqual(status, 0)
        self.assertIn('no cases', said)


if __name__ == '__main__':
    unittest.main()
