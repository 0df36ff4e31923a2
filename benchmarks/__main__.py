"""`make bench`: every benchmark in one run, as settings or tokens per second and as ratios; takes about ten minutes."""

from common import interrupts

if __name__ == "__main__":
    interrupts.listen()

    from benchmarks.measured import main

    main()
