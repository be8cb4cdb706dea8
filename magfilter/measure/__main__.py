"""`python -m magfilter.measure` is `magfilter-measure`."""

from magfilter.measure.command import main

main()
