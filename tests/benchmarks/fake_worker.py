"""A contender's process without any library: `fake_worker.py LIBRARY DEVICE`.

The library's name says how it behaves: `slow` sleeps ten times as long as `fast`, `wrong` computes
something else, `raising` fails, `dying` ends the process, `crowded` waits for a core.
"""

import json
import os
import sys
import time

library = sys.argv[1]
pause = {"slow": 0.02}.get(library, 0.002)
for line in sys.stdin:
    request = json.loads(line)
    answer = {}
    if request["do"] == "prepare":
        if library == "dying":
            os._exit(3)
        value = 2.0 if library == "wrong" else 1.0
        result = {"shape": [1], "mean": value, "rms": value, "sample": [value]}
        answer = {"summary": [result], "calls": 2}
        if library == "raising":
            answer = {"error": "ValueError: no such operator"}
    elif request["do"] == "measure":
        start = time.perf_counter()
        time.sleep(pause * request["calls"])
        answer = {"seconds": (time.perf_counter() - start) / request["calls"]}
        answer["waited"] = 0.5 if library == "crowded" else 0.0
    print(json.dumps(answer), flush=True)
