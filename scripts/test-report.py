#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What scripts/test asks of a proper language: which tests are selected, and what came out.

   meson introspect --tests BUILD | test-report.py select --suite vmbind:core --kmd=msm
         the names of the tests that are selected, one a line
   test-report.py step RESULTS TREE NAME SECONDS [LOG]
         notes a step that is no test, such as a build; LOG if it failed
   test-report.py report RESULTS [--seed N] [--junit FILE]
         seconds beside budgets, what failed, the last line; its exit code is that of scripts/test

RESULTS is a folder with Meson's testlog.json of each build tree, as TREE.json, and steps.json. It must
not know how tests are run.
"""

import argparse
import collections
import fnmatch
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

KMDS = ("panthor", "msm", "xe", "nouveau", "asahi", "amdgpu", "powervr")

# Seconds that a suite should take on two cores, with all of its build trees. For the reader: a busy
# machine is no failure.
BUDGETS = {
    "setup": 300, "build": 600,
    "unit": 20, "property": 180, "core": 330, "sim": 120, "oracle": 90, "tool": 60, "vulkan": 120,
    "gl": 180, "piglit": 200, "flight": 180, "strangers": 20, "kernel": 240, "fuzz": 200,
}

OUTCOMES = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}

# What XML 1.0 cannot hold
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def kmds_of(name):
    """The kernel driver that a test's name names, with its version, or None."""
    found = re.search(rf"(?:^|-)((?:{'|'.join(KMDS)})(?:-[0-9]+\.[0-9]+)?)(?:-|$)", name)
    return found and found.group(1)


def select(tests, suites, only, kmds):
    names = []
    for test in tests:
        if not any(suite == wanted or suite.startswith(wanted + ":")
                   for suite in test["suite"] for wanted in suites):
            continue
        if only and not any(fnmatch.fnmatchcase(test["name"], pattern) for pattern in only):
            continue
        kmd = kmds_of(test["name"])
        if kmds and kmd and not any(kmd == k or kmd.startswith(k + "-") for k in kmds):
            continue
        if test["name"] not in names:
            names.append(test["name"])
    return names


Result = collections.namedtuple("Result", "tree suite name outcome seconds text")


def read_logs(folder):
    trees = sorted(os.path.splitext(entry)[0] for entry in os.listdir(folder) if entry.endswith(".json"))
    for tree in trees:
        if tree == "steps":
            continue
        with open(os.path.join(folder, tree + ".json")) as file:
            for line in file:
                log = json.loads(line)
                prefix, _, name = log["name"].rpartition(" / ")
                suite = prefix.rpartition(":")[2] or "-"
                yield Result(tree, suite, name, OUTCOMES.get(log["result"], "failed"),
                             log["duration"], f'{log["result"]}\n{log.get("stdout", "")}\n{log.get("stderr", "")}')


def read_steps(folder):
    path = os.path.join(folder, "steps.json")
    if not os.path.exists(path):
        return
    with open(path) as file:
        for line in file:
            step = json.loads(line)
            suite = "setup" if step["tree"] == "setup" else "build"
            yield Result(step["tree"], suite, step["name"], "failed" if step["failed"] else "passed",
                         step["seconds"], step["text"])


def add_step(folder, tree, name, seconds, log):
    text = ""
    if log:
        with open(log, errors="replace") as file:
            text = file.read()[-20000:]
    with open(os.path.join(folder, "steps.json"), "a") as file:
        print(json.dumps({"tree": tree, "name": name, "seconds": float(seconds),
                          "failed": bool(log), "text": text}), file=file)


def write_junit(path, results, seed):
    root = ET.Element("testsuites", name="vmbind")
    groups = collections.defaultdict(list)
    for result in results:
        groups[result.tree, result.suite].append(result)
    for (tree, suite), members in groups.items():
        count = collections.Counter(result.outcome for result in members)
        element = ET.SubElement(root, "testsuite", name=f"{tree}.{suite}", tests=str(len(members)),
                                failures=str(count["failed"]), skipped=str(count["skipped"]),
                                errors="0", time=f"{sum(r.seconds for r in members):.3f}")
        properties = ET.SubElement(element, "properties")
        ET.SubElement(properties, "property", name="seed", value=str(seed))
        for result in members:
            case = ET.SubElement(element, "testcase", classname=f"{tree}.{suite}", name=result.name,
                                 time=f"{result.seconds:.3f}")
            text = NOT_XML.sub("?", result.text)
            if result.outcome == "failed":
                ET.SubElement(case, "failure", message=text.split("\n")[0]).text = text
            elif result.outcome == "skipped":
                ET.SubElement(case, "skipped").text = text[-2000:]
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def print_times(results):
    seconds = collections.Counter()
    tests = collections.Counter()
    for result in results:
        seconds[result.suite] += result.seconds
        tests[result.suite] += 1
    print(f'{"suite":<12} {"tests":>6} {"seconds":>9} {"budget":>8}')
    for suite in sorted(seconds, key=lambda s: (list(BUDGETS).index(s) if s in BUDGETS else 99, s)):
        budget = BUDGETS.get(suite)
        over = "  over" if budget and seconds[suite] > budget else ""
        count = "" if suite in ("setup", "build") else tests[suite]
        print(f'{suite:<12} {count:>6} {seconds[suite]:>9.1f} {budget or "-":>8}{over}')
    print()


def report(folder, seed, junit):
    steps, tests = list(read_steps(folder)), list(read_logs(folder))
    results = steps + tests
    if junit:
        write_junit(junit, results, seed)
    print_times(results)
    broken = [step for step in steps if step.outcome == "failed"]
    failed = broken + [test for test in tests if test.outcome == "failed"]
    for result in failed:
        print(f"FAILED  {result.tree}: {result.suite} / {result.name}")
    if failed:
        print(f"again with the same random numbers: --seed {seed}\n")
    elif not tests:
        print("no test ran: nothing has all of these suites, names and kernel drivers\n")
    count = collections.Counter(test.outcome for test in tests)
    print(f"{count['passed']} passed, {len(failed)} failed, {count['skipped']} skipped")
    return 3 if broken else 1 if failed else 0 if count["passed"] else 4


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = commands.add_parser("select")
    chosen.add_argument("--suite", action="append", default=[])
    chosen.add_argument("--only", action="append", default=[])
    chosen.add_argument("--kmd", action="append", default=[])
    step = commands.add_parser("step")
    for name in ("results", "tree", "name", "seconds"):
        step.add_argument(name)
    step.add_argument("log", nargs="?")
    final = commands.add_parser("report")
    final.add_argument("results")
    final.add_argument("--seed", default="")
    final.add_argument("--junit")
    options = parser.parse_args()

    if options.command == "select":
        for name in select(json.load(sys.stdin), options.suite, options.only, options.kmd):
            print(name)
        return 0
    if options.command == "step":
        add_step(options.results, options.tree, options.name, options.seconds, options.log)
        return 0
    return report(options.results, options.seed, options.junit)


if __name__ == "__main__":
    sys.exit(main())
