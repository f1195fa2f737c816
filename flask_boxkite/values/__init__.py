"""The meaning of values, the same in training and live, from every library.

`conversion` reads one value as a number, as a category, or as plain JSON. `times` and `durations` read moments and
durations. `objects` takes objects of other libraries apart. `rowhash` hashes rows, so that equal ones are found.
"""
