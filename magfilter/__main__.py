"""`python -m magfilter` is `magfilter`."""

from magfilter.cli import main

main()
