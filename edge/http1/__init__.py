"""HTTP/1.1 without I/O: bytes in, events out, and no message that two readers could read differently."""

from edge.http1.errors import ProtocolError
from edge.http1.events import (
    CLOSED,
    NEED_DATA,
    Data,
    End,
    Field,
    Framing,
    RequestEvent,
    RequestHead,
    ResponseEvent,
    ResponseHead,
    Signal,
    TargetForm,
    Trailers,
)
from edge.http1.limits import DEFAULT_LIMITS, Limits
from edge.http1.request_reader import RequestReader
from edge.http1.response_reader import ResponseReader
from edge.http1.writing import chunk, field_lines, last_chunk, request_line, status_line

__all__ = [
    "CLOSED",
    "DEFAULT_LIMITS",
    "NEED_DATA",
    "Data",
    "End",
    "Field",
    "Framing",
    "Limits",
    "ProtocolError",
    "RequestEvent",
    "RequestHead",
    "RequestReader",
    "ResponseEvent",
    "ResponseHead",
    "ResponseReader",
    "Signal",
    "TargetForm",
    "Trailers",
    "chunk",
    "field_lines",
    "last_chunk",
    "request_line",
    "status_line",
]
