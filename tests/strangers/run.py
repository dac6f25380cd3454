#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Runs probe with a Vulkan driver that is not ours, on the simulated node.

The driver is what tests/strangers/fetch brought (Debian's package) or tests/strangers/build made (panvk, turnip),
or else the system's. Skipped, with
the reason, where there is none, where it is older than the kernel driver that it needs, or where a library that it
was linked with is missing. It must know nothing of what the driver does.

usage: run.py --cache DIR --source SCRIPT --simulator libdrm_sim.so --probe PROGRAM --icd NAME --kmd KMD [--since MAJOR] [ARGS...]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SKIP = 77


def skip(reason):
    print(f'skipped: {reason}')
    sys.exit(SKIP)


def find_library(cache, icd):
    """The driver's shared library, and where its description says that it is."""
    for root in [cache / 'root', Path('/')]:
        for manifest in sorted((root / 'usr/share/vulkan/icd.d').glob(f'{icd}_icd*.json')):
            path = json.loads(manifest.read_text())['ICD']['library_path']
            candidates = [root / path.lstrip('/')] if '/' in path else []
            candidates += sorted((root / 'usr/lib').glob(f'*/{Path(path).name}'))
            for library in candidates:
                if library.exists():
                    return library, json.loads(manifest.read_text())
    return None, None


def missing_libraries(library):
    ldd = subprocess.run(['ldd', library], capture_output=True, text=True).stdout
    return re.findall(r'^\s*(\S+) => not found|(GLIBC\S+)\' not found', ldd, re.M)


def mesa_version(library):
    found = re.search(rb'Mesa (\d+)\.\d+\.\d+', library.read_bytes())
    return int(found.group(1)) if found else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cache', type=Path, required=True)
    parser.add_argument('--source', required=True, help='what would bring the driver into the cache')
    parser.add_argument('--simulator', required=True)
    parser.add_argument('--probe', required=True)
    parser.add_argument('--icd', required=True)
    parser.add_argument('--kmd', required=True)
    parser.add_argument('--since', type=int, default=0)
    options, arguments = parser.parse_known_args()

    library, manifest = find_library(options.cache, options.icd)
    if not library:
        skip(f'no {options.icd} driver: not by {options.source}, and not in the system')
    if mesa_version(library) < options.since:
        skip(f'{library.name} is of Mesa {mesa_version(library)}, and knows {options.kmd} from '
             f'{options.since} on')
    missing = missing_libraries(library)
    if missing:
        skip(f'{library.name} needs {" ".join(filter(None, missing[0]))}, which is not installed')

    manifest['ICD']['library_path'] = str(library)
    with tempfile.NamedTemporaryFile('w', suffix='.json') as description:
        json.dump(manifest, description)
        description.flush()
        env = dict(os.environ, LD_PRELOAD=options.simulator, DRM_SIM_KMD=options.kmd,
                   VK_ICD_FILENAMES=description.name, VK_DRIVER_FILES=description.name,
                   VK_LOADER_LAYERS_DISABLE='~all~')
        return subprocess.run([options.probe, *arguments], env=env).returncode


if __name__ == '__main__':
    sys.exit(main())
