"""The serving side's counts.

`counting` and `grid` say which cell a value falls into, `layout` where each cell stands. `store` holds the numbers of
one process, `statefile` is the file in which others read them, `folding` and `reading` add up those of all, `place` is
where they find each other, and `windows` keeps the last minutes, hours and the day. `shared` puts these together: what
services and recorders count in.
"""
