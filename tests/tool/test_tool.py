#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""The vmbind tool: what it prints, and that bad input gets one line and an exit status.

test_tool.py VMBIND PROGRAM [--drivers]: PROGRAM uses the core, and so records a trace.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

VMBIND, PROGRAM = map(os.path.abspath, sys.argv[1:3])
DRIVERS = "--drivers" in sys.argv


def vmbind(*arguments, **environment):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "DRM_SIM_KMD", "VMBIND_TRACE")}
    env.update(environment)
    return subprocess.run([VMBIND, *arguments], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)


class Tool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="vmbind-tool-")
        cls.trace = cls.path("trace")
        env = dict(os.environ, VMBIND_TRACE=cls.trace, DRM_SIM_KMD="panthor")
        subprocess.run([PROGRAM], env=env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.directory.name, name)

    def fails(self, status, says, *arguments, lines=1, **environment):
        run = vmbind(*arguments, **environment)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertIn(says, run.stderr)
        self.assertEqual(len(run.stderr.splitlines()), lines, run.stderr)

    def works(self, *arguments, **environment):
        run = vmbind(*arguments, **environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    # Usage

    def test_help(self):
        text = self.works("--help")
        for command in ("run", "sim", "info", "trace", "map", "dump", "who", "top", "replay"):
            self.assertIn(f"vmbind {command} ", text)
            own = self.works(command, "--help")
            self.assertIn(f"usage: vmbind {command} ", own)
            self.assertIn(f"example:\n   vmbind {command} ", own)
        self.assertIn("example", text)

    def test_the_man_page_knows_what_help_knows(self):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/vmbind.1")) as file:
            page = file.read().replace("\\-", "-")
        for command in re.findall(r"^   vmbind (\w+)", self.works("--help"), re.MULTILINE):
            self.assertIn(f".B vmbind {command}\n", page)
            self.assertIn(f"\n.TP\n.B {command}\n", page)
            for option in re.findall(r"--\w+", self.works(command, "--help").split("example:")[0]):
                self.assertIn(option, page)

    def test_wrong_usage(self):
        self.fails(2, "no command \"fly\"", "fly")
        self.fails(2, "no program", "sim")
        self.fails(2, "no program", "sim", "--kmd", "msm", "--")
        self.fails(2, "--colour", "sim", "--colour", "--", "true")
        self.fails(2, "--trace", "sim", "--trace", "x", "--", "true")
        self.fails(2, "i915", "sim", "--kmd", "i915", "--", "true")
        self.fails(2, "i915", "info", "--kmd", "i915")
        self.fails(2, "--colour", "trace", "--colour")
        self.fails(2, "a picture", "map")
        self.fails(2, "--gpu is for a real node", "run", "--gpu", "--kmd", "msm", "--", "true")
        self.fails(2, "one of --gl and --zink", "run", "--gl", "--zink", "--", "true")
        self.assertRegex(self.works("--version"), r"^vmbind \d+\.\d+")

    def test_settings_of_the_simulator(self):
        for kmd in ("msm-9.9", "msm-1.13:odd", "panthor-0.5", "panthor:va=99"):
            self.fails(2, f"{kmd} is not known; there are panthor-1.0 to 1.9, ", "sim", "--kmd", kmd, "--", "true")
        self.fails(2, "DRM_SIM_FAULT=odd is not understood; say ", "sim", "--", "true", DRM_SIM_FAULT="odd")
        self.fails(2, "DRM_SIM_FAULT=vm_bnid:1=EIO names what is not there; there are op, job, lost, delay, slow, mem, "
                   "evict, * and get_param, ", "sim", "--kmd", "msm", "--", "true", DRM_SIM_FAULT="vm_bnid:1=EIO")
        self.fails(2, "DRM_SIM_FAULTS is not known; there are DRM_SIM_KMD, ", "sim", "--", "true",
                   DRM_SIM_FAULTS="vm_bind:1=EIO")
        self.fails(2, "DRM_SIM_CHECK=yes is not understood; say 1", "sim", "--", "true", DRM_SIM_CHECK="yes")
        self.fails(2, "DRM_SIM_MISAPPLY=odd is not understood; say ", "sim", "--", "true", DRM_SIM_MISAPPLY="odd")
        self.fails(2, "DRM_SIM_FAULT=vm_bind:x", "replay", "--fault", "vm_bind:x", self.trace)

    def test_programs(self):
        self.fails(127, "no-such-program", "sim", "--", "no-such-program")
        self.fails(126, "Permission denied", "sim", "--", "/")
        self.assertEqual(vmbind("sim", "--", "false").returncode, 1)
        self.assertEqual(self.works("sim", "echo", "--kmd"), "--kmd\n")

    # Nodes

    def test_info(self):
        for kmd, words in (("panthor", ["panthor 1.9", "immediate", "native"]),
                           ("panthor-1.0", ["panthor 1.0", "a BO of its own"]),
                           ("msm", ["staged", "strict", "of a queue"]),
                           ("msm:noprr", ["no residency"]),
                           ("xe", ["staged", "native", "strict"])):
            text = self.works("info", "--kmd", kmd)
            for word in words:
                self.assertIn(word, text)

    def test_the_simulated_node_is_there(self):
        self.assertIn("renderD128", self.works("sim", "--", "python3", "-c",
                                               "import os; print(os.listdir('/dev/dri'))"))
        self.assertIn("kernel driver          msm",
                      self.works("sim", "--kmd", "msm", "--", VMBIND, "info"))

    def test_info_without_vm_bind(self):
        run = vmbind("info", "--kmd", "msm-1.12")
        self.assertEqual(run.returncode, 0)
        self.assertIn("needs Linux 6.17", run.stderr)
        self.assertIn("none: addresses are the kernel's", run.stdout)

    def test_no_node(self):
        self.fails(1, "no DRM render node", "sim", "--", "env", "DRM_SIM_KMD=none", VMBIND, "info")
        self.fails(1, "No such file", "info", "--node", "/nonexistent")

    def test_nodes_that_will_not_do(self):
        self.fails(1, "not a DRM device", "info", "--node", "/dev/null")

    # Traces

    def test_trace(self):
        text = self.works("trace", self.trace)
        self.assertIn("process ", text)
        self.assertRegex(text, r"device \d+ created: panthor 1.9")
        self.assertRegex(text, r"vm \d+ created on device")
        self.assertIn("map   0x", text)
        self.assertIn("completed up to point", text)
        stats = self.works("trace", "--stats", self.trace)
        self.assertRegex(stats, r"operations sent +[1-9]")

    def test_map(self):
        picture = self.path("map.png")
        self.assertIn("wrote", self.works("map", self.trace, picture))
        with open(picture, "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        self.fails(1, "/nonexistent/x.png", "map", self.trace, "/nonexistent/x.png")

    # The driver

    @unittest.skipUnless(DRIVERS, "a build without drivers")
    def test_run(self):
        self.assertIn("vmbind_devenv_icd", self.works("run", "--", "sh", "-c",
                                                      "echo $VK_DRIVER_FILES"))
        trace = self.path("vk")
        self.works("run", "--kmd", "msm", "--trace", trace, "--", "vulkaninfo", "--summary")
        self.assertIn("created: msm", self.works("trace", trace))
        for place in ("/nonexistent/t", "/nonexistent/t.%p", "/proc/t", "/"):
            self.fails(1, f"--trace {place} ", "run", "--trace", place, "--", "true")
        os.mkdir(self.path("each"))
        self.works("run", "--trace", self.path("each/%p"), "--", "vulkaninfo", "--summary")
        self.assertRegex("".join(os.listdir(self.path("each"))), r"^\d+$")

    @unittest.skipUnless(DRIVERS, "a build without drivers")
    def test_run_where_it_cannot(self):
        for kmd, says in (("panthor:unseen", "the CPU cannot see"), ("msm-1.12", "Linux 6.17")):
            run = vmbind("run", "--kmd", kmd, "--", "vulkaninfo", "--summary")
            self.assertNotEqual(run.returncode, 0)
            self.assertIn(says, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
