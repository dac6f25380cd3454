#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""exports.py HEADER...: the linker's version script that exports what these headers declare, and nothing
else."""

import re
import sys

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# At the start of a line, as all declarations of functions are; inline ones are defined there.
DECLARATION = re.compile(r"^(?!static|typedef|#| )[^;{}=]*?\b(vmb_\w+)\([^;{}]*\)[^;{}]*;", re.MULTILINE)

names = set()
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        names.update(DECLARATION.findall(COMMENT.sub("", file.read())))
print("VMBIND_0 {\n   global:")
for name in sorted(names):
    print(f"      {name};")
print("   local: *;\n};")
