"""The meaning of values, the same in training and live, whatever library they come from.

`conversion` reads one value as a number, as a category, or as plain JSON; `times` and `durations` read moments and
durations; `objects` takes apart what other libraries hold; `rowhash` tells equal rows.
"""
