"""Run the command line as ``python -m lsm_monitor``."""

from lsm_monitor.cli import main

main()
