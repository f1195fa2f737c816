# cython: language_level=3
"""Compiled twins of the loops that every request runs: each does the same as its class in Python, in a fifth of the time.

The package works without them where it was installed without a compiler. `tests/test_compiled.py` holds each twin
against its class in Python.
"""

from cpython cimport array
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Next
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow, PyLong_AsUnsignedLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport NAN, fabs
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

import array
from zlib import crc32

__all__ = ["CellRaiser", "Packer", "RowCells", "Splicer"]

cdef enum Kind:
    BINS
    NARROW_BINS  # of numbers that were float32 in training
    NUMBERS  # as categories
    TEXTS
    OTHERS  # which only Python reads

cdef union Word:
    double number
    uint64_t text

cdef Py_ssize_t MOST_KEPT = 1024 * 1024
cdef int MOST_DEEP = 500
cdef double LEAST_WIDE = 2.0 ** 63  # plain JSON has no such integers


cdef class RowCells:
    """The compiled `live.row_cells.RowCells`."""

    cdef list cells, categories, words
    cdef Py_ssize_t size, buckets
    cdef uint64_t missing_text
    # For each variable: its kind, its first bound, its first cell, its cells for missing values and unknown categories.
    cdef array.array kinds, bounds, starts, offsets, missing, others

    def __init__(self, cells, buckets, uint64_t missing_text):
        self.cells = list(cells)
        self.size = len(self.cells)
        self.buckets = -1 if buckets is None else buckets
        self.missing_text = missing_text
        self.kinds = array.array("i", map(kind_of, self.cells))
        self.offsets = array.array("q", [getattr(item, "offset", 0) for item in self.cells])
        self.missing = array.array("q", [getattr(item, "missing", 0) for item in self.cells])
        self.others = array.array("q", [getattr(item, "other", 0) for item in self.cells])
        self.categories = [getattr(item, "categories", None) for item in self.cells]
        self.words = [getattr(item, "words", None) for item in self.cells]

        self.bounds, self.starts = array.array("d"), array.array("q", [0])
        for item in self.cells:
            self.bounds.extend(array.array("d", getattr(item, "bounds", ())))
            self.starts.append(len(self.bounds))

    def count(self, row, increments):
        """Add the cells of a row to increments; return whether all values are known to be plain JSON."""
        cdef tuple values = row if type(row) is tuple else tuple(row)
        if len(values) != self.size:
            raise ValueError("The row has another number of values.")

        # In one piece of memory that is hashed in the end. It is this call's own: reading a value may run Python code.
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, 8 * self.size)
        cdef Word* words = <Word*>PyBytes_AS_STRING(packed)
        cdef list found = []
        cdef bint is_plain = True
        cdef Py_ssize_t index
        for index in range(self.size):
            value = values[index]
            if self.kinds.data.as_ints[index] < TEXTS:
                is_plain &= self.locate_number(index, value, found, &words[index])
            else:
                is_plain &= self.locate_text(index, value, found, &words[index])

        if self.buckets >= 0:
            found.append(self.buckets + bucket_of(packed))
        increments.cells += found
        return is_plain

    cdef bint locate_number(self, Py_ssize_t index, value, list found, Word* word) except -1:
        cdef double number
        if type(value) is float:
            number = value
        elif type(value) is int or type(value) is bool:
            try:
                number = PyLong_AsDouble(value)
            except OverflowError:
                return self.locate(index, value, found, word)
        elif value is None:
            number = NAN
        else:
            return self.locate(index, value, found, word)

        if number != number:
            found.append(self.missing.data.as_longlongs[index])
            word.number = NAN
            return value is None
        cdef int kind = self.kinds.data.as_ints[index]
        if kind == NARROW_BINS:
            number = <float>number
        word.number = number
        found.append(self.category_of(index, number) if kind == NUMBERS else self.bin_of(index, number))
        return fabs(number) < LEAST_WIDE

    cdef Py_ssize_t bin_of(self, Py_ssize_t index, double number) noexcept:
        cdef const double* bounds = self.bounds.data.as_doubles
        cdef Py_ssize_t start = self.starts.data.as_longlongs[index], low = start, middle
        cdef Py_ssize_t high = self.starts.data.as_longlongs[index + 1]
        while low < high:
            middle = (low + high) >> 1
            if bounds[middle] < number:
                low = middle + 1
            else:
                high = middle
        return self.offsets.data.as_longlongs[index] + low - start

    cdef Py_ssize_t category_of(self, Py_ssize_t index, double number) except -1:
        cell = (<dict>self.categories[index]).get(number)
        return self.others.data.as_longlongs[index] if cell is None else cell

    cdef bint locate_text(self, Py_ssize_t index, value, list found, Word* word) except -1:
        if self.kinds.data.as_ints[index] == TEXTS:
            if value is None:
                found.append(self.missing.data.as_longlongs[index])
                word.text = self.missing_text
                return True
            cell = (<dict>self.categories[index]).get(value) if type(value) is str else None
            if cell is not None:
                found.append(cell)
                word.text = (<dict>self.words[index])[value]
                return True
        return self.locate(index, value, found, word)

    cdef bint locate(self, Py_ssize_t index, value, list found, Word* word) except -1:
        """Ask Python for the cell of a value and its word."""
        cells = self.cells[index]
        cell, name = cells.locate(value)
        found.append(cell)
        if cells.is_text:
            word.text = name
        else:
            word.number = name
        return type(value) is str


cdef int kind_of(cells) except -1:
    width = cells.width.letter
    if hasattr(cells, "bounds"):
        return BINS if width == "d" else NARROW_BINS if width == "f" else OTHERS
    if hasattr(cells, "categories"):
        return TEXTS if cells.is_text else NUMBERS if width == "d" else OTHERS
    return OTHERS


cdef Py_ssize_t bucket_of(bytes packed) except -1:
    """Return the bucket of a row, as `values.rowhash.bucket_of` does."""
    cdef uint64_t crc = crc32(packed)
    return crc * crc >> 24 & 255


cdef class CellRaiser:
    """The compiled `live.process_counts.CellRaiser`."""

    cdef Py_buffer view

    def __cinit__(self, cells):
        PyObject_GetBuffer(cells, &self.view, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    def __call__(self, list cells):
        """Raise each cell by one, as often as it comes."""
        cdef int64_t* counts = <int64_t*>self.view.buf
        cdef Py_ssize_t size = self.view.len // 8, cell
        for cell in cells:
            if not 0 <= cell < size:
                raise IndexError(cell)
            counts[cell] += 1


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
        self.begin(head)
        self.put_value(value, 0)
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

    cdef inline int put(self, const void* data, Py_ssize_t size) except -1:
        if self.size + size > self.room:
            self.fit(2 * (self.size + size))
        memcpy(self.memory + self.size, data, size)
        self.size += size
        return 0

    cdef inline int put_bytes(self, bytes data) except -1:
        return self.put(PyBytes_AS_STRING(data), len(data))

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


cdef class Splicer(Packer):
    """Packs objects of which only some fields change; the rest was packed once.

    Args:
        template: An object with all fields.
        changing: Keys of the fields that change.
    """

    cdef list pieces

    def __init__(self, dict template, changing):
        self.begin(b"")
        self.put_size(len(template), 0x80, 15, 0, 0xDE)
        self.pieces = [self.end()]
        for key, value in template.items():
            self.pieces[-1] += self.pack(key)
            if key in changing:
                self.pieces.append(b"")
            else:
                self.pieces[-1] += self.pack(value)

    def splice(self, bytes head, tuple values):
        """Return the object with other values, behind the bytes of *head*; errors are those of `pack`.

        Args:
            head: Bytes before it.
            values: Values of the changing fields, in their order. Bytes stand for a text of ASCII.
        """
        cdef Py_ssize_t index
        if len(values) != len(self.pieces) - 1:
            raise ValueError("The number of values differs from the number of fields that change.")
        self.begin(head)
        for index in range(len(values)):
            self.put_bytes(<bytes>self.pieces[index])
            value = values[index]
            if type(value) is bytes:
                self.put_size(len(<bytes>value), 0xA0, 31, 0xD9, 0xDA)
                self.put_bytes(<bytes>value)
            else:
                self.put_value(value, 0)
        self.put_bytes(<bytes>self.pieces[len(values)])
        return self.end()
