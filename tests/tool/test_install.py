#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""What "meson install" leaves works where it lies, and where it is moved to.

test_install.py BUILD PREFIX LIBDIR EXAMPLES [--drivers ICD.json]: programs of EXAMPLES are built with pkg-config against what was
installed from BUILD.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, PREFIX, LIBDIR, EXAMPLES = sys.argv[1:5]
ICD = sys.argv[6] if "--drivers" in sys.argv else None


def run(*command, **environment):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "LD_LIBRARY_PATH", "DRM_SIM_KMD", "VK_DRIVER_FILES", "DESTDIR")}
    env.update(environment)
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120)


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="vmbind-install-")
        stage = os.path.join(cls.directory.name, "stage")
        installed = run("meson", "install", "-C", BUILD, "--no-rebuild", "--skip-subprojects", "--quiet",
                        "--destdir", stage)
        assert installed.returncode == 0, installed.stdout + installed.stderr
        # Moved, so that nothing can be found by the path that it was configured with.
        cls.prefix = os.path.join(cls.directory.name, "elsewhere")
        shutil.move(stage + PREFIX, cls.prefix)
        cls.libdir = os.path.join(cls.prefix, LIBDIR)
        cls.vmbind = os.path.join(cls.prefix, "bin", "vmbind")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def works(self, *command, **environment):
        made = run(*command, **environment)
        self.assertEqual(made.returncode, 0, made.stderr)
        return made.stdout

    def pkg_config(self, *what):
        return shlex.split(self.works("pkg-config", f"--define-variable=prefix={self.prefix}", *what, "vmbind",
                                      PKG_CONFIG_PATH=os.path.join(self.libdir, "pkgconfig")))

    def compile(self, name, *flags, source="bind.c"):
        program = os.path.join(self.directory.name, name)
        self.works("cc", "-Wall", "-Wextra", "-Werror", os.path.join(EXAMPLES, source), *flags, "-o", program)
        return program

    def check_program(self, *command, **environment):
        for kmd, first, null in (("msm", "msm 1.13", "null"), ("panthor-1.0", "panthor 1.0", "null"),
                                 ("msm:noprr", "msm 1.13", "BO")):
            text = self.works(self.vmbind, "sim", "--kmd", kmd, "--", *command, **environment)
            self.assertTrue(text.startswith(first), text)
            self.assertIn(null, text)
            self.assertEqual(text.count("from its byte"), 4, text)

    def test_shared(self):
        program = self.compile("shared", *self.pkg_config("--cflags", "--libs"))
        self.assertIn("libvmbind.so.0", self.works("readelf", "-d", program))
        self.check_program(program, LD_LIBRARY_PATH=self.libdir)

    def test_static(self):
        libs = [os.path.join(self.libdir, "libvmbind.a") if flag == "-lvmbind" else flag
                for flag in self.pkg_config("--cflags", "--libs", "--static")]
        program = self.compile("static", *libs)
        self.assertNotIn("libvmbind", self.works("readelf", "-d", program))
        self.check_program(program)

    def test_the_planner_alone(self):
        program = self.compile("plan", *self.pkg_config("--cflags", "--libs"), source="plan.c")
        self.assertEqual(self.works(program, LD_LIBRARY_PATH=self.libdir),
                         "one ioctl, 1 operations:\n   map   0x100000 +0x200000 handle 1 @ 0x0\n"
                         "one ioctl, 1 operations:\n   unmap 0x100000 +0x7000\n")

    def test_headers_can_be_read_alone(self):
        flags = self.pkg_config("--cflags")
        for header in sorted(os.listdir(os.path.join(self.prefix, "include", "vmbind"))):
            if not header.endswith(".h"):
                continue
            for compiler, language in (("cc", "c"), ("c++", "c++")):
                made = subprocess.run([compiler, "-x", language, "-fsyntax-only", *flags, "-"], text=True,
                                      input=f"#include <vmbind/{header}>\n", stderr=subprocess.PIPE)
                self.assertEqual(made.returncode, 0, made.stderr)

    def test_what_is_exported(self):
        library = os.path.join(self.libdir, "libvmbind.so")
        names = {line.split()[-1].split("@")[0] for line in
                 self.works("nm", "-D", "--defined-only", library).splitlines()}
        self.assertIn("vmb_queue_submit", names)
        self.assertIn("vmb_gpuvm_map", names)
        self.assertEqual([name for name in names if not name.startswith(("vmb_", "VMBIND_0"))], [])
        self.assertNotIn("vmb_trace_submit", names)

    def test_tool(self):
        self.assertIn("kernel driver          xe", self.works(self.vmbind, "info", "--kmd", "xe"))
        for page in ("vmbind.1",):
            self.assertTrue(os.path.exists(os.path.join(self.prefix, "share/man/man1", page)))

    @unittest.skipUnless(ICD, "a build without drivers")
    def test_driver(self):
        manifest = os.path.join(self.prefix, "share/vulkan/icd.d", ICD)
        with open(manifest) as file:
            library = json.load(file)["ICD"]["library_path"]
        self.assertTrue(os.path.exists(os.path.join(os.path.dirname(manifest), library)), library)
        self.assertIn("vmbind", self.works(self.vmbind, "run", "--kmd", "msm", "--", "vulkaninfo", "--summary"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
