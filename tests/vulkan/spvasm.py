# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
#
# SPIR-V assembly to a C array of words: spvasm.py ASSEMBLER NAME INPUT OUTPUT

import struct
import subprocess
import sys

assembler, name, source, target = sys.argv[1:]
code = subprocess.run([assembler, '--target-env', 'spv1.3', '-o', '-', source],
                      check=True, stdout=subprocess.PIPE).stdout
words = struct.unpack(f'={len(code) // 4}I', code)

with open(target, 'w', encoding='utf-8') as header:
    header.write(f'static const uint32_t {name}[] = {{\n')
    for word in words:
        header.write(f'   0x{word:08x},\n')
    header.write('};\n')
