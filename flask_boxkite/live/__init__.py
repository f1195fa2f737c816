"""Live counts, on the serving side.

`counting` finds the cell of each value, and `model_cells` and `sink_cells` give each cell its index. `process_counts`
holds the numbers of one process, section by section (`section`), and `state_file` is the file in which other processes
read them. `folding` and `reading` add up the numbers of all processes, `state_directory` is where they find each other,
and `windows` keeps the last minutes, hours and the day in a `snapshot_ring`. `store` puts these together, and `counts`
is one section of a store, for services and recorders. `history_keeper` keeps past hours and days in a `history_file`.
"""
