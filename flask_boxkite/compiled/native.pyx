# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, binding=False, cdivision=True
"""Compiled twins of the loops that every request runs: each does the same as its class in Python, in a fifth of the time.

The package works without them where it was installed without a compiler. `tests/test_compiled.py` holds each twin
against its class in Python.
"""

from cpython cimport array
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow, PyLong_AsUnsignedLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.math cimport INFINITY, NAN, fabs
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    object PySequence_GetItem(object sequence, Py_ssize_t index)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

import array

__all__ = ["ArrayRows", "CellRaiser", "Packer", "RowCells"]

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
    Kind kind
    # The upper bounds of bins, or the categories that are numbers, ascending.
    const double* bounds
    Py_ssize_t size
    # Bounds are found by slots of equal width: a slot's entry tells how many bounds lie in earlier slots.
    const int* earlier
    double low, scale, last
    # The first cell of bins, or the cells of the categories; the cell of other categories, and of missing values.
    Py_ssize_t offset
    const long long* cells
    Py_ssize_t other, missing

cdef Py_ssize_t MOST_KEPT = 1024 * 1024
cdef int MOST_DEEP = 500
cdef double LEAST_WIDE = 2.0 ** 63  # plain JSON has no such integers
cdef int SLOTS_PER_BOUND = 4
cdef Py_ssize_t MOST_AT_ONCE = 65536  # values that are counted while other threads wait


cdef class Columns:
    """What is known of each variable, and the search of the bounds in which a number lies.

    Each variable is an object with the attributes of `live.cells.ContinuousCells` or `DiscreteCells`.
    """

    cdef Column* items
    cdef Py_ssize_t size, most
    cdef list kept

    def __cinit__(self, variables):
        self.size = len(variables)
        self.items = <Column*>PyMem_Malloc((self.size + 1) * sizeof(Column))
        if self.items == NULL:
            raise MemoryError

    def __init__(self, variables):
        self.kept = []
        cdef Py_ssize_t index
        for index, item in enumerate(variables):
            self.fill(&self.items[index], item)

    def __dealloc__(self):
        PyMem_Free(self.items)

    cdef int fill(self, Column* column, item) except -1:
        column.kind = kind_of(item)
        column.offset = getattr(item, "offset", 0)
        column.missing = getattr(item, "missing", 0)
        column.other = getattr(item, "other", 0)
        categories = item.categories if column.kind == NUMBERS else {}
        numbers = sorted(categories) if column.kind == NUMBERS else getattr(item, "bounds", ())

        cdef array.array bounds = array.array("d", [*numbers, INFINITY])  # one more, which may be read
        cdef array.array cells = array.array("q", [categories[number] for number in sorted(categories)])
        column.bounds, column.size, column.cells = bounds.data.as_doubles, len(numbers), cells.data.as_longlongs
        cdef array.array earlier = self.lay_out(column)
        column.earlier = earlier.data.as_ints
        self.kept += (bounds, cells, earlier)
        return 0

    cdef array.array lay_out(self, Column* column):
        """Divide the range of the bounds into slots; return how many bounds lie in the slots before each."""
        cdef Py_ssize_t size = column.size, slots = SLOTS_PER_BOUND * size + 1, index
        # The outer bounds may be outliers, so they share a slot with their neighbours.
        cdef Py_ssize_t first = 1 if size > 3 else 0
        column.last = slots - 1
        column.low = column.bounds[first] if size else 0
        column.scale = column.last / (column.bounds[size - 1 - first] - column.low) if size else 0
        if not (0 < column.scale < INFINITY and fabs(column.low) < INFINITY):
            column.low = column.scale = 0  # one slot for all

        cdef array.array earlier = array.array("i", [0] * (slots + 1))
        for index in range(size):
            earlier.data.as_ints[slot_of(column, column.bounds[index]) + 1] += 1
        for index in range(slots):
            earlier.data.as_ints[index + 1] += earlier.data.as_ints[index]
        return earlier


cdef inline Py_ssize_t slot_of(const Column* column, double number) noexcept nogil:
    """Return the slot of a number, which is never above the slot of a larger number, however it is rounded."""
    cdef double slot = (number - column.low) * column.scale
    if not slot > 0:
        return 0
    return <Py_ssize_t>(slot if slot < column.last else column.last)


cdef inline Py_ssize_t bounds_below(const Column* column, double number) noexcept nogil:
    """Return how many bounds are below a number: those in earlier slots, and some in its own."""
    cdef const int* earlier = column.earlier + slot_of(column, number)
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

    def count(self, row, increments):
        """Add the cells of a row to increments; return whether all values are known to be plain JSON."""
        cdef tuple values = row if type(row) is tuple else tuple(row)
        if len(values) != self.size:
            raise ValueError("The row has another number of values.")

        cdef list found = []
        cdef Word word
        cdef uint32_t crc = NO_CRC
        cdef bint is_plain = True
        cdef Py_ssize_t index
        for index in range(self.size):
            found.append(self.cell_of(index, values[index], &word, &is_plain))
            crc = crc_with(crc, word)

        if self.buckets >= 0:
            found.append(self.buckets + bucket_of(crc))
        increments.cells += found
        return is_plain

    def count_rows(self, list rows, block):
        """Count rows in an array of int64, as `live.batches` does; return whether all values are known to be plain JSON.

        Args:
            rows: Lists or tuples.
            block: Counts to add to, of all cells.
        """
        cdef Word word
        cdef uint32_t crc
        cdef bint is_plain = True
        cdef Py_ssize_t index
        cdef Py_buffer view
        PyObject_GetBuffer(block, &view, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)
        try:
            for row in rows:
                if len(row) != self.size:
                    raise ValueError("The row has another number of values.")
                crc = NO_CRC
                for index in range(self.size):
                    raise_cell(&view, self.cell_of(index, item_of(row, index), &word, &is_plain))
                    crc = crc_with(crc, word)
                if self.buckets >= 0:
                    raise_cell(&view, self.buckets + bucket_of(crc))
        finally:
            PyBuffer_Release(&view)
        return is_plain

    cdef inline Py_ssize_t cell_of(self, Py_ssize_t index, value, Word* word, bint* is_plain) except -1:
        """Return the cell of a value, and write its word; clear *is_plain* unless the value is known to be plain."""
        cdef const Column* column = &self.columns.items[index]
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

    def count(self, rows, block):
        """Count rows, float64 in the order of C, in an array of int64."""
        cdef Py_buffer values, counts
        PyObject_GetBuffer(rows, &values, PyBUF_ND | PyBUF_FORMAT)
        try:
            PyObject_GetBuffer(block, &counts, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)
            try:
                if values.ndim != 2 or values.shape[1] != self.columns.size or values.itemsize != 8:
                    raise ValueError("The rows have another number of values, or are not float64.")
                if values.shape[0] * self.columns.size < MOST_AT_ONCE:
                    self.count_all(<const double*>values.buf, values.shape[0], &counts)
                else:
                    with nogil:
                        self.count_all(<const double*>values.buf, values.shape[0], &counts)
            finally:
                PyBuffer_Release(&counts)
        finally:
            PyBuffer_Release(&values)

    cdef int count_all(self, const double* value, Py_ssize_t rows, Py_buffer* counts) except -1 nogil:
        cdef const Column* column
        cdef Py_ssize_t row, index
        cdef Word word
        cdef uint32_t crc
        for row in range(rows):
            crc = NO_CRC
            for index in range(self.columns.size):
                column = &self.columns.items[index]
                word.number = value[0] if value[0] == value[0] else NAN
                crc = crc_with(crc, word)
                raise_cell(counts, cell_of_number(column, value[0]) if value[0] == value[0] else column.missing)
                value += 1
            if self.buckets >= 0:
                raise_cell(counts, self.buckets + bucket_of(crc))
        return 0


cdef inline int raise_cell(Py_buffer* counts, Py_ssize_t cell) except -1 nogil:
    if not 0 <= cell < counts.len // 8:
        with gil:
            raise IndexError(cell)
    (<int64_t*>counts.buf)[cell] += 1
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


cdef class CellRaiser:
    """The compiled `live.process_counts.CellRaiser`."""

    cdef Py_buffer view

    def __cinit__(self, cells):
        PyObject_GetBuffer(cells, &self.view, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    def __call__(self, list cells):
        """Raise each cell by one, as often as it comes."""
        cdef Py_ssize_t cell
        for cell in cells:
            raise_cell(&self.view, cell)


cdef class Packer:
    """Packs plain JSON values as MessagePack, to the same bytes as `msgpack.Packer`.

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

    def pack(self, value, bytes head=b""):
        """Return a value, behind the bytes of *head*.

        Raises:
            TypeError: A value has another type.
            OverflowError: An integer is wider than 64 bits.
            UnicodeEncodeError: A text holds lone surrogates.
            ValueError: Values are nested too deeply.
        """
        self.size = 0
        self.put(PyBytes_AS_STRING(head), len(head))
        self.put_value(value, 0)
        packed = PyBytes_FromStringAndSize(<char*>self.memory, self.size)
        if self.room > MOST_KEPT:
            self.fit(4096)
        return packed

    cdef int fit(self, Py_ssize_t room) except -1:
        memory = <unsigned char*>PyMem_Realloc(self.memory, room)
        if memory == NULL:
            raise MemoryError
        self.memory, self.room = memory, room
        return 0

    cdef inline int put(self, const void* data, Py_ssize_t size) except -1:
        if self.size + size > self.room:
            self.fit(2 * (self.size + size))
        memcpy(self.memory + self.size, data, size)
        self.size += size
        return 0

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
        cdef Word word
        cdef PyObject* key
        cdef PyObject* item
        cdef Py_ssize_t position = 0
        if depth > MOST_DEEP:
            raise ValueError("The value is nested too deeply.")

        if type(value) is float:
            word.number = value
            return self.put_number(0xCB, word.text, 8)
        if type(value) is str:
            return self.put_text(value)
        if type(value) is int:
            return self.put_integer(value)
        if value is None:
            return self.put_number(0xC0, 0, 0)
        if type(value) is bool:
            return self.put_number(0xC3 if value is True else 0xC2, 0, 0)
        if type(value) is dict:
            self.put_size(len(<dict>value), 0x80, 15, 0, 0xDE)
            while PyDict_Next(value, &position, &key, &item):
                self.put_value(<object>key, depth + 1)
                self.put_value(<object>item, depth + 1)
            return 0
        if type(value) is list:
            self.put_size(len(<list>value), 0x90, 15, 0, 0xDC)
            for element in <list>value:
                self.put_value(element, depth + 1)
            return 0
        raise TypeError(type(value).__name__)

    cdef int put_text(self, value) except -1:
        cdef Py_ssize_t size
        cdef const char* text = PyUnicode_AsUTF8AndSize(value, &size)
        self.put_size(size, 0xA0, 31, 0xD9, 0xDA)
        return self.put(text, size)

    cdef int put_integer(self, value) except -1:
        cdef int overflow
        cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow > 0:
            return self.put_number(0xCF, PyLong_AsUnsignedLongLong(value), 8)
        if overflow < 0:
            raise OverflowError("The integer is wider than 64 bits.")
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
