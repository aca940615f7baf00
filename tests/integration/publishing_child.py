"""A daemon in small, started by the tests to be killed.

record  FOLDER COUNT        records events, says so and waits
publish FOLDER COUNT PORT   records events and publishes them to the broker at PORT
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.integration.publishing import open_outbox, publisher_for, record_story

verb, folder, count, *port = sys.argv[1:]
outbox = open_outbox(Path(folder))
record_story(outbox, range(1, int(count) + 1))
if verb == "publish":
    asyncio.run(publisher_for(outbox, port=int(port[0])).run())
else:
    sys.stdout.write("recorded\n")
    sys.stdout.flush()
    threading.Event().wait()
