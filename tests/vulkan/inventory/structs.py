#!/usr/bin/env python3
# Copyright © 2026 the vmbind authors
# SPDX-License-Identifier: MIT
"""Writes, from the registry, C tables of all that a physical device can be asked: the structs of
features and properties with their members, and the formats.  Knows nothing of drivers."""

import argparse
import re
import xml.etree.ElementTree as ET


def is_vulkan(element):
    return 'vulkan' in element.get('api', 'vulkan').split(',')


def disabled_types(registry):
    """What only exists on platforms whose headers are not included, or is provisional."""
    off = set()
    for extension in registry.findall('./extensions/extension'):
        unsupported = 'vulkan' not in extension.get('supported', '').split(',')
        if unsupported or extension.get('platform') or extension.get('provisional') == 'true':
            off.update(t.get('name') for t in extension.iter('type'))
    for feature in registry.findall('./feature'):
        if not is_vulkan(feature):
            off.update(t.get('name') for t in feature.iter('type'))
    return off


def members(struct):
    for member in struct.findall('member'):
        if not is_vulkan(member):
            continue
        text = ''.join(member.itertext())
        name = member.find('name').text
        if name in ('sType', 'pNext') or '*' in text:
            continue
        yield name


def find_structs(registry, base, off):
    for struct in registry.findall('./types/type[@category="struct"]'):
        extends = (struct.get('structextends') or '').split(',')
        name = struct.get('name')
        if base not in extends or struct.get('alias') or name in off or not is_vulkan(struct):
            continue
        stype = struct.find('member[name="sType"]').get('values')
        yield name, stype, list(members(struct))


def find_formats(registry):
    for enum in registry.findall('./enums[@name="VkFormat"]/enum'):
        if not enum.get('alias') and enum.get('name') != 'VK_FORMAT_UNDEFINED':
            yield enum.get('name')
    seen = set()
    extensions = [e for e in registry.findall('./extensions/extension')
                  if 'vulkan' in e.get('supported', '').split(',')]
    for where in registry.findall('./feature') + extensions:
        for enum in where.iter('enum'):
            name = enum.get('name')
            if enum.get('extends') == 'VkFormat' and not enum.get('alias') and name not in seen:
                seen.add(name)
                yield name


def write_struct(out, name, members):
    out.write(f'static const struct inventory_member {name}_members[] = {{\n')
    for member in members:
        out.write(f'   {{"{member}", offsetof({name}, {member}), sizeof((({name} *)0)->{member})}},\n')
    out.write('   {NULL, 0, 0},\n};\n')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('registry')
    parser.add_argument('output')
    args = parser.parse_args()

    registry = ET.parse(args.registry)
    off = disabled_types(registry)

    with open(args.output, 'w', encoding='utf-8') as out:
        for kind, base in (('features', 'VkPhysicalDeviceFeatures2'),
                           ('properties', 'VkPhysicalDeviceProperties2')):
            structs = list(find_structs(registry, base, off))
            for name, _, names in structs:
                write_struct(out, name, names)
            out.write(f'static const struct inventory_struct inventory_{kind}[] = {{\n')
            for name, stype, _ in structs:
                out.write(f'   {{"{name}", {stype}, sizeof({name}), {name}_members}},\n')
            out.write('};\n\n')

        for name in ('VkPhysicalDeviceFeatures', 'VkPhysicalDeviceLimits',
                     'VkPhysicalDeviceSparseProperties'):
            struct = registry.find(f'./types/type[@name="{name}"]')
            write_struct(out, name, members(struct))

        out.write('static const struct inventory_format inventory_formats[] = {\n')
        for name in dict.fromkeys(find_formats(registry)):
            out.write(f'   {{"{re.sub("^VK_FORMAT_", "", name)}", {name}}},\n')
        out.write('};\n')


if __name__ == '__main__':
    main()
