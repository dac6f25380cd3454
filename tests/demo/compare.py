#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Flies the virtual-texture demo on two drivers and compares every frame.

Each driver is the beginning of a command that the demo's own command line is
put behind, for example

    compare.py --demo build/examples/virtual-texture/virtual-texture \\
       --reference 'env VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.json' \\
       --candidate 'vmbind run --kmd panthor --' -- --short

The options may also come from VT_DEMO, VT_REFERENCE and VT_CANDIDATE. It knows
nothing of either driver: it looks at the files that the demo writes.

Exit code 0: the same to the byte. 1: not the same; the first difference is
told, and with --keep its pictures are written. 2: no comparison was possible.
With --expect-difference, for a driver that was made to fail on purpose, 0 and 1
are exchanged.
"""

import argparse
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import zlib

SAME, DIFFERENT, IMPOSSIBLE = 0, 1, 2

# The demo's own exit code for pages that are not what was bound.
DEMO_FOUND_WRONG_PAGES = 3

LINE = re.compile(
    r"frame (?P<frame>\d+) picture (?P<picture>[0-9a-f]{16}) "
    r"pages (?P<pages>[0-9a-f]{16}) audit (?P<audit>[0-9a-f]{16}) "
    r"bound (?P<bound>\d+) evicted (?P<evicted>\d+)$"
)

MEANINGS = {
    "pages": "other pages were chosen, so that the frames before it, or their "
             "feedback, were not the same",
    "bound": "another number of pages was bound",
    "evicted": "another number of pages was evicted",
    "audit": "the GPU read something else from the texture's pages",
    "picture": "the pictures are not the same",
}


class Impossible(Exception):
    pass


class Flight:
    """One run of the demo and the files that it left."""

    def __init__(self, name, prefix, demo, arguments, directory, timeout,
                 killed_by=None):
        self.name = name
        self.digest_path = os.path.join(directory, name + ".txt")
        self.raw_path = os.path.join(directory, name + ".raw")
        command = shlex.split(prefix) + [demo] + arguments + [
            "--no-pictures",
            "--frames-hash", self.digest_path,
            "--frames-raw", self.raw_path,
        ]
        try:
            run = subprocess.run(command, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True,
                                 errors="replace", timeout=timeout)
        except OSError as error:
            raise Impossible(f"{name}: cannot run {command[0]}: "
                             f"{error.strerror}")
        except subprocess.TimeoutExpired:
            raise Impossible(f"{name}: not done after {timeout} s")

        self.messages = run.stderr.strip()
        self.found_wrong_pages = run.returncode == DEMO_FOUND_WRONG_PAGES
        self.killed = run.returncode < 0 and bool(
            killed_by and re.search(killed_by, self.messages))
        if run.returncode not in (0, DEMO_FOUND_WRONG_PAGES) and \
                not self.killed:
            raise Impossible(f"{name}: {shlex.join(command)} ended with "
                             f"{run.returncode}\n{self.messages}")
        self.device = run.stdout.split(":")[0]
        self.frames = [] if self.killed else self.read_digests()

    def read_digests(self):
        frames = []
        with open(self.digest_path, encoding="ascii") as file:
            for number, line in enumerate(file):
                match = LINE.match(line.strip())
                if not match or int(match["frame"]) != number:
                    raise Impossible(f"{self.name}: line {number + 1} of the "
                                     f"digests is '{line.strip()}'")
                frames.append(match.groupdict())
        if not frames:
            raise Impossible(f"{self.name}: no frames")
        return frames

    def picture_size(self):
        size = os.path.getsize(self.raw_path)
        if size % len(self.frames):
            raise Impossible(f"{self.name}: {size} bytes of pictures are not "
                             f"{len(self.frames)} frames")
        return size // len(self.frames)

    def picture(self, frame):
        size = self.picture_size()
        with open(self.raw_path, "rb") as file:
            file.seek(frame * size)
            return file.read(size)

    def check_is_a_test(self):
        """A flight that binds, evicts or shows nothing proves nothing."""
        if not any(int(frame["bound"]) for frame in self.frames):
            raise Impossible(f"{self.name}: no page was bound")
        if not any(int(frame["evicted"]) for frame in self.frames):
            raise Impossible(f"{self.name}: no page was evicted: the pool "
                             "is too large or the flight too short")
        if len({frame["picture"] for frame in self.frames}) < 2:
            raise Impossible(f"{self.name}: all pictures are the same")


def write_png(path, width, rgba):
    """Of RGBA bytes, without their alpha."""
    height = len(rgba) // 4 // width
    rows = bytearray()
    for y in range(height):
        row = rgba[y * width * 4:(y + 1) * width * 4]
        rgb = bytearray(width * 3)
        for channel in range(3):
            rgb[channel::3] = row[channel::4]
        rows += b"\0" + rgb

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2,
                                              0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(bytes(rows), 6)))
        file.write(chunk(b"IEND", b""))


def picture_width(arguments, size):
    """The demo's presets, unless --size says otherwise."""
    width = 256 if "--short" in arguments else 640
    for i, argument in enumerate(arguments):
        text = None
        if argument == "--size" and i + 1 < len(arguments):
            text = arguments[i + 1]
        elif argument.startswith("--size="):
            text = argument[len("--size="):]
        if text:
            width = int(text.split("x")[0])
    if size % (width * 4):
        raise Impossible(f"a picture of {size} bytes is not {width} wide")
    return width


def describe_pixels(reference, candidate, width, frame, keep):
    """Says where two pictures differ, and writes them."""
    pixels = [i // 4 for i in range(0, len(reference), 4)
              if reference[i:i + 4] != candidate[i:i + 4]]
    first = pixels[0]
    columns = [pixel % width for pixel in pixels]
    at = slice(first * 4, first * 4 + 4)
    print(f"  {len(pixels)} of {len(reference) // 4} pixels differ, in "
          f"columns {min(columns)} to {max(columns)}, rows "
          f"{pixels[0] // width} to {pixels[-1] // width}")
    print(f"  the first at {first % width},{first // width}: "
          f"{reference[at].hex()} and {candidate[at].hex()}")
    if keep:
        mask = bytearray(len(reference))
        for pixel in pixels:
            mask[pixel * 4:pixel * 4 + 3] = b"\xff\x40\xc0"
        os.makedirs(keep, exist_ok=True)
        for name, picture in (("reference", reference),
                              ("candidate", candidate), ("difference", mask)):
            path = os.path.join(keep, f"frame-{frame:03}-{name}.png")
            write_png(path, width, picture)
            print(f"  {path}")


def compare(reference, candidate, arguments, keep):
    """Tells the first difference; True when there is none."""
    if len(reference.frames) != len(candidate.frames):
        print(f"{len(reference.frames)} frames and {len(candidate.frames)}")
        return False

    for frame, (a, b) in enumerate(zip(reference.frames, candidate.frames)):
        # The digests say what to look for, the bytes whether it is so.
        picture_a = reference.picture(frame)
        picture_b = candidate.picture(frame)
        fields = [field for field in MEANINGS if a[field] != b[field]]
        if picture_a != picture_b and "picture" not in fields:
            fields.append("picture")
        if not fields:
            continue

        print(f"first difference: frame {frame}")
        for field in fields:
            print(f"  {field}: {a[field]} and {b[field]}: {MEANINGS[field]}")
        if len(picture_a) != len(picture_b):
            print(f"  pictures of {len(picture_a)} and {len(picture_b)} bytes")
        elif picture_a != picture_b:
            width = picture_width(arguments, len(picture_a))
            describe_pixels(picture_a, picture_b, width, frame, keep)
        return False
    return True


def run(options):
    with tempfile.TemporaryDirectory(prefix="vt-compare-") as directory:
        flights = []
        for name in ("reference", "candidate"):
            flight = Flight(name, getattr(options, name), options.demo,
                            options.arguments, directory, options.timeout,
                            options.killed_by if name == "candidate" else None)
            print(f"{name}: {flight.device}, {len(flight.frames)} frames")
            flights.append(flight)
        reference, candidate = flights

        if reference.found_wrong_pages:
            raise Impossible("reference: pages were not what was bound:\n" +
                             reference.messages)
        reference.check_is_a_test()
        if candidate.killed:
            print("candidate: killed:")
            print(candidate.messages)
            return False
        same = compare(reference, candidate, options.arguments, options.keep)
        if candidate.found_wrong_pages:
            print("candidate: pages were not what was bound:")
            print(candidate.messages)
            same = False
        if same:
            bound = sum(int(frame["bound"]) for frame in reference.frames)
            evicted = sum(int(frame["evicted"]) for frame in reference.frames)
            print(f"the same to the byte: {len(reference.frames)} frames, "
                  f"{bound} pages bound, {evicted} evicted")
        return same


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    env = os.environ.get
    parser.add_argument("--demo", default=env("VT_DEMO"),
                        help="the program")
    parser.add_argument("--reference", default=env("VT_REFERENCE", ""),
                        help="command before it; none: the default driver")
    parser.add_argument("--candidate", default=env("VT_CANDIDATE", ""),
                        help="the same for the driver under test")
    parser.add_argument("--keep", metavar="DIR",
                        help="where to write pictures that differ")
    parser.add_argument("--timeout", type=float, default=600.0,
                        metavar="SECONDS", help="for each flight")
    parser.add_argument("--expect-difference", action="store_true")
    parser.add_argument("--killed-by", metavar="REGEX",
                        help="a candidate that is killed and says this is a "
                             "difference too; without it, no comparison")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT",
                        help="of the demo (--short)")
    options = parser.parse_args(argv)
    if not options.demo:
        parser.error("--demo or VT_DEMO is needed")
    if not options.arguments:
        options.arguments = ["--short"]
    return options


def main(argv):
    options = parse(argv)
    try:
        same = run(options)
    except Impossible as reason:
        print(reason)
        return IMPOSSIBLE
    return SAME if same != options.expect_difference else DIFFERENT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
