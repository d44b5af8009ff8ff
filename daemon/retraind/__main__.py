"""`python -m retraind` is the command `retraind`."""

from retraind.cli import main

main()
