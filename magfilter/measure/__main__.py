"""`python -m magfilter.measure` is `magfilter-measure`."""

from magfilter.entry import measure

if __name__ == "__main__":
    measure()
