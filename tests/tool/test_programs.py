#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Other people's programs on our drivers, as docs/using.md shows them.

test_programs.py VMBIND DEMO BIND: DEMO is the virtual texture, BIND the example of the core. What is not installed
is skipped, by its name.
"""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

VMBIND, DEMO, BIND = map(os.path.abspath, sys.argv[1:4])
KMDS = ("panthor", "xe")
XVFB = ["xvfb-run", "-a", "-s", "-screen 0 1024x768x24"]


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    return unittest.skipIf(missing, f"{', '.join(missing)} is not installed; scripts/setup does it")


class Programs(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="vmbind-programs-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def works(self, *command, **environment):
        made = subprocess.run(command, env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", cwd=self.directory,
                              timeout=240)
        self.assertEqual(made.returncode, 0, made.stdout[-3000:])
        return made.stdout

    def binds(self, trace):
        stats = self.works(VMBIND, "trace", "--stats", trace)
        return int(re.search(r"binds asked +(\d+)", stats).group(1))

    def seen_alive(self, trace, *command):
        """What vmbind dump says of a program while it runs, as soon as it has bound something."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   cwd=self.directory, start_new_session=True)
        try:
            while process.poll() is None:
                dump = subprocess.run([VMBIND, "dump", "--json", trace], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True, timeout=60)
                state = json.loads(dump.stdout) if dump.returncode == 0 else {"vms": []}
                if any(vm["mappings"] for vm in state["vms"]):
                    self.assertTrue(state["live"])
                    return state
                time.sleep(0.1)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        self.fail(f"{command} has ended, exit status {process.returncode}")

    def test_dump_of_a_vulkan_program(self):
        state = self.seen_alive(self.path("trace"), VMBIND, "run", "--kmd", "xe", "--trace", self.path("trace"), "--",
                                DEMO, "--no-pictures")
        self.assertEqual((state["program"], state["devices"][0]["driver"]), ("virtual-texture", "xe"))
        self.assertTrue(all(vm["ranges"] for vm in state["vms"]))

    @needs("glxgears", "xvfb-run")
    def test_dump_of_a_gl_program(self):
        state = self.seen_alive(self.path("trace"), *XVFB, VMBIND, "run", "--gl", "--kmd", "msm", "--trace",
                                self.path("trace"), "--", "glxgears")
        self.assertEqual((state["program"], state["devices"][0]["driver"]), ("glxgears", "msm"))

    @needs("vulkaninfo")
    def test_vulkaninfo(self):
        for kmd in KMDS:
            text = self.works(VMBIND, "run", "--kmd", kmd, "--", "vulkaninfo")
            self.assertIn(f"vmbind on {kmd}", text)
            self.assertRegex(text, r"sparseResidencyImage2D +(= true|= 1)")

    @needs("vkcube", "xvfb-run")
    def test_vkcube_in_a_window(self):
        for kmd in KMDS:
            text = self.works(*XVFB, VMBIND, "run", "--kmd", kmd, "--trace", self.path("trace"), "--", "vkcube",
                              "--c", "10")
            self.assertIn(f"vmbind on {kmd}", text)
            self.assertGreater(self.binds(self.path("trace")), 0)

    @needs("glxgears", "xvfb-run", "apitrace")
    def test_gl_in_a_window_and_apitrace(self):
        def run(*command):
            return subprocess.run([*XVFB, VMBIND, "run", "--gl", "--", *command], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", timeout=240)

        info = run("glxinfo", "-B")
        if "neither in the build tree nor installed" in info.stdout:
            self.skipTest("this tree was configured without GLX")
        self.assertIn("OpenGL renderer string: vmbind on panthor", info.stdout)
        # glxgears does not end by itself, and who knows when a busy machine has drawn something.
        for seconds in ("5", "30", "120"):
            run("timeout", "-s", "INT", seconds, "apitrace", "trace", "-o", self.path("gears.trace"), "glxgears")
            calls = self.works("apitrace", "dump", "--color=never", self.path("gears.trace"))
            if "glXSwapBuffers" in calls:
                break
        self.assertIn("glXSwapBuffers", calls)
        replayed = run("apitrace", "replay", "-b", self.path("gears.trace"))
        self.assertRegex(replayed.stdout, r"Rendered [1-9]\d* frames")

    @needs("gfxrecon-replay")
    def test_gfxreconstruct(self):
        demo = [DEMO, "--short", "--frames", "4", "--no-pictures"]
        self.works(VMBIND, "run", "--trace", self.path("captured"), "--", *demo,
                   VK_INSTANCE_LAYERS="VK_LAYER_LUNARG_gfxreconstruct",
                   GFXRECON_CAPTURE_FILE=self.path("flight.gfxr"))
        capture, = glob.glob(self.path("flight*.gfxr"))
        for kmd in KMDS:
            self.works(VMBIND, "run", "--kmd", kmd, "--trace", self.path("replayed"), "--", "gfxrecon-replay", capture)
            # It makes devices of its own to look around, so not less.
            self.assertGreaterEqual(self.binds(self.path("replayed")), self.binds(self.path("captured")))

    @needs("gdb")
    def test_gdb(self):
        text = self.works(VMBIND, "sim", "--kmd", "msm", "--", "gdb", "-q", "-batch", "-ex",
                          "break vmb_queue_submit", "-ex", "run", "-ex", "bt", "-ex", "delete", "-ex", "continue", BIND)
        self.assertRegex(text, r"#1 .* main \(")
        self.assertIn("exited normally", text)

    @needs("valgrind")
    def test_valgrind(self):
        # The stack of a worker of the simulator's that has not ended yet is "possibly lost".
        text = self.works(VMBIND, "sim", "--kmd", "msm", "--", "valgrind", "-q", "--error-exitcode=9",
                          "--leak-check=full", "--show-leak-kinds=definite,indirect",
                          "--errors-for-leak-kinds=definite,indirect", BIND)
        self.assertNotIn("==", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
