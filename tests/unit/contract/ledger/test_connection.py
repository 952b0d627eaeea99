import subprocess
import sys

FORK_WHILE_A_THREAD_READS_THE_SCRIPTS = """
import os, signal, threading
from contract.ledger import connection

class NeverRead:
    def glob(self, _):
        reading.set()
        threading.Event().wait()

def scripts():
    return connection.Connection("redis://localhost").scripts

folder, connection.SCRIPTS, reading = connection.SCRIPTS, NeverRead(), threading.Event()
threading.Thread(target=scripts, daemon=True).start()
reading.wait()
child = os.fork()
if child == 0:
    signal.alarm(5)
    connection.SCRIPTS = folder
    os._exit(0 if scripts() else 1)
os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


def test_a_process_forked_while_a_thread_reads_the_scripts_has_them_too():
    """A lock that the thread held would stay locked in the child for ever.

    From Python 3.12 on no `cached_property` has one: before that, it failed with one.
    """
    command = [sys.executable, "-W", "ignore", "-c", FORK_WHILE_A_THREAD_READS_THE_SCRIPTS]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
