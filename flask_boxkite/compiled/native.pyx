# cython: language_level=3, cdivision=True
"""Compiled twins of the loops that every request runs: each does the same as its class in Python, in a fifth of the time.

The package works without them where it was installed without a compiler. `tests/test_compiled.py` holds each twin
against its class in Python.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow, PyLong_AsUnsignedLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.weakref cimport PyWeakref_NewRef
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, NAN, fabs, isfinite, nextafterf, signbit
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    /* Writes a word, its highest byte first: one instruction, as compilers find out. */
    static inline void put_word(unsigned char *start, uint64_t word) {
        start[0] = word >> 56; start[1] = word >> 48; start[2] = word >> 40; start[3] = word >> 32;
        start[4] = word >> 24; start[5] = word >> 16; start[6] = word >> 8; start[7] = word;
    }
    """
    void put_word(unsigned char* start, uint64_t word) noexcept nogil

cdef extern from "Python.h":
    object PySequence_GetItem(object sequence, Py_ssize_t index)
    str PyUnicode_DecodeUTF8(const char* text, Py_ssize_t size, const char* errors)
    str PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cimport cython

import os
import time
from typing import NamedTuple

__all__ = [
    "ArrayRows",
    "IdMaker",
    "Increments",
    "JSONWriter",
    "Packer",
    "PairCells",
    "ParsedJson",
    "Raiser",
    "RowCells",
    "Seal",
    "SegmentCells",
    "ShortWay",
    "Splicer",
    "Tally",
    "entry_head",
]

STATE = 8  # see `flask_boxkite/compiled/__init__.py`

cdef enum:
    MOST_NOTED = 80
    MOST_INT = 0x7FFFFFFF
    MOST_DEEP_OUTPUT = 2
    PARTS = 4  # see `baseline.pairs`
    PAIR_CELLS = 16
    NO_PART = 255
    BUCKETS = 256  # see `values.rowhash`
    ROWS_AT_ONCE = 256

cdef enum Kind:
    BINS
    NARROW_BINS  # of numbers that were float32 in training
    NUMBERS  # as categories
    TEXTS
    OTHERS  # which only Python reads

cdef union Word:
    double number
    uint64_t text

cdef struct Column:
    # The upper bounds of bins, or the categories that are numbers, ascending.
    const double* bounds
    # Bounds are found by slots of equal width: a slot's entry tells how many bounds lie in earlier slots.
    const uint32_t* earlier
    double low, scale, last
    # The cells of the categories.
    const int64_t* cells
    # The first cell of bins; the cell of other categories, and of missing values.
    int offset, other, missing
    uint32_t size
    uint32_t kind

cdef struct Target:
    # Where cells are noted: counts that are raised, and the next of the located cells with their end. NULL for none.
    int64_t* counts
    int* located
    int* end
    Py_ssize_t size  # of the counts
    bint has_buckets  # behind the located cells of each row

cdef Py_ssize_t MOST_KEPT = 1024 * 1024
cdef int MOST_DEEP = 500
cdef int MOST_PLANS = 256, POOL_SIZE = 256
cdef Py_ssize_t TEXT_PIECE = 4096
cdef bytes NUMBER_FORMATS = b"dlq"
cdef double LONGEST_DURATION = 9e9  # seconds, of which a double holds each microsecond
cdef double LEAST_WIDE = 2.0 ** 63  # plain JSON has no such integers
cdef int64_t LATEST_TIME = 4294967296 * 1_000_000_000 - 1  # of fluentd, in Unix nanoseconds
cdef int SLOTS_PER_BOUND = 2
cdef Py_ssize_t MOST_AT_ONCE = 65536  # values that are counted while other threads wait


cdef class Columns:
    """What is known of each variable, and the search of the bounds in which a number lies.

    Each variable is an object with the attributes of `live.cells.ContinuousCells` or `DiscreteCells`.
    """

    cdef Column** items
    cdef Py_ssize_t size
    cdef char* memory

    def __cinit__(self, variables):
        self.size = len(variables)
        self.items = <Column**>PyMem_Malloc((self.size + 1) * sizeof(Column*))
        if self.items == NULL:
            raise MemoryError

    def __init__(self, variables):
        # All in one piece, in the order of the variables: a request finds little of it in the processor's caches.
        cdef list searches = [_Search.of(item) for item in variables]
        cdef Py_ssize_t size = sum([search.bytes for search in searches]), index
        cdef char* start
        self.memory = <char*>PyMem_Malloc(size + 1)
        if self.memory == NULL:
            raise MemoryError
        start = self.memory
        for index, item in enumerate(variables):
            self.items[index] = <Column*>start
            start = lay_out(self.items[index], item, searches[index])

    def __dealloc__(self):
        PyMem_Free(self.items)
        PyMem_Free(self.memory)


class _Search(NamedTuple):
    """The search of a variable's numbers among its bounds or categories.

    Attributes:
        kind: Kind of the variable.
        numbers: The bounds or categories, ascending.
        cells: The cells of the categories.
        bytes: Size of a column.
    """

    kind: int
    numbers: list[float]
    cells: list[int]
    bytes: int

    @staticmethod
    def of(variable):
        """Return the search of a variable, an object with the attributes of `live.cells.ContinuousCells` or so."""
        kind = kind_of(variable)
        categories = variable.categories if kind == NUMBERS else {}
        numbers = sorted(categories) if kind == NUMBERS else list(getattr(variable, "bounds", ()))
        cells = [categories[number] for number in numbers] if kind == NUMBERS else []
        slots = SLOTS_PER_BOUND * len(numbers) + 2
        size = sizeof(Column) + 8 * (len(numbers) + 1 + len(cells)) + 4 * slots
        return _Search(kind, numbers, cells, -(-size // 8) * 8)


cdef char* lay_out(Column* column, item, search):
    """Write a column and all that belongs to it; return where they end."""
    cdef double* bounds = <double*>(column + 1)
    cdef int64_t* cells = <int64_t*>(bounds + len(search.numbers) + 1)
    cdef uint32_t* earlier = <uint32_t*>(cells + len(search.cells))
    cdef Py_ssize_t size = len(search.numbers), slots = SLOTS_PER_BOUND * size + 1, index
    column.kind, column.size = search.kind, size
    column.offset, column.missing = getattr(item, "offset", 0), getattr(item, "missing", 0)
    column.other = getattr(item, "other", 0)
    column.bounds, column.cells, column.earlier = bounds, cells, earlier
    for index in range(size):
        bounds[index] = search.numbers[index]
    bounds[size] = INFINITY  # which may be read
    for index in range(len(search.cells)):
        cells[index] = search.cells[index]

    # The outer bounds may be outliers, so they share a slot with their neighbours.
    cdef Py_ssize_t first = 1 if size > 3 else 0
    column.last = slots - 1
    column.low = bounds[first] if size else 0
    column.scale = column.last / (bounds[size - 1 - first] - column.low) if size else 0
    if not (0 < column.scale < INFINITY and fabs(column.low) < INFINITY):
        column.low = column.scale = 0  # one slot for all

    memset(earlier, 0, 4 * (slots + 1))
    for index in range(size):
        earlier[slot_of(column, bounds[index]) + 1] += 1
    for index in range(slots):
        earlier[index + 1] += earlier[index]
    return <char*>column + <Py_ssize_t>search.bytes


cdef inline Py_ssize_t slot_of(const Column* column, double number) noexcept nogil:
    """Return the slot of a number, which is never above the slot of a larger number, however it is rounded."""
    cdef double slot = (number - column.low) * column.scale
    if not slot > 0:
        return 0
    return <Py_ssize_t>(slot if slot < column.last else column.last)


cdef inline Py_ssize_t bounds_below(const Column* column, double number) noexcept nogil:
    """Return how many bounds are below a number: those in earlier slots, and some in its own."""
    cdef const uint32_t* earlier = column.earlier + slot_of(column, number)
    cdef const double* first = column.bounds + earlier[0]
    cdef Py_ssize_t size = earlier[1] - earlier[0], half
    while size > 1:
        half = size >> 1
        first += half & -<Py_ssize_t>(first[half - 1] < number)  # a branch could not be predicted
        size -= half
    return first - column.bounds + (size & (first[0] < number))


cdef inline Py_ssize_t cell_of_number(const Column* column, double number) noexcept nogil:
    """Return the cell of a number that is not missing."""
    cdef Py_ssize_t below = bounds_below(column, number)
    if column.kind != NUMBERS:
        return column.offset + below
    return column.cells[below] if below < column.size and column.bounds[below] == number else column.other


cdef Kind kind_of(cells) except *:
    width = cells.width.letter
    if hasattr(cells, "bounds"):
        return BINS if width == "d" else NARROW_BINS if width == "f" else OTHERS
    if hasattr(cells, "categories"):
        return TEXTS if cells.is_text else NUMBERS if width == "d" else OTHERS
    return OTHERS


cdef class Increments:
    """The compiled `live.increments.Increments`."""

    cdef list listed
    cdef public list amounts, ranges, sums
    cdef public object wide, block
    cdef int[MOST_NOTED] noted  # cells that are not in the list yet: most requests need no list
    cdef int size
    cdef int64_t* more  # further cells, of a known number; none before they are needed
    cdef Py_ssize_t more_size

    def __init__(self, cells=None, *, wide=None, block=None):
        self.listed = [] if cells is None else cells
        self.amounts, self.ranges, self.sums, self.wide, self.block = [], [], [], wide, block

    def __dealloc__(self):
        PyMem_Free(self.more)

    @property
    def cells(self):
        """Cells to raise by one, possibly several times."""
        cdef int index
        for index in range(self.size):
            self.listed.append(self.noted[index])
        for index in range(self.more_size):
            self.listed.append(self.more[index])
        self.size, self.more_size = 0, 0
        return self.listed

    @cells.setter
    def cells(self, list cells not None):
        self.listed, self.size, self.more_size = cells, 0, 0

    cdef inline Py_ssize_t cell_at(self, Py_ssize_t place) except -1:
        """Return a cell by its place among all cells."""
        cdef Py_ssize_t before = PyList_GET_SIZE(self.listed)
        if place < before:
            return self.listed[place]
        if place - before >= self.size:
            raise IndexError(place)
        return self.noted[place - before]

    cdef inline int note(self, Py_ssize_t cell) except -1:
        if self.size == MOST_NOTED or cell > MOST_INT:
            self.cells.append(cell)
            return 0
        self.noted[self.size] = <int>cell
        self.size += 1
        return 0

    def raise_cell(self, Py_ssize_t cell):
        """Raise a cell by one."""
        self.note(cell)

    def raise_cells(self, cells):
        """Raise cells by one; no cell may come twice."""
        if self.wide is None:
            self.wide = cells
        else:
            self.cells.extend(cells.tolist())

    def note_gap(self, kind):
        """Note nothing."""

    def note_located(self, located):
        """Note nothing."""

    @property
    def listed_cells(self):
        """The number of cells to raise by one."""
        return len(self.listed) + self.size

    cdef int64_t* room(self, Py_ssize_t size) except NULL:
        """Return the place for so many further cells, which the caller fills in."""
        if self.more != NULL:
            self.cells  # lists them
        memory = <int64_t*>PyMem_Realloc(self.more, size * sizeof(int64_t))
        if memory == NULL:
            raise MemoryError
        self.more, self.more_size = memory, size
        return memory

    def add_block(self, block):
        """Add counts to the first cells; the array may become a part of the increments."""
        if self.block is None:
            self.block = block
        else:
            self.block += block


cdef class Tally(Increments):
    """The compiled `monitoring.tally.Tally`."""

    cdef public object rows, located, located_features, located_outputs
    cdef public list errors
    cdef public Py_ssize_t features_at, outputs_at

    def __init__(self):
        self.listed, self.amounts, self.ranges, self.sums, self.errors = [], [], [], [], []
        self.features_at = self.outputs_at = -1

    def note_gap(self, kind):
        """Note that a variable may have come under another name; it counts as missing, and the request as captured."""
        self.errors.append(kind)

    def note_located(self, located):
        """Keep the cells of several rows."""
        self.located = located


cdef class RowCells:
    """The compiled `live.row_cells.RowCells`."""

    cdef list cells, categories, words
    cdef Py_ssize_t size, buckets
    cdef uint64_t missing_text
    cdef Columns columns

    def __init__(self, cells, buckets, uint64_t missing_text):
        self.cells = list(cells)
        self.size = len(self.cells)
        self.buckets = -1 if buckets is None else buckets
        self.missing_text = missing_text
        self.columns = Columns(self.cells)
        self.categories = [getattr(item, "categories", None) for item in self.cells]
        self.words = [getattr(item, "words", None) for item in self.cells]

    def count(self, row, Increments increments not None):
        """Add the cells of a row to increments; return whether all values are known to be plain JSON."""
        if len(row) != self.size:
            raise ValueError("The row has another number of values.")
        return self.note(row, increments)

    cdef bint note(self, row, Increments increments) except -1:
        """Do as `count` for a row of the right length."""
        cdef Word word
        cdef uint32_t crc = NO_CRC
        cdef bint is_plain = True
        cdef Py_ssize_t index
        cdef Py_ssize_t before = len(increments.listed) + increments.size
        try:
            for index in range(self.size):
                increments.note(self.cell_of(index, item_of(row, index), &word, &is_plain))
                crc = crc_with(crc, word)
        except BaseException:
            del increments.cells[before:]
            raise
        if self.buckets >= 0:
            increments.note(self.buckets + bucket_of(crc))
        return is_plain

    def count_rows(self, list rows, block, located=None):
        """Count rows, as `live.batches` does; return whether all values are known to be plain JSON.

        Args:
            rows: Lists or tuples.
            block: Counts of all cells, an array of int64, to which these are added; None to count nothing.
            located: Array of int32 of shape (rows, variables), which gets the cell of each value; with one more column,
                it gets the bucket of each row. None for none.
        """
        cdef Word word
        cdef uint32_t crc
        cdef bint is_plain = True
        cdef Py_ssize_t index
        cdef Target target = target_of(located, len(rows), self.size)
        cdef Py_buffer view
        aim(&target, block, &view)
        try:
            for row in rows:
                if len(row) != self.size:
                    raise ValueError("The row has another number of values.")
                crc = NO_CRC
                for index in range(self.size):
                    note_cell(&target, self.cell_of(index, item_of(row, index), &word, &is_plain))
                    crc = crc_with(crc, word)
                note_bucket(&target, self.buckets, crc)
            if target.located != target.end:
                raise IndexError("The rows became fewer while they were read.")
        finally:
            PyBuffer_Release(&view)
        return is_plain

    cdef inline Py_ssize_t cell_of(self, Py_ssize_t index, value, Word* word, bint* is_plain) except -1:
        """Return the cell of a value, and write its word; clear *is_plain* unless the value is known to be plain."""
        cdef const Column* column = self.columns.items[index]
        if column.kind == TEXTS:
            return self.cell_of_text(index, value, word, is_plain)
        cdef double number
        if column.kind == OTHERS:
            return self.located(index, value, word, is_plain)
        elif type(value) is float:
            number = value
        elif type(value) is int or type(value) is bool:
            try:
                number = PyLong_AsDouble(value)
            except OverflowError:
                return self.located(index, value, word, is_plain)
        elif value is None:
            word.number = NAN
            return column.missing
        else:
            return self.located(index, value, word, is_plain)

        if column.kind == NARROW_BINS:
            number = <float>number
        if not fabs(number) < LEAST_WIDE:
            is_plain[0] = False
        if number != number:
            word.number = NAN
            return column.missing
        word.number = number
        return cell_of_number(column, number)

    cdef Py_ssize_t cell_of_text(self, Py_ssize_t index, value, Word* word, bint* is_plain) except -1:
        if value is None:
            word.text = self.missing_text
            return self.columns.items[index].missing
        cell = (<dict>self.categories[index]).get(value) if type(value) is str else None
        if cell is None:
            return self.located(index, value, word, is_plain)
        word.text = (<dict>self.words[index])[value]
        return cell

    cdef Py_ssize_t located(self, Py_ssize_t index, value, Word* word, bint* is_plain) except -1:
        """Ask Python for the cell of a value and its word."""
        cells = self.cells[index]
        cell, name = cells.locate(value)
        if cells.is_text:
            word.text = name
        else:
            word.number = name
        if type(value) is not str:
            is_plain[0] = False
        return cell


cdef inline item_of(row, Py_ssize_t index):
    """Return an item of a row, which other code may shorten while its values are read."""
    if type(row) is list and index < PyList_GET_SIZE(row):
        return <object>PyList_GET_ITEM(row, index)
    if type(row) is tuple:
        return <object>PyTuple_GET_ITEM(row, index)
    return PySequence_GetItem(row, index)


cdef class ArrayRows:
    """Counts rows of an array of numbers, as `live.batches` does with NumPy.

    Args:
        variables: Cells of each variable, which holds numbers; see `Columns`.
        buckets: First of the cells in which whole rows are counted; None to count no rows.
    """

    cdef Columns columns
    cdef Py_ssize_t buckets

    def __init__(self, variables, buckets):
        self.columns = Columns(variables)
        self.buckets = -1 if buckets is None else buckets

    def count(self, const double[:, ::1] rows, block, located=None):
        """Count rows, float64 in the order of C; `RowCells.count_rows` explains the rest."""
        cdef Py_ssize_t index, width = self.columns.size
        cdef list starts = []
        if rows.shape[1] != width:
            raise ValueError("The rows have another number of values.")
        if rows.shape[0]:
            starts = [<uintptr_t>&rows[0, index] for index in range(width)]
        self.count_from(starts, width, rows.shape[0], block, located)

    def count_columns(self, list columns, block, located=None):
        """Count rows whose values stand in columns, arrays of float64; `RowCells.count_rows` explains the rest."""
        cdef Py_ssize_t rows = len(columns[0])
        cdef const double[::1] values
        cdef list starts = []
        if len(columns) != self.columns.size:
            raise ValueError("The rows have another number of values.")
        for column in columns:
            values = column
            if values.shape[0] != rows:
                raise ValueError("The columns have several lengths.")
            if rows:
                starts.append(<uintptr_t>&values[0])
        self.count_from(starts, 1, rows, block, located)

    cdef int count_from(self, list addresses, Py_ssize_t step, Py_ssize_t rows, block, located) except -1:
        """Count rows, of which the first values stand at some addresses, and the next ones *step* values behind."""
        cdef Py_ssize_t index, width = self.columns.size
        cdef Target target = target_of(located, rows, width)
        cdef const double** starts = <const double**>PyMem_Malloc((width + 1) * sizeof(double*))
        cdef Py_buffer view
        if starts == NULL:
            raise MemoryError
        for index, address in enumerate(addresses):
            starts[index] = <const double*><uintptr_t>address
        try:
            aim(&target, block, &view)
            try:
                if rows * width < MOST_AT_ONCE:
                    self.count_all(starts, step, rows, &target)
                else:
                    with nogil:
                        self.count_all(starts, step, rows, &target)
            finally:
                PyBuffer_Release(&view)
        finally:
            PyMem_Free(starts)
        return 0

    cdef int count_all(
        self, const double** starts, Py_ssize_t step, Py_ssize_t rows, Target* target
    ) except -1 nogil:
        """Count rows column by column: the hashes of many rows grow side by side, in half the time."""
        cdef uint32_t[ROWS_AT_ONCE] crcs
        cdef Py_ssize_t first = 0, index, row, some, width = self.columns.size + target.has_buckets
        cdef int* located = target.located
        while first < rows:
            some = min(rows - first, <Py_ssize_t>ROWS_AT_ONCE)
            memset(crcs, 0xFF, sizeof(crcs))  # NO_CRC
            for index in range(self.columns.size):
                target.located = NULL if located == NULL else located + first * width + index
                count_column(self.columns.items[index], starts[index] + first * step, step, some, width, crcs, target)
            target.located = NULL if located == NULL else located + first * width + self.columns.size
            for row in range(some):
                note_bucket(target, self.buckets, crcs[row])
                if target.has_buckets:
                    target.located += width - 1
            first += some
        return 0


cdef int count_column(
    const Column* column, const double* values, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t width, uint32_t* crcs,
    Target* target
) except -1 nogil:
    """Count values that stand *step* apart, locate them *width* apart, and add them to the hashes of their rows."""
    cdef Py_ssize_t row, cell
    cdef Word word
    for row in range(rows):
        word.number = values[row * step]
        if word.number == word.number:
            cell = cell_of_number(column, word.number)
        else:
            word.number = NAN
            cell = column.missing
        crcs[row] = crc_with(crcs[row], word)
        if target.counts != NULL:
            raise_count(target, cell)
        if target.located != NULL:
            target.located[row * width] = <int>cell
    return 0


cdef Target target_of(located, Py_ssize_t rows, Py_ssize_t width) except *:
    """Return a target without counts; *located* is an array of int32, or None.

    Raises:
        ValueError: The array has another shape.
    """
    cdef Target target
    cdef int[:, ::1] cells
    memset(&target, 0, sizeof(Target))
    if located is None:
        return target
    cells = located
    target.has_buckets = cells.shape[1] == width + 1
    if cells.shape[0] != rows or cells.shape[1] != width + target.has_buckets:
        raise ValueError("The array has another shape.")
    if rows and cells.shape[1]:
        target.located, target.end = &cells[0, 0], &cells[0, 0] + rows * cells.shape[1]
    return target


cdef int aim(Target* target, block, Py_buffer* view) except -1:
    """Have a target count in an array of int64, or not if it is None; *view* must be released."""
    memset(view, 0, sizeof(Py_buffer))
    if block is not None:
        PyObject_GetBuffer(block, view, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)
        target.counts, target.size = <int64_t*>view.buf, view.len // 8
    return 0


cdef inline int note_cell(Target* target, Py_ssize_t cell) except -1 nogil:
    if target.counts != NULL:
        raise_count(target, cell)
    return put_cell(target, cell)


cdef inline int note_bucket(Target* target, Py_ssize_t buckets, uint32_t crc) except -1 nogil:
    """Note the bucket of a row, whose counts begin at *buckets*; negative for none."""
    cdef Py_ssize_t bucket = bucket_of(crc)
    if target.counts != NULL and buckets >= 0:
        raise_count(target, buckets + bucket)
    return put_cell(target, bucket) if target.has_buckets else 0


cdef inline int raise_count(Target* target, Py_ssize_t cell) except -1 nogil:
    if not 0 <= cell < target.size:
        with gil:
            raise IndexError(cell)
    target.counts[cell] += 1
    return 0


cdef inline int put_cell(Target* target, Py_ssize_t cell) except -1 nogil:
    if target.located != NULL:
        if target.located == target.end:  # a value made the rows more while they were read
            with gil:
                raise IndexError(cell)
        target.located[0] = <int>cell
        target.located += 1
    return 0


cdef inline int raise_cell(Py_buffer* counts, Py_ssize_t cell, int64_t amount) except -1 nogil:
    if not 0 <= cell < counts.len // 8:
        with gil:
            raise IndexError(cell)
    (<int64_t*>counts.buf)[cell] += amount
    return 0


cdef uint32_t NO_CRC = 0xFFFFFFFF, POLYNOMIAL = 0xEDB88320
cdef uint32_t[8][256] CRCS  # tables by which a CRC-32 takes in eight bytes at once


cdef void fill_crcs() noexcept:
    cdef uint32_t crc
    cdef int byte, bit, table
    for byte in range(256):
        crc = byte
        for bit in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        CRCS[0][byte] = crc
    for table in range(1, 8):
        for byte in range(256):
            crc = CRCS[table - 1][byte]
            CRCS[table][byte] = crc >> 8 ^ CRCS[0][crc & 255]


fill_crcs()


cdef inline uint32_t crc_with(uint32_t crc, Word word) noexcept nogil:
    """Return the CRC-32, not yet inverted, of bytes that a word follows, its lowest byte first."""
    cdef uint64_t data = word.text ^ crc
    return (
        CRCS[7][data & 255] ^ CRCS[6][data >> 8 & 255] ^ CRCS[5][data >> 16 & 255] ^ CRCS[4][data >> 24 & 255]
        ^ CRCS[3][data >> 32 & 255] ^ CRCS[2][data >> 40 & 255] ^ CRCS[1][data >> 48 & 255] ^ CRCS[0][data >> 56]
    )


cdef inline Py_ssize_t bucket_of(uint32_t crc) noexcept nogil:
    """Return the bucket of a row by its CRC-32, as `values.rowhash.bucket_of` does."""
    cdef uint64_t whole = crc ^ NO_CRC
    return <Py_ssize_t>(whole * whole >> 24 & 255)


cdef class Raiser:
    """The compiled `live.process_counts.Raiser`."""

    cdef Py_buffer cells, sums
    cdef object array

    def __cinit__(self, cells, sums, array):
        PyObject_GetBuffer(cells, &self.cells, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)
        PyObject_GetBuffer(sums, &self.sums, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)
        self.array = array

    def __dealloc__(self):
        PyBuffer_Release(&self.cells)
        PyBuffer_Release(&self.sums)

    def __call__(self, Increments increments not None):
        """Add increments."""
        cdef Py_ssize_t cell
        cdef int index
        for cell in increments.listed:
            raise_cell(&self.cells, cell, 1)
        for index in range(increments.size):
            raise_cell(&self.cells, increments.noted[index], 1)
        for index in range(increments.more_size):
            raise_cell(&self.cells, increments.more[index], 1)
        for cell, amount in increments.amounts:
            raise_cell(&self.cells, cell, amount)

        if increments.wide is not None:
            self.array[increments.wide] += 1
        if increments.block is not None:
            self.array[: len(increments.block)] += increments.block
        for start, counts in increments.ranges:
            self.array[start : start + len(counts)] += counts
        for cell, value in increments.sums:
            if not 0 <= cell < self.sums.len // 8:
                raise IndexError(cell)
            (<double*>self.sums.buf)[cell] += <double>value


cdef class ShortWay:
    """The compiled `monitoring.short_way.ShortWay`.

    Args:
        counter: Counter of the model's predictions, with two or more features and one output.
        key_of: Returns the key of the output among the keys of an answer; None for an answer that is not a common one.
        kinds: The types of a row by name, and of rows by position.
        not_taken: Stands for an output that is left to the general way.
        bounds: Upper bounds of the durations, in seconds.
    """

    cdef tuple names, bounds
    cdef RowCells rows, outputs
    cdef object add, add_value, key_of, object_row, table, not_taken
    cdef PairCells pairs
    cdef SegmentCells segments
    cdef Py_ssize_t first_sum  # -1 for texts, which have none
    cdef Py_ssize_t ok, squares, durations_start, duration_sum
    cdef dict keys

    def __init__(self, counter, key_of, kinds, not_taken, tuple bounds):
        layout, sums = counter.layout, counter.outputs.sums
        self.names, self.rows, self.outputs = counter.features.names, counter.features.rows, counter.outputs.rows
        self.add, self.ok, self.squares, self.bounds = counter.counts.add, counter.ok, layout.squares, bounds
        self.durations_start, self.duration_sum = layout.durations_start, layout.duration_sum
        self.add_value, self.first_sum = sums.add_value, sums.first_of(0)
        self.object_row, self.table = kinds
        self.key_of, self.not_taken, self.keys = key_of, not_taken, {}
        self.pairs, self.segments = counter.pairs, counter.segments

    def count_features(self, document, Tally tally not None):
        """Count the features in a request; return them, or None; see `ShortWay.count_features`."""
        cdef bint is_object = type(document) is dict
        if is_object:
            if len(<dict>document) != len(self.names) or not is_scalar(first_value(<dict>document)):
                return None
            row = self.row_of(<dict>document)
            if row is None:
                return None
        elif type(document) is list:
            if len(<list>document) != len(self.names) or not is_scalar((<list>document)[0]):
                return None
            row = document
        else:
            return None

        tally.features_at = len(tally.listed) + tally.size
        cdef bint is_plain = self.rows.note(row, tally)
        tally.rows = 1
        if not is_object:
            table = self.table(None, [(<list>document).copy()])
        else:
            table = self.object_row.__new__(self.object_row)  # spares a call in Python
            table.object = (<dict>document).copy()
        table.is_plain = is_plain
        return table

    cdef list row_of(self, dict document):
        """Return the values of the features in their order, which most clients keep; None if one is missing."""
        cdef PyObject* key
        cdef PyObject* item
        cdef Py_ssize_t position = 0, index = 0
        cdef bint is_in_order = True
        cdef list row = PyList_New(len(self.names))
        for index in range(len(self.names)):
            name = self.names[index]
            if is_in_order:
                is_in_order = PyDict_Next(document, &position, &key, &item) and <object>key == name
            value = <object>item if is_in_order else document.get(name, document)
            if value is document:
                return None
            Py_INCREF(value)
            PyList_SET_ITEM(row, index, value)
        return row

    def count_output(self, returned, Tally tally not None):
        """Count the output in a view's return value; see `ShortWay.count_output`."""
        if type(returned) is not dict or tally.rows != 1:
            return self.not_taken
        cdef tuple keys = tuple(<dict>returned)
        key = self.keys.get(keys, keys)
        if key is keys:
            if len(self.keys) >= MOST_PLANS:  # a view may name its keys after its data
                self.keys.clear()
            key = self.keys[keys] = self.key_of(keys)
        value = None if key is None else (<dict>returned)[key]
        if value is None or not is_scalar(value):
            return self.not_taken

        tally.outputs_at = len(tally.listed) + tally.size
        self.outputs.note((value,), tally)
        cdef double number
        if self.first_sum >= 0 and type(value) is float:
            number = value
            if number and fabs(number) < INFINITY:
                tally.sums.append((self.first_sum + (number < 0), fabs(number)))
        else:
            self.add_value(0, value, tally)
        return value


    def commit(self, Tally tally not None, double duration):
        """Add an answered prediction to the live counts; see `ShortWay.commit`."""
        cdef Py_ssize_t longer = 0
        while longer < len(self.bounds) and <double>self.bounds[longer] < duration:
            longer += 1
        if self.pairs is not None:
            self.pairs.note_row(tally)
        if self.segments is not None:
            self.segments.note_row(tally)
        tally.note(self.ok)
        tally.note(self.squares)
        tally.note(self.durations_start + longer)
        tally.sums.append((self.duration_sum, duration))
        self.add(tally)


cdef class PairCells:
    """The compiled `live.pair_cells.PairCells`."""

    cdef bytes part_of
    cdef int* firsts
    cdef int* seconds
    cdef Py_ssize_t size, features, variables, start

    def __cinit__(self, bytes parts, pairs, Py_ssize_t features, Py_ssize_t variables, Py_ssize_t start):
        cdef Py_ssize_t number
        self.part_of, self.size, self.features, self.variables, self.start = parts, len(pairs), features, variables, start
        self.firsts = <int*>PyMem_Malloc(2 * self.size * sizeof(int) + 1)
        if self.firsts == NULL:
            raise MemoryError
        self.seconds = self.firsts + self.size
        for number, (first, second) in enumerate(pairs):
            if not 0 <= first < second < variables:
                raise ValueError("A pair is not of two variables.")
            self.firsts[number], self.seconds[number] = first, second

    def __dealloc__(self):
        PyMem_Free(self.firsts)

    cdef inline int part_at(self, Tally tally, Py_ssize_t variable) except -1:
        """Return the part of a variable of a single row, NO_PART if it is unknown."""
        cdef Py_ssize_t place, cell
        if variable < self.features:
            place = tally.features_at + variable if tally.features_at >= 0 else -1
        else:
            place = tally.outputs_at + variable - self.features if tally.outputs_at >= 0 else -1
        if place < 0:
            return NO_PART
        cell = tally.cell_at(place)
        if not 0 <= cell < PyBytes_GET_SIZE(self.part_of):
            raise IndexError(cell)
        return <unsigned char>PyBytes_AS_STRING(self.part_of)[cell]

    cpdef note_row(self, Tally tally):
        """Add the cells of the pairs of a single row; see `CountsPairs.note_row`."""
        cdef Py_ssize_t number
        cdef int one, other
        for number in range(self.size):
            one = self.part_at(tally, self.firsts[number])
            if one == NO_PART:
                continue
            other = self.part_at(tally, self.seconds[number])
            if other != NO_PART:
                tally.note(self.start + PAIR_CELLS * number + PARTS * one + other)

    def of_rows(self, features, outputs):
        """Return the rows in each cell of the pairs; see `CountsPairs.of_rows`."""
        import numpy as np

        counts = np.zeros(PAIR_CELLS * self.size, dtype=np.int64)
        cdef int64_t[::1] found = counts
        cdef const int[:, ::1] given, answered
        cdef Py_ssize_t rows = len(outputs if features is None else features), row, number
        cdef bint has_features = features is not None, has_outputs = outputs is not None
        cdef const unsigned char* part_of = <const unsigned char*>PyBytes_AS_STRING(self.part_of)
        cdef Py_ssize_t cells = PyBytes_GET_SIZE(self.part_of)
        cdef int first, second, one, other
        if has_features:
            given = features
            check_cells(given, self.features, rows, cells)
        if has_outputs:
            answered = outputs
            check_cells(answered, self.variables - self.features, rows, cells)
        for number in range(self.size):
            first, second = self.firsts[number], self.seconds[number]
            if (not has_features and first < self.features) or (not has_outputs and second >= self.features):
                continue
            if not has_outputs and first >= self.features or not has_features and second < self.features:
                continue
            for row in range(rows):
                one = part_of[given[row, first] if first < self.features else answered[row, first - self.features]]
                other = part_of[given[row, second] if second < self.features else answered[row, second - self.features]]
                if one != NO_PART and other != NO_PART:
                    found[PAIR_CELLS * number + PARTS * one + other] += 1
        return counts


@cython.final
cdef class SegmentCells:
    """The compiled `live.segment_cells.SegmentCells`."""

    cdef const int[::1] group_of
    cdef bytes numbers  # of the segment of each cell of all variables, one segmentation after the other
    cdef list segmentations
    cdef Py_ssize_t groups, stride, features, variables, cells, start, size

    def __init__(self, groups, segmentations, Py_ssize_t features, Py_ssize_t variables, Py_ssize_t start):
        self.group_of = groups
        self.cells, self.groups = len(groups), int(groups[-1]) + 1
        self.stride = self.groups + BUCKETS + 1
        self.features, self.variables, self.start = features, variables, start
        self.segmentations, self.size = [], 0
        numbers = []
        for variable, first_cell, of_cells, number in segmentations:
            if not 0 <= variable < variables or len(of_cells) + first_cell > self.cells or max(of_cells) >= number:
                raise ValueError("Segments are not of a variable.")
            own = bytearray([number - 1]) * self.cells
            own[first_cell : first_cell + len(of_cells)] = of_cells
            numbers.append(bytes(own))
            self.segmentations.append((variable, number, self.size))
            self.size += number * self.stride
        self.numbers = b"".join(numbers)

    cdef inline Py_ssize_t known(self, Tally tally, Py_ssize_t place) except -1:
        """Return a cell of a variable, checked."""
        cdef Py_ssize_t cell = tally.cell_at(place)
        if not 0 <= cell < self.cells:
            raise IndexError(cell)
        return cell

    cpdef note_row(self, Tally tally):
        """Add the cells of a single row in its segments; see `CountsSegments.note_row`."""
        cdef Py_ssize_t features = self.features, outputs = self.variables - features
        cdef Py_ssize_t index, variable, number, first, base, at, place, each = 1, bucket = -1, own = 0
        cdef const unsigned char* of_cell = <const unsigned char*>PyBytes_AS_STRING(self.numbers)
        if tally.features_at >= 0:
            each += features
        if tally.outputs_at >= 0:
            each += outputs
        place = tally.features_at if features else tally.outputs_at
        if place >= 0:
            bucket = tally.cell_at(place + (features or outputs)) - self.cells
            each += 1
            if not 0 <= bucket < BUCKETS:
                raise IndexError(bucket)
        cdef int64_t* cells = tally.room(each * len(self.segmentations))
        cdef int64_t* next = cells
        try:
            for variable, number, first in self.segmentations:
                at = tally.features_at if variable < features else tally.outputs_at
                at += 0 if at < 0 else variable if variable < features else variable - features
                base = number - 1 if at < 0 else of_cell[own * self.cells + self.known(tally, at)]
                base, own = self.start + first + base * self.stride, own + 1
                if tally.features_at >= 0:
                    for index in range(features):
                        next[0] = base + self.group_of[self.known(tally, tally.features_at + index)]
                        next += 1
                if tally.outputs_at >= 0:
                    for index in range(outputs):
                        next[0] = base + self.group_of[self.known(tally, tally.outputs_at + index)]
                        next += 1
                if bucket >= 0:
                    next[0] = base + self.groups + bucket
                    next += 1
                next[0] = base + self.stride - 1
                next += 1
        except BaseException:
            tally.more_size = 0
            raise

    def of_rows(self, features, outputs):
        """Return the counts of several rows in the cells of all segments; see `CountsSegments.of_rows`."""
        import numpy as np

        counts = np.zeros(self.size, dtype=np.int64)
        hashed = features if self.features else outputs
        cdef int64_t[::1] found = counts
        cdef const int[:, ::1] given, answered
        cdef Py_ssize_t rows = len(outputs if features is None else features), row, index, own = 0
        cdef bint has_features = features is not None, has_outputs = outputs is not None
        cdef bint is_hashed = hashed is not None, is_of_features = self.features > 0
        cdef const unsigned char* of_cell = <const unsigned char*>PyBytes_AS_STRING(self.numbers)
        cdef Py_ssize_t width = self.features, others = self.variables - self.features
        cdef Py_ssize_t variable, number, first, base
        cdef int bucket
        if has_features:
            given = features
            check_cells(given, width, rows, self.cells, is_of_features)
        if has_outputs:
            answered = outputs
            check_cells(answered, others, rows, self.cells, not is_of_features)
        for variable, number, first in self.segmentations:
            for row in range(rows):
                base = number - 1
                if variable < width:
                    if has_features:
                        base = of_cell[own * self.cells + given[row, variable]]
                elif has_outputs:
                    base = of_cell[own * self.cells + answered[row, variable - width]]
                base = first + base * self.stride
                if has_features:
                    for index in range(width):
                        found[base + self.group_of[given[row, index]]] += 1
                if has_outputs:
                    for index in range(others):
                        found[base + self.group_of[answered[row, index]]] += 1
                if is_hashed:
                    bucket = given[row, width] if is_of_features else answered[row, others]
                    found[base + self.groups + bucket] += 1
                    found[base + self.stride - 1] += 1
            for row in range(number):
                base = first + (row + 1) * self.stride - 1
                found[base] *= found[base]
            own += 1
        return counts


cdef int check_cells(
    const int[:, ::1] located, Py_ssize_t variables, Py_ssize_t rows, Py_ssize_t cells, bint has_buckets=False
) except -1:
    """Check an array of cells, which are read without a check; each row may have its bucket behind them."""
    cdef Py_ssize_t row, index
    if located.shape[0] != rows or not variables + has_buckets <= located.shape[1] <= variables + 1:
        raise ValueError("The cells are of other rows, or of other variables.")
    for row in range(rows):
        for index in range(variables):
            if not 0 <= located[row, index] < cells:
                raise IndexError(located[row, index])
        if has_buckets and not 0 <= located[row, variables] < BUCKETS:
            raise IndexError(located[row, variables])
    return 0


cdef inline bint is_scalar(value) noexcept:
    return type(value) is float or type(value) is int or type(value) is str or type(value) is bool or value is None


cdef inline first_value(dict document):
    cdef PyObject* key
    cdef PyObject* item
    cdef Py_ssize_t position = 0
    return <object>item if PyDict_Next(document, &position, &key, &item) else document


cdef class ParsedJson:
    """The compiled `web.parsed_json.ParsedJson`."""

    cdef object request, body, document, config, module, stream, length, content_type

    def __init__(self, request, body, document, config):
        environ = request.environ
        self.request = PyWeakref_NewRef(request, None)
        self.body, self.document, self.config, self.module = body, document, config, request.json_module
        self.stream, self.length = environ["wsgi.input"], environ["CONTENT_LENGTH"]
        self.content_type = environ["CONTENT_TYPE"]

    def __iter__(self):
        return iter((..., ...))

    def __getitem__(self, is_silent):
        request = self.request()
        if request is None:
            return ...
        attributes = request.__dict__
        if self.is_as_before(request, attributes) and self.is_read(attributes):
            attributes["_cached_json"] = (self.document, self.document)
            return self.document
        attributes.pop("_cached_json", None)
        return ...

    cdef bint is_as_before(self, request, attributes) except -1:
        environ = request.environ
        if environ.get("wsgi.input") is not self.stream or environ.get("CONTENT_LENGTH") != self.length:
            return False
        if environ.get("CONTENT_TYPE") != self.content_type or request.json_module is not self.module:
            return False
        return not request.shallow and "get_data" not in attributes

    cdef bint is_read(self, attributes) except -1:
        if "_cached_data" in attributes:
            return attributes["_cached_data"] == self.body
        if "stream" in attributes or "_max_content_length" in attributes or self.stream.closed or self.stream.tell():
            return False
        limit = self.config["MAX_CONTENT_LENGTH"]
        if limit is not None and len(self.body) >= limit:
            return False
        self.stream.seek(0, 2)
        attributes["stream"] = self.stream
        attributes["_cached_data"] = self.body
        return True


cdef class IdMaker:
    """The compiled `values.ids.IdMaker`.

    Args:
        server_id: Name of the server.
        clock: Returns the Unix time in nanoseconds.
        fork_mark: Makes a fork mark.
        kind: Type of an id, a tuple of its text, its uuid and its time.
    """

    cdef str server_id, start
    cdef object clock, fork_mark, mark, kind
    cdef int64_t second
    cdef bytes pool
    cdef Py_ssize_t left

    def __init__(self, str server_id, clock, fork_mark, kind):
        self.server_id, self.clock, self.fork_mark, self.kind = server_id, clock, fork_mark, kind
        self.mark, self.left = fork_mark(), 0

    def __call__(self):
        """Return a new id."""
        now = self.clock()
        cdef int64_t second = second_of(now)
        cdef str start = self.start
        if second != self.second or start is None:
            start = f"{self.server_id}/{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}/"
            self.start, self.second = start, second

        if not self.mark[0]:
            self.refill()
        while not self.left:
            self.refill()
        self.left -= 1  # no other thread can come in between
        cdef str entity_id = uuid4(<const unsigned char*>PyBytes_AS_STRING(self.pool) + 16 * self.left)
        return new_tuple(self.kind, (start + entity_id, entity_id, now))

    cdef int refill(self) except -1:
        """Take new random bytes. They and the fork mark change together, so that a child cannot use its parent's."""
        pool = os.urandom(16 * POOL_SIZE)
        mark = self.mark if self.mark[0] else self.fork_mark()
        before = self.mark  # its end lets other threads run, so it must not end in between
        self.pool, self.mark, self.left = pool, mark, POOL_SIZE
        return 0


@cython.cdivision(False)
cdef inline int64_t second_of(int64_t nanoseconds) noexcept:
    """Return the whole seconds of a time in nanoseconds, which may lie before 1970."""
    return nanoseconds // 1_000_000_000


cdef str uuid4(const unsigned char* random):
    """Return 16 random bytes as a uuid of version 4."""
    cdef char text[36]
    cdef int index, place = 0
    cdef unsigned char byte
    for index in range(16):
        byte = random[index]
        if index == 6:
            byte = byte & 0x0F | 0x40
        elif index == 8:
            byte = byte & 0x3F | 0x80
        if index == 4 or index == 6 or index == 8 or index == 10:
            text[place], place = 45, place + 1
        text[place], text[place + 1] = HEX[byte >> 4], HEX[byte & 15]
        place += 2
    return PyUnicode_DecodeASCII(text, 36, NULL)


@cython.final
cdef class Seal:
    """The compiled `outcomes.sealing.Seal`.

    Args:
        numbers_hash: Keyed hash, copied for each id, that gives the id its numbers.
        kind: Type of an id, a tuple of its text, its uuid and its time.
        code: Code of outputs, a `SingleCode` or a `PointCode`.
    """

    cdef object numbers_hash, kind
    cdef double* ends  # of the bins, the first and the last infinite
    cdef Py_ssize_t bounds
    cdef double origin, unit
    cdef bint is_point, is_probability

    def __cinit__(self, numbers_hash, kind, code):
        self.bounds = len(getattr(code, "bounds", ()))
        self.ends = <double*>PyMem_Malloc((self.bounds + 2) * sizeof(double))
        if self.ends == NULL:
            raise MemoryError

    def __init__(self, numbers_hash, kind, code):
        self.numbers_hash, self.kind, self.is_point = numbers_hash, kind, hasattr(code, "unit")
        if self.is_point:
            self.origin, self.unit = code.origin, code.unit
            return
        self.is_probability = code.is_probability
        for index, end in enumerate((-INFINITY, *code.bounds, INFINITY)):
            self.ends[index] = end

    def __dealloc__(self):
        PyMem_Free(self.ends)

    def __call__(self, prediction, double value):
        """Return the sealed id; None if no bits stand for the output."""
        cdef uint32_t bits
        if not (self.point(value, &bits) if self.is_point else self.single(value, &bits)):
            return None

        cdef bytes whole = prediction[0].encode("utf-8", "surrogatepass")
        cdef Py_ssize_t size = PyBytes_GET_SIZE(whole), start = size - 19
        cdef char* text = PyBytes_AS_STRING(whole)  # of its own: nothing else refers to these bytes
        cdef int kept = hex_digit(text[start]) & 12
        text[start] = HEX[kept]
        state = self.numbers_hash.copy()
        state.update(PyBytes_FromStringAndSize(text, start + 1))
        cdef bytes numbers = state.digest()
        cdef const unsigned char* digest = <const unsigned char*>PyBytes_AS_STRING(numbers)

        cdef uint64_t tag = (little(digest + 4, 8) * bits + little(digest + 12, 8)) >> 32
        put_tail(text + start, kept, (bits ^ little(digest, 4)) << 32 | tag)
        entity_id = PyUnicode_DecodeASCII(text + size - 36, 36, NULL)
        return new_tuple(self.kind, (PyUnicode_DecodeUTF8(text, size, "surrogatepass"), entity_id, prediction[2]))

    cdef bint point(self, double value, uint32_t* bits) noexcept:
        """Set the bits of `PointCode`; return whether there are some."""
        cdef double distance = (value - self.origin) / self.unit, outer
        cdef uint64_t outside
        if -1.0 <= distance < 0.9999999995343387:
            bits[0] = <uint32_t>((distance + 1.0) * 1073741824.0 + 0.5)
            return True
        outer = 1.0 if fabs(distance) < 1.0 else fabs(distance)
        memcpy(&outside, &outer, 8)
        outside = (outside - (<uint64_t>1023 << 52) + (1 << 25)) >> 26
        if outside < 1 << 29:
            bits[0] = <uint32_t>1 << 31 | outside | (distance < 0) << 29
            return True
        cdef float single = <float>value
        memcpy(bits, &single, 4)
        if not isfinite(single):
            return False
        bits[0] = (bits[0] + 2) >> 2
        if bits[0] & 0x1FFFFFFF >= 0x1FE00000:
            return False
        bits[0] |= <uint32_t>3 << 30
        return True

    cdef bint single(self, double value, uint32_t* bits) noexcept:
        """Set the bits of `SingleCode`; return whether there are some."""
        if self.is_probability:
            value += 0.0  # makes 0.0 of -0.0
        cdef double shift = 1.0 if self.is_probability and (0.5 < value <= 1 or value < 0) else 0.0
        cdef float single = <float>(-(shift - value) if shift else value)
        if not isfinite(single):
            return False
        cdef Py_ssize_t low = 0, high = self.bounds, middle
        while low < high:
            middle = (low + high) >> 1
            if self.ends[middle + 1] < value:
                low = middle + 1
            else:
                high = middle
        cdef double lower = self.ends[low], upper = self.ends[low + 1]
        if not lower < self.number(single) <= upper:
            single = nextafterf(single, <float>INFINITY if self.number(single) <= lower else -<float>INFINITY)
        memcpy(bits, &single, 4)
        return lower < self.number(single) <= upper and isfinite(single)

    cdef inline double number(self, float single) noexcept:
        return single + 1.0 if self.is_probability and signbit(single) else single


cdef uint64_t little(const unsigned char* start, int size) noexcept:
    """Return the number in some bytes, the lowest first."""
    cdef uint64_t number = 0
    while size:
        size -= 1
        number = number << 8 | start[size]
    return number


cdef inline int hex_digit(unsigned char letter) noexcept:
    return letter - 48 if letter < 58 else letter - 87


cdef void put_tail(char* text, int kept, uint64_t word) noexcept:
    """Write the end of a uuid: the upper bits of a word with those kept, then all others with the variant."""
    cdef int place = 2, shift = 60
    text[0], text[1] = HEX[kept | word >> 62], 45
    word = word & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
    while shift >= 0:
        if place == 6:
            text[place], place = 45, place + 1
        text[place] = HEX[word >> shift & 15]
        place, shift = place + 1, shift - 4


cdef class Writer:
    """Writes plain JSON values as bytes.

    The memory in which it writes is its own, and kept for the next value. Nothing that it calls runs Python code, so no
    other thread can come in between.
    """

    cdef unsigned char* memory
    cdef Py_ssize_t room, size

    def __cinit__(self):
        self.room = 4096
        self.memory = <unsigned char*>PyMem_Malloc(self.room)
        if self.memory == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.memory)

    def pack(self, value, bytes head=b"", bytes tail=b""):
        """Return a value, between the bytes of *head* and *tail*.

        Raises:
            TypeError: A value has another type.
            OverflowError: An integer is wider than 64 bits.
            UnicodeEncodeError: A text holds lone surrogates.
            ValueError: Values are nested too deeply; for JSON, a number is not finite.
        """
        self.begin(head)
        self.put_value(value, 0)
        self.put_bytes(tail)
        return self.end()

    cdef int begin(self, bytes head) except -1:
        self.size = 0
        return self.put_bytes(head)

    cdef bytes end(self):
        cdef bytes packed = PyBytes_FromStringAndSize(<char*>self.memory, self.size)
        if self.room > MOST_KEPT:
            self.fit(4096)
        return packed

    cdef int fit(self, Py_ssize_t room) except -1:
        memory = <unsigned char*>PyMem_Realloc(self.memory, room)
        if memory == NULL:
            raise MemoryError
        self.memory, self.room = memory, room
        return 0

    cdef inline unsigned char* space(self, Py_ssize_t size) except NULL:
        """Return the memory behind what is written, at least *size* bytes."""
        if self.size + size > self.room:
            self.fit(2 * (self.size + size))
        return self.memory + self.size

    cdef inline int put(self, const void* data, Py_ssize_t size) except -1:
        memcpy(self.space(size), data, size)
        self.size += size
        return 0

    cdef inline int put_bytes(self, bytes data) except -1:
        return self.put(PyBytes_AS_STRING(data), len(data))

    cdef int put_value(self, value, int depth) except -1:
        raise NotImplementedError

    cdef int put_float(self, double number) except -1:
        raise NotImplementedError

    cdef int put_signed(self, int64_t number) except -1:
        raise NotImplementedError

    cdef int begin_list(self, Py_ssize_t size) except -1:
        raise NotImplementedError

    cdef int begin_item(self, bint is_first) except -1:
        """Write the bytes before an item of a list."""
        return 0

    cdef int end_list(self) except -1:
        return 0

    cdef int begin_object(self, Py_ssize_t size) except -1:
        raise NotImplementedError

    cdef int put_key(self, key, bint is_first, int depth) except -1:
        raise NotImplementedError

    cdef int end_object(self) except -1:
        raise NotImplementedError

    cdef int put_ascii(self, bytes text) except -1:
        raise NotImplementedError


@cython.final
cdef class Packer(Writer):
    """Packs plain JSON values as MessagePack, to the same bytes as `msgpack.Packer`."""

    cdef inline int put_number(self, unsigned char mark, uint64_t number, int width) except -1:
        """Write a mark and the last *width* bytes of a number, the highest first."""
        cdef unsigned char data[9]
        cdef int index
        data[0] = mark
        for index in range(width):
            data[width - index] = <unsigned char>(number >> 8 * index & 255)
        return self.put(data, width + 1)

    cdef int put_size(self, Py_ssize_t size, unsigned char fixed, Py_ssize_t most, unsigned char mark8,
                      unsigned char mark16) except -1:
        """Write the head of a text, list or object; a *mark8* of 0 means that there is no such head."""
        if size <= most:
            return self.put_number(<unsigned char>(fixed | size), 0, 0)
        if mark8 and size < 1 << 8:
            return self.put_number(mark8, size, 1)
        if size < 1 << 16:
            return self.put_number(mark16, size, 2)
        if size < <Py_ssize_t>1 << 32:
            return self.put_number(mark16 + 1, size, 4)
        raise ValueError("The value is too long for MessagePack.")

    cdef int put_value(self, value, int depth) except -1:
        cdef PyObject* key
        cdef PyObject* item
        cdef Py_ssize_t position = 0
        if depth > MOST_DEEP:
            raise ValueError("The value is nested too deeply.")

        if type(value) is float:
            return self.put_float(value)
        if type(value) is str:
            return self.put_text(value)
        if type(value) is int:
            return self.put_integer(value)
        if value is None:
            return self.put_number(0xC0, 0, 0)
        if type(value) is bool:
            return self.put_number(0xC3 if value is True else 0xC2, 0, 0)
        if type(value) is dict:
            self.begin_object(len(<dict>value))
            while PyDict_Next(value, &position, &key, &item):
                self.put_key(<object>key, False, depth + 1)
                self.put_value(<object>item, depth + 1)
            return 0
        if type(value) is list:
            self.begin_list(len(<list>value))
            for element in <list>value:
                self.put_value(element, depth + 1)
            return 0
        raise TypeError(type(value).__name__)

    cdef int begin_list(self, Py_ssize_t size) except -1:
        return self.put_size(size, 0x90, 15, 0, 0xDC)

    cdef int begin_object(self, Py_ssize_t size) except -1:
        return self.put_size(size, 0x80, 15, 0, 0xDE)

    cdef int put_key(self, key, bint is_first, int depth) except -1:
        return self.put_value(key, depth)

    cdef int end_object(self) except -1:
        return 0

    cdef int put_float(self, double number) except -1:
        cdef Word word
        cdef unsigned char* end = self.space(9)
        word.number = number
        end[0] = 0xCB
        put_word(end + 1, word.text)
        self.size += 9
        return 0

    cdef inline int put_text(self, value) except -1:
        cdef Py_ssize_t size
        cdef const char* text = PyUnicode_AsUTF8AndSize(value, &size)
        cdef unsigned char* end
        if size > 31:
            self.put_size(size, 0xA0, 31, 0xD9, 0xDA)
            return self.put(text, size)
        end = self.space(32)
        end[0] = <unsigned char>(0xA0 | size)
        memcpy(end + 1, text, size)
        self.size += size + 1
        return 0

    cdef int put_ascii(self, bytes text) except -1:
        self.put_size(len(text), 0xA0, 31, 0xD9, 0xDA)
        return self.put_bytes(text)

    cdef int put_integer(self, value) except -1:
        cdef int overflow
        cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow > 0:
            return self.put_number(0xCF, PyLong_AsUnsignedLongLong(value), 8)
        if overflow < 0:
            raise OverflowError("The integer is wider than 64 bits.")
        return self.put_signed(number)

    cdef int put_signed(self, int64_t number) except -1:
        if -32 <= number < 128:
            return self.put_number(<unsigned char>number, 0, 0)
        if number >= 0:
            if number < 1 << 8:
                return self.put_number(0xCC, number, 1)
            if number < 1 << 16:
                return self.put_number(0xCD, number, 2)
            return self.put_number(0xCE, number, 4) if number < <int64_t>1 << 32 else self.put_number(0xCF, number, 8)
        if number >= -(1 << 7):
            return self.put_number(0xD0, number, 1)
        if number >= -(1 << 15):
            return self.put_number(0xD1, number, 2)
        return self.put_number(0xD2, number, 4) if number >= -(<int64_t>1 << 31) else self.put_number(0xD3, number, 8)


@cython.final
cdef class JSONWriter(Writer):
    """Writes plain JSON values as JSON in UTF-8, to the same bytes as `json.JSONEncoder` without spaces and escapes."""

    cdef int put_value(self, value, int depth) except -1:
        cdef PyObject* key
        cdef PyObject* item
        cdef Py_ssize_t position = 0
        cdef bint is_first = True
        if depth > MOST_DEEP:
            raise ValueError("The value is nested too deeply.")

        if type(value) is float:
            return self.put_float(value)
        if type(value) is str:
            return self.put_text(value)
        if type(value) is int:
            return self.put_integer(value)
        if value is None:
            return self.put(b"null", 4)
        if type(value) is bool:
            return self.put(b"true", 4) if value is True else self.put(b"false", 5)
        if type(value) is dict:
            self.begin_object(len(<dict>value))
            while PyDict_Next(value, &position, &key, &item):
                self.put_key(<object>key, is_first, depth + 1)
                is_first = False
                self.put_value(<object>item, depth + 1)
            return self.end_object()
        if type(value) is list:
            self.begin_list(0)
            for element in <list>value:
                self.begin_item(is_first)
                is_first = False
                self.put_value(element, depth + 1)
            return self.end_list()
        raise TypeError(type(value).__name__)

    cdef int begin_list(self, Py_ssize_t size) except -1:
        return self.put(b"[", 1)

    cdef int begin_item(self, bint is_first) except -1:
        return 0 if is_first else self.put(b",", 1)

    cdef int end_list(self) except -1:
        return self.put(b"]", 1)

    cdef int begin_object(self, Py_ssize_t size) except -1:
        return self.put(b"{", 1)

    cdef int put_key(self, key, bint is_first, int depth) except -1:
        if type(key) is not str:
            raise TypeError(type(key).__name__)
        if not is_first:
            self.put(b",", 1)
        self.put_text(key)
        return self.put(b":", 1)

    cdef int end_object(self) except -1:
        return self.put(b"}", 1)

    cdef int put_text(self, value) except -1:
        cdef Py_ssize_t size
        cdef const char* text = PyUnicode_AsUTF8AndSize(value, &size)
        return self.put_utf8(<const unsigned char*>text, size)

    cdef int put_ascii(self, bytes text) except -1:
        return self.put_utf8(<const unsigned char*>PyBytes_AS_STRING(text), len(text))

    cdef int put_utf8(self, const unsigned char* text, Py_ssize_t size) except -1:
        cdef Py_ssize_t most
        self.put(b'"', 1)
        while size > 0:
            most = min(size, TEXT_PIECE)
            self.size = put_escaped(self.space(6 * most), text, most) - self.memory
            text, size = text + most, size - most
        return self.put(b'"', 1)

    cdef int put_integer(self, value) except -1:
        cdef int overflow
        cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow < 0:
            raise OverflowError("The integer is wider than 64 bits.")
        if overflow:
            return self.put_whole(False, PyLong_AsUnsignedLongLong(value))
        return self.put_signed(number)

    cdef int put_signed(self, int64_t number) except -1:
        return self.put_whole(number < 0, <uint64_t>number)

    cdef int put_whole(self, bint is_negative, uint64_t digits) except -1:
        """Write an integer; *digits* is its complement if it is negative."""
        cdef unsigned char* end = self.space(20)
        if is_negative:
            end[0], end = 45, end + 1
            digits = 0 - digits
        self.size = put_digits(end, digits) - self.memory
        return 0

    cdef int put_float(self, double number) except -1:
        if not -DBL_MAX <= number <= DBL_MAX:
            raise ValueError("JSON has only finite numbers.")
        cdef unsigned char* end = self.space(32)
        self.size = put_repr(end, number) - self.memory
        return 0


cdef class Splicer:
    """Writes records, of which only some fields change; the rest was written once.

    Args:
        writer: Writer of the form.
        object_row: Type of the features of one row by name.
        array: NumPy's type of arrays.
        template: A record with all fields.
        changing: Keys of the fields that change.
        tail: Bytes behind each record.
    """

    cdef Writer writer
    cdef object object_row, array
    cdef list pieces

    def __init__(self, Writer writer not None, object_row, array, dict template, tuple changing, bytes tail=b""):
        self.writer, self.object_row, self.array = writer, object_row, array
        self.pieces = []
        writer.begin(b"")
        writer.begin_object(len(template))
        for index, (key, value) in enumerate(template.items()):
            writer.put_key(key, index == 0, 0)
            if key in changing:
                self.pieces.append(writer.end())
                writer.begin(b"")
            else:
                writer.put_value(value, 0)
        writer.end_object()
        writer.put_bytes(tail)
        self.pieces.append(writer.end())
        if len(changing) != 9 or len(self.pieces) != 10:
            raise ValueError("Nine fields change.")

    def splice(self, bytes head, prediction, body, features, output, str status, rows, duration):
        """Return a record behind the bytes of *head*, as `RecordMaker.splice` does."""
        if type(body) is not bytes or not (<bytes>body).isascii():
            return None
        if not (duration is None or 0 <= duration < LONGEST_DURATION):
            return None
        # Python code runs here, and not while the record is written.
        cdef Py_ssize_t index
        cdef Writer writer = self.writer
        cdef list pieces = self.pieces
        cdef tuple names = None
        if type(features) is self.object_row:
            content = features.object
        elif type(features.rows) is self.array:
            names, content = features.names or (), features.rows
        else:
            content = features.content()
        if names and len(set(names)) != len(names):
            return None
        text, entity_id, created_at = prediction[0], prediction[1], second_of(prediction[2])
        if duration is not None:
            duration = <double><int64_t>(<double>duration * 1_000_000) / 1000
        # Also no memory that the garbage collector knows is taken in between: it may run other code.
        cdef tuple last = (created_at, text, status, duration, rows or 1)

        try:
            writer.begin(head)
            writer.put_bytes(<bytes>pieces[0])
            writer.put_value(entity_id, 0)
            writer.put_bytes(<bytes>pieces[1])
            if names is None:
                writer.put_value(content, 0)
            else:
                self.put_rows(names, content)
            writer.put_bytes(<bytes>pieces[2])
            writer.put_ascii(body)
            writer.put_bytes(<bytes>pieces[3])
            self.put_output(output, MOST_DEEP_OUTPUT)
            for index in range(5):
                writer.put_bytes(<bytes>pieces[4 + index])
                writer.put_value(last[index], 0)
            writer.put_bytes(<bytes>pieces[9])
            return writer.end()
        except (TypeError, ValueError, OverflowError):
            return None

    cdef int put_output(self, value, int levels) except -1:
        """Write a single value, or values in lists or an array."""
        cdef bint is_first = True
        if type(value) is float and not fabs(<double>value) < INFINITY:
            raise ValueError("JSON has only finite numbers.")
        if value is None or is_scalar(value):
            return self.writer.put_value(value, 0)
        if type(value) is self.array:
            return self.put_rows(None, value)
        if type(value) is not list or levels == 0:
            raise TypeError(type(value).__name__)
        self.writer.begin_list(len(<list>value))
        for item in <list>value:
            self.writer.begin_item(is_first)
            is_first = False
            self.put_output(item, levels - 1)
        return self.writer.end_list()

    cdef int put_rows(self, tuple names, array) except -1:
        """Write an array of float64 or int64, of one or two dimensions, as lists or, by names, as objects.

        A single row of features, where *names* are not None, stands without a list around it.
        """
        cdef Py_buffer view
        cdef Py_ssize_t row
        cdef bint is_listed
        PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_FORMAT)
        try:
            if not 1 <= view.ndim <= 2 or view.itemsize != 8 or view.format[0] not in NUMBER_FORMATS or view.format[1]:
                raise TypeError("The array holds other values.")
            if view.ndim == 1:
                return self.put_row(&view, None, <const char*>view.buf, 0)
            is_listed = names is None or view.shape[0] != 1
            if is_listed:
                self.writer.begin_list(view.shape[0])
            for row in range(view.shape[0]):
                if is_listed:
                    self.writer.begin_item(row == 0)
                self.put_row(&view, names, <const char*>view.buf + row * view.strides[0], 1)
            return self.writer.end_list() if is_listed else 0
        finally:
            PyBuffer_Release(&view)

    cdef int put_row(self, Py_buffer* view, tuple names, const char* start, int axis) except -1:
        cdef Writer writer = self.writer
        cdef Py_ssize_t size = view.shape[axis], step = view.strides[axis], index
        cdef bint is_float = view.format[0] == 100
        if names:
            if len(names) != size:
                raise ValueError("The row has another number of values.")
            writer.begin_object(size)
        else:
            writer.begin_list(size)
        for index in range(size):
            if names:
                writer.put_key(names[index], index == 0, 0)
            else:
                writer.begin_item(index == 0)
            if not is_float:
                writer.put_signed((<const int64_t*>start)[0])
            elif fabs((<const double*>start)[0]) < INFINITY:
                writer.put_float((<const double*>start)[0])
            else:
                raise ValueError("JSON has only finite numbers.")
            start += step
        return writer.end_object() if names else writer.end_list()


def entry_head(time_ns):
    """Return the start of fluentd's entry, as `sinks.fluentd.entry_head` does."""
    cdef int64_t nanoseconds = min(max(<int64_t>time_ns, 0), LATEST_TIME)
    cdef unsigned char[16] head
    memcpy(head, b"\x92\xd7\x00", 3)
    put_word(head + 3, <uint64_t>(nanoseconds // 1_000_000_000) << 32 | <uint64_t>(nanoseconds % 1_000_000_000))
    return PyBytes_FromStringAndSize(<char*>head, 11)


cdef object new_tuple = tuple.__new__
cdef const unsigned char* HEX = b"0123456789abcdef"
cdef const unsigned char* LETTERS = b"btn-fr"  # of the characters from 8 to 13
cdef bytes _pairs = b"".join(b"%02d" % number for number in range(100))
cdef const unsigned char* PAIRS = _pairs


cdef unsigned char* put_escaped(unsigned char* start, const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """Write the characters of a text; return where they end, at most six times their size."""
    cdef const unsigned char* end = text + size
    cdef uint64_t eight
    cdef int rest
    while text < end:
        rest = 8 if end - text > 8 else <int>(end - text)
        if rest == 8:
            memcpy(&eight, text, 8)
            if not may_be_escaped(eight):
                memcpy(start, text, 8)
                start, text = start + 8, text + 8
                continue
        for _ in range(rest):
            start, text = put_character(start, text[0]), text + 1
    return start


cdef inline bint may_be_escaped(uint64_t eight) noexcept nogil:
    """Say whether one of eight bytes may be a control character, a quote or a backslash."""
    cdef uint64_t ones = 0x0101010101010101
    cdef uint64_t quotes = eight ^ ones * 34, slashes = eight ^ ones * 92
    return ((eight - ones * 32) | (quotes - ones) | (slashes - ones)) & ones * 128 != 0


cdef inline unsigned char* put_character(unsigned char* start, unsigned char character) noexcept nogil:
    if character >= 32 and character != 34 and character != 92:
        start[0] = character
        return start + 1
    start[0], start[1] = 92, character
    if character >= 32:
        return start + 2
    if 8 <= character <= 13 and character != 11:
        start[1] = LETTERS[character - 8]
        return start + 2
    memcpy(start + 1, b"u00", 3)
    start[4], start[5] = HEX[character >> 4], HEX[character & 15]
    return start + 6


cdef unsigned char* put_digits(unsigned char* start, uint64_t number) noexcept nogil:
    """Write a number's decimal digits; return where they end."""
    cdef unsigned char digits[20]
    cdef int first = 20
    while number >= 10:
        first -= 2
        memcpy(digits + first, PAIRS + 2 * (number % 100), 2)
        number //= 100
    if number or first == 20:
        first -= 1
        digits[first] = <unsigned char>(48 + number)
    memcpy(start, digits + first, 20 - first)
    return start + 20 - first


cdef unsigned char* put_repr(unsigned char* start, double number) noexcept nogil:
    """Write a finite number as Python's `repr` does; return where it ends."""
    cdef Word word
    cdef unsigned char digits[20]
    cdef int exponent, size, point
    cdef uint64_t decimal
    word.number = number
    if word.text >> 63:
        start[0], start = 45, start + 1
        word.text &= (<uint64_t>1 << 63) - 1
    if word.text == 0:
        memcpy(start, b"0.0", 3)
        return start + 3

    decimal = shortest(word.text, &exponent)
    size = <int>(put_digits(digits, decimal) - digits)
    point = size + exponent  # of the digits, those before the decimal point
    while size > 1 and digits[size - 1] == 48:
        size -= 1

    if point > 16 or point < -3:
        start[0], start = digits[0], start + 1
        if size > 1:
            start[0] = 46
            memcpy(start + 1, digits + 1, size - 1)
            start += size
        start[0], start[1] = 101, 43 if point > 0 else 45
        point = point - 1 if point > 0 else 1 - point
        start += 2
        if point < 10:
            start[0], start = 48, start + 1
        return put_digits(start, point)

    if point <= 0:
        memcpy(start, b"0.000", 5)
        memcpy(start + 2 - point, digits, size)
        return start + 2 - point + size
    if point >= size:
        memcpy(start, digits, size)
        memset(start + size, 48, point - size)
        memcpy(start + point, b".0", 2)
        return start + point + 2
    memcpy(start, digits, point)
    start[point] = 46
    memcpy(start + point + 1, digits + point, size - point)
    return start + size + 1


# Giulietti, The Schubfach way to render doubles, 2021: the shortest decimal that reads as the same double, and of
# several the closest; as Python's repr, at a tenth of its time.
cdef enum:
    LEAST_POWER = -292
    MOST_POWER = 324

cdef uint64_t[2][617] POWERS  # of ten, as the upper and the lower half of 128 bits, rounded up


def _power_of_ten(int exponent):
    """Return 10**exponent as an integer of 128 bits, rounded up."""
    number = pow(10, abs(exponent))
    size = number.bit_length()
    if exponent < 0:
        return -(-(1 << 127 + size) // number)
    return number << 128 - size if size <= 128 else -(-number >> size - 128)


for _power in range(LEAST_POWER, MOST_POWER + 1):
    _scaled = _power_of_ten(_power)
    POWERS[0][_power - LEAST_POWER] = _scaled >> 64
    POWERS[1][_power - LEAST_POWER] = _scaled & 0xFFFFFFFFFFFFFFFF


cdef uint64_t shortest(uint64_t bits, int* exponent) noexcept nogil:
    """Return the decimal of a positive double with these bits, to be multiplied by ten to the power of *exponent*."""
    cdef uint64_t fraction = bits & ((<uint64_t>1 << 52) - 1), whole = fraction
    cdef int biased = <int>(bits >> 52), power = -1074
    if biased:
        whole, power = fraction | <uint64_t>1 << 52, biased - 1075
        if -53 < power <= 0 and whole & ((<uint64_t>1 << -power) - 1) == 0:
            exponent[0] = 0
            return whole >> -power

    cdef bint is_odd = whole & 1, is_uneven = fraction == 0 and biased > 1  # nearer to the double below
    cdef int scale = (power * 1262611 - (524031 if is_uneven else 0)) >> 22
    cdef int shift = power + ((-scale * 1741647) >> 19) + 1
    cdef uint64_t upper = POWERS[0][-scale - LEAST_POWER], lower = POWERS[1][-scale - LEAST_POWER]
    cdef uint64_t least = rounded_to_odd(upper, lower, (4 * whole - 2 + is_uneven) << shift) + is_odd
    cdef uint64_t middle = rounded_to_odd(upper, lower, 4 * whole << shift)
    cdef uint64_t most = rounded_to_odd(upper, lower, (4 * whole + 2) << shift) - is_odd
    cdef uint64_t below = middle >> 2, tens = below // 10
    cdef bint is_below, is_above

    exponent[0] = scale
    if below >= 10:
        is_below, is_above = least <= 40 * tens, 40 * tens + 40 <= most
        if is_below != is_above:
            exponent[0] = scale + 1
            return tens + is_above
    is_below, is_above = least <= 4 * below, 4 * below + 4 <= most
    if is_below != is_above:
        return below + is_above
    is_above = middle > 4 * below + 2 or (middle == 4 * below + 2 and below & 1 == 1)
    return below + is_above


cdef inline uint64_t rounded_to_odd(uint64_t upper, uint64_t lower, uint64_t factor) noexcept nogil:
    """Return the highest 64 of the 192 bits of a product, odd if it is not exact."""
    cdef uint64_t carried = high_half(lower, factor), low = upper * factor + carried
    return (high_half(upper, factor) + (low < carried)) | (low > 1)


cdef inline uint64_t high_half(uint64_t one, uint64_t other) noexcept nogil:
    """Return the upper half of the 128 bits of a product."""
    cdef uint64_t half = 0xFFFFFFFF
    cdef uint64_t first = (one >> 32) * (other & half), second = (one & half) * (other >> 32)
    cdef uint64_t middle = ((one & half) * (other & half) >> 32) + (first & half) + (second & half)
    return (one >> 32) * (other >> 32) + (first >> 32) + (second >> 32) + (middle >> 32)
