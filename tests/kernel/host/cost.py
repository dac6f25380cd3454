#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads what binds cost from the guest's console, and prints the table.

    cost.py NAME CONSOLE [JSON]

Instructions in thousands, user space + kernel; behind them how many times fewer the core needs than PanVK, and
the target where there is one. Below that the ioctls of one cycle, with what each costs the kernel, the counting
among it (what an ioctl that does nothing costs, is that), so that these are for comparison with each other. JSON gets a line for each figure. The exit code is 1 if something is missing.
"""

import json
import sys

ROWS = [
    ('in-order', 'contiguous, in order'),
    ('shuffled', 'contiguous, shuffled'),
    ('scattered', 'scattered'),
    ('again', 'the same again'),
    ('unbind', 'unbind all'),
    ('cycle', 'create, bind, unbind, destroy'),
    ('used-cycle', 'with GPU work in between'),
]
# By their numbers in the request
IOCTLS = {0x43: 'VM_BIND', 0x44: 'VM_GET_STATE', 0xc3: 'SYNCOBJ_WAIT', 0xc4: 'SYNCOBJ_RESET',
          0xc5: 'SYNCOBJ_SIGNAL', 0xca: 'SYNCOBJ_TIMELINE_WAIT', 0xcb: 'SYNCOBJ_QUERY'}
PAGES = [1, 16, 256, 4096]
# At 256 pages: at least so many times fewer instructions than PanVK
TARGETS = {'shuffled': 20, 'again': 20, 'in-order': 1, 'scattered': 1, 'cycle': 1.5}


def read(path):
    costs, ioctls, notes, done = {}, {}, [], False
    with open(path, errors='replace') as console:
        for line in console:
            words = line.split()
            if words[:2] == ['@@', 'cost'] and len(words) == 7:
                costs[words[2], words[3], int(words[4])] = int(words[5]), int(words[6])
            elif words[:2] == ['@@', 'where'] and len(words) == 12:
                ioctls.setdefault((words[2], words[3], int(words[4])), []).append(
                    (int(words[5], 16), int(words[7]), [int(word, 16) for word in words[8:]]))
            elif words[:2] == ['@@', 'done']:
                done = True
            elif words[:1] == ['#']:
                notes.append(line.strip()[2:])
            elif words[:2] == ['@@', 'failed'] or (words[:2] == ['@@', 'exit'] and words[3] != '0'):
                notes.append(line.strip())
                done = False
    return costs, ioctls, notes, done


def show(figure):
    return f'{figure[0] / 1000:.1f} + {figure[1] / 1000:.1f}' if figure else '-'


def show_ioctl(request, kernel, argument):
    name = IOCTLS.get(request & 0xff, hex(request))
    if name == 'VM_BIND':
        name += f"{' async' if argument[1] & 1 else ''} of {argument[3]}"
    return f'{name} {kernel / 1000:.1f}'


def main():
    name, console = sys.argv[1:3]
    costs, ioctls, notes, done = read(console)

    for note in notes:
        print(f'   {note}')
    print(f"\n{'Linux ' + name:30} {'pages':>5} {'core':>20} {'PanVK':>20} {'fewer':>7}  target")
    for pattern, title in ROWS:
        for pages in PAGES:
            core, panvk = (costs.get((who, pattern, pages)) for who in ('core', 'panvk'))
            line = f'{title:30} {pages:5} {show(core):>20} {show(panvk):>20}'
            if core and panvk:
                ratio = sum(panvk) / sum(core)
                line += f' {ratio:6.1f}x'
                if pages == 256 and pattern in TARGETS:
                    target = TARGETS[pattern]
                    line += f"  {target:g}x: {'met' if ratio >= target else 'missed'}"
            print(line)
    for (who, pattern, pages), calls in ioctls.items():
        if pages == 256:
            print(f'\n{pattern} of {pages} pages, {who}:', ', '.join(show_ioctl(*call) for call in calls))
    if len(sys.argv) > 3:
        with open(sys.argv[3], 'a') as out:
            for (who, pattern, pages), (user, kernel) in costs.items():
                out.write(json.dumps({'name': f'kernel/{name}/{who}/{pattern}/{pages}', 'user': user,
                                      'kernel': kernel}) + '\n')
    return 0 if done and any(who == 'core' for who, _, _ in costs) else 1


if __name__ == '__main__':
    sys.exit(main())
