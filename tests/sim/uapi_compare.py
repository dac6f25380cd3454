#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Compares include/drm-uapi with the kernel's own headers, as Debian's newest linux-libc-dev has them.

Every constant, structure size, field offset and field size that our headers define must be the same
there. The package is fetched with apt, extracted into the build tree and never installed; without it,
or with none as new as our headers, the test is skipped and says why. It must know nothing of what the
values mean.

usage: uapi_compare.py --include DIR --work DIR [--package FILE.deb] [--cc COMMAND]
"""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

SKIP = 77

# The kernel that our headers describe
LEVEL = (7, 3)

HEADERS = ['drm', 'panthor_drm', 'msm_drm', 'xe_drm', 'nouveau_drm', 'asahi_drm', 'amdgpu_drm',
           'pvr_drm']

# Ours alone, or of include guards
NOT_CONSTANTS = re.compile(r'^(_.*_H_|__.*_H__|PVR_DRM_UAPI_H|DRM_RDWR|DRM_CLOEXEC)$')


def skip(reason):
    print(f'skipped: {reason}')
    sys.exit(SKIP)


def run(command, **kwargs):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **kwargs).stdout


# The package


def debian_archives():
    """The archives that apt is configured for, as far as they are Debian's own."""
    lines = run(['apt-get', 'indextargets', '--format', '$(SITE) $(ORIGIN) $(SIGNED_BY)|$(REPO_URI)',
                 'Created-By: Packages']).splitlines()
    archives = set()
    for line in lines:
        site, uri = line.split('|')
        if ' Debian ' in f' {site} ' and 'security' not in uri:
            archives.add(uri.rstrip('/'))
    return sorted(archives)


def private_apt(work, archives):
    """An apt of its own that knows sid and experimental as well, and changes nothing of the system's."""
    root = work / 'apt'
    for name in ['etc/apt/preferences.d', 'etc/apt/apt.conf.d', 'state/lists/partial',
                 'cache/archives/partial', 'etc/apt/sources.list.d']:
        (root / name).mkdir(parents=True, exist_ok=True)
    sources = ''.join(f'deb {uri} {suite} main\n' for uri in archives
                      for suite in ['sid', 'experimental'])
    (root / 'etc/apt/sources.list').write_text(sources)
    config = root / 'apt.conf'
    config.write_text(f'Dir::State "{root}/state";\n'
                      'Dir::State::status "/var/lib/dpkg/status";\n'
                      f'Dir::Cache "{root}/cache";\n'
                      f'Dir::Etc::sourcelist "{root}/etc/apt/sources.list";\n'
                      f'Dir::Etc::sourceparts "{root}/etc/apt/sources.list.d";\n'
                      'APT::Sandbox::User "root";\n'
                      'Acquire::Retries "1";\nAcquire::http::Timeout "20";\n')
    return config


def fetch(work):
    cached = sorted(work.glob('linux-libc-dev_*.deb'))
    if cached:
        return cached[-1]

    try:
        archives = debian_archives()
        if not archives:
            skip('apt knows no archive of Debian\'s')
        env = {'APT_CONFIG': str(private_apt(work, archives)), 'PATH': '/usr/bin:/bin',
               'LC_ALL': 'C'}
        run(['apt-get', 'update', '-qq'], env=env)
        versions = [line.split('|')[1].strip()
                    for line in run(['apt-cache', 'madison', 'linux-libc-dev'],
                                    env=env).splitlines() if '|' in line]
        if not versions:
            skip('no linux-libc-dev can be reached')
        newest = versions[0]
        for version in versions[1:]:
            if subprocess.run(['dpkg', '--compare-versions', version, 'gt', newest],
                              check=False).returncode == 0:
                newest = version
        run(['apt-get', 'download', '-qq', f'linux-libc-dev={newest}'], env=env, cwd=work)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        detail = getattr(error, 'stderr', '') or str(error)
        skip('linux-libc-dev cannot be fetched: ' + detail.strip().splitlines()[-1])
    return sorted(work.glob('linux-libc-dev_*.deb'))[-1]


def extract(package, work):
    version = run(['dpkg-deb', '-f', str(package), 'Version']).strip()
    numbers = re.match(r'(\d+)\.(\d+)', version)
    if (int(numbers[1]), int(numbers[2])) < LEVEL:
        skip(f'the newest linux-libc-dev within reach is {version}, and these headers are of '
             f'{LEVEL[0]}.{LEVEL[1]}')
    target = work / version.replace('~', '-')
    if not target.exists():
        subprocess.run(['dpkg-deb', '-x', str(package), str(target)], check=True)
    return version, target / 'usr/include/drm'


# What our headers define


def without_comments(text):
    return re.sub(r'/\*.*?\*/', ' ', text, flags=re.S).replace('\\\n', ' ')


def constants(text):
    """Macros without arguments that have a value, and enumerators."""
    found = []
    for name, value in re.findall(r'^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S.*)$', text, flags=re.M):
        if not NOT_CONSTANTS.match(name) and not value.startswith('"'):
            found.append(name)
    # Structures' own bodies hold no enums.
    for body in re.findall(r'\benum\b[^{;]*\{([^}]*)\}', text):
        while '(' in body:
            body = re.sub(r'\([^()]*\)', '', body)
        found += re.findall(r'(?:^|,)\s*(\w+)', body)
    return found


def bodies(text):
    """Each top-level structure and union: its name and what is between its braces."""
    for match in re.finditer(r'^(struct|union)\s+(\w+)\s*\{', text, flags=re.M):
        depth, end = 1, match.end()
        while depth:
            depth += {'{': 1, '}': -1}.get(text[end], 0)
            end += 1
        yield f'{match[1]} {match[2]}', text[match.end():end - 1]


def fields(body, prefix=''):
    """Paths to all members, through those that are structures themselves."""
    position = 0
    while position < len(body):
        nested = re.match(r'\s*(?:struct|union)\s*\{', body[position:])
        if nested:
            depth, end = 1, position + nested.end()
            start = end
            while depth:
                depth += {'{': 1, '}': -1}.get(body[end], 0)
                end += 1
            inner = body[start:end - 1]
            tail = re.match(r'\s*(\w*)\s*(\[\w+\])?\s*;', body[end:])
            if tail[1]:
                yield prefix + tail[1]
            element = tail[1] + ('[0]' if tail[2] else '')
            yield from fields(inner, prefix + (element + '.' if element else ''))
            position = end + tail.end()
            continue
        member = re.match(r'([^;]*);', body[position:])
        if not member:
            return
        declaration = re.sub(r'#.*', '', member[1]).strip()
        name = re.search(r'(\w+)\s*((?:\[[^\]]*\]\s*)*)$', declaration)
        if name and 'or' != name[1] and '_or' != name[1]:
            yield prefix + name[1] + (' flexible' if '[]' in name[2].replace(' ', '') else '')
        position += member.end()


def probe(header, text):
    """A C program that prints everything that is to be the same."""
    lines = ['#include <stddef.h>', '#include <stdint.h>', '#include <stdio.h>',
             f'#include "{header}.h"', 'int main(void)', '{']
    seen = set()
    for name in constants(text):
        if name not in seen:
            seen.add(name)
            lines.append(f'   printf("constant {name} = %lld\\n", (long long)({name}));')
    for name, body in bodies(text):
        lines.append(f'   printf("size of {name} = %zu\\n", sizeof({name}));')
        for field in fields(body):
            path = field.split()[0]
            lines.append(f'   printf("offset of {name}.{path} = %zu\\n", offsetof({name}, {path}));')
            if not field.endswith('flexible'):
                lines.append(f'   printf("size of {name}.{path} = %zu\\n", '
                             f'sizeof((({name} *)0)->{path}));')
    lines += ['   return 0;', '}']
    return '\n'.join(lines) + '\n'


def values(cc, source, include, work, tag):
    path = work / f'{source.stem}-{tag}'
    # The kernel's headers include one another by their place in the package.
    around = ['-isystem', str(include.parent)] if tag == 'theirs' else []
    result = subprocess.run(cc + ['-w', f'-I{include}', *around, str(source), '-o', str(path)],
                            check=False, text=True, capture_output=True)
    if result.returncode:
        return None, result.stderr
    return dict(line.rsplit(' = ', 1) for line in run([str(path)]).splitlines()), ''


def compare(header, cc, ours, theirs, work):
    source = work / f'{header}.c'
    source.write_text(probe(header, without_comments((ours / f'{header}.h').read_text())))

    our_values, errors = values(cc, source, ours, work, 'ours')
    if our_values is None:
        print(f'{header}.h: the program about our own header does not compile\n{errors}')
        return 1, 0
    their_values, errors = values(cc, source, theirs, work, 'theirs')
    if their_values is None:
        for line in errors.splitlines():
            if ' error: ' in line:
                print(f'{header}.h: not in the kernel\'s header: {line.split(" error: ")[1]}')
        return 1, len(our_values)

    differences = 0
    for name, value in our_values.items():
        if their_values[name] != value:
            print(f'{header}.h: {name}: ours {value}, the kernel\'s {their_values[name]}')
            differences += 1
    return differences, len(our_values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--include', type=Path, required=True)
    parser.add_argument('--work', type=Path, required=True)
    parser.add_argument('--package', type=Path)
    parser.add_argument('--cc', default='cc')
    args = parser.parse_args()

    args.work.mkdir(parents=True, exist_ok=True)
    work = args.work.resolve()
    version, theirs = extract(args.package or fetch(work), work)

    differences = total = 0
    for header in HEADERS:
        wrong, count = compare(header, shlex.split(args.cc), args.include.resolve(), theirs, work)
        print(f'{header}.h: {count} values, {wrong} different')
        differences += wrong
        total += count
    print(f'{total} values compared with linux-libc-dev {version}, {differences} different')
    return 1 if differences or not total else 0


if __name__ == '__main__':
    sys.exit(main())
