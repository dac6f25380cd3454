#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""The scripts' help and refusals, and what scripts/test makes of results: table, JUnit, exit codes."""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
REPORT = os.path.join(ROOT, "scripts", "test-report.py")

TESTS = [
    {"name": "msm-1.13", "suite": ["vmbind:core"]},
    {"name": "msm-1.13-noprr", "suite": ["vmbind:core"]},
    {"name": "panthor-1.0", "suite": ["vmbind:core"]},
    {"name": "panthor-1.9", "suite": ["vmbind:core"]},
    {"name": "sync-xe", "suite": ["vmbind:vulkan"]},
    {"name": "sync-validated", "suite": ["vmbind:vulkan"]},
    {"name": "plan", "suite": ["vmbind:unit"]},
    {"name": "plan", "suite": ["mesa:unit"]},
]


def run(*command, stdin=None):
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60)


class Scripts(unittest.TestCase):
    def test_help(self):
        own = [path for path in glob.glob(os.path.join(ROOT, "scripts", "*"))
               if os.access(path, os.X_OK) and not path.endswith(".py")]
        self.assertGreaterEqual(len(own), 10)
        for path in own + [os.path.join(ROOT, "tests", of, "fetch") for of in ("oracle", "strangers")]:
            asked = run(path, "--help")
            self.assertEqual(asked.returncode, 0, asked.stderr)
            self.assertIn(os.path.relpath(path, ROOT), asked.stdout)
            self.assertRegex(asked.stdout, r"(?i)\bexamples?:\n")
            self.assertNotIn("SPDX", asked.stdout)
            self.assertEqual(asked.stderr, "")

    def test_wrong_usage(self):
        script = os.path.join(ROOT, "scripts", "test")
        for arguments, says in ((["--colour"], "--colour"),
                                (["--suite"], "wants a value"),
                                (["--suite", "fly"], 'no suite "fly"; there are: core'),
                                (["--seed", "x"], "wants a number"),
                                (["--fuzz-seconds", "0"], "wants a number"),
                                (["--junit", "/nonexistent/x.xml"], "cannot be written")):
            refused = run(script, *arguments)
            self.assertEqual(refused.returncode, 2, arguments)
            self.assertIn(says, refused.stderr)
            self.assertEqual(len(refused.stderr.splitlines()), 1, refused.stderr)


    def test_other_scripts_refuse(self):
        for status, says, script, *arguments in (
                (2, "one directory is wanted", "into-mesa"),
                (1, "is not there", "into-mesa", "/nonexistent"),
                (1, "is no Mesa source tree", "into-mesa", "/"),
                (2, "unknown option", "install", "--colour"),
                (1, "cannot be written to; --prefix DIR", "install", "--prefix", "/proc/vmbind"),
                (2, "unknown option", "setup", "--colour"),
                (2, "bookworm or trixie", "test-fresh", "sarge"),
                (2, "no argument is wanted, not --colour", "../tests/strangers/fetch", "--colour")):
            refused = run(os.path.join(ROOT, "scripts", script), *arguments)
            self.assertEqual(refused.returncode, status, refused.stderr)
            self.assertIn(says, refused.stderr)
            self.assertEqual(len(refused.stderr.splitlines()), 1, refused.stderr)


class IntoMesa(unittest.TestCase):
    """Into what the tarball holds of the files that are changed; scripts/into-mesa --help shows the whole build."""

    @classmethod
    def setUpClass(cls):
        tarballs = glob.glob(os.path.join(ROOT, "subprojects", "packagecache", "mesa-*.tar.xz"))
        if not tarballs:
            raise unittest.SkipTest("Mesa's tarball is not there: scripts/setup fetches it")
        directory = tempfile.TemporaryDirectory(prefix="vmbind-into-mesa-")
        cls.addClassCleanup(directory.cleanup)
        patches = glob.glob(os.path.join(ROOT, "subprojects", "packagefiles", "mesa", "*.patch"))
        changed = {"VERSION", "meson.build", "meson_options.txt"}
        for patch in patches:
            with open(patch) as file:
                changed.update(re.findall(r"^--- a/(\S+)", file.read(), re.MULTILINE))
        version = os.path.basename(tarballs[0])[:-len(".tar.xz")]
        unpacked = run("tar", "-xf", tarballs[0], "-C", directory.name,
                       *(version + "/" + name for name in sorted(changed)))
        if unpacked.returncode:
            raise AssertionError(unpacked.stderr)
        cls.original = os.path.join(directory.name, version)
        cls.count = len(patches)

    def setUp(self):
        self.tree = self.original + "-" + self._testMethodName
        shutil.copytree(self.original, self.tree)

    def state(self):
        return {str(path.relative_to(self.tree)): path.read_bytes()
                for path in pathlib.Path(self.tree).rglob("*") if path.is_file()}

    def lay(self):
        laid = run(os.path.join(ROOT, "scripts", "into-mesa"), self.tree)
        self.assertEqual(laid.returncode, 0, laid.stderr)
        return self.state()

    def test_once_and_again(self):
        before, once = self.state(), self.lay()
        self.assertIn(b"'swrast', 'vmbind',", once["meson_options.txt"])
        self.assertIn(b"subdir('src/vmbind')", once["meson.build"])
        self.assertEqual(sum(name.startswith("src/vmbind/patches/") for name in once), self.count)
        self.assertTrue(all(once[name] != before[name] for name in before if name != "VERSION"))
        for source in ("src/vmbind/vmb_vm.c", "src/vulkan/vmbind/vmbvk_bind.c", "tests/core/behaviour.c"):
            with open(os.path.join(ROOT, source), "rb") as file:
                self.assertEqual(once["src/vmbind/" + source], file.read())
        # What an earlier version had and this one has not.
        with open(os.path.join(self.tree, "src/vmbind/src/vmbind/vmb_gone.c"), "w"):
            pass
        self.assertEqual(self.lay(), once)

    def test_another_mesa(self):
        with open(os.path.join(self.tree, "meson_options.txt"), "w"):
            pass
        refused = run(os.path.join(ROOT, "scripts", "into-mesa"), self.tree)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"^into-mesa: the build files of \S+ \(25\.0\.7\) are not as expected\n$")


class Select(unittest.TestCase):
    def select(self, *arguments):
        chosen = run("python3", REPORT, "select", *arguments, stdin=json.dumps(TESTS))
        self.assertEqual(chosen.returncode, 0, chosen.stderr)
        return chosen.stdout.split()

    def test_names(self):
        self.assertEqual(self.select("--suite", "vmbind", "--only=sync-*"), ["sync-xe", "sync-validated"])
        self.assertEqual(self.select("--suite", "vmbind:unit", "--only=sync-*"), [])

    def test_kernel_drivers(self):
        self.assertEqual(self.select("--suite", "vmbind:core", "--kmd=msm"),
                         ["msm-1.13", "msm-1.13-noprr"])
        self.assertEqual(self.select("--suite", "vmbind:core", "--kmd=panthor-1.0"), ["panthor-1.0"])
        self.assertEqual(self.select("--suite", "vmbind", "--kmd=panthor"),
                         ["panthor-1.0", "panthor-1.9", "sync-validated", "plan"])


class Report(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="vmbind-report-")
        self.junit = os.path.join(self.directory.name, "junit")
        self.addCleanup(self.directory.cleanup)

    def log(self, tree, *results):
        with open(os.path.join(self.directory.name, tree + ".json"), "w") as file:
            for name, result in results:
                print(json.dumps({"name": name, "result": result, "duration": 1.5,
                                  "stdout": "said \x1b[1m<that>"}), file=file)

    def step(self, *arguments):
        self.assertEqual(run("python3", REPORT, "step", self.directory.name, *arguments).returncode, 0)

    def report(self, status, last):
        made = run("python3", REPORT, "report", self.directory.name, "--seed", "7", "--junit", self.junit)
        self.assertEqual(made.returncode, status, made.stderr)
        self.assertEqual(made.stdout.splitlines()[-1], last)
        return made.stdout, ET.parse(self.junit).getroot()

    def test_all_passed(self):
        self.log("build", ("vmbind:unit / plan", "OK"), ("vmbind:core / msm", "SKIP"))
        self.log("build-asan", ("vmbind:unit / plan", "OK"))
        text, junit = self.report(0, "2 passed, 0 failed, 1 skipped")
        self.assertRegex(text, r"unit +2 +3\.0")
        self.assertNotIn("FAILED", text)
        self.assertEqual([s.get("name") for s in junit],
                         ["build.unit", "build.core", "build-asan.unit"])
        self.assertEqual(len(junit.findall(".//testcase")), 3)
        self.assertEqual(len(junit.findall(".//skipped")), 1)

    def test_a_failure(self):
        for result in ("FAIL", "TIMEOUT", "ERROR", "UNEXPECTEDPASS"):
            self.log("build", ("vmbind:unit / plan", "OK"), ("vmbind:core / msm", result))
            text, junit = self.report(1, "1 passed, 1 failed, 0 skipped")
            self.assertIn("FAILED  build: core / msm", text)
            self.assertIn("--seed 7", text)
            failure = junit.find(".//failure")
            self.assertEqual(failure.get("message"), result)
            self.assertIn("<that>", failure.text)

    def test_a_build_that_fails(self):
        log = os.path.join(self.directory.name, "log")
        with open(log, "w") as file:
            file.write("x.c:1: error")
        self.step("build", "configure", "3")
        self.step("build", "build", "7", log)
        self.log("build-asan", ("vmbind:unit / plan", "OK"))
        text, junit = self.report(3, "1 passed, 1 failed, 0 skipped")
        self.assertRegex(text, r"build +10\.0")
        self.assertIn("x.c:1: error", junit.find(".//failure").text)

    def test_nothing_ran(self):
        self.step("build", "build", "7")
        text, _ = self.report(4, "0 passed, 0 failed, 0 skipped")
        self.assertIn("no test ran", text)


if __name__ == "__main__":
    unittest.main()
