"""The only place where the parts meet: the command line.

Torch's OpenMP threads spin for about a millisecond while they wait for each other. On a machine that does anything
else, a spinning thread uses up its share of the processor and is then late for the next of thousands of small meetings:
a training step was measured to take twenty times as long beside one busy process. With a shorter spin it takes three
times as long there, and as long as before on an idle machine.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")
