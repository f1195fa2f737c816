"""Live counts, on the serving side.

`counting` and `grid` find the cell of a value; `layout` gives each cell its index. `store` holds the numbers of one
process, and `statefile` is the file in which other processes read them. `folding` and `reading` add up the numbers of
all processes, `place` is the directory in which they find each other, and `windows` keeps the last minutes, hours and
the day. `shared` puts these together for services and recorders.
"""
