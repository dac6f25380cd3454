#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""What vmbind dump, who, top, map and replay say of a process that is there, of one that was killed, and of
traces that are cut off, damaged or made up.

test_seen.py VMBIND RECORDER: RECORDER is a program that binds; see recorder.c.
"""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

VMBIND, RECORDER = map(os.path.abspath, sys.argv[1:3])
PAGE = 4096
HEADER_SIZE = 40
SUBMIT, COMPLETE = 5, 6


def clean_environment(**more):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "DRM_SIM_KMD", "DRM_SIM_FAULT", "DRM_SIM_MISAPPLY", "VMBIND_TRACE")}
    env.update(more)
    return env


def vmbind(*arguments, **environment):
    return subprocess.run([VMBIND, *map(str, arguments)], env=clean_environment(**environment),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=60)


def record(trace, mode, kmd="panthor"):
    return subprocess.Popen([RECORDER, mode], env=clean_environment(VMBIND_TRACE=trace, DRM_SIM_KMD=kmd),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def records(data):
    """Offset, size, type of each record."""
    at = HEADER_SIZE
    while at < len(data):
        size, kind = struct.unpack_from("<IH", data, at)
        yield at, size, kind
        at += size


class Seen(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="vmbind-seen-")
        self.addCleanup(self.directory.cleanup)
        self.trace = self.path("trace")

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def works(self, *arguments, note=None, **environment):
        run = vmbind(*arguments, **environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        if note:
            self.assertIn(note, run.stderr)
        else:
            self.assertEqual(run.stderr, "")
        return run.stdout

    def fails(self, status, says, *arguments, lines=1, **environment):
        run = vmbind(*arguments, **environment)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assertIn(says, run.stderr)
        if lines:
            self.assertEqual(len(run.stderr.splitlines()), lines, run.stderr)
        return run

    def start(self, mode="still", kmd="panthor"):
        """A recorder that is ready; and its addresses, if it says some."""
        process = record(self.trace, mode, kmd)

        def stop():
            process.kill()
            process.communicate()
        self.addCleanup(stop)
        line = process.stdout.readline().split()
        return (process, *(int(word, 16) for word in line[:-1]))

    def recorded(self, kmd="panthor"):
        """The trace of a recorder that has ended; as bytes, too."""
        process, *_ = self.start(kmd=kmd)
        process.communicate("")
        self.assertEqual(process.returncode, 0)
        with open(self.trace, "rb") as file:
            return file.read()


class Live(Seen):
    def test_dump(self):
        process, gone, texture, buffer = self.start()
        state = json.loads(self.works("dump", "--json", process.pid))
        self.assertEqual((state["pid"], state["program"], state["live"]),
                         (process.pid, "tool-recorder", True))
        self.assertEqual([d["driver"] for d in state["devices"]], ["panthor"])
        self.assertEqual([(bo["name"], bo["size"], bo["mappings"]) for bo in state["bos"]],
                         [("tiles", 64 * PAGE, 1), ("vertices", 4 * PAGE, 2)])
        vm, = state["vms"]
        self.assertEqual([bo.get("private_to_vm") for bo in state["bos"]], [vm["vm"], None])
        self.assertEqual([(r["name"], int(r["address"], 16), r["size"], r["unbound"]) for r in vm["ranges"]],
                         [('a <"texture">?', texture, 64 * PAGE, "null"),
                          ("buffer", buffer, 16 * PAGE, "hole")])
        tiles, vertices = (bo["bo"] for bo in state["bos"])
        mappings = [(int(m["address"], 16), m["size"] // PAGE, m.get("bo"),
                     m.get("bo_offset", 0) // PAGE, m["pending"]) for m in vm["mappings"]]
        self.assertEqual(mappings, [
            (texture, 8, None, 0, False), (texture + 8 * PAGE, 4, None, 0, True),
            (texture + 12 * PAGE, 12, tiles, 4, False), (texture + 24 * PAGE, 40, None, 0, False),
            (buffer, 4, vertices, 0, False), (buffer + 8 * PAGE, 2, vertices, 1, True)])
        pending, = vm["pending"]
        self.assertEqual([(op["type"], int(op["address"], 16)) for op in pending["operations"]],
                         [("null", texture + 8 * PAGE), ("map", buffer + 8 * PAGE)])
        queue = [q for q in vm["queues"] if q["queue"] == pending["queue"]][0]
        self.assertEqual((queue["submitted"], queue["completed"]), (2, 1))

        text = self.works("dump", process.pid)
        self.assertIn(f'process {process.pid} "tool-recorder", at', text)
        self.assertIn("6 mappings", text)
        self.assertIn(f'mapping 0x{buffer:012x} +0x4000  bo {vertices} @ 0x0 "vertices"\n', text)
        self.assertIn("pending: queue 1 point 2", text)

    def test_without_a_name(self):
        process, *_ = self.start()
        run = vmbind("dump")
        # Others may record on this machine, too.
        if run.returncode:
            self.assertIn("several processes record traces", run.stderr)
        self.assertIn(str(process.pid), run.stdout + run.stderr)

    def test_who(self):
        process, gone, texture, buffer = self.start()
        for address, *says in (
                (texture + 13 * PAGE + 5, "here at its byte 0xd005", '"tiles"', "here at its byte 0x5005"),
                (texture + 9 * PAGE, "null: reads and writes do not fault", "pending: yes",
                 'map   0x%012x +0x10000  bo' % (texture + 8 * PAGE), "null  0x%012x +0x4000" % (texture + 8 * PAGE)),
                (buffer + 5 * PAGE, '"buffer", here at its byte 0x5000', "an access faults; 0x1000 bytes after",
                 "0x3000 bytes before the next", "no operation ever touched it"),
                (gone, "", "range: none; until " if gone not in (texture, buffer) else "range")):
            text = self.works("who", hex(address), process.pid)
            for word in says:
                self.assertIn(word, text)
        self.assertIn("is in no VM's addresses", self.works("who", "0xffffffffffff0000", process.pid))

    def test_who_was_it(self):
        process, gone, texture, buffer = self.start()
        process.communicate("")
        text = self.works("who", hex(texture), self.trace)
        self.assertIn("--at SECONDS", text)
        self.assertIn("(that VM is gone)", text)

    def test_map(self):
        process, *_ = self.start()
        self.assertIn("wrote", self.works("map", process.pid, self.path("map.png")))
        with open(self.path("map.png"), "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        self.works("map", process.pid, self.path("map.svg"))
        svg = ET.parse(self.path("map.svg")).getroot()
        text = "".join(svg.itertext())
        self.assertIn('a <"texture">?', text)
        self.assertIn("buffer (0.1 MiB)", text)
        self.assertIn("base64", svg.find("{http://www.w3.org/2000/svg}image").get("href"))
        self.fails(2, "neither a .png nor a .svg", "map", process.pid, self.path("map.gif"))
        self.fails(1, "No such file", "map", process.pid, "/nonexistent/map.svg")

    def test_top(self):
        process = record(self.trace, "loop")
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        process.stdout.readline()
        # Its output is read on, or it would stand still.
        reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        self.addCleanup(reader.wait)
        lines = self.works("top", "--interval", "0.2", "--count", "3", process.pid).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("stalls/s", lines[0])
        self.assertGreater(sum(float(line.split()[1]) for line in lines[1:]), 0)

        process.kill()
        process.wait()
        lines = self.works("top", "--interval", "100", self.trace, note="" if self.is_whole() else "middle")
        submits, binds = map(float, lines.splitlines()[1].split()[1:3])
        self.assertGreater(submits, 0)
        self.assertEqual(lines.splitlines()[0].split()[2], "binds/s")

    def is_whole(self):
        with open(self.trace, "rb") as file:
            data = file.read()
        at = HEADER_SIZE
        for at, size, _ in records(data):
            at += size
        return at == len(data)

    def test_processes_that_cannot_be_asked(self):
        process, *_ = self.start()
        process.communicate("")
        self.fails(1, f"no process {process.pid}; if it is gone, name the file", "dump", process.pid)
        self.fails(1, f"process {os.getpid()} records no trace", "dump", os.getpid())


class AddressesOfTheKernel(Seen):
    """msm without VM_BIND: the core asks where a BO is."""

    def test_seen(self):
        process, first, gone, last = self.start("placed", "msm-1.12")
        vm, = json.loads(self.works("dump", "--json", process.pid))["vms"]
        self.assertEqual(sorted((m["address"], m["size"]) for m in vm["mappings"]),
                         sorted((hex(at), pages * PAGE) for at, pages in ((first, 1), (last, 3))))
        self.assertEqual(sorted(r["name"] for r in vm["ranges"]), ["first", "last"])
        text = self.works("who", hex(last + 2 * PAGE), process.pid)
        self.assertIn('"last", here at its byte 0x2000', text)
        self.assertIn("unmap 0x%012x" % gone, self.works("who", hex(gone), process.pid))
        process.communicate("")
        text = self.works("trace", self.trace)
        self.assertEqual(text.count("the kernel's own"), 6)
        self.works("map", self.trace, self.path("map.svg"))
        with open(self.path("map.svg")) as file:
            self.assertIn("last (0.0 MiB)", file.read())

    def test_replay(self):
        process, *_ = self.start("placed", "msm-1.12")
        process.communicate("")
        for kmd in ("msm-1.12", "msm", "panthor", "xe"):
            note = "addresses are the kernel's" if kmd == "msm-1.12" else None
            text = self.works("replay", "--kmd", kmd, self.trace, note=note)
            self.assertRegex(text, r"submits +3 of 3 binds")
            self.assertRegex(text, r"ranges compared +3, different: 0")
        self.recorded("msm")
        self.fails(1, "needs null mappings, which msm 1.12 does not have", "replay", "--kmd", "msm-1.12",
                   self.trace, lines=2)


class Killed(Seen):
    def test_nothing_that_returned_is_lost(self):
        for _ in range(5):
            process = record(self.trace, "loop")
            for _ in range(200):
                said = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
            said = max([said] + [int(line) for line in rest.splitlines(True) if line.endswith("\n")])
            self.assertEqual(process.returncode, -signal.SIGKILL)

            run = vmbind("dump", "--json", self.trace)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertLessEqual(len(run.stderr.splitlines()), 1)
            state = json.loads(run.stdout)
            self.assertFalse(state["live"])
            submitted, = (q["submitted"] for q in state["vms"][0]["queues"] if q["queue"] == 1)
            self.assertGreaterEqual(submitted, said)

            replayed = vmbind("replay", self.trace)
            self.assertEqual(replayed.returncode, 0, replayed.stderr)
            self.assertIn("different: 0", replayed.stdout)

    def test_cut_off_anywhere(self):
        data = self.recorded()
        ends = [at + size for at, size, _ in records(data)]
        for length in range(len(data) - 500, len(data)):
            cut = self.write("cut", data[:length])
            note = None if length in ends else "ends in the middle of a record"
            text = self.works("trace", cut, note=note)
            self.assertEqual(text.count("vm 2 queue"),
                             sum(kind in (SUBMIT, COMPLETE) and at + size <= length
                                 for at, size, kind in records(data)))
        for command in (["dump"], ["who", "0"], ["top"], ["map", self.path("x.png")], ["replay"]):
            self.works(command[0], *command[1:][:command[0] == "who"],
                       self.write("cut", data[:ends[len(ends) // 2] + 3]),
                       *command[1:][command[0] == "who":], note="ends in the middle of a record")


class Damaged(Seen):
    def test_foreign_files(self):
        data = self.recorded()
        for name, content, says in (("empty", b"", "is not a vmbind trace"),
                                    ("foreign", b"x" * 4096, "is not a vmbind trace"),
                                    ("swapped", data[7::-1] + data[8:], "another version or machine"),
                                    ("version", data[:8] + b"\x77" + data[9:], "another version or machine")):
            path = self.write(name, content)
            for command in (["trace"], ["dump"], ["who", "0x1000"], ["top"], ["replay"]):
                self.fails(1, says, *command, path)
            self.fails(1, says, "map", path, self.path("x.png"))
        header = self.write("header", data[:HEADER_SIZE])
        self.fails(1, "holds no operation", "map", header, self.path("x.png"))
        self.fails(1, "holds no device", "replay", header)
        self.assertIn("is in no VM's addresses", self.works("who", "0x1000", header))
        self.fails(1, "is not a vmbind trace", "dump", "/dev/null")
        self.fails(1, "is not a vmbind trace", "dump", "/")
        self.fails(1, "No such file", "dump", "/nonexistent")

    def test_a_damaged_record(self):
        data = bytearray(self.recorded())
        submits = [(at, size) for at, size, kind in records(data) if kind == SUBMIT]
        at, size = submits[2]
        data[at] = 9
        self.fails(1, f"is damaged at byte {at};", "trace", self.write("odd", data))
        data[at] = size & 0xff
        struct.pack_into("<I", data, at + 16, 4711)
        self.fails(1, "a submit to a VM that is not there", "dump", self.write("vm", data))

    def test_random_damage(self):
        data = self.recorded()
        rng = random.Random(20261121)
        for i in range(300):
            broken = bytearray(data)
            for _ in range(rng.choice((1, 1, 4))):
                broken[rng.randrange(HEADER_SIZE, len(data))] = rng.choice((0, 0xff, 0x7f, rng.randrange(256)))
            path = self.write("broken", broken)
            command = ([["dump"], ["dump", "--json"], ["who", "0x20000000000"], ["top", "--interval", "1000"],
                        ["trace", "--stats"]][i % 5])
            run = vmbind(*command, path)
            self.assertIn(run.returncode, (0, 1), (i, command, run.stderr))
            self.assertLessEqual(len(run.stderr.splitlines()), 1, run.stderr)
            if i % 5 == 0:
                run = vmbind("map", path, self.path("x.png"))
                self.assertIn(run.returncode, (0, 1), (i, run.stderr))


class Replay(Seen):
    def test_on_every_kernel_driver(self):
        for recorded in ("panthor", "xe", "msm"):
            self.recorded(recorded)
            for kmd in ("panthor", "panthor-1.0", "msm", "xe", "nouveau", "amdgpu", "amdgpu-3.61", "powervr"):
                text = self.works("replay", "--kmd", kmd, self.trace)
                self.assertRegex(text, "submits +2 of 4 binds")
                self.assertRegex(text, r"ranges compared +[23], different: 0")
        self.assertRegex(self.works("replay", self.trace), "operations sent +7 .recorded: 7")
        self.fails(1, "needs null mappings, which msm 1.13 does not have", "replay", "--kmd", "msm:noprr",
                   self.trace)
        self.fails(1, "pages of asahi 1.0 have 16 KiB", "replay", "--kmd", "asahi", self.trace, lines=2)

    def test_a_smaller_address_space(self):
        self.recorded()
        text = self.works("replay", "--kmd", "panthor:va=36", self.trace)
        self.assertRegex(text, r"ranges moved +[1-9]")
        self.assertRegex(text, r"different: 0")

    def test_with_faults(self):
        process = record(self.trace, "loop")
        for _ in range(300):
            process.stdout.readline()
        process.kill()
        process.communicate()
        for kmd in ("panthor", "msm", "xe"):
            run = vmbind("replay", "--kmd", kmd, "--fault", "7", self.trace)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertRegex(run.stdout, r"found no memory +[1-9]")
            self.assertIn("different: 0", run.stdout)
        self.assertEqual(vmbind("replay", "--fault", "7", self.trace).stdout,
                         vmbind("replay", "--fault", "7", self.trace).stdout)
        self.fails(1, "of the recording: a submit: No such device", "replay", "--fault", "lost:100", self.trace,
                   lines=0)

    def test_what_it_finds(self):
        data = bytearray(self.recorded())
        # The operation that the kernel accepted, but not the bind that was asked for.
        for at, size, kind in records(data):
            if kind == SUBMIT and struct.unpack_from("<I", data, at + 72)[0] == 3:
                end = at + size
        offset = end - 8
        self.assertEqual(struct.unpack_from("<Q", data, offset)[0] % PAGE, 0)
        struct.pack_into("<Q", data, offset, PAGE)
        run = self.fails(1, "differs from the recording at its byte 0x", "replay", self.write("other", data))
        self.assertRegex(run.stdout, "different: [1-9]")
        # What the simulated kernel does wrong.
        self.fails(-signal.SIGABRT, "DRM_SIM_CHECK", "replay", self.trace, lines=0, DRM_SIM_MISAPPLY="unmap:1")

    def test_usage(self):
        self.recorded()
        self.fails(2, "a trace is wanted", "replay")
        self.fails(2, "i915", "replay", "--kmd", "i915", self.trace)
        self.fails(2, "--node is for a real node", "replay", "--node", "/dev/null", "--kmd", "msm", self.trace)
        self.fails(1, "/nonexistent", "replay", "--node", "/nonexistent", self.trace)
        self.fails(2, "no address", "who", "elsewhere", self.trace)
        self.fails(2, "an address is wanted", "who")
        self.fails(2, "--at wants seconds", "dump", "--at", "noon", self.trace)
        self.fails(2, "--interval wants seconds", "top", "--interval", "0", self.trace)
        self.fails(2, "--count wants a number", "top", "--count", "x", self.trace)


class Recording(Seen):
    def test_the_name_of_the_file(self):
        self.trace = self.path("trace.%p")
        process, *_ = self.start()
        self.assertEqual(os.listdir(self.directory.name), [f"trace.{process.pid}"])

    def test_one_file_for_each_process(self):
        first, *_ = self.start()
        second = record(self.trace, "still")
        second.stdout.readline()
        self.assertIn("another process records to", second.communicate("")[1])
        self.assertEqual(second.returncode, 0)
        state = json.loads(self.works("dump", "--json", self.trace))
        self.assertEqual(state["pid"], first.pid)

    def test_a_full_disk(self):
        process = subprocess.run([RECORDER, "still"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, timeout=60,
                                 env=clean_environment(VMBIND_TRACE="/dev/full", DRM_SIM_KMD="panthor"))
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
        self.assertIn("VMBIND_TRACE: /dev/full: ", process.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
