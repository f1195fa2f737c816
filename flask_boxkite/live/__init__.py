"""Live counts, on the serving side.

`counting` finds the cell of each value, and `layout` gives each cell its index. `block` holds the numbers of one
process, section by section (`section`), and `statefile` is the file in which other processes read them. `folding` and
`reading` add up the numbers of all processes, `state_directory` is where they find each other, and `windows` keeps the
last minutes, hours and the day in a `ring`. `store` puts these together, and `counts` is one section of a store, for
services and recorders.
"""
