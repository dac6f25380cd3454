#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""vkQueueBindSparse on vmbind and on drivers that are not ours, the same program, on the same simulated
kernel driver, one after the other.

bench_strangers.py BUILD [--json FILE]: BUILD has our drivers; the others are Debian's, which
tests/strangers/fetch brings: as packaged, while ours is a build with assertions. Both run on the same C
library. "own" is CPU time in user space, of all of the process's threads, without the simulator. Times
are the least of 15 rounds. The last columns are theirs beside ours: how many times more.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'strangers'))
import stranger  # noqa: E402

# As in tests/strangers/meson.build: driver, kernel driver, and the Mesa that first knew it
STRANGERS = (('anv', 'intel', 'xe', 24), ('radv', 'radeon', 'amdgpu', 20),
             ('nvk', 'nouveau', 'nouveau', 24))


def run(build, driver, kmd):
    preload = [build / 'tests/bench/libbench_calls.so', build / 'src/drm-sim/libdrm_sim.so']
    with driver.running(preload, kmd) as environment:
        done = subprocess.run(driver.command(build / 'tests/bench/bench-vulkan'), check=True,
                              stdout=subprocess.PIPE, env=environment, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        binds_a_call = row['binds'] / row['calls']
        row['operations_a_bind'] = row['operations_a_call'] / binds_a_call
        row['ioctls_a_call'] = row['bind_ioctls_a_call'] + row['other_ioctls_a_call']
    return rows


def times(theirs, ours):
    return f'{theirs / ours:8.1f}x' if ours else '        -'


def compare(name, kmd, theirs, ours):
    print(f'{name} on {kmd:<33} {"us a bind, own":^17} {"operations a bind":^17} '
          f'{"ioctls a call":^17} {name} beside vmbind')
    print(f'{"":41} {name:>8} {"vmbind":>8} {name:>8} {"vmbind":>8} {name:>8} {"vmbind":>8} '
          f'{"own":>9} {"ops":>9} {"ioctls":>9}')
    for their, our in zip(theirs, ours):
        cells = []
        ratios = []
        for key, digits in (('own_us_a_bind', 3), ('operations_a_bind', 4), ('ioctls_a_call', 2)):
            cells += [f'{their[key]:8.{digits}f}', f'{our[key]:8.{digits}f}']
            ratios.append(times(their[key], our[key]))
        print(f'{their["pattern"]:41} {" ".join(cells)} {" ".join(ratios)}')
        yield {'bench': 'strangers', 'driver': name, 'kmd': kmd, 'pattern': their['pattern'],
               'own_ratio': their['own_us_a_bind'] / our['own_us_a_bind'],
               'theirs': their, 'ours': our}
    print(flush=True)


def main(argv):
    build = Path(argv[0]).resolve()
    cache = Path(__file__).resolve().parent.parent.parent / '.cache'
    our_library = build / 'src/vulkan/vmbind/libvulkan_vmbind.so'

    data = []
    for name, icd, kmd, since in STRANGERS:
        try:
            driver = stranger.find(cache, icd, kmd, since)
        except stranger.Unusable as reason:
            print(f'{name}: {reason}\n')
            continue
        ours = stranger.Stranger(our_library, driver.root)
        data += compare(name, kmd, run(build, driver, kmd), run(build, ours, kmd))

    if '--json' in argv:
        with open(argv[argv.index('--json') + 1], 'w', encoding='utf-8') as file:
            for row in data:
                file.write(json.dumps(row) + '\n')
    return 0 if data else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
