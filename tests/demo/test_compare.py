#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""compare.py finds what it is there to find.

A comparison that cannot fail proves nothing, so that it is run here on
flights made up of a few bytes, of which one is changed at a time.
"""

import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import unittest

COMPARE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "compare.py")

# Stands in for the demo. FLAW, from the environment, is what goes wrong.
FAKE_DEMO = '''\
#!/usr/bin/env python3
import os, sys
flaw = os.environ.get("FLAW", "")
if flaw == "no device":
    sys.exit("virtual-texture: no device for sparse residency: x lacks y")
if flaw == "crash":
    os.abort()
path = {name: sys.argv[sys.argv.index(name) + 1]
        for name in ("--frames-hash", "--frames-raw")}
frames = 3 if flaw == "fewer frames" else 4
print("fake: a texture")
with open(path["--frames-hash"], "w") as digests, \\
     open(path["--frames-raw"], "wb") as raw:
    for frame in range(frames):
        picture = bytearray([frame] * (256 * 2 * 4))
        values = {"picture": frame, "pages": frame, "audit": frame}
        bound, evicted = 3, 0 if flaw == "no evictions" else 1
        if frame == 2:
            if flaw == "one bit":
                picture[256 * 4 + 5 * 4 + 1] ^= 1
            elif flaw in values:
                values[flaw] = 0xbad
        digests.write("frame %d picture %016x pages %016x audit %016x "
                      "bound %d evicted %d\\n" % (
                      frame, values["picture"], values["pages"],
                      values["audit"], bound, evicted))
        raw.write(picture)
if flaw == "wrong pages":
    print("virtual-texture: frame 1: page L0 1,2", file=sys.stderr)
    sys.exit(3)
'''


class Compare(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.demo = os.path.join(self.directory.name, "demo")
        with open(self.demo, "w", encoding="ascii") as file:
            file.write(textwrap.dedent(FAKE_DEMO))
        os.chmod(self.demo, stat.S_IRWXU)

    def tearDown(self):
        self.directory.cleanup()

    def compare(self, reference="", candidate="", *more):
        run = subprocess.run(
            [sys.executable, COMPARE, "--demo", self.demo,
             "--reference", f"env 'FLAW={reference}'",
             "--candidate", f"env 'FLAW={candidate}'", *more],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return run.returncode, run.stdout

    def test_same(self):
        code, text = self.compare()
        self.assertEqual(code, 0, text)
        self.assertIn("4 frames, 12 pages bound, 4 evicted", text)

    def test_same_is_no_expected_difference(self):
        self.assertEqual(self.compare("", "", "--expect-difference")[0], 1)

    def test_one_bit(self):
        keep = os.path.join(self.directory.name, "keep")
        code, text = self.compare("", "one bit", "--keep", keep)
        self.assertEqual(code, 1, text)
        self.assertIn("first difference: frame 2", text)
        self.assertIn("1 of 512 pixels", text)
        self.assertIn("at 5,1: 02020202 and 02030202", text)
        self.assertEqual(len(os.listdir(keep)), 3)
        self.assertEqual(
            self.compare("", "one bit", "--expect-difference")[0], 0)

    def test_each_digest(self):
        for field in ("picture", "pages", "audit"):
            code, text = self.compare("", field)
            self.assertEqual(code, 1, text)
            self.assertIn(f"  {field}: ", text)

    def test_fewer_frames(self):
        self.assertEqual(self.compare("", "fewer frames")[0], 1)

    def test_wrong_pages(self):
        code, text = self.compare("", "wrong pages")
        self.assertEqual(code, 1, text)
        self.assertIn("page L0 1,2", text)
        self.assertEqual(self.compare("wrong pages", "wrong pages")[0], 2)

    def test_nothing_to_compare(self):
        for flaw in ("crash", "no evictions"):
            self.assertEqual(self.compare(flaw, flaw)[0], 2, flaw)
        # A crash is not the difference that was expected.
        self.assertEqual(
            self.compare("", "crash", "--expect-difference")[0], 2)

    def test_no_device(self):
        self.assertEqual(self.compare("no device")[0], 2)


if __name__ == "__main__":
    unittest.main()
