"""What the process of `gdal.py` does: writes the file that the first line of its input describes, with the rows that follow.

It imports nothing of the server, so that it starts at once.
"""

from __future__ import annotations

import json
import sys

import pyarrow as pa
import pyogrio


def main() -> None:
    task = json.loads(sys.stdin.buffer.readline())
    with pa.ipc.open_stream(sys.stdin.buffer) as rows:
        pyogrio.write_arrow(rows, **task)


if __name__ == "__main__":
    main()
