#!/usr/bin/env python3
"""The include check finds planted faults and accepts what the table allows."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = ["include/saddlescope/status.h", "src/base/base.h", "src/backend/backend.h", "src/io/json.h",
        "src/verdict/result.h", "src/verdict/judge.h", "src/spectrum/basis.h"]

# file, its include line, is it allowed
CASES = [
    ("src/ops/a.c", '#include "backend/backend.h"', True),
    ("src/ops/a.c", '#include "io/json.h"', False),
    ("src/backend/cpu/a.c", '#include "backend/backend.h"', True),
    ("src/backend/cpu/a.c", '#include "spectrum/basis.h"', False),
    ("src/spectrum/a.c", '  #  include "verdict/judge.h"', False),
    ("src/spectrum/a.c", '#include "basis.h"', False),
    ("src/spectrum/a.c", '#include "saddlescope/status.h"', True),
    ("src/spectrum/a.c", "#include <stdio.h>", True),
    ("src/spectrum/a.c", "#include <spectrum/basis.h>", False),
    ("src/report/a.c", '#include "verdict/result.h"', True),
    ("src/report/a.c", '#include "verdict/judge.h"', False),
    ("src/cli/a.c", '#include "verdict/judge.h"', True),
    ("src/garage/a.c", '#include "base/base.h"', False),
    ("include/saddlescope/a.h", '#include "base/base.h"', False),
    ("include/saddlescope/a.h", '#include "saddlescope/status.h"', True),
    ("cuda/a.cu", '#include "backend/backend.h"', True),
    ("cuda/a.cu", '#include "spectrum/basis.h"', False),
]


def check(file, line):
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        (root / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/include_table.txt", root / "scripts")
        for path, text in [(path, "") for path in TREE] + [(file, line + "\n")]:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        command = [sys.executable, ROOT / "scripts/check_includes.py", root]
        run = subprocess.run(command, capture_output=True, text=True)
        return run.returncode == 0, run.stdout


wrong = 0
for file, line, allowed in CASES:
    found, output = check(file, line)
    if found != allowed:
        print(f"{file}: {line}: expected {'accepted' if allowed else 'refused'}\n{output}")
        wrong += 1
print(f"{len(CASES)} cases, {wrong} wrong")
sys.exit(1 if wrong else 0)
