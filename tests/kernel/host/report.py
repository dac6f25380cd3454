#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads the guest's console and says what passed.

    report.py NAME CONSOLE

prints a line for each check and at last "N passed, N failed, N skipped". The guest's init frames
every program with "@@ start PROGRAM" and "@@ exit PROGRAM STATUS"; between them the program speaks
TAP. A program that announced more checks than it reported, a bad exit status that no check explains,
and a guest that did not come to its "@@ done" are failures of their own.
"""

import re
import sys

CHECK = re.compile(r'^(ok|not ok)\s+\d+\s*-?\s*([^#]*?)\s*(#\s*skip\b\s*(.*))?$', re.IGNORECASE)
PLAN = re.compile(r'^1\.\.(\d+)')


class Report:
    def __init__(self, name):
        self.name = name
        self.count = {'ok': 0, 'FAILED': 0, 'skipped': 0}

    def add(self, result, what, why=''):
        self.count[result] += 1
        print(f'{result:7} {self.name}: {what}' + (f' ({why})' if why else ''))

    def summary(self):
        c = self.count
        return f"{c['ok']} passed, {c['FAILED']} failed, {c['skipped']} skipped"


class Program:
    """One test program's part of the console."""

    def __init__(self, name, report):
        self.name = name
        self.report = report
        self.planned = 0
        self.seen = 0
        self.failed = 0

    def line(self, line):
        plan = PLAN.match(line)
        check = CHECK.match(line)
        if plan:
            self.planned += int(plan.group(1))
        elif check:
            self.check(check.group(1).lower() == 'ok', check.group(2) or check.group(4), check.group(3))
        elif line.strip() and not line.startswith('# ok'):
            print(f'        {line}')

    def check(self, passed, what, skip):
        self.seen += 1
        result = 'skipped' if skip else 'ok' if passed else 'FAILED'
        self.failed += result == 'FAILED'
        self.report.add(result, f'{self.name}: {what}')

    def end(self, status):
        if self.seen < self.planned:
            self.report.add('FAILED', self.name,
                            f'{self.seen} of {self.planned} checks reported, exit status {status}')
        elif self.planned == 0:
            self.report.add('FAILED', self.name, f'no check reported, exit status {status}')
        elif status != 0 and not self.failed:
            self.report.add('FAILED', self.name, f'exit status {status}')


def read_console(path):
    with open(path, errors='replace') as console:
        return [line.rstrip('\r\n') for line in console]


def main():
    report = Report(sys.argv[1])
    lines = read_console(sys.argv[2])
    program = None
    done = False

    for line in lines:
        words = line.split()
        if words[:2] == ['@@', 'start']:
            program = Program(words[2], report)
        elif words[:2] == ['@@', 'exit'] and program:
            program.end(int(words[3]))
            program = None
        elif words[:2] == ['@@', 'done']:
            done = True
        elif words[:2] == ['@@', 'kernel']:
            print(f"        kernel: {line.split(' ', 2)[2]}")
        elif words[:2] == ['@@', 'failed']:
            report.add('FAILED', ' '.join(words[2:]))
        elif program:
            program.line(line)

    if program:
        report.add('FAILED', program.name, 'the guest went down with it, or hangs')
    elif not done:
        report.add('FAILED', 'the guest did not finish')
        print('        the end of its console:')
        for line in lines[-60:]:
            print(f'        {line}')

    print(report.summary())
    return 1 if report.count['FAILED'] or not report.count['ok'] else 0


if __name__ == '__main__':
    sys.exit(main())
