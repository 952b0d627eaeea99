"""The worker's side with other limits: `python -m impatient STALE_SECONDS=3 ... VERB ...`.

The product has no setting for these. SIGRTMIN stops the main loop and nothing else.
"""

import signal
import sys
import time

from worker import __main__, health, watch

if __name__ == "__main__":
    while "=" in sys.argv[1]:
        name, value = sys.argv.pop(1).split("=")
        setattr(health if hasattr(health, name) else watch, name, float(value))
    signal.signal(signal.SIGRTMIN, lambda *_: time.sleep(600))
    __main__.main()
