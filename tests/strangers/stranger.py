# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Where a Vulkan driver that is not ours lies, and how a program runs on it.

Must know nothing of what drivers and programs do.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path


class Unusable(Exception):
    """Why there is no such driver"""


def manifest_of(library):
    return {'file_format_version': '1.0.0',
            'ICD': {'library_path': str(library), 'api_version': '1.3.0'}}


class Stranger:
    """A driver's shared library, and the root whose C library it runs on: its own loader starts programs."""

    def __init__(self, library, root=Path('/')):
        self.library = library
        self.root = root
        self.loader = None
        self.environment = {}
        loaders = sorted(root.glob('usr/lib/*/ld-linux-*.so.*')) if root != Path('/') else []
        if loaders:
            # What is not there is the system's.
            here = loaders[0].parent
            self.loader = loaders[0]
            self.environment['LD_LIBRARY_PATH'] = f'{here}:/usr/lib/{here.name}:/lib/{here.name}'

    def missing_libraries(self):
        list_them = [self.loader, '--list'] if self.loader else ['ldd']
        said = subprocess.run([*list_them, self.library], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, check=False,
                              env=dict(os.environ, **self.environment)).stdout
        return [a or b for a, b in
                re.findall(r'^\s*(\S+) => not found|(GLIBC\S+)\' not found', said, re.M)]

    def mesa_version(self):
        found = re.search(rb'Mesa (\d+)\.\d+\.\d+', self.library.read_bytes())
        return int(found.group(1)) if found else 0

    def command(self, program, *arguments):
        return [*([self.loader] if self.loader else []), program, *arguments]

    @contextlib.contextmanager
    def running(self, preload, kmd):
        """The environment in which a program finds this driver, and no other, on this kernel driver."""
        with tempfile.NamedTemporaryFile('w', suffix='.json') as description:
            json.dump(manifest_of(self.library), description)
            description.flush()
            yield dict(os.environ, **self.environment, LD_PRELOAD=':'.join(map(str, preload)),
                       DRM_SIM_KMD=kmd, VK_ICD_FILENAMES=description.name,
                       VK_DRIVER_FILES=description.name, VK_LOADER_LAYERS_DISABLE='~all~')


def find(cache, icd, kmd, since):
    """Debian's driver as tests/strangers/fetch brought it, or else the system's. Raises Unusable, with the
    reason, if there is none, if it is older than the kernel driver that it needs, or if a library that it
    was linked with is missing.
    """
    for root in [cache / 'strangers/root', cache / 'strangers-trixie/root', Path('/')]:
        libraries = sorted(root.glob(f'usr/lib/*/libvulkan_{icd}.so'))
        if libraries:
            stranger = Stranger(libraries[0], root)
            break
    else:
        raise Unusable(f'no {icd} driver: not by tests/strangers/fetch, and not in the system')
    version = stranger.mesa_version()
    if version < since:
        raise Unusable(f'{stranger.library.name} is of Mesa {version}, and knows {kmd} from {since} on')
    missing = stranger.missing_libraries()
    if missing:
        raise Unusable(f'{stranger.library.name} needs {" ".join(missing)}, which is not installed')
    return stranger
