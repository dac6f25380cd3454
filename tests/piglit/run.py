#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Runs Piglit headless on a driver of the build tree and compares with what stock llvmpipe did.

No test that passes on stock llvmpipe may do anything else here, and every sparse test must pass. What
fails is run once more, by itself, before it counts: the machine may have been busy.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Lists with what stock llvmpipe does with them.
RECORDS = {'list': HERE / 'llvmpipe.txt', 'windows': HERE / 'llvmpipe-windows.txt'}
# What a list without a profile is taken from.
PROFILE = 'quick_gl'
# Must pass, whatever stock llvmpipe says: it has none of these extensions.
SPARSE = re.compile(r'^spec@arb_sparse_')
SKIPPED = 77
# The part of a list that another version of Piglit may not have.
FEW = 0.02


def parse():
    parser = argparse.ArgumentParser(prog='scripts/piglit', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', nargs='?', default='list',
                        help="'list' (default): about a thousand tests that look at memory; "
                             "'windows': some that want windows; a profile of Piglit's (quick_gl, "
                             'sanity); or a file of names')
    parser.add_argument('--kmd', default='panthor', help='the simulated kernel driver')
    parser.add_argument('--driver', default='vmbind', choices=['vmbind', 'zink', 'llvmpipe'],
                        help='llvmpipe: stock, to compare with')
    parser.add_argument('--x11', action='store_true', help='in windows, under Xvfb')
    parser.add_argument('--record', action='store_true',
                        help='with --driver llvmpipe: write down what it does, for all to compare with')
    parser.add_argument('-j', '--jobs', default=str(os.cpu_count()))
    parser.add_argument('--results', help='a directory for what Piglit writes')
    parser.add_argument('--build', default='build', type=pathlib.Path)
    args = parser.parse_args()
    args.x11 |= args.what == 'windows'
    return args


def read_record(what):
    return {line.split(' ', 1)[1]: line.split(' ', 1)[0]
            for line in RECORDS[what].read_text().splitlines() if not line.startswith('#')}


def names_of(what):
    """The names to run, or None for a whole profile."""
    if what in RECORDS:
        return list(read_record(what))
    if os.path.exists(what):
        return pathlib.Path(what).read_text().split('\n')
    return None


def in_this_piglit(names):
    """Those of the names that the installed Piglit has: with any other it runs nothing."""
    done = subprocess.run(['piglit', 'print-cmd', '--format', '{name}', PROFILE], check=True,
                          stdout=subprocess.PIPE, text=True)
    known = set(done.stdout.splitlines())
    return [name for name in names if name in known]


def environment(args):
    env = dict(os.environ, PIGLIT_COMPRESSION='none', MESA_SHADER_CACHE_DISABLE='true')
    if args.x11:
        env.update(PIGLIT_PLATFORM='x11_egl')
        env.pop('EGL_PLATFORM', None)
    else:
        env.update(PIGLIT_PLATFORM='surfaceless_egl', EGL_PLATFORM='surfaceless')
    if args.driver == 'llvmpipe':
        mesa = next((args.build / 'subprojects').glob('mesa-*')).resolve() / 'src'
        libs = ['gallium/targets/dri', 'egl', 'glx', 'gbm']
        env.update(LD_LIBRARY_PATH=':'.join(str(mesa / lib) for lib in libs),
                   GBM_BACKENDS_PATH=str(mesa / 'gbm/backends/dri'),
                   __EGL_VENDOR_LIBRARY_FILENAMES=str(mesa / 'egl/50_mesa.json'),
                   LIBGL_ALWAYS_SOFTWARE='1', GALLIUM_DRIVER='llvmpipe')
    return env


def launcher(args):
    tool = str((args.build / 'tools/vmbind').resolve())
    return {'vmbind': [tool, 'run', '--kmd', args.kmd, '--gl', '--'],
            'zink': [tool, 'run', '--kmd', args.kmd, '--zink', '--'],
            'llvmpipe': []}[args.driver]


def start_xvfb(env):
    read_end, write_end = os.pipe()
    server = subprocess.Popen(['Xvfb', '-displayfd', str(write_end), '-screen', '0', '1024x768x24',
                               '-nolisten', 'tcp'], pass_fds=[write_end],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        env['DISPLAY'] = ':' + pipe.readline().strip()
    return server


def check_driver(args, env):
    """The wrong driver would pass as well."""
    test = (args.build / 'tests/gl/gl-triangle').resolve()
    wanted = {'vmbind': f'vmbind on {args.kmd.split("-")[0].split(":")[0]}',
              'zink': 'zink Vulkan', 'llvmpipe': 'llvmpipe ('}[args.driver]
    done = subprocess.run([*launcher(args), str(test)], env=dict(env, GLT_RENDERER=wanted),
                          capture_output=True, text=True)
    if done.returncode or not done.stdout.startswith(wanted):
        sys.exit(f'piglit: the driver is not {wanted}: {done.stdout}{done.stderr}')


def run_piglit(args, env, names, results, jobs):
    command = [*launcher(args), 'piglit', 'run', '-p', env['PIGLIT_PLATFORM'], '-c', '-j', jobs,
               '-o', '-l', 'quiet', '--timeout', '300', '-x', '^glx@', '-x', '^wgl@']
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
        if names is not None:
            file.write('\n'.join(n for n in names if n) + '\n')
            file.flush()
            command += ['--test-list', file.name]
        command += [PROFILE if names is not None else args.what, str(results)]
        done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    path = results / 'results.json'
    if not path.exists():
        sys.exit(f'piglit: {done.stderr}')
    tests = json.loads(path.read_text())['tests']
    return {name: test['result'] for name, test in tests.items()}


def recorded(args):
    """What stock llvmpipe did: from the repository, or from a run of the same tests here."""
    if args.what in RECORDS:
        return read_record(args.what)
    path = record_path(args)
    return json.loads(path.read_text()) if path.exists() else {}


def record_path(args):
    what = re.sub(r'\W+', '-', args.what) + ('-x11' if args.x11 else '')
    return args.build / 'piglit' / f'llvmpipe-{what}.json'


def write_record(args, found):
    if args.what in RECORDS:
        lines = ['# What stock llvmpipe does; written by scripts/piglit --driver llvmpipe --record.']
        lines += [f'{result} {name}' for name, result in sorted(found.items())]
        RECORDS[args.what].write_text('\n'.join(lines) + '\n')
        return
    path = record_path(args)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))


def is_worse(name, result, stock):
    if SPARSE.match(name):
        return result != 'pass'
    return stock.get(name) == 'pass' and result != 'pass'


def main():
    args = parse()
    if not shutil.which('piglit'):
        print('skipped: there is no piglit; scripts/setup installs it')
        return SKIPPED

    env = environment(args)
    server = start_xvfb(env) if args.x11 else None
    try:
        check_driver(args, env)
        wanted = names_of(args.what)
        names = None if wanted is None else in_this_piglit(wanted)
        with tempfile.TemporaryDirectory() as scratch:
            results = pathlib.Path(args.results or scratch)
            found = run_piglit(args, env, names, results / 'first', args.jobs)
            if args.record:
                write_record(args, found)
            stock = {} if args.driver == 'llvmpipe' else recorded(args)
            worse = [n for n, r in found.items()
                     if args.driver != 'llvmpipe' and is_worse(n, r, stock)]
            if worse:
                again = run_piglit(args, env, worse, results / 'again', '1')
                found.update(again)
                worse = [n for n in worse if is_worse(n, found.get(n, 'missing'), stock)]
    finally:
        if server:
            server.terminate()

    missing = [n for n in names or [] if n not in found]
    unknown = [n for n in wanted or [] if n and n not in names]
    counts = collections.Counter(found.values())
    print(', '.join(f'{count} {result}' for result, count in sorted(counts.items())))
    for name in worse:
        print(f'   {found[name]}: {name} (stock llvmpipe: {stock.get(name, "not recorded")})')
    for name in missing:
        print(f'   not run: {name}')
    for name in unknown:
        print(f'   not in this Piglit: {name}')
    if args.driver != 'llvmpipe':
        if stock:
            print(f'{len(worse)} worse than stock llvmpipe')
        else:
            print('nothing to compare with: run the same with --driver llvmpipe --record first')
    # Versions differ by a few names, and not by more.
    if len(unknown) > FEW * len(wanted or []):
        print('piglit: this is not the Piglit that the list was made for')
        return 1
    return 1 if worse or missing or not found else 0


if __name__ == '__main__':
    sys.exit(main())
